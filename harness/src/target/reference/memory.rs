//! The memory of modelled processes, and their descriptors.

use std::collections::BTreeMap;
use std::ops::Range;

use reference_driver::uapi::Errno;
use reference_driver::{DescriptorTable, Fault, OpenFile, UserMemory};

use crate::target::{AREA_STRIDE, ARENA_BASE, ARENA_STRIDE, Area};

/// The memory of a process: what has been written to in the arenas of its threads. The rest is zero. And its
/// descriptors, for the driver reaches into both.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) descriptors: Descriptors,
    pid: i32,
    /// Of each thread.
    arenas: Vec<Arena>,
}

/// What has been written to of each area.
type Arena = [Extent; Area::ALL.len()];

impl Memory {
    /// The memory of a process with so many threads and this id.
    pub(super) fn of_threads(threads: usize, pid: i32) -> Memory {
        Memory { descriptors: Descriptors::default(), pid, arenas: vec![Arena::default(); threads] }
    }

    /// What a copy of the process has, of whose threads there is only the first.
    pub(super) fn fork(&self, pid: i32) -> Memory {
        let arenas = self.arenas.iter().take(1).cloned().collect();
        Memory { descriptors: self.descriptors.clone(), pid, arenas }
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
    fn of(address: u64, length: usize) -> Result<Spot, Fault> {
        let offset = address.checked_sub(ARENA_BASE).ok_or(Fault)?;
        let thread = usize::try_from(offset / ARENA_STRIDE).map_err(|_| Fault)?;
        let area = (offset % ARENA_STRIDE / AREA_STRIDE) as usize;
        let start = offset % AREA_STRIDE;
        let size = Area::ALL.get(area).ok_or(Fault)?.size();
        let end = start.checked_add(length as u64).ok_or(Fault)?;
        if start >= size || end > size {
            return Err(Fault);
        }
        Ok(Spot { thread, area, range: start as usize..end as usize })
    }
}

impl UserMemory for Memory {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let Spot { thread, area, range } = Spot::of(address, bytes.len())?;
        self.arenas.get(thread).ok_or(Fault)?[area].read(range.start, bytes);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let Spot { thread, area, range } = Spot::of(address, bytes.len())?;
        self.arenas.get_mut(thread).ok_or(Fault)?[area].write(range.start, bytes);
        Ok(())
    }
}

/// A part of an area, from the first place that has been written to, or shortly before it, to the last.
#[derive(Debug, Clone, Default)]
struct Extent {
    start: usize,
    bytes: Vec<u8>,
}

/// An extent begins and ends at multiples of this, so that it seldom grows.
const GRAIN: usize = 0x400;

impl Extent {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    fn read(&self, at: usize, bytes: &mut [u8]) {
        let end = at + bytes.len();
        if self.start <= at && end <= self.end() {
            bytes.copy_from_slice(&self.bytes[at - self.start..end - self.start]);
            return;
        }
        bytes.fill(0);
        let (first, last) = (at.max(self.start), end.min(self.end()));
        if first < last {
            bytes[first - at..last - at].copy_from_slice(&self.bytes[first - self.start..last - self.start]);
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (first, last) = (at / GRAIN * GRAIN, (at + bytes.len()).next_multiple_of(GRAIN));
        if self.bytes.is_empty() {
            self.start = first;
        }
        if first < self.start {
            let more = self.start - first;
            self.bytes.splice(..0, std::iter::repeat_n(0, more));
            self.start = first;
        }
        if last > self.end() {
            self.bytes.resize(last - self.start, 0);
        }
        let place = at - self.start;
        self.bytes[place..place + bytes.len()].copy_from_slice(bytes);
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

/// The lowest number of a descriptor. Those before it are taken, as in any process.
const FIRST: u32 = 10;

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
        (FIRST..self.limit.unwrap_or(u32::MAX)).filter(|number| !self.open.contains_key(number))
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

    #[test]
    fn memory_keeps_what_is_written_across_pages() {
        let mut memory = Memory::of_threads(2, 1);
        let start = Area::Payload.addresses(1).start + 0xffe;
        memory.write(start, &[1, 2, 3, 4]).unwrap();
        let mut read = [9; 6];
        memory.read(start - 1, &mut read).unwrap();
        assert_eq!(read, [0, 1, 2, 3, 4, 0]);
    }

    #[test]
    fn an_extent_grows_both_ways() {
        let mut extent = Extent::default();
        for (at, bytes) in [(1000, [1, 2]), (9000, [3, 4]), (10, [5, 6])] {
            extent.write(at, &bytes);
        }
        let mut all = vec![9; 10_000];
        extent.read(0, &mut all);
        let written = all.iter().enumerate().filter(|(_, byte)| **byte != 0);
        let expected = [(10, &5), (11, &6), (1000, &1), (1001, &2), (9000, &3), (9001, &4)];
        assert_eq!(written.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn memory_ends_with_its_area() {
        let mut memory = Memory::of_threads(2, 1);
        let end = Area::Commands.addresses(0).end;
        assert_eq!(memory.write(end - 4, &[0; 4]), Ok(()));
        assert_eq!(memory.write(end - 4, &[0; 5]), Err(Fault));
        assert_eq!(memory.read(crate::target::UNMAPPED, &mut [0]), Err(Fault));
        assert_eq!(memory.read(u64::MAX, &mut [0; 2]), Err(Fault));
        assert_eq!(memory.read(Area::Payload.addresses(1).start, &mut [0]), Ok(()));
        assert_eq!(memory.read(Area::Payload.addresses(2).start, &mut [0]), Err(Fault));
    }
}
