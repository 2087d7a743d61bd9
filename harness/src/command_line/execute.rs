//! `binderdrill execute`: a program that is none of ours, in a guest, on its binder device.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Status, TargetArguments, complain};
use crate::suite::FileError;

#[derive(Debug, Args)]
pub(super) struct ExecuteArguments {
    /// The program, statically linked, as a guest has no C library; it is given the path of the device as its first word
    program: PathBuf,
    /// The guest to run it in: `built:uml-c`, `vm:debian-6.12`, `uml:PATH/TO/linux`, …
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// More words for the program
    #[arg(last = true)]
    words: Vec<String>,
    #[command(flatten)]
    options: TargetArguments,
}

pub(super) fn execute(arguments: &ExecuteArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(std::slice::from_ref(&arguments.target))?;
    let path = &arguments.program;
    let program = std::fs::read(path).map_err(|source| FileError { path: path.clone(), source })?;
    let mut target = arguments.options.target(&arguments.target, false)?;
    let executed = target.execute(&program, &arguments.words)?;
    write!(out, "{}", executed.output)?;
    for complaint in &executed.complaints {
        complain(&format!("the kernel complains: {complaint}"));
    }
    match executed.status {
        Some(0) if executed.complaints.is_empty() => Ok(Status::AsExpected),
        Some(0 | 1) => Ok(Status::Deviation),
        Some(status) => {
            complain(&format!("it ended with status {status}"));
            Ok(Status::CouldNotRun)
        }
        None => {
            complain("it did not end by itself");
            Ok(Status::CouldNotRun)
        }
    }
}
