//! `binderdrill check`: what is wrong with scripts, or doubtful in them.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Status};
use crate::script::{self, Diagnostics};
use crate::suite::read_script;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Scripts; `-` is standard input
    #[arg(required = true)]
    file: Vec<PathBuf>,
}

pub(super) fn check(arguments: &CheckArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let mut status = Status::AsExpected;
    for path in &arguments.file {
        let diagnostics = match read_script(path) {
            Ok(source) => diagnostics(&source),
            Err(error) => {
                super::complain(&error.to_string());
                status = Status::CouldNotRun;
                continue;
            }
        };
        if !diagnostics.is_empty() {
            writeln!(out, "{}\n", diagnostics.render(&path.display().to_string(), true).trim_end())?;
            status = status.max(Status::Deviation);
        }
    }
    Ok(status)
}

fn diagnostics(source: &[u8]) -> Diagnostics {
    match script::parse(source) {
        Ok(script) => script::lint(&script),
        Err(diagnostics) => diagnostics,
    }
}
