//! Kernels at hand: stock kernels of Debian, fetched once and kept in the user's cache.
//!
//! A kernel is called by what it means and not by a version that will be gone next week: `debian-6.12` is the
//! newest 6.12 that Debian has, `debian-7` the newest 7.

mod apt;
mod stock;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use stock::StockName;

/// The kernels that a list names even where they have not been fetched.
pub const USUAL: &[&str] = &["debian-6.1", "debian-6.12", "debian-7"];

/// The folder in which kernels are kept.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A kernel in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// What it is called.
    pub name: String,
    /// The folder that holds it.
    folder: PathBuf,
}

/// Why a kernel cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The name is not one.
    #[error("{0:?} is no name of a stock kernel: those are debian-VERSION, such as debian-6.12 or debian-7")]
    Name(String),
    /// It has not been fetched.
    #[error("the kernel {0} has not been fetched: binderdrill kernel fetch {0}")]
    Missing(String),
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
    /// The store cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
}

impl Store {
    /// The store of this user.
    pub fn of_user() -> Result<Store, KernelError> {
        let folders = directories::ProjectDirs::from("", "", "binderdrill").ok_or_else(|| {
            KernelError::Unavailable(
                "this user has no home in which kernels could be kept: set HOME".to_owned(),
            )
        })?;
        Ok(Store { folder: folders.cache_dir().join("kernels") })
    }

    /// A kernel that has been fetched.
    pub fn kernel(&self, name: &str) -> Result<Kernel, KernelError> {
        let name: StockName = name.parse()?;
        let kernel = self.place_of(&name);
        if kernel.image().exists() { Ok(kernel) } else { Err(KernelError::Missing(kernel.name)) }
    }

    /// Fetches a kernel, in place of an older one of the same name. `tell` is told what is being done.
    pub fn fetch(&self, name: &str, tell: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
        let name: StockName = name.parse()?;
        let kernel = self.place_of(&name);
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| KernelError::File { path, error }
        };
        fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        let fresh = tempfile::Builder::new()
            .prefix(".fetching-")
            .tempdir_in(&self.folder)
            .map_err(at(&self.folder))?;
        stock::fetch(&name, fresh.path(), tell)?;
        // Nobody ever sees half a kernel: it is moved into its place as a whole.
        if kernel.folder.exists() {
            fs::remove_dir_all(&kernel.folder).map_err(at(&kernel.folder))?;
        }
        fs::rename(fresh.keep(), &kernel.folder).map_err(at(&kernel.folder))?;
        Ok(kernel)
    }

    /// All kernels that have been fetched.
    pub fn kernels(&self) -> Vec<Kernel> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
        let mut kernels: Vec<_> = names.filter_map(|name| self.kernel(&name).ok()).collect();
        kernels.sort_by(|one, other| one.name.cmp(&other.name));
        kernels
    }

    fn place_of(&self, name: &StockName) -> Kernel {
        let name = name.to_string();
        Kernel { folder: self.folder.join(&name), name }
    }
}

impl Kernel {
    /// Its image.
    pub fn image(&self) -> PathBuf {
        self.folder.join(stock::IMAGE)
    }

    /// The folder of those of its modules that a guest may need.
    pub fn modules(&self) -> PathBuf {
        self.folder.join(stock::MODULES)
    }

    /// The release that its packages gave it, such as `6.12.117+deb12-amd64`.
    pub fn release(&self) -> String {
        fs::read_to_string(self.folder.join(stock::RELEASE)).unwrap_or_default().trim().to_owned()
    }

    /// When it was fetched.
    pub fn fetched(&self) -> Option<SystemTime> {
        fs::metadata(self.image()).and_then(|image| image.modified()).ok()
    }
}
