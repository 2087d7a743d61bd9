//! `binderdrill export`: one script as a program that needs no binderdrill.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Status};
use crate::export::{Language, export as exported};
use crate::script;
use crate::suite::{FileError, read_script_or_case};

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
    let script = match script::parse(&read_script_or_case(&arguments.file)?) {
        Ok(script) => script,
        Err(diagnostics) => {
            // Where standard error is gone, there is nobody to tell.
            let _ = write!(anstream::stderr(), "{}", diagnostics.render(&origin, true));
            return Ok(Status::CouldNotRun);
        }
    };
    let text = exported(arguments.language, &script, &origin)
        .map_err(|error| CommandError::Options(format!("{origin}: {error}")))?;
    match &arguments.out {
        None => out.write_all(text.as_bytes())?,
        Some(path) => {
            std::fs::write(path, text).map_err(|source| FileError { path: path.clone(), source })?;
        }
    }
    Ok(Status::AsExpected)
}
