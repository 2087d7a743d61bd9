//! Room on the disk: looked for before anything is begun that takes much of it.

use std::path::{Path, PathBuf};

use indicatif::DecimalBytes;
use walkdir::WalkDir;

use super::{KernelError, file_error};

/// That there are so many bytes free where a folder is or will be. `what` is what they are for.
pub fn check(folder: &Path, needed: u64, what: &str) -> Result<(), KernelError> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(folder);
    let system =
        nix::sys::statvfs::statvfs(there).map_err(|errno| file_error(there, std::io::Error::from(errno)))?;
    let free = system.blocks_available() * system.fragment_size();
    if free >= needed {
        return Ok(());
    }
    Err(KernelError::Space(NoSpace { folder: folder.to_owned(), free, needed, what: what.to_owned() }))
}

/// How many bytes of the disk a folder takes with all that is in it.
pub fn taken(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file);
    sizes.map(|file| std::os::unix::fs::MetadataExt::blocks(&file) * 512).sum()
}

/// That a disk is too full.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} takes some {}, and {} has {} free. Make room (binderdrill kernel list shows what is kept there, kernel remove \
     deletes it), or have all kernels kept elsewhere (XDG_CACHE_HOME)",
    what,
    DecimalBytes(*needed),
    folder.display(),
    DecimalBytes(*free)
)]
pub struct NoSpace {
    folder: PathBuf,
    /// In bytes.
    free: u64,
    /// In bytes.
    needed: u64,
    what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("not/yet");
        check(&place, 1, "a test").unwrap();
        let error = check(&place, u64::MAX, "a test").unwrap_err().to_string();
        assert!(error.contains("a test takes some 18") && error.contains("kernel remove"), "{error}");
    }

    #[test]
    fn what_a_folder_takes_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(taken(folder.path()), 0);
        std::fs::write(folder.path().join("file"), vec![1; 100_000]).unwrap();
        assert!(taken(folder.path()) >= 100_000);
    }
}
