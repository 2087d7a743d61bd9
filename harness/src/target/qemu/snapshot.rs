//! Snapshots: a guest that has booted and waits for its first script, kept in the user's cache. The next guest of the
//! same kernel, program and machine goes on from there, and need not boot.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Boot;

/// How the names of files begin that are being written.
const SAVING: &str = ".saving-";

/// Who writes a file for longer than this has been killed over it.
const SAVING_TAKES: Duration = Duration::from_secs(600);

/// Where the snapshot of one kind of guest is, or would be.
#[derive(Debug, Clone)]
pub struct Snapshot {
    folder: PathBuf,
    /// What the target is called, as far as a file may be.
    name: String,
    key: u64,
}

impl Snapshot {
    /// The snapshot of guests that are booted like this. `None` if there is nowhere to keep one.
    pub fn of(target: &str, boot: &Boot) -> Option<Snapshot> {
        let folder = folder()?;
        let name = file_name(target);
        let mut hasher = DefaultHasher::new();
        fs::read(&boot.kernel).ok()?.hash(&mut hasher);
        fs::read(boot.initramfs.path()).ok()?.hash(&mut hasher);
        let Boot { kernel: _, initramfs: _, append, accelerator, processors, memory } = boot;
        (append, format!("{accelerator:?}"), processors, memory).hash(&mut hasher);
        super::emulator_version().hash(&mut hasher);
        Some(Snapshot { folder, name, key: hasher.finish() })
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}-{:016x}", self.name, self.key))
    }

    /// Its file, if it has been taken.
    pub fn taken(&self) -> Option<PathBuf> {
        Some(self.path()).filter(|path| path.exists())
    }

    /// Takes it: `save` writes a guest that waits for its first script to a file. Older ones of the same target go.
    pub fn take(&self, save: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        forget_half_saved(&self.folder)?;
        let unfinished = tempfile::Builder::new().prefix(SAVING).tempfile_in(&self.folder)?;
        save(unfinished.path())?;
        forget_all_of(&self.name, &self.folder)?;
        unfinished.persist(self.path())?;
        Ok(())
    }

    /// Removes a snapshot that is of no more use.
    pub fn remove(&self, path: &Path) {
        // Somebody else may have been quicker.
        let _ = fs::remove_file(path);
    }
}

/// Deletes all snapshots of a target.
pub fn forget(target: &str) -> io::Result<()> {
    match folder() {
        Some(folder) if folder.is_dir() => forget_all_of(&file_name(target), &folder),
        _ => Ok(()),
    }
}

fn folder() -> Option<PathBuf> {
    Some(directories::ProjectDirs::from("", "", "binderdrill")?.cache_dir().join("snapshots"))
}

/// What a target is called, as far as a file may be.
fn file_name(target: &str) -> String {
    target.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

fn forget_all_of(name: &str, folder: &Path) -> io::Result<()> {
    let is_of_it = |file: &str| file.rsplit_once('-').is_some_and(|(of, _)| of == name);
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_str().is_some_and(is_of_it) {
            // Somebody else may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn forget_half_saved(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let changed = entry.metadata().and_then(|file| file.modified());
        let is_old = changed.is_ok_and(|when| when.elapsed().is_ok_and(|age| age > SAVING_TAKES));
        if is_old && entry.file_name().to_str().is_some_and(|name| name.starts_with(SAVING)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_snapshots_of_one_target_are_deleted_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["built-qemu-c-0123", "built-qemu-c-kasan-0123", "vm-debian-7-0123"] {
            fs::write(at(name), "").unwrap();
        }
        forget_all_of(&file_name("built:qemu-c"), folder.path()).unwrap();
        assert!(!at("built-qemu-c-0123").exists());
        assert!(at("built-qemu-c-kasan-0123").exists() && at("vm-debian-7-0123").exists());
    }

    #[test]
    fn what_was_left_half_saved_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".saving-old", ".saving-new", "vm-debian-7-0123"] {
            fs::write(at(name), "").unwrap();
        }
        let long_ago = SystemTime::now() - 2 * SAVING_TAKES;
        for name in [".saving-old", "vm-debian-7-0123"] {
            fs::File::options().write(true).open(at(name)).unwrap().set_modified(long_ago).unwrap();
        }
        forget_half_saved(folder.path()).unwrap();
        assert!(!at(".saving-old").exists() && at(".saving-new").exists());
        assert!(at("vm-debian-7-0123").exists());
    }
}
