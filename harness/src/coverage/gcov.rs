//! gcov, the program: it makes lines and branches of the counters of a kernel and of the notes that gcc left.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::module::{CountingModule, NoCounters};
use crate::kernel::{Image, KernelError, Notes};
use crate::patch::DRIVER;
use crate::target::guest::Counters;

/// What gcov makes of the counters of one object.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// The folder in which the compiler ran.
    #[serde(default)]
    pub current_working_directory: PathBuf,
    /// The files of which something is in the object.
    pub files: Vec<ReportedFile>,
}

/// A file of the source.
#[derive(Debug, Clone, Deserialize)]
pub struct ReportedFile {
    /// Its path, as the compiler was given it.
    pub file: String,
    /// Its functions.
    pub functions: Vec<ReportedFunction>,
    /// Its lines that have code, in no order. A line of which there is code in several functions is there for each.
    pub lines: Vec<ReportedLine>,
}

/// A function.
#[derive(Debug, Clone, Deserialize)]
pub struct ReportedFunction {
    /// Its name.
    pub name: String,
    /// Its first line.
    pub start_line: u32,
    /// Its last line.
    pub end_line: u32,
    /// How often it ran.
    pub execution_count: u64,
}

/// A line.
#[derive(Debug, Clone, Deserialize)]
pub struct ReportedLine {
    /// Its number, from 1.
    pub line_number: u32,
    /// How often it ran.
    pub count: u64,
    /// Its branches.
    pub branches: Vec<ReportedBranch>,
}

/// A way that the code may go at the end of a line.
#[derive(Debug, Clone, Deserialize)]
pub struct ReportedBranch {
    /// How often it was taken.
    pub count: u64,
}

/// Why gcov makes nothing of counters.
#[derive(Debug, thiserror::Error)]
pub enum GcovError {
    /// It is not there.
    #[error("gcov, which comes with gcc, cannot be started: {0}; to install it: apt-get install gcc")]
    Missing(io::Error),
    /// It says that something is wrong.
    #[error(
        "gcov makes nothing of what the kernel has counted: {said}\nIt must be the gcov of the gcc with which the kernel \
         was built; if gcc is another by now, binderdrill kernel build --with gcov builds it again"
    )]
    Refuses {
        /// What it says.
        said: String,
    },
    /// It writes what cannot be read.
    #[error("what gcov writes cannot be read ({0}): a gcov of gcc 9 or newer is needed")]
    Unreadable(serde_json::Error),
    /// A file that it is given or its folder cannot be made.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
    /// The notes of the kernel cannot be read.
    #[error(transparent)]
    Notes(#[from] KernelError),
    /// Nothing can be made of what a module has counted.
    #[error(transparent)]
    Module(#[from] NoCounters),
}

/// gcov, for the counters of one kernel.
pub struct Gcov {
    notes: Vec<PathBuf>,
    /// The module that counts, if the kernel does not.
    module: Option<CountingModule>,
}

impl Gcov {
    /// Prepares to read the counters of a kernel.
    pub fn of(notes: &Notes) -> Result<Gcov, GcovError> {
        Command::new("gcov").arg("--version").output().map_err(GcovError::Missing)?;
        let files = notes.files()?;
        let module = match notes.image() {
            Image::Kernel(_) => None,
            Image::Module(module) => Some(CountingModule::read(module, &files)?),
        };
        Ok(Gcov { notes: files, module })
    }

    /// What has been counted of the driver's own files, each by its name in the driver's folder.
    pub fn read(&self, counters: &Counters) -> Result<Vec<ReportedFile>, GcovError> {
        if counters.files.is_empty() {
            return Err(GcovError::Refuses { said: "there are no counters".to_owned() });
        }
        let of_module = self.module.as_ref().map(|module| module.counters(counters)).transpose()?;
        let counters = of_module.as_ref().unwrap_or(counters);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| GcovError::File { path, error }
        };
        // Counters and notes are looked for side by side.
        let folder = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
        for note in &self.notes {
            let link = folder.path().join(note.file_name().unwrap_or_default());
            symlink(note, &link).map_err(failed(&link))?;
        }
        let mut gcov = Command::new("gcov");
        gcov.args(["--json-format", "--stdout", "--branch-probabilities"]).current_dir(folder.path());
        for (name, bytes) in &counters.files {
            let path = folder.path().join(name);
            fs::write(&path, bytes).map_err(failed(&path))?;
            gcov.arg(name);
        }
        let output = gcov.env("LC_ALL", "C.UTF-8").output().map_err(GcovError::Missing)?;
        let said = String::from_utf8_lossy(&output.stderr);
        // It complains of files that do not go together, and then writes what it makes of them.
        if !output.status.success() || !said.trim().is_empty() {
            return Err(GcovError::Refuses { said: said.trim().to_owned() });
        }
        read(&output.stdout)
    }
}

/// The files of the driver in what gcov writes, which is an object of JSON on a line for each object of the kernel.
fn read(written: &[u8]) -> Result<Vec<ReportedFile>, GcovError> {
    let mut files = Vec::new();
    for report in serde_json::Deserializer::from_slice(written).into_iter::<Report>() {
        let report = report.map_err(GcovError::Unreadable)?;
        for mut file in report.files {
            // Since Linux 6.14, what is out of the kernel's tree is compiled in its own folder.
            let path = report.current_working_directory.join(&file.file);
            if let Some((_, name)) = path.to_string_lossy().rsplit_once(DRIVER) {
                file.file = name.to_owned();
                files.push(file);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What gcov wrote of a driver of two functions, of which a call ran one.
    pub(crate) const RECORDED: &[u8] = include_bytes!("recorded.json");

    /// The files of the driver in it.
    pub(crate) fn recorded() -> Vec<ReportedFile> {
        read(RECORDED).unwrap()
    }

    #[test]
    fn only_the_drivers_own_files_are_of_interest() {
        let names: Vec<String> = recorded().into_iter().map(|file| file.file).collect();
        assert_eq!(names, ["binder.c", "binder_internal.h"]);
    }

    #[test]
    fn a_file_is_in_the_folder_in_which_it_was_compiled() {
        let report = r#"{"current_working_directory": "/x/drivers/android", "files": [
            {"file": "binder.c", "functions": [], "lines": []},
            {"file": "/y/include/linux/list.h", "functions": [], "lines": []}]}"#;
        let names: Vec<String> = read(report.as_bytes()).unwrap().into_iter().map(|file| file.file).collect();
        assert_eq!(names, ["binder.c"]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(matches!(read(b"{\"files\": 3}"), Err(GcovError::Unreadable(_))));
        assert!(matches!(read(b"nonsense"), Err(GcovError::Unreadable(_))));
    }
}
