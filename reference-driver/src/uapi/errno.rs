//! Errors as the kernel returns them.

use std::fmt;
use std::str::FromStr;

/// An error number of the kernel, shown by its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        impl Errno {
            $(#[doc = $doc] pub const $name: Errno = Errno($value);)*

            /// The errors that have a name here.
            pub const NAMED: &[(&str, Errno)] = &[$((stringify!($name), Errno($value))),*];
        }
    };
}

errnos! {
    EPERM = 1, "Not permitted.";
    ENOENT = 2, "No such file.";
    ESRCH = 3, "No such process.";
    EINTR = 4, "Interrupted by a signal.";
    EIO = 5, "Input or output failed.";
    ENXIO = 6, "No such device or address.";
    EBADF = 9, "Not an open file.";
    EAGAIN = 11, "Nothing to read without waiting.";
    ENOMEM = 12, "Out of memory.";
    EACCES = 13, "Permission denied.";
    EFAULT = 14, "The address given is not mapped.";
    EBUSY = 16, "Already taken.";
    EEXIST = 17, "Exists already.";
    ENODEV = 19, "No such device.";
    ENOTDIR = 20, "Not a folder.";
    EISDIR = 21, "A folder.";
    EINVAL = 22, "An argument makes no sense.";
    ENFILE = 23, "Too many open files on the machine.";
    EMFILE = 24, "Too many open files in the process.";
    ENOTTY = 25, "Not a request that this file knows.";
    ENOSPC = 28, "No space left.";
    ENAMETOOLONG = 36, "The name is too long.";
    ENOMSG = 42, "Not a message of the wanted kind.";
    EPROTO = 71, "Against the protocol.";
    EOVERFLOW = 75, "Too large for its type.";
    EOPNOTSUPP = 95, "Not supported.";
    ETIMEDOUT = 110, "Waited too long.";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Errno::NAMED.iter().find(|(_, errno)| errno == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// That a word is not the name of an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an error number")]
pub struct UnknownErrno(String);

impl FromStr for Errno {
    type Err = UnknownErrno;

    fn from_str(name: &str) -> Result<Errno, UnknownErrno> {
        Errno::NAMED
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, errno)| *errno)
            .ok_or_else(|| UnknownErrno(name.to_owned()))
    }
}
