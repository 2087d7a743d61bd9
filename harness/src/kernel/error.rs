//! Why a kernel cannot be had, built or deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::NoSpace;

/// Why a kernel cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The name is not one.
    #[error(
        "{0:?} is no name of a stock kernel: those are debian-VERSION, such as debian-6.12 or debian-7; binderdrill \
         kernel list shows what else there is"
    )]
    Name(String),
    /// It has not been fetched.
    #[error("the kernel {0} has not been fetched: binderdrill kernel fetch {0}")]
    Missing(String),
    /// The name cannot be one of a built kernel.
    #[error(
        "{0:?} is no name of a built kernel: those are of letters, digits, dots, dashes, underscores and pluses, begin \
         with a letter or a digit, and have 100 of them at most, such as uml-rust"
    )]
    BuiltName(String),
    /// The name says what it was built with, and may not be given to another.
    #[error(
        "{0:?} would say what the kernel is and be believed: give it a name that begins with neither uml- nor qemu-"
    )]
    UsualName(String),
    /// A kernel of the same name was built from elsewhere.
    #[error("built:{name} was built from {source_of_it}: call this one something else (--name)")]
    OtherTree {
        /// What it is called.
        name: String,
        /// What it was built from.
        source_of_it: String,
    },
    /// It has not been built, or not to the end.
    #[error(
        "the kernel built:{name} {}",
        if *half {
            "was not built to the end: call binderdrill kernel build as before"
        } else {
            "has not been built: binderdrill kernel build with the options that its name says (see --help: --driver, --for, --with, \
             --name), and binderdrill kernel list to see those that are"
        }
    )]
    NotBuilt {
        /// What it is called.
        name: String,
        /// Whether a build of it was begun.
        half: bool,
    },
    /// It does not count which of its lines run.
    #[error(
        "{target} does not count which lines of the driver run: binderdrill kernel build --with gcov makes \
         built:uml-c-gcov, which does, and --driver rust --with llvm-cov makes built:uml-rust-llvm-cov; of a tree of \
         one's own, --source DIR --with gcov --name NAME"
    )]
    CountsNothing {
        /// What the user calls it.
        target: String,
    },
    /// What building takes is not installed.
    #[error("{0}")]
    Tools(String),
    /// make failed.
    #[error("the kernel does not build:\n{error}\nall that was said is in {}", log.display())]
    Build {
        /// The first thing that went wrong, as the compiler says it.
        error: String,
        /// Where all is.
        log: PathBuf,
    },
    /// Debian does not have it, or its packages are not what they were.
    #[error("{0}")]
    Unavailable(String),
    /// A program that fetching takes is missing, or failed.
    #[error("{command} failed: {reason}")]
    Command {
        /// The command.
        command: String,
        /// What it said, or why it could not be started.
        reason: String,
    },
    /// There is too little room for what is to be done.
    #[error(transparent)]
    Space(NoSpace),
    /// The store cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
}

/// Deletes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(path, error)),
        _ => Ok(()),
    }
}

/// Deletes a folder with all that is in it, if it is there.
pub(super) fn remove_all(folder: &Path) -> Result<(), KernelError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(folder, error)),
        _ => Ok(()),
    }
}

pub(super) fn file_error(path: &Path, error: io::Error) -> KernelError {
    KernelError::File { path: path.to_owned(), error }
}
