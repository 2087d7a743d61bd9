//! Scripts in files: one, or all of a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use binderdrill_suites::EXTENSION;

use super::Case;
use crate::input;
use crate::script::LARGEST_SCRIPT;

/// Folders that lie deeper in one another than this are not looked into, so that links in a circle end.
const DEEPEST: usize = 32;

/// That a script cannot be read from its file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The text of a script, from a file or, for `-`, from standard input. Of one that is too long, only so much is
/// read as it takes to see that.
pub fn read_script(path: &Path) -> Result<Vec<u8>, FileError> {
    input::read(path, LARGEST_SCRIPT as u64).map_err(|source| FileError { path: path.to_owned(), source })
}

/// The text of a script, from a file as [`read_script`] reads it, or of the case of the suite with this name.
pub fn read_script_or_case(name: &Path) -> Result<Vec<u8>, FileError> {
    let read = read_script(name);
    match &read {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
            let of_suite = binderdrill_suites::cases().into_iter().find(|case| Path::new(case.id) == name);
            let unknown = || {
                let words = "there is no such file, and no case of the suite has this name";
                FileError { path: name.to_owned(), source: io::Error::new(io::ErrorKind::NotFound, words) }
            };
            of_suite.map(|case| case.script.to_vec()).ok_or_else(unknown)
        }
        _ => read,
    }
}

/// The case in a file.
pub(super) fn case(path: &Path) -> Result<Case, FileError> {
    let origin = path.display().to_string();
    Ok(Case::new(origin.clone(), origin, &read_script(path)?))
}

/// The cases in the files of a folder and its folders, in the order of their paths.
pub(super) fn cases_under(folder: &Path) -> Result<Vec<Case>, FileError> {
    let scripts = files_under(folder)?.into_iter().filter(|path| is_script(path));
    scripts.map(|path| case(&path)).collect()
}

/// The cases in a file, or in the files of a folder and its folders.
pub fn cases_at(path: &Path) -> Result<Vec<Case>, FileError> {
    if path.is_dir() { cases_under(path) } else { Ok(vec![case(path)?]) }
}

/// All files of a folder and its folders, in the order of their paths.
pub(crate) fn files_under(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut paths = Vec::new();
    collect(folder, 0, &mut paths)?;
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a path is that of a script.
pub(crate) fn is_script(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// Whether there is something to read at a path. Nothing is in pipes, from which a read may never return, in sockets and
/// in devices. A link to a folder is not followed: it may lead round in a circle. One that leads nowhere is told of by
/// whoever reads it.
fn holds_text(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |found| found.is_file())
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let failed = |source| FileError { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let path = path.strip_prefix(".").map(Path::to_owned).unwrap_or(path);
        if entry.file_type().map_err(failed)?.is_dir() {
            if depth < DEEPEST {
                collect(&path, depth + 1, paths)?;
            }
        } else if holds_text(&path) {
            paths.push(path);
        }
    }
    Ok(())
}
