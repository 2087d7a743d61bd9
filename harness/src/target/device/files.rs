//! Files that scripts have made: how a descriptor of any process is known to be for one of them.
//!
//! A file is known by its inode and by what belongs to the open file, of which all its descriptors share one: whether
//! it reads or writes, and the position. A file in memory gets a position of its own when it is made, so that a
//! descriptor for the same inode, opened anew, is another file. A device has no position; who opens one locks a byte of
//! it, at a place of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::target::{DescriptorState, FileId};

/// What tells one open file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    device: u64,
    inode: u64,
    access: u32,
    position: u64,
    /// The number of what was opened, if it is a device.
    opening: Option<u32>,
}

/// The files of a world.
#[derive(Debug, Default)]
pub struct Files {
    known: BTreeMap<Identity, FileId>,
}

/// What the kernel tells of a descriptor.
struct Descriptor {
    identity: Identity,
    close_on_exec: bool,
}

impl Files {
    /// From here on the file is known that a process has this descriptor for.
    pub fn learn(&mut self, pid: i32, number: u32, file: FileId) {
        if let Some(descriptor) = look(pid, number) {
            self.known.insert(descriptor.identity, file);
        }
    }

    /// What a descriptor of a process is.
    pub fn state(&self, pid: i32, number: u32) -> Option<DescriptorState> {
        let descriptor = look(pid, number)?;
        let file = self.known.get(&descriptor.identity).copied();
        Some(DescriptorState { file, close_on_exec: descriptor.close_on_exec })
    }

    /// Whether what was opened with this number is known as a file.
    pub fn knows(&self, opening: u32) -> bool {
        self.known.keys().any(|identity| identity.opening == Some(opening))
    }

    /// How many descriptors a process has for files that are known; `None` if it cannot be told.
    pub fn count(&self, pid: i32) -> Option<u64> {
        let is_known = |number: &u32| self.state(pid, *number).is_some_and(|state| state.file.is_some());
        Some(numbers(pid)?.filter(is_known).count() as u64)
    }
}

/// The number of the opened device that a descriptor of a process is for.
pub fn opening_of(pid: i32, number: u32) -> Option<u32> {
    look(pid, number)?.identity.opening
}

/// The numbers of the opened devices that a process has descriptors for.
pub fn openings_of(pid: i32) -> Vec<u32> {
    let mut openings: Vec<u32> =
        numbers(pid).into_iter().flatten().filter_map(|number| opening_of(pid, number)).collect();
    openings.sort_unstable();
    openings.dedup();
    openings
}

/// The numbers of the descriptors of a process.
fn numbers(pid: i32) -> Option<impl Iterator<Item = u32>> {
    let numbers = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    Some(numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

fn look(pid: i32, number: u32) -> Option<Descriptor> {
    let inode = fs::metadata(format!("/proc/{pid}/fd/{number}")).ok()?;
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = u32::from_str_radix(field("flags:")?, 8).ok()?;
    let identity = Identity {
        device: inode.dev(),
        inode: inode.ino(),
        access: flags & nix::libc::O_ACCMODE as u32,
        position: field("pos:")?.parse().ok()?,
        opening: field("lock:").and_then(opening_locked),
    };
    Some(Descriptor { identity, close_on_exec: flags & nix::libc::O_CLOEXEC as u32 != 0 })
}

/// The number of an opened device, from the lock that its opener has put on the byte at that place: what is said of the
/// lock ends with the first and the last byte.
fn opening_locked(lock: &str) -> Option<u32> {
    let mut words = lock.split_whitespace().rev();
    let (last, first) = (words.next()?, words.next()?);
    (first == last && lock.contains("OFDLCK")).then(|| first.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};
    use std::os::fd::AsRawFd;

    #[test]
    fn a_file_is_known_by_all_its_descriptors_and_by_no_other() {
        let path = std::env::temp_dir().join(format!("binderdrill-files-{}", std::process::id()));
        let mut made = fs::File::create_new(&path).unwrap();
        made.seek(SeekFrom::Start(7)).unwrap();
        let same = made.try_clone().unwrap();
        let again = fs::File::options().write(true).open(&path).unwrap();
        fs::remove_file(path).unwrap();
        let pid = std::process::id() as i32;
        let state = |files: &Files, file: &fs::File| files.state(pid, file.as_raw_fd() as u32);
        let mut files = Files::default();
        assert_eq!(state(&files, &made).unwrap().file, None);
        files.learn(pid, made.as_raw_fd() as u32, FileId(3));
        let known = DescriptorState { file: Some(FileId(3)), close_on_exec: true };
        assert_eq!(state(&files, &same), Some(known));
        assert_eq!(state(&files, &again).unwrap().file, None);
        assert_eq!(files.count(pid), Some(2));
        assert_eq!(files.state(pid, 0x7fff_0000), None);
    }
}
