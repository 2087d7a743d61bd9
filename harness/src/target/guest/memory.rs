//! Counters in the memory of a machine that is a process of this one, such as those of a driver in Rust on User-mode Linux.
//! They are read there, without the guest, and never set to zero: what was counted since the last look is what they have
//! grown by.

use std::io::{self, IoSliceMut};
use std::ops::Range;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::counters::{Counters, Since};
use crate::coverage::llvm::COUNTERS;

/// The counters of a machine that is ready for its first program.
pub struct MemoryCounters {
    machine: Pid,
    place: Range<u64>,
    boot: Vec<u64>,
    last: Vec<u64>,
}

impl MemoryCounters {
    /// Those at this place in a machine's memory. What they are now is what booting has counted.
    pub fn of(machine: Pid, place: Range<u64>) -> io::Result<MemoryCounters> {
        let now = read(machine, &place)?;
        Ok(MemoryCounters { machine, place, boot: now.clone(), last: now })
    }

    /// What has been counted.
    pub fn take(&mut self, since: Since) -> io::Result<Counters> {
        let counted = match since {
            Since::Boot => self.boot.clone(),
            Since::Last => {
                let now = read(self.machine, &self.place)?;
                let before = std::mem::replace(&mut self.last, now);
                self.last.iter().zip(before).map(|(now, before)| now.wrapping_sub(before)).collect()
            }
        };
        let bytes = counted.into_iter().flat_map(u64::to_le_bytes).collect();
        Ok(Counters { files: vec![(COUNTERS.to_owned(), bytes)] })
    }
}

/// What stands at a place in a process's memory.
fn read(process: Pid, place: &Range<u64>) -> io::Result<Vec<u64>> {
    let size = usize::try_from(place.end - place.start).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    let base = usize::try_from(place.start).map_err(io::Error::other)?;
    let places = [RemoteIoVec { base, len: size }];
    let read = process_vm_readv(process, &mut [IoSliceMut::new(&mut bytes)], &places)?;
    if read != size {
        return Err(io::Error::other(format!("only {read} of {size} bytes of its counters can be read")));
    }
    let (words, _) = bytes.as_chunks();
    Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_counters_have_grown_by_is_what_was_counted() {
        let counting = [const { AtomicU64::new(7) }; 2];
        let start = counting.as_ptr() as u64;
        let mut counters = MemoryCounters::of(Pid::this(), start..start + 16).unwrap();
        let mut counted = |since| {
            let Counters { files } = counters.take(since).unwrap();
            assert_eq!(files[0].0, COUNTERS);
            files[0].1.chunks(8).map(|word| u64::from(word[0])).collect::<Vec<u64>>()
        };
        counting[1].fetch_add(3, Ordering::Relaxed);
        assert_eq!(counted(Since::Last), [0, 3]);
        counting[0].fetch_add(1, Ordering::Relaxed);
        assert_eq!(counted(Since::Boot), [7, 7]);
        assert_eq!(counted(Since::Last), [1, 0]);
        assert_eq!(counted(Since::Last), [0, 0]);
    }

    #[test]
    fn memory_that_is_not_there_is_not_read() {
        assert!(MemoryCounters::of(Pid::this(), 8..16).is_err());
    }
}
