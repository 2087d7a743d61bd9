//! Objects elsewhere: what make has made of one source, as if it had been made of another that differs in a few files.
//!
//! Linux writes down how each object was made, in `.NAME.cmd` beside it, and makes it anew if that would be done in
//! another way or if what it was made from is newer. So the objects are copied as old as they are, and the paths of the
//! source and of the objects are changed in what is written of them. make then makes what the other source has changed,
//! and nothing else. Whatever this overlooked would be made once too often, and never kept wrongly: what is changed in
//! the other source is newer than any object, and what was made from a file that it does not have is [forgotten](super::stale).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use walkdir::WalkDir;

use super::{KernelError, file_error};

/// What is linked anew whatever is changed, so that it need not be copied: of the objects' folder itself.
fn is_linked_anew(name: &str) -> bool {
    ["linux", "System.map"].contains(&name) || name.starts_with("vmlinux") || name.starts_with(".tmp_vmlinux")
}

/// The folders of a source and of what was made from it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The source.
    pub source: &'a Path,
    /// What was made from it.
    pub objects: &'a Path,
}

/// Copies objects, and has them be made from another source.
pub fn copy(from: Place<'_>, to: Place<'_>) -> Result<(), KernelError> {
    let text = |path: &Path| path.display().to_string();
    let (source, objects) = ((text(from.source), text(to.source)), (text(from.objects), text(to.objects)));
    for entry in WalkDir::new(from.objects) {
        let entry = entry.map_err(|error| file_error(from.objects, error.into()))?;
        let path = entry.path();
        let inside = path.strip_prefix(from.objects).unwrap_or(path);
        let name = entry.file_name().to_string_lossy();
        if entry.depth() == 1 && is_linked_anew(&name) {
            continue;
        }
        let copy = to.objects.join(inside);
        let failed = |error| file_error(path, error);
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&copy).map_err(failed)?;
        } else if kind.is_symlink() {
            let aim = text(&fs::read_link(path).map_err(failed)?);
            let aim = aim.replace(&source.0, &source.1).replace(&objects.0, &objects.1);
            symlink(aim, &copy).map_err(failed)?;
        } else {
            let says_how =
                name.ends_with(".cmd") || name.ends_with(".d") || (entry.depth() == 1 && name == "Makefile");
            if says_how {
                let how = fs::read(path).map_err(failed)?;
                let how = String::from_utf8_lossy(&how);
                let how = how.replace(&source.0, &source.1).replace(&objects.0, &objects.1);
                fs::write(&copy, how).map_err(|error| file_error(&copy, error))?;
            } else {
                fs::copy(path, &copy).map_err(failed)?;
            }
            let made = fs::metadata(path).and_then(|file| file.modified()).map_err(failed)?;
            let dated = fs::File::options().write(true).open(&copy).and_then(|file| file.set_modified(made));
            dated.map_err(|error| file_error(&copy, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn objects_are_as_old_as_they_were_and_of_the_other_source() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("one/drivers")).unwrap();
        fs::write(at("one/drivers/binder.o"), "made of /src").unwrap();
        fs::write(at("one/drivers/.binder.o.cmd"), "gcc -I/src/include /src/drivers/binder.c").unwrap();
        fs::write(at("one/vmlinux"), "").unwrap();
        symlink("/src", at("one/source")).unwrap();
        let old = UNIX_EPOCH + Duration::from_secs(1);
        for file in ["one/drivers/binder.o", "one/drivers/.binder.o.cmd"] {
            fs::File::options().write(true).open(at(file)).unwrap().set_modified(old).unwrap();
        }
        copy(
            Place { source: Path::new("/src"), objects: &at("one") },
            Place { source: Path::new("/patched"), objects: &at("other") },
        )
        .unwrap();
        let text = |path: &str| fs::read_to_string(at(path)).unwrap();
        assert_eq!(text("other/drivers/.binder.o.cmd"), "gcc -I/patched/include /patched/drivers/binder.c");
        assert_eq!(text("other/drivers/binder.o"), "made of /src");
        assert_eq!(fs::read_link(at("other/source")).unwrap(), Path::new("/patched"));
        assert!(!at("other/vmlinux").exists());
        for file in ["other/drivers/binder.o", "other/drivers/.binder.o.cmd"] {
            assert_eq!(fs::metadata(at(file)).unwrap().modified().unwrap(), old);
        }
    }
}
