//! Snapshots: a guest that has booted and waits for its first script, kept in the user's cache. The next guest of the
//! same kernel, program and machine goes on from there, and need not boot.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use super::Boot;

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
        let folders = directories::ProjectDirs::from("", "", "binderdrill")?;
        let name =
            target.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let mut hasher = DefaultHasher::new();
        fs::read(&boot.kernel).ok()?.hash(&mut hasher);
        fs::read(boot.initramfs.path()).ok()?.hash(&mut hasher);
        let Boot { kernel: _, initramfs: _, append, accelerator, processors, memory } = boot;
        (append, format!("{accelerator:?}"), processors, memory).hash(&mut hasher);
        super::emulator_version().hash(&mut hasher);
        Some(Snapshot { folder: folders.cache_dir().join("snapshots"), name, key: hasher.finish() })
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
        let unfinished = tempfile::NamedTempFile::new_in(&self.folder)?;
        save(unfinished.path())?;
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let of_same_target = entry
                .file_name()
                .to_str()
                .and_then(|file| file.rsplit_once('-'))
                .is_some_and(|(name, _)| name == self.name);
            if of_same_target {
                self.remove(&entry.path());
            }
        }
        unfinished.persist(self.path())?;
        Ok(())
    }

    /// Removes a snapshot that is of no more use.
    pub fn remove(&self, path: &Path) {
        // Somebody else may have been quicker.
        let _ = fs::remove_file(path);
    }
}
