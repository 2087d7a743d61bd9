//! `binderdrill export`: one script as a program that needs no binderdrill.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Status, parse_or_complain, write_text};
use crate::export::{Language, export as exported};
use crate::suite::read_script_or_case;

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// A script, or the name of a case of the suite; `-` is standard input
    file: PathBuf,
    /// What to make of it
    #[arg(long = "as", value_enum, value_name = "LANGUAGE")]
    language: Language,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn export(arguments: &ExportArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let origin = arguments.file.display().to_string();
    let Some(script) = parse_or_complain(&read_script_or_case(&arguments.file)?, &origin) else {
        return Ok(Status::CouldNotRun);
    };
    let text = exported(arguments.language, &script, &origin)
        .map_err(|error| CommandError::Options(format!("{origin}: {error}")))?;
    write_text(arguments.out.as_deref(), &text, out)?;
    Ok(Status::AsExpected)
}
