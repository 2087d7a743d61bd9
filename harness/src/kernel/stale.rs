//! Objects that make would wrongly keep.
//!
//! make builds an object again if its source is newer. A source that goes back to what it was, as when a patch is
//! taken back, is older than the object of the patched one. So what was made from any source that has changed is
//! deleted. Linux writes down what each object was made from: in `.NAME.cmd`, beside the object NAME.

use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::KernelError;

/// Deletes the objects that were made from these files, whose paths begin at the folder of the source. Says how many.
pub fn forget(objects: &Path, source: &Path, changed: &[String]) -> Result<usize, KernelError> {
    if changed.is_empty() {
        return Ok(0);
    }
    let changed: std::collections::HashSet<&str> = changed.iter().map(String::as_str).collect();
    let source = format!("{}/", source.display());
    let mut forgotten = 0;
    for entry in WalkDir::new(objects).into_iter().flatten() {
        let Some(object) = entry.file_name().to_str().and_then(object_of) else { continue };
        let made_from = fs::read(entry.path()).map_err(|error| file_error(entry.path(), error))?;
        let made_from = String::from_utf8_lossy(&made_from);
        let words = made_from.split(|c: char| c.is_whitespace() || "();:".contains(c));
        if words.filter_map(|word| word.strip_prefix(&source)).any(|path| changed.contains(path)) {
            match fs::remove_file(entry.path().with_file_name(object)) {
                Ok(()) => forgotten += 1,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(file_error(entry.path(), error)),
            }
        }
    }
    Ok(forgotten)
}

/// The object that a file with this name is about.
fn object_of(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".cmd")
}

fn file_error(path: &Path, error: std::io::Error) -> KernelError {
    KernelError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_from_a_changed_file_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path();
        fs::create_dir(objects.join("a")).unwrap();
        let write = |path: &str, text: &str| fs::write(objects.join(path), text).unwrap();
        write("a/binder.o", "");
        write(
            "a/.binder.o.cmd",
            "savedcmd_a/binder.o := gcc /src/a/binder.c\ndeps_a/binder.o := \\\n  /src/a/binder.h \\\n",
        );
        write("a/other.o", "");
        write(
            "a/.other.o.cmd",
            "source_a/other.o := /src/a/other.c\ndeps := $(wildcard /src/a/x.h) /src/b/a/binder.h\n",
        );
        let forget = |changed: &str| forget(objects, Path::new("/src"), &[changed.to_owned()]).unwrap();
        assert_eq!(forget("b/nothing.c"), 0);
        assert_eq!(forget("a/binder.h"), 1);
        assert!(!objects.join("a/binder.o").exists() && objects.join("a/other.o").exists());
        assert_eq!(forget("a/binder.h"), 0, "it is gone already");
        assert_eq!(forget("a/x.h"), 1);
    }
}
