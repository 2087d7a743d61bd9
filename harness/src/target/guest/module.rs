//! Kernel modules: found in a kernel's folder with all that they need, and unpacked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

/// A module, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, as other modules call it.
    pub name: String,
    /// Its ELF file.
    pub bytes: Vec<u8>,
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A file or folder cannot be read.
    #[error("the module {path} cannot be read: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What is the matter.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is no kernel module: {reason}")]
    NoModule {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        reason: String,
    },
}

impl Module {
    /// Reads a module, which may be compressed with xz.
    pub fn read(path: &Path) -> Result<Module, ModuleError> {
        let bytes = fs::read(path).map_err(|error| ModuleError::File { path: path.to_owned(), error })?;
        let no_module = |reason: String| ModuleError::NoModule { path: path.to_owned(), reason };
        let bytes = if bytes.starts_with(b"\xfd7zXZ\0") {
            let mut unpacked = Vec::new();
            lzma_rs::xz_decompress(&mut Cursor::new(bytes), &mut unpacked)
                .map_err(|error| no_module(format!("{error:?}")))?;
            unpacked
        } else {
            bytes
        };
        let module = Module { name: name_of(path), bytes };
        module.needs().map(|_| module.clone()).map_err(no_module)
    }

    /// The modules that must be loaded before it.
    fn needs(&self) -> Result<Vec<String>, String> {
        let file = object::File::parse(self.bytes.as_slice()).map_err(|error| error.to_string())?;
        let section = file.section_by_name(".modinfo").ok_or("it has no .modinfo")?;
        let information = section.data().map_err(|error| error.to_string())?;
        let depends = information.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
        let names = String::from_utf8_lossy(depends.unwrap_or_default()).replace('-', "_");
        Ok(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }
}

/// These modules out of a folder `lib/modules/RELEASE/kernel`, and all that they need, in the order in which they
/// are to be loaded. What the folder does not have is taken to be built into the kernel.
pub fn with_needs(folder: &Path, names: &[&str]) -> Result<Vec<Module>, ModuleError> {
    let mut files = BTreeMap::new();
    find_modules(folder, &mut files)?;
    let mut ordered = Vec::new();
    for name in names {
        load(name, &files, &mut ordered)?;
    }
    Ok(ordered)
}

fn load(name: &str, files: &BTreeMap<String, PathBuf>, ordered: &mut Vec<Module>) -> Result<(), ModuleError> {
    let Some(path) = files.get(name).filter(|_| ordered.iter().all(|module| module.name != name)) else {
        return Ok(());
    };
    let module = Module::read(path)?;
    let needs = module.needs().map_err(|reason| ModuleError::NoModule { path: path.clone(), reason })?;
    // Modules do not need each other in a circle, or no kernel could load them.
    for need in needs.iter().filter(|need| *need != name) {
        load(need, files, ordered)?;
    }
    ordered.push(module);
    Ok(())
}

fn find_modules(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<(), ModuleError> {
    let unreadable = |error| ModuleError::File { path: folder.to_owned(), error };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() && !path.is_symlink() {
            find_modules(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko" || extension == "xz") {
            files.insert(name_of(&path), path);
        }
    }
    Ok(())
}

/// `binder_linux` for `…/binder_linux.ko.xz`.
fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("a.ko", &b"hello"[..]), ("b.ko.xz", b"\xfd7zXZ\0garbage"), ("c.ko", b"\x7fELF")]
        {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            assert!(matches!(Module::read(&path), Err(ModuleError::NoModule { .. })), "{name}");
        }
        assert!(matches!(Module::read(&folder.path().join("none.ko")), Err(ModuleError::File { .. })));
        assert_eq!(with_needs(folder.path(), &["virtio_console"]).unwrap(), []);
    }

    #[test]
    fn a_file_tells_its_modules_name() {
        assert_eq!(name_of(Path::new("/lib/modules/6.12/kernel/binder_linux.ko.xz")), "binder_linux");
        assert_eq!(name_of(Path::new("virtio-console.ko")), "virtio_console");
    }
}
