//! Notes: what there is to know of a kernel that counts which of its lines run, besides what it counts. gcc leaves a file
//! beside each object that says which counter is for which lines; rustc says it in the image. It is kept with the kernel,
//! and the driver's source as it was then, since both are something else after the next build.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::{KernelError, file_error, remove_all};
use crate::patch::DRIVER;
use crate::program::DriverKind;

/// The ending of gcc's notes, without the dot.
const NOTE: &str = "gcno";

/// The ending of Rust's sources, without the dot.
const RUST: &str = "rs";

/// The notes of a kernel, and the source that they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notes {
    folder: PathBuf,
    image: PathBuf,
}

/// Where they are, of a kernel that has just been built.
pub(super) struct Noted {
    pub objects: PathBuf,
    pub source: PathBuf,
}

impl Noted {
    /// Keeps them in a folder, in place of older ones.
    pub fn keep(&self, folder: &Path) -> Result<(), KernelError> {
        remove_all(folder)?;
        fs::create_dir_all(folder).map_err(|error| file_error(folder, error))?;
        for (from, endings) in [(&self.objects, &[NOTE][..]), (&self.source, &["c", "h"])] {
            for path in files(&from.join(DRIVER), endings)? {
                let name = path.file_name().unwrap_or_default();
                fs::copy(&path, folder.join(name)).map_err(|error| file_error(&path, error))?;
            }
        }
        self.keep_rust(folder)
    }

    /// Keeps the sources in Rust, which lie in folders.
    fn keep_rust(&self, folder: &Path) -> Result<(), KernelError> {
        let driver = self.source.join(DRIVER);
        // In a source with changes, some are links.
        for entry in WalkDir::new(&driver).follow_links(true) {
            let entry = entry.map_err(|error| file_error(&driver, error.into()))?;
            let (path, inside) = (entry.path(), entry.path().strip_prefix(&driver));
            let is_rust = path.extension().is_some_and(|ending| ending == RUST);
            let Some(inside) = inside.ok().filter(|_| is_rust && entry.file_type().is_file()) else {
                continue;
            };
            let kept = folder.join(inside);
            let parent = kept.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|error| file_error(parent, error))?;
            fs::copy(path, &kept).map_err(|error| file_error(path, error))?;
        }
        Ok(())
    }
}

impl Notes {
    /// Those in a folder, about this image; `None` if there are none.
    pub(super) fn read(folder: PathBuf, image: PathBuf) -> Option<Notes> {
        folder.is_dir().then_some(Notes { folder, image })
    }

    /// The driver that they are about: of one in Rust, gcc has left nothing.
    pub fn driver(&self) -> Result<DriverKind, KernelError> {
        Ok(if self.files()?.is_empty() { DriverKind::Rust } else { DriverKind::C })
    }

    /// The kernel's image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// The files that gcc has left, in the order of their names.
    pub fn files(&self) -> Result<Vec<PathBuf>, KernelError> {
        files(&self.folder, &[NOTE])
    }

    /// A file of the driver's source as it was when the kernel was built, by its name in the driver's folder.
    pub fn source(&self, name: &str) -> Result<String, KernelError> {
        let path = self.folder.join(name);
        let bytes = fs::read(&path).map_err(|error| file_error(&path, error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The files of a folder with one of these endings, in the order of their names.
fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, KernelError> {
    let entries = fs::read_dir(folder).map_err(|error| file_error(folder, error))?;
    let ends = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| endings.contains(&ending))
    };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| ends(path)).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_of_the_last_build() {
        let place = tempfile::tempdir().unwrap();
        let noted = Noted { objects: place.path().join("objects"), source: place.path().join("source") };
        let put = |path: &str, text: &str| {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (path, text) in [
            ("objects/drivers/android/binder.gcno", "note"),
            ("objects/drivers/android/binder.o", "object"),
            ("source/drivers/android/binder.c", "source"),
            ("source/drivers/android/Kconfig", "options"),
            ("source/drivers/android/binder/node/wrapper.rs", "Rust"),
            ("notes/gone.gcno", "of an earlier build"),
        ] {
            put(path, text);
        }
        let folder = place.path().join("notes");
        noted.keep(&folder).unwrap();
        let image = place.path().join("linux");
        let notes = Notes::read(folder.clone(), image.clone()).unwrap();
        assert_eq!(notes.files().unwrap(), [folder.join("binder.gcno")]);
        assert_eq!(notes.source("binder.c").unwrap(), "source");
        assert_eq!(notes.driver().unwrap(), DriverKind::C);
        assert_eq!(notes.source("binder/node/wrapper.rs").unwrap(), "Rust");
        assert!(notes.source("Kconfig").is_err());
        assert_eq!(Notes::read(place.path().join("none"), image), None);
    }
}
