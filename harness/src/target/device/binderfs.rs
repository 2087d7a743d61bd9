//! Binderfs as the processes of a script call it, and the folders that its instances are mounted on.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use reference_driver::uapi::{BINDER_CTL_ADD, BinderfsDevice};
use tempfile::TempDir;
use zerocopy::{FromZeros, IntoBytes};

use super::message::*;
use crate::program::{Argument, BinderfsCall, CONTROL};
use crate::target::{InstanceId, UNMAPPED};

/// The type of the file system, and what it says it is of.
const BINDERFS: &str = "binder";

/// What every instance is mounted with that root mounts, who alone may: without it the driver in Rust tells nothing of
/// itself.
const OPTIONS: &str = "stats=global";

/// The instances of a world: each in a folder of its own, in the order in which the script has mounted them.
#[derive(Debug, Default)]
pub struct Instances(Vec<(InstanceId, TempDir)>);

impl Instances {
    /// The request that a call makes of an agent: an operation, its detail, and the words that stand in its memory.
    /// An instance has its folder from here on, be it mounted or not. Whether a process mounts that is in a user namespace
    /// of its own, makes a difference.
    pub fn request(
        &mut self,
        id: InstanceId,
        call: &BinderfsCall,
        is_apart: bool,
    ) -> std::io::Result<(u32, u32, Vec<u8>)> {
        let folder = match self.0.iter().find(|(known, _)| *known == id) {
            Some((_, folder)) => folder.path().to_owned(),
            None => {
                let folder = TempDir::with_prefix("binderdrill-binderfs-")?;
                let path = folder.path().to_owned();
                self.0.push((id, folder));
                path
            }
        };
        let nothing = String::new();
        Ok(match call {
            BinderfsCall::Mount { max } => {
                let options = (!is_apart).then(|| OPTIONS.to_owned());
                let options: Vec<String> =
                    options.into_iter().chain(max.map(|max| format!("max={max}"))).collect();
                (OP_MOUNT, 0, words(folder, options.join(",")))
            }
            BinderfsCall::Unmount => (OP_UNMOUNT, 0, words(folder, nothing)),
            BinderfsCall::Add(Argument::Unmapped) => (OP_ADD_DEVICE, 1, words(folder.join(CONTROL), nothing)),
            BinderfsCall::Add(Argument::Value(name)) => {
                (OP_ADD_DEVICE, 0, words(folder.join(CONTROL), name.as_str().to_owned()))
            }
            BinderfsCall::Open { path, nonblock } => {
                (OP_OPEN_PATH, u32::from(*nonblock), words(folder.join(path.as_str()), nothing))
            }
            BinderfsCall::Unlink(path) => (OP_UNLINK, 0, words(folder.join(path.as_str()), nothing)),
            BinderfsCall::Read(path) => (OP_READ_NUMBER, 0, words(folder.join(path.as_str()), nothing)),
        })
    }
}

impl Drop for Instances {
    fn drop(&mut self) {
        for (_, folder) in &self.0 {
            // It may have been unmounted, or never been mounted.
            let _ = umount2(folder.path(), MntFlags::MNT_DETACH);
        }
    }
}

/// Two words with a 0 behind each.
fn words(path: PathBuf, second: String) -> Vec<u8> {
    let path = path.into_os_string().into_encoded_bytes();
    [path.as_slice(), b"\0", second.as_bytes(), b"\0"].concat()
}

/// Why there is no binderfs here that a script can mount.
pub fn lacks() -> Option<String> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.split_ascii_whitespace().last() == Some(BINDERFS)) {
        return Some("the kernel has no binderfs".to_owned());
    }
    (!nix::unistd::geteuid().is_root()).then(|| "only root can mount a binderfs".to_owned())
}

/// What an agent does for one of the requests above, but for opening a device.
pub fn carry_out(request: &Request) -> nix::Result<i64> {
    let path = path_at(request.argument);
    // SAFETY: behind the first word and its 0 stands the second.
    let second = unsafe { word_at(request.argument + path.as_os_str().len() as u64 + 1) };
    match request.operation {
        OP_MOUNT => mount(Some(BINDERFS), path, Some(BINDERFS), MsFlags::empty(), Some(second)).map(|()| 0),
        OP_UNMOUNT => umount2(path, MntFlags::empty()).map(|()| 0),
        OP_ADD_DEVICE => add(path, second, request.detail == 1),
        OP_UNLINK => nix::unistd::unlink(path).map(|()| 0),
        OP_READ_NUMBER => read_number(path),
        _ => Err(Errno::ENOSYS),
    }
}

/// The path that stands in this process' memory.
pub fn path_at(address: u64) -> &'static Path {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: the harness has put it there before it sent the request.
    let word = unsafe { word_at(address) };
    Path::new(std::ffi::OsStr::from_bytes(word.to_bytes()))
}

/// A word that stands in this process' memory.
///
/// # Safety
///
/// There must be one at that address, with a 0 behind it, and it must stay until the call has been done.
unsafe fn word_at(address: u64) -> &'static CStr {
    // SAFETY: as above.
    unsafe { CStr::from_ptr(address as *const std::ffi::c_char) }
}

fn add(control: &Path, name: &CStr, unmapped: bool) -> nix::Result<i64> {
    let control = File::open(control).map_err(errno)?;
    let mut device = BinderfsDevice::new_zeroed();
    let name = name.to_bytes();
    device.name[..name.len()].copy_from_slice(name);
    let argument = if unmapped { UNMAPPED } else { device.as_mut_bytes().as_mut_ptr() as u64 };
    // SAFETY: BINDER_CTL_ADD reads and writes a `struct binderfs_device`; where it is given an address that is never
    // mapped, it fails.
    let result =
        unsafe { nix::libc::ioctl(control.as_raw_fd(), BINDER_CTL_ADD as nix::libc::Ioctl, argument) };
    Errno::result(result).map(i64::from)
}

fn read_number(path: &Path) -> nix::Result<i64> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(32).read_to_string(&mut text)).map_err(errno)?;
    text.trim().parse().map_err(|_| Errno::ENOMSG)
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
