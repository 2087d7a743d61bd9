//! Objects that make would wrongly keep.
//!
//! make builds an object again if its source is newer. A source that goes back to what it was, as when a patch is
//! taken back, is older than the object of the patched one. So what was made from any source that has changed is
//! deleted. Linux writes down what each object was made from, and how: in `.NAME.cmd`, beside the object NAME.
//!
//! It writes that down once the object is whole. So an object that is newer than what is written of it is half made: who
//! made it was killed over it, or the disk was full.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use walkdir::WalkDir;

use super::{KernelError, file_error};

/// Deletes the objects that are half made, and those that were made from these files, whose paths begin at the folder
/// of the source. Says how many.
pub fn forget(objects: &Path, source: &Path, changed: &[String]) -> Result<usize, KernelError> {
    let changed: HashSet<&str> = changed.iter().map(String::as_str).collect();
    let source = format!("{}/", source.display());
    let mut forgotten = 0;
    for entry in WalkDir::new(objects).into_iter().flatten() {
        let Some(object) = entry.file_name().to_str().and_then(object_of) else { continue };
        let (record, object) = (entry.path(), entry.path().with_file_name(object));
        if is_half_made(&object, record)? || is_made_from(record, &source, &changed)? {
            match fs::remove_file(&object) {
                Ok(()) => forgotten += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(file_error(&object, error)),
            }
        }
    }
    Ok(forgotten)
}

fn is_half_made(object: &Path, record: &Path) -> Result<bool, KernelError> {
    let changed = |path: &Path| match fs::symlink_metadata(path).and_then(|file| file.modified()) {
        Ok(changed) => Ok(Some(changed)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, error)),
    };
    Ok(changed(object)? > changed(record)?)
}

/// Whether one of the files from this source that are named in a record is among these.
fn is_made_from(record: &Path, source: &str, changed: &HashSet<&str>) -> Result<bool, KernelError> {
    if changed.is_empty() {
        return Ok(false);
    }
    let made_from = fs::read(record).map_err(|error| file_error(record, error))?;
    let made_from = String::from_utf8_lossy(&made_from);
    let mut words = made_from.split(|c: char| c.is_whitespace() || "();:".contains(c));
    Ok(words.any(|word| word.strip_prefix(source).is_some_and(|path| changed.contains(path))))
}

/// The object that a file with this name is about.
fn object_of(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".cmd")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

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
    #[test]
    fn what_is_half_made_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["whole.o", ".whole.o.cmd", "half.o", ".half.o.cmd", "new.o"] {
            fs::write(at(name), "").unwrap();
        }
        let date = |name: &str, second| {
            let when = UNIX_EPOCH + Duration::from_secs(second);
            fs::File::options().write(true).open(at(name)).unwrap().set_modified(when).unwrap();
        };
        date("whole.o", 1);
        date(".whole.o.cmd", 1);
        date("half.o", 2);
        date(".half.o.cmd", 1);
        assert_eq!(forget(folder.path(), Path::new("/src"), &[]).unwrap(), 1);
        assert!(at("whole.o").exists() && !at("half.o").exists());
        assert!(at("new.o").exists(), "make builds again what nothing is written of");
    }
}
