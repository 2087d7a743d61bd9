//! Calls to binderfs, the file system that makes binder devices. A script mounts instances of its own.

use super::Argument;

/// The device of an instance that makes the others.
pub const CONTROL: &str = "binder-control";

/// What is done with an instance of binderfs, which the call names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinderfsCall {
    /// `mount fs`, `mount fs max 1`: mounts a new instance.
    Mount {
        /// The mount option `max`: how many devices there can be.
        max: Option<u32>,
    },
    /// `umount fs`: takes it away.
    Unmount,
    /// `BINDER_CTL_ADD fs "mine"`: makes a device.
    Add(Argument<DeviceName>),
    /// `open in fs "mine"`, `open in fs "mine" nonblock`: opens a device, as `open` does.
    Open {
        /// Which one, in the instance's own folder.
        path: PathWithin,
        /// With O_NONBLOCK.
        nonblock: bool,
    },
    /// `unlink fs "mine"`: takes a file away.
    Unlink(PathWithin),
    /// `read fs "features/extended_error"`: reads a file that holds a number.
    Read(PathWithin),
}

/// The name that is asked for, for a new device: up to [`DeviceName::LONGEST`] bytes, none of them 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceName(String);

impl DeviceName {
    /// As many bytes as the name has in `struct binderfs_device`.
    pub const LONGEST: usize = 256;

    /// A name, if it can be asked for.
    pub fn new(name: String) -> Option<DeviceName> {
        (name.len() <= DeviceName::LONGEST && !name.contains('\0')).then_some(DeviceName(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A path that leads to nowhere but into the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathWithin(String);

impl PathWithin {
    /// So many bytes are enough for every path that there is, and for one that is too long.
    pub const LONGEST: usize = 512;

    /// A path, if it stays within the instance: without `..`, and without anything that is no name between slashes.
    pub fn new(path: String) -> Option<PathWithin> {
        let is_name = |name: &str| !name.is_empty() && name != "." && name != "..";
        let stays = path.split('/').all(is_name) && !path.contains('\0');
        (stays && path.len() <= PathWithin::LONGEST).then_some(PathWithin(path))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_nowhere_else() {
        for path in ["", "/etc", "..", "a/../../etc", ".", "a//b", "a/", "a\0b"] {
            assert_eq!(PathWithin::new(path.to_owned()), None, "{path:?}");
        }
        assert!(PathWithin::new("features/extended_error".to_owned()).is_some());
        assert!(PathWithin::new("a".repeat(513)).is_none());
    }
}
