//! The initramfs of a guest: this very program as its first process, and the modules that its kernel needs.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, trailer};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::module::Module;

/// The folder of the guest's modules. Their names begin with the place in which they are loaded.
pub const MODULES: &str = "modules";

const EXECUTABLE: u32 = 0o100_755;
const FOLDER: u32 = 0o040_755;

/// Why an initramfs cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The program needs a C library that the guest does not have.
    #[error(
        "this binderdrill is not statically linked, so it cannot be the first process of a guest: build it \
             inside its own source tree, where .cargo/config.toml sees to that, with RUSTFLAGS unset"
    )]
    Dynamic,
    /// A file cannot be read, or the archive not be written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
}

/// An initramfs in memory: it is gone with the last process that has it open, however that ends.
pub struct Initramfs {
    file: File,
}

impl Initramfs {
    /// The path by which a child process that inherits the descriptor finds it.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// The descriptor that the child must inherit.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Makes an initramfs with these modules, to be loaded in this order.
pub fn make(modules: &[Module]) -> Result<Initramfs, InitramfsError> {
    if !cfg!(target_feature = "crt-static") {
        return Err(InitramfsError::Dynamic);
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| InitramfsError::File { path, error }
    };
    let program = Path::new("/proc/self/exe");
    let program = std::fs::read(program).map_err(at(program))?;
    let path = Path::new("the initramfs in memory");
    let out = memfd_create(c"initramfs", MFdFlags::MFD_CLOEXEC).map_err(|errno| at(path)(errno.into()))?;
    let mut archive = Archive { out: File::from(out), inode: 0 };
    for folder in ["dev", "proc", "sys", "tmp", MODULES] {
        archive.add(folder, FOLDER, &[]).map_err(at(path))?;
    }
    archive.add("init", EXECUTABLE, &program).map_err(at(path))?;
    for (place, module) in modules.iter().enumerate() {
        let name = format!("{MODULES}/{place:03}-{}.ko", module.name);
        archive.add(&name, EXECUTABLE, &module.bytes).map_err(at(path))?;
    }
    let mut file = trailer(archive.out).map_err(at(path))?;
    file.rewind().map_err(at(path))?;
    Ok(Initramfs { file })
}

struct Archive {
    out: File,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let entry = Builder::new(name).ino(self.inode).mode(mode).nlink(1);
        let mut writer = entry.write(&mut self.out, length);
        writer.write_all(bytes)?;
        writer.finish().map(drop)
    }
}
