//! Locks on folders of the store, so that nobody takes away or writes over what somebody else is using.
//!
//! The system drops a lock when the last process that has its file open is gone. So nothing is left of one whose holder
//! was killed, and one that is handed to a child lasts as long as the child.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{KernelError, file_error};

/// A lock. It is held until the value is gone.
pub struct Lock {
    file: Flock<File>,
}

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// With all who only read.
    Shared,
    /// With nobody.
    Alone,
}

impl Lock {
    /// Takes the lock in a file. If somebody has it, `wait` is told, and it is waited for.
    pub fn take(path: &Path, hold: Hold, wait: &mut dyn FnMut()) -> Result<Lock, KernelError> {
        let (at_once, patient) = match hold {
            Hold::Shared => (FlockArg::LockSharedNonblock, FlockArg::LockShared),
            Hold::Alone => (FlockArg::LockExclusiveNonblock, FlockArg::LockExclusive),
        };
        loop {
            let file = File::create(path).map_err(|error| file_error(path, error))?;
            let locked = Flock::lock(file, at_once).or_else(|(file, errno)| match errno {
                Errno::EAGAIN => {
                    wait();
                    Flock::lock(file, patient)
                }
                errno => Err((file, errno)),
            });
            let file = locked.map_err(|(_, errno)| file_error(path, errno.into()))?;
            // Whoever had it may have deleted it: then others would not see this one.
            if is_at(&file, path) {
                return Ok(Lock { file });
            }
        }
    }

    /// Takes the lock in a file for nobody else, if nobody has it.
    pub fn take_if_free(path: &Path) -> Result<Option<Lock>, KernelError> {
        let file = File::create(path).map_err(|error| file_error(path, error))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Some(Lock { file })),
            Err((_, Errno::EAGAIN)) => Ok(None),
            Err((_, errno)) => Err(file_error(path, errno.into())),
        }
    }

    /// The lock as the standard input of a child, which so holds it too. There is nothing to read in it.
    pub fn as_input(&self) -> std::io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }
}

/// Whether a file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let never = &mut || panic!("it waits");
        let one = Lock::take(&path, Hold::Shared, never).unwrap();
        let other = Lock::take(&path, Hold::Shared, never).unwrap();
        assert!(Lock::take_if_free(&path).unwrap().is_none());
        drop(one);
        assert!(Lock::take_if_free(&path).unwrap().is_none());
        drop(other);
        let alone = Lock::take_if_free(&path).unwrap().unwrap();
        assert!(Lock::take_if_free(&path).unwrap().is_none());
        drop(alone);
        Lock::take(&path, Hold::Alone, never).unwrap();
    }

    #[test]
    fn a_lock_that_was_deleted_meanwhile_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path, Hold::Alone, &mut || panic!("it waits")).unwrap();
        let mut first = Some(first);
        let _second = Lock::take(&path, Hold::Alone, &mut || {
            std::fs::remove_file(&path).unwrap();
            first.take();
        })
        .unwrap();
        assert!(Lock::take_if_free(&path).unwrap().is_none());
    }
}
