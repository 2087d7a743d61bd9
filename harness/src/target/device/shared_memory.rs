//! The memory that the harness shares with an agent: the desks of its threads, and their arenas.
//!
//! It is a file in memory that both have mapped. So neither what is asked of a thread nor what its calls read and write
//! costs a system call, of which each is dear in a guest.

use std::collections::BTreeSet;
use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::uio::pread;
use nix::unistd::{Whence, lseek};

use super::desk::Desk;
use crate::script::MOST_THREADS;
use crate::target::{AREA_STRIDE, ARENA_STRIDE, Area, DESKS, ThreadIndex, arenas_of};

/// The room for desks, in bytes.
const DESKS_SIZE: u64 = 0x4000;
/// Where the arenas begin in the file.
const ARENAS: u64 = DESKS_SIZE;
const _: () = assert!(MOST_THREADS * size_of::<Desk>() <= DESKS_SIZE as usize);

const PAGE: u64 = 0x1000;

/// The unit in which the kernel tells how much memory a file has, in bytes.
const BLOCK: u64 = 512;

/// The room for the areas of one thread in the file, in bytes.
const ARENA_SIZE: u64 =
    Area::Argument.size() + Area::Commands.size() + Area::Returns.size() + Area::Payload.size();

/// The memory that is shared with one agent, as the harness sees it.
#[derive(Debug)]
pub struct SharedMemory {
    file: OwnedFd,
    start: NonNull<u8>,
    /// Which process of its world the agent is: where it has its arenas follows from that.
    place: usize,
    threads: usize,
    /// The arenas are mapped here as they are in the agent, which is a lodger.
    is_lodgers: bool,
    /// The pages of the arenas that are known to have memory, by their numbers in the file.
    touched: BTreeSet<u64>,
}

// SAFETY: it is memory like any other, mapped as long as this lives. Whoever else refers to it, in this process or
// another, does so to desks, which are made of atomic numbers, or by system calls.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Memory for the agent that is the process with this index of its world, with so many threads, each of which has been asked
    /// to tell its id.
    pub fn new(place: usize, threads: usize) -> nix::Result<SharedMemory> {
        let file = memfd_create(c"binderdrill-agent", MFdFlags::MFD_CLOEXEC)?;
        let size = size(threads);
        nix::unistd::ftruncate(&file, size as i64)?;
        let length = NonZeroUsize::new(size as usize).ok_or(Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        // SAFETY: the kernel chooses addresses at which nothing is mapped.
        let start = unsafe { mmap(None, length, protection, flags, &file, 0) }?.cast();
        let mut memory =
            SharedMemory { file, start, place, threads, is_lodgers: false, touched: BTreeSet::new() };
        (0..threads).for_each(|thread| memory.desk(thread).open());
        memory.touch_usual();
        Ok(memory)
    }

    /// The same, of an agent that is a [lodger](super::lodger).
    pub fn of_lodger(place: usize, threads: usize) -> nix::Result<SharedMemory> {
        let mut memory = SharedMemory::new(place, threads)?;
        map_arenas(memory.file(), place, threads)?;
        memory.is_lodgers = true;
        Ok(memory)
    }

    /// Makes it what it was when it was new, now that the agent is gone.
    pub fn renew(&mut self) -> nix::Result<()> {
        for thread in 0..self.threads {
            // SAFETY: as of `desk`, and nobody looks at any of them while nobody plays.
            unsafe { self.start.cast::<Desk>().add(thread).write(Desk::default()) };
            self.desk(thread).open();
        }
        self.clear()
    }

    /// The file, for the agent to map.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The desk of a thread.
    pub fn desk(&self, thread: usize) -> &Desk {
        assert!(thread < self.threads, "threads are counted when the memory is made");
        // SAFETY: the file begins with a desk for each of its threads, of atomic numbers alone, and is mapped as long as
        // this lives.
        unsafe { self.start.cast::<Desk>().add(thread).as_ref() }
    }

    /// Which process of its world the agent is.
    pub fn place(&self) -> usize {
        self.place
    }

    /// How many threads it is for.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Takes note that somebody else reads or writes so many bytes of an arena. Of what is in none nothing is noted.
    pub fn note(&mut self, address: u64, length: usize) {
        if let Some(place) = self.range(address, length) {
            self.note_touched(&place);
        }
    }

    /// Puts bytes into an arena, and so many zeroes behind them. False if not all of these addresses belong to one area.
    pub fn write(&mut self, address: u64, bytes: &[u8], zeroes: usize) -> bool {
        let Some(place) = self.range(address, bytes.len() + zeroes) else { return false };
        self.note_touched(&place);
        // SAFETY: the place lies in the file, all of which is mapped. Nobody writes there meanwhile, as the thread whose
        // arena it is is in no call.
        unsafe {
            let to = self.start.add(place.start as usize).as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            to.add(bytes.len()).write_bytes(0, zeroes);
        }
        true
    }

    /// Bytes of an arena. `None` if not all of these addresses belong to one area.
    pub fn read(&mut self, address: u64, length: usize) -> Option<Vec<u8>> {
        let place = self.range(address, length)?;
        self.note_touched(&place);
        let mut bytes = vec![0; length];
        // SAFETY: as of `write`: all is at rest when somebody reads.
        unsafe {
            let from = self.start.add(place.start as usize).as_ptr();
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), length);
        }
        Some(bytes)
    }

    /// Forgets what is in the arenas: from here on they are full of zeroes.
    pub fn clear(&mut self) -> nix::Result<()> {
        if self.is_known()? {
            self.clear_known();
            return Ok(());
        }
        // The driver has looked at further ones, or written there.
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let arenas = size(self.threads) - ARENAS;
        fallocate(&self.file, flags, ARENAS as i64, arenas as i64)?;
        self.touched.clear();
        self.touch_usual();
        Ok(())
    }

    /// Forgets what is in those pages of the arenas that are known to have memory.
    pub fn clear_known(&mut self) {
        for page in &self.touched {
            // SAFETY: the page lies in the file, all of which is mapped; the agent is in no call.
            unsafe { self.start.add((page * PAGE) as usize).write_bytes(0, PAGE as usize) };
        }
    }

    /// Whether no other pages have memory than those that are known to.
    pub fn is_known(&self) -> nix::Result<bool> {
        let desks = (self.threads * size_of::<Desk>()).div_ceil(PAGE as usize);
        let known = (self.touched.len() + desks) as u64 * PAGE / BLOCK;
        Ok(nix::sys::stat::fstat(&self.file)?.st_blocks as u64 == known)
    }

    /// Whether nothing has been written to other pages than those that are known to have memory. A driver may have looked at
    /// some.
    pub fn has_nothing_unknown(&mut self) -> nix::Result<bool> {
        if self.is_known()? {
            return Ok(true);
        }
        let mut has_nothing = true;
        let mut place = ARENAS as i64;
        // Behind the last page that has memory this fails.
        while let Ok(data) = lseek(&self.file, place, Whence::SeekData) {
            let page = data as u64 / PAGE;
            if !self.touched.contains(&page) {
                let mut bytes = [0; PAGE as usize];
                pread(&self.file, &mut bytes, data)?;
                has_nothing &= bytes.iter().all(|byte| *byte == 0);
            }
            place = ((page + 1) * PAGE) as i64;
        }
        self.clear()?;
        Ok(has_nothing)
    }

    /// Gives memory to the pages that nearly every call uses.
    fn touch_usual(&mut self) {
        for thread in 0..self.threads {
            for area in [Area::Argument, Area::Returns] {
                self.write(area.addresses(ThreadIndex { process: self.place, thread }).start, &[0], 0);
            }
        }
    }

    fn note_touched(&mut self, place: &Range<u64>) {
        self.touched.extend(place.start / PAGE..place.end.div_ceil(PAGE));
    }

    /// Where in the file these addresses are; `None` if not all of them belong to one area.
    fn range(&self, address: u64, length: usize) -> Option<Range<u64>> {
        let offset = address.checked_sub(arenas_of(self.place).start)?;
        let thread = (offset / ARENA_STRIDE) as usize;
        let area = *Area::ALL.get((offset % ARENA_STRIDE / AREA_STRIDE) as usize)?;
        let addresses = area.addresses(ThreadIndex { process: self.place, thread });
        let end = address.checked_add(length as u64)?;
        let is_inside = thread < self.threads && addresses.contains(&address) && end <= addresses.end;
        is_inside.then(|| {
            let start = place_of(area, thread) + (address - addresses.start);
            start..start + length as u64
        })
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: this is what `new` has mapped, and nothing refers to it any more. Nothing can be done if it fails.
        let _ = unsafe { munmap(self.start.cast(), size(self.threads) as usize) };
        if self.is_lodgers {
            let _ = unmap_arenas(self.place, self.threads);
        }
    }
}

/// Maps, in an agent that is the process with this index of its world, the memory that it shares.
pub fn map(file: &File, place: usize, threads: usize) -> nix::Result<()> {
    map_at(file, DESKS..DESKS + ARENAS, 0)?;
    map_arenas(file, place, threads)
}

/// Maps the arenas of that memory alone. What is between their areas stays unmapped.
fn map_arenas(file: impl AsFd, place: usize, threads: usize) -> nix::Result<()> {
    let mut mapped = Vec::new();
    for thread in 0..threads {
        for area in Area::ALL {
            let addresses = area.addresses(ThreadIndex { process: place, thread });
            if let Err(error) = map_at(&file, addresses.clone(), place_of(area, thread)) {
                // Else there would be no room for whoever is to have these addresses next.
                mapped.into_iter().try_for_each(unmap_at)?;
                return Err(error);
            }
            mapped.push(addresses);
        }
    }
    Ok(())
}

/// Takes away what [`map`] has mapped.
pub fn unmap(place: usize, threads: usize) -> nix::Result<()> {
    unmap_arenas(place, threads)?;
    unmap_at(DESKS..DESKS + ARENAS)
}

/// Takes away what [`map_arenas`] has mapped.
fn unmap_arenas(place: usize, threads: usize) -> nix::Result<()> {
    (0..threads).try_for_each(|thread| {
        let addresses = |area: Area| area.addresses(ThreadIndex { process: place, thread });
        Area::ALL.into_iter().map(addresses).try_for_each(unmap_at)
    })
}

fn unmap_at(addresses: Range<u64>) -> nix::Result<()> {
    let start = NonNull::new(addresses.start as *mut _).ok_or(Errno::EINVAL)?;
    // SAFETY: these addresses are for this alone, and nobody refers there any more.
    unsafe { munmap(start, (addresses.end - addresses.start) as usize) }
}

fn map_at(file: impl AsFd, addresses: Range<u64>, place: u64) -> nix::Result<()> {
    let length = NonZeroUsize::new((addresses.end - addresses.start) as usize).ok_or(Errno::EINVAL)?;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED_NOREPLACE;
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let start = NonZeroUsize::new(addresses.start as usize);
    // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping, so no memory in use is touched.
    unsafe { mmap(start, length, protection, flags, file, place as i64) }.map(drop)
}

/// The size of the file for so many threads, in bytes.
fn size(threads: usize) -> u64 {
    ARENAS + threads as u64 * ARENA_SIZE
}

/// Where an area begins in the file.
fn place_of(area: Area, thread: usize) -> u64 {
    let before = Area::ALL.into_iter().take(area as usize).map(Area::size).sum::<u64>();
    ARENAS + thread as u64 * ARENA_SIZE + before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(area: Area, process: usize, thread: usize) -> Range<u64> {
        area.addresses(ThreadIndex { process, thread })
    }

    #[test]
    fn what_is_written_is_read_until_all_is_cleared() {
        let mut memory = SharedMemory::new(3, 2).unwrap();
        for area in Area::ALL {
            let addresses = addresses(area, 3, 1);
            let last = addresses.end - 3;
            assert!(memory.write(last, b"abc", 0));
            assert_eq!(memory.read(last, 3).as_deref(), Some(b"abc".as_slice()));
            assert!(!memory.write(last, b"abc", 1), "behind its end nothing is mapped");
            assert_eq!(memory.read(addresses.start - 1, 1), None);
        }
        memory.clear().unwrap();
        assert!(
            Area::ALL.iter().all(|area| memory.read(addresses(*area, 3, 1).end - 3, 3) == Some(vec![0; 3]))
        );
        assert_eq!(memory.read(addresses(Area::Argument, 3, 2).start, 1), None, "there is no such thread");
    }

    #[test]
    fn what_others_have_written_is_cleared_too() {
        let mut memory = SharedMemory::new(0, 1).unwrap();
        let place = place_of(Area::Payload, 0) + 5 * PAGE;
        nix::sys::uio::pwrite(memory.file(), b"abc", place as i64).unwrap();
        memory.clear().unwrap();
        assert_eq!(memory.read(addresses(Area::Payload, 0, 0).start + 5 * PAGE, 3), Some(vec![0; 3]));
    }
}
