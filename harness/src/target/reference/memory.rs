//! The memory of modelled processes, and their descriptors.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use reference_driver::uapi::Errno;
use reference_driver::{DescriptorTable, Fault, OpenFile, UserMemory};

use crate::target::{
    AREA_STRIDE, ARENA_STRIDE, Area, FIRST_DESCRIPTOR, arenas_of, mappings_of, may_be_mapped,
};

/// The memory of a process: what has been written to in the arenas of its threads. The rest is zero. And its
/// descriptors, for the driver reaches into both.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) descriptors: Descriptors,
    pid: i32,
    /// Which process of its world it is of.
    process: usize,
    /// Something has been looked for, in vain, where another process or another thread may have memory.
    has_reached_elsewhere: Cell<bool>,
    /// The bytes of all extents. What an extent has left behind as it grew is nobody's.
    bytes: Vec<u8>,
    /// What has been written to of each area of each thread.
    arenas: Vec<[Extent; Area::ALL.len()]>,
}

/// As many bytes are enough for what the threads of a usual process write to.
const USUAL_BYTES: usize = 0x1000;

impl Memory {
    /// The memory of the process with this index, so many threads and this id.
    pub(super) fn of_threads(process: usize, threads: usize, pid: i32) -> Memory {
        Memory {
            descriptors: Descriptors::default(),
            pid,
            process,
            has_reached_elsewhere: Cell::new(false),
            bytes: Vec::with_capacity(USUAL_BYTES),
            arenas: vec![Default::default(); threads],
        }
    }

    /// What a copy of the process has, of whose threads there is only the first. It has arenas of its own.
    pub(super) fn fork(&self, process: usize, pid: i32) -> Memory {
        Memory { descriptors: self.descriptors.clone(), ..Memory::of_threads(process, 1, pid) }
    }

    /// Whether something has been looked for, in vain, where another process or another thread may have memory.
    pub(super) fn has_reached_elsewhere(&self) -> bool {
        self.has_reached_elsewhere.get()
    }

    /// Writes bytes, and so many zeroes behind them.
    pub(super) fn put(&mut self, address: u64, bytes: &[u8], zeroes: usize) -> Result<(), Fault> {
        let Spot { thread, area, range } = self.spot(address, bytes.len() + zeroes)?;
        let extent = &mut self.arenas[thread][area];
        let written = range.start..range.start + bytes.len();
        if !written.is_empty() {
            extent.grow(&written, Area::ALL[area].size() as usize, &mut self.bytes);
            self.bytes[extent.place_of(&written)].copy_from_slice(bytes);
        }
        // Outside of the extent there are zeroes already.
        let cleared = written.end.max(extent.range.start)..range.end.min(extent.range.end);
        if !cleared.is_empty() {
            self.bytes[extent.place_of(&cleared)].fill(0);
        }
        Ok(())
    }

    /// Where so many bytes from an address on lie, if all of it lies within one area.
    fn spot(&self, address: u64, length: usize) -> Result<Spot, Fault> {
        let spot = Spot::of(self.process, address, length).filter(|spot| spot.thread < self.arenas.len());
        if spot.is_none() && self.may_be_of_another(address) {
            self.has_reached_elsewhere.set(true);
        }
        spot.ok_or(Fault)
    }

    /// Whether somebody else than the threads here may have memory at an address, where several processes live in one
    /// address space: another process, another thread, or the harness, which may have it anywhere.
    fn may_be_of_another(&self, address: u64) -> bool {
        let own = arenas_of(self.process);
        let own_arenas = own.start..own.start + self.arenas.len() as u64 * ARENA_STRIDE;
        let is_own = own_arenas.contains(&address) || mappings_of(self.process).contains(&address);
        !is_own && may_be_mapped(address)
    }
}

/// Where so many bytes from an address on lie.
struct Spot {
    thread: usize,
    area: usize,
    /// From where to where in the area.
    range: Range<usize>,
}

impl Spot {
    /// Finds it, if all of it lies within one area.
    fn of(process: usize, address: u64, length: usize) -> Option<Spot> {
        let offset = address.checked_sub(arenas_of(process).start)?;
        let thread = usize::try_from(offset / ARENA_STRIDE).ok()?;
        let area = (offset % ARENA_STRIDE / AREA_STRIDE) as usize;
        let start = offset % AREA_STRIDE;
        let size = Area::ALL.get(area)?.size();
        let end = start.checked_add(length as u64)?;
        let is_inside = start < size && end <= size;
        is_inside.then_some(Spot { thread, area, range: start as usize..end as usize })
    }
}

impl UserMemory for Memory {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let Spot { thread, area, range } = self.spot(address, bytes.len())?;
        let extent = &self.arenas[thread][area];
        if extent.covers(&range) {
            bytes.copy_from_slice(&self.bytes[extent.place_of(&range)]);
            return Ok(());
        }
        bytes.fill(0);
        let known = range.start.max(extent.range.start)..range.end.min(extent.range.end);
        if !known.is_empty() {
            let at = known.start - range.start..known.end - range.start;
            bytes[at].copy_from_slice(&self.bytes[extent.place_of(&known)]);
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.put(address, bytes, 0)
    }
}

/// A part of an area: all that has been written to, and some of what is around that.
#[derive(Debug, Clone, Default)]
struct Extent {
    /// From where to where in the area.
    range: Range<usize>,
    /// Where its bytes begin among those of all extents.
    place: usize,
}

/// An extent begins and ends at multiples of this, so that it seldom grows.
const GRAIN: usize = 0x100;

impl Extent {
    fn covers(&self, range: &Range<usize>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    /// Where the bytes of a part of it are among those of all extents.
    fn place_of(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.place + (range.start - self.range.start);
        start..start + range.len()
    }

    /// Makes it cover this, too, in an area of this size. It is twice as long then as before at least, in whichever direction
    /// it grows, and its bytes are at the end of all bytes.
    fn grow(&mut self, range: &Range<usize>, size: usize, bytes: &mut Vec<u8>) {
        if self.covers(range) {
            return;
        }
        let (mut start, mut end) = (range.start / GRAIN * GRAIN, range.end.next_multiple_of(GRAIN));
        let old = self.range.clone();
        if !old.is_empty() {
            start =
                if start < old.start { start.min(old.start.saturating_sub(old.len())) } else { old.start };
            end = if end > old.end { end.max(old.end + old.len()).min(size) } else { old.end };
        }
        let grown = Extent { range: start..end, place: bytes.len() };
        bytes.resize(grown.place + grown.range.len(), 0);
        if !old.is_empty() {
            bytes.copy_within(self.place_of(&old), grown.place_of(&old).start);
        }
        *self = grown;
    }
}

/// The descriptors of a process for files that scripts have made.
#[derive(Debug, Clone, Default)]
pub(super) struct Descriptors {
    open: BTreeMap<u32, Descriptor>,
    /// From which number on there can be none.
    limit: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Descriptor {
    pub(super) file: OpenFile,
    pub(super) close_on_exec: bool,
}

impl Descriptors {
    /// Makes a descriptor with the lowest number that is free.
    pub(super) fn open(&mut self, file: OpenFile, close_on_exec: bool) -> Result<u32, Errno> {
        let number = self.free().next().ok_or(Errno::EMFILE)?;
        self.open.insert(number, Descriptor { file, close_on_exec });
        Ok(number)
    }

    pub(super) fn at(&self, number: u32) -> Option<&Descriptor> {
        self.open.get(&number)
    }

    /// EBADF if there is no such descriptor.
    pub(super) fn close(&mut self, number: u32) -> Result<(), Errno> {
        self.open.remove(&number).map(drop).ok_or(Errno::EBADF)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Descriptor> {
        self.open.values()
    }

    /// Closes all of them, and gives the file of each.
    pub(super) fn files(self) -> impl Iterator<Item = OpenFile> {
        self.open.into_values().map(|descriptor| descriptor.file)
    }

    /// From here on only so many of the numbers can be used that are not used now.
    pub(super) fn limit(&mut self, more: u32) {
        self.limit = None;
        let limit = self.free().nth(more as usize);
        self.limit = limit;
    }

    /// The numbers that are not used, in order.
    fn free(&self) -> impl Iterator<Item = u32> {
        (FIRST_DESCRIPTOR..self.limit.unwrap_or(u32::MAX)).filter(|number| !self.open.contains_key(number))
    }
}

impl DescriptorTable for Memory {
    fn file(&self, number: u32) -> Option<OpenFile> {
        Some(self.descriptors.at(number)?.file.clone())
    }

    fn install(&mut self, file: OpenFile) -> Result<u32, Errno> {
        self.descriptors.open(file, true)
    }

    fn close(&mut self, number: u32) {
        // That there is none is for the kernel no error either.
        let _ = self.descriptors.close(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::PLACES;
    use crate::target::ThreadIndex;

    const FIRST: ThreadIndex = ThreadIndex { process: 3, thread: 0 };
    const SECOND: ThreadIndex = ThreadIndex { process: 3, thread: 1 };
    const THIRD: ThreadIndex = ThreadIndex { process: 3, thread: 2 };

    #[test]
    fn what_others_may_have_is_not_there_and_told_of() {
        let memory = Memory::of_threads(3, 2, 1);
        let end = Area::Commands.addresses(SECOND).end;
        let own = [end, mappings_of(3).start, crate::target::UNMAPPED, 0, u64::MAX];
        for nothing in own {
            assert_eq!(memory.read(nothing, &mut [0; 2]), Err(Fault));
            assert!(!memory.has_reached_elsewhere(), "{nothing:#x}");
        }
        let of_another = ThreadIndex { process: 2, thread: 0 };
        let others =
            [Area::Payload.addresses(of_another).start, mappings_of(0).start, PLACES.start, 0x40_0000];
        for elsewhere in others.into_iter().chain([Area::Payload.addresses(THIRD).start]) {
            let memory = Memory::of_threads(3, 2, 1);
            assert_eq!(memory.read(elsewhere, &mut [0; 2]), Err(Fault));
            assert!(memory.has_reached_elsewhere(), "{elsewhere:#x}");
        }
    }

    #[test]
    fn memory_keeps_what_is_written_across_pages() {
        let mut memory = Memory::of_threads(3, 2, 1);
        let start = Area::Payload.addresses(SECOND).start + 0xffe;
        memory.write(start, &[1, 2, 3, 4]).unwrap();
        let mut read = [9; 6];
        memory.read(start - 1, &mut read).unwrap();
        assert_eq!(read, [0, 1, 2, 3, 4, 0]);
    }

    #[test]
    fn an_extent_grows_both_ways() {
        let (mut memory, start) = (Memory::of_threads(3, 1, 1), Area::Payload.addresses(FIRST).start);
        for (at, bytes) in [(1000, [1, 2]), (9000, [3, 4]), (10, [5, 6])] {
            memory.write(start + at, &bytes).unwrap();
        }
        let mut all = vec![9; 10_000];
        memory.read(start, &mut all).unwrap();
        let written = all.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let expected = [(10, &5), (11, &6), (1000, &1), (1001, &2), (9000, &3), (9001, &4)];
        assert_eq!(written.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn zeroes_are_written_behind_bytes() {
        let (mut memory, start) = (Memory::of_threads(3, 1, 1), Area::Returns.addresses(FIRST).start);
        memory.write(start, &[9; 6]).unwrap();
        memory.put(start + 1, &[1, 2], 2).unwrap();
        let mut all = [7; 8];
        memory.read(start, &mut all).unwrap();
        assert_eq!(all, [9, 1, 2, 0, 0, 9, 0, 0]);
        let size = Area::Returns.size() as usize;
        assert_eq!(memory.put(start, &[1], size - 1), Ok(()));
        assert_eq!(memory.put(start, &[1], size), Err(Fault));
    }

    #[test]
    fn memory_ends_with_its_area() {
        let mut memory = Memory::of_threads(3, 2, 1);
        let end = Area::Commands.addresses(FIRST).end;
        assert_eq!(memory.write(end - 4, &[0; 4]), Ok(()));
        assert_eq!(memory.write(end - 4, &[0; 5]), Err(Fault));
        assert_eq!(memory.read(crate::target::UNMAPPED, &mut [0]), Err(Fault));
        assert_eq!(memory.read(u64::MAX, &mut [0; 2]), Err(Fault));
        assert_eq!(memory.read(Area::Payload.addresses(SECOND).start, &mut [0]), Ok(()));
        assert_eq!(memory.read(Area::Payload.addresses(THIRD).start, &mut [0]), Err(Fault));
    }
}
