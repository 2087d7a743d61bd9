//! `binderdrill fmt`: scripts in their canonical form.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use similar::TextDiff;

use super::{CommandError, Status, parse_or_complain};
use crate::script;
use crate::suite::{FileError, read_script};

#[derive(Debug, Args)]
pub(super) struct FormatArguments {
    /// Scripts; `-` is standard input, and written to standard output
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// Change nothing, and say which scripts are not in canonical form
    #[arg(long)]
    check: bool,
}

pub(super) fn format(arguments: &FormatArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let mut status = Status::AsExpected;
    for path in &arguments.file {
        let of_file = match read_script(path) {
            Ok(source) => format_one(path, &source, arguments.check, out)?,
            Err(error) => {
                super::complain(&error.to_string());
                Status::CouldNotRun
            }
        };
        status = status.max(of_file);
    }
    Ok(status)
}

fn format_one(path: &Path, source: &[u8], check: bool, out: &mut dyn Write) -> Result<Status, CommandError> {
    let origin = path.display().to_string();
    let Some(script) = parse_or_complain(source, &origin) else {
        return Ok(Status::CouldNotRun);
    };
    let canonical = script::print(&script.program);
    let changed = canonical.as_bytes() != source;
    if check {
        if !changed {
            return Ok(Status::AsExpected);
        }
        let diff = TextDiff::from_lines(&*script.source, &canonical);
        write!(out, "{}", diff.unified_diff().header(&origin, &format!("{origin} (canonical)")))?;
        return Ok(Status::Deviation);
    }
    if path.as_os_str() == "-" {
        out.write_all(canonical.as_bytes())?;
    } else if changed {
        write_file(path, &canonical)?;
    }
    Ok(Status::AsExpected)
}

/// Writes a file anew, so that it is never there by half.
fn write_file(path: &Path, text: &str) -> Result<(), FileError> {
    let failed = |source| FileError { path: path.to_owned(), source };
    // Through a link, lest it be replaced by a file.
    let path = fs::canonicalize(path).map_err(failed)?;
    let mut beside = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(&path)).map_err(failed)?;
    beside.write_all(text.as_bytes()).map_err(failed)?;
    let permissions = fs::metadata(&path).map_err(failed)?.permissions();
    beside.as_file().set_permissions(permissions).map_err(failed)?;
    beside.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}
