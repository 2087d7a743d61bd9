//! Overlays: a source with some of its files changed, as a folder of links to the source and of the changed files. It is
//! there in a moment, takes nothing of the disk, and the source stays as it is.
//!
//! A folder in which nothing is changed is a link as a whole. What is included from there by `..` is looked for in the
//! source itself; so the folders in which a file is changed, and all below them, are made of links to files. The same
//! goes for the kernel's own tools, whose build asks where it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{KernelError, file_error};
use crate::patch::Changes;

/// The folder of the kernel's own tools, as far as a kernel is built with them.
const TOOLS: &[&str] = &[
    "tools",
    "tools/arch",
    "tools/bpf",
    "tools/build",
    "tools/include",
    "tools/lib",
    "tools/objtool",
    "tools/scripts",
];

/// Makes an overlay of a source in a folder, which is made too.
pub fn make(source: &Path, changes: &Changes, folder: &Path) -> Result<(), KernelError> {
    let overlay = Overlay { source, changes, folder };
    overlay.folder("", false)?;
    for (path, text) in changes.files() {
        let place = folder.join(path);
        let Some(text) = text else { continue };
        let parent = place.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| file_error(parent, error))?;
        fs::write(&place, text).map_err(|error| file_error(&place, error))?;
        // Scripts stay programs.
        if let Ok(before) = fs::metadata(source.join(path)) {
            fs::set_permissions(&place, before.permissions()).map_err(|error| file_error(&place, error))?;
        }
    }
    Ok(())
}

struct Overlay<'a> {
    source: &'a Path,
    changes: &'a Changes,
    folder: &'a Path,
}

impl Overlay<'_> {
    /// Makes a folder; with `whole`, all folders in it too.
    fn folder(&self, path: &str, whole: bool) -> Result<(), KernelError> {
        let (from, to) = (self.source.join(path), self.folder.join(path));
        fs::create_dir_all(&to).map_err(|error| file_error(&to, error))?;
        let whole = whole || (!path.is_empty() && self.holds_changed_file(path)) || is_tools(path);
        for entry in fs::read_dir(&from).map_err(|error| file_error(&from, error))? {
            let entry = entry.map_err(|error| file_error(&from, error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| *name != ".git") else { continue };
            let inside = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && (whole || self.changes.touch(&inside) || TOOLS.contains(&inside.as_str())) {
                self.folder(&inside, whole)?;
            } else if is_folder || !self.changes.touch(&inside) {
                let link = to.join(name);
                symlink(entry.path(), &link).map_err(|error| file_error(&link, error))?;
            }
        }
        Ok(())
    }

    fn holds_changed_file(&self, folder: &str) -> bool {
        let mut files = self.changes.files();
        files.any(|(path, _)| path.rsplit_once('/').is_some_and(|(parent, _)| parent == folder))
    }
}

/// Whether a folder is one of those of the tools that a kernel is built with.
fn is_tools(path: &str) -> bool {
    TOOLS.contains(&path) && path != "tools"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{Patch, read};

    fn patch(text: &str) -> Patch {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patch");
        fs::write(&path, text).unwrap();
        read(&path).unwrap().remove(0)
    }

    #[test]
    fn what_is_not_changed_is_the_source_itself() {
        let place = tempfile::tempdir().unwrap();
        let source = place.path().join("source");
        for (path, text) in [
            ("Kbuild", "top"),
            ("drivers/Makefile", "all"),
            ("drivers/net/a.c", "a"),
            ("drivers/android/binder.c", "old\n"),
            ("drivers/android/gone.c", "gone\n"),
            ("drivers/android/tests/b.c", "b"),
            (".git/HEAD", "x"),
        ] {
            let path = source.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let diff = "--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1 +1 @@\n-old\n+new\n\
                    --- a/drivers/android/gone.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n\
                    --- /dev/null\n+++ b/lib/new/new.c\n@@ -0,0 +1 @@\n+made\n";
        let changes = Changes::default().and(&patch(diff), &source).unwrap();
        let overlay = place.path().join("overlay");
        make(&source, &changes, &overlay).unwrap();
        let text = |path: &str| fs::read_to_string(overlay.join(path)).unwrap();
        assert_eq!(text("drivers/android/binder.c"), "new\n");
        assert_eq!(text("lib/new/new.c"), "made\n");
        assert_eq!(
            (text("Kbuild"), text("drivers/Makefile"), text("drivers/net/a.c")),
            ("top".into(), "all".into(), "a".into())
        );
        assert!(!overlay.join("drivers/android/gone.c").exists() && !overlay.join(".git").exists());
        assert!(overlay.join("drivers/net").is_symlink() && overlay.join("Kbuild").is_symlink());
        assert!(
            !overlay.join("drivers/android/tests").is_symlink(),
            "what it includes by .. is the changed file"
        );
        assert!(overlay.join("drivers/android/tests/b.c").is_symlink());
        assert_eq!(fs::read_to_string(source.join("drivers/android/binder.c")).unwrap(), "old\n");
    }
}
