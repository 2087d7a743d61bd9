//! The memory of modelled processes, and their descriptors.

use std::collections::BTreeMap;
use std::ops::Range;

use reference_driver::uapi::Errno;
use reference_driver::{DescriptorTable, Fault, OpenFile, UserMemory};

use crate::target::{ARENA_BASE, ARENA_STRIDE, Area};

/// The memory of a process: the pages of its threads' arenas that have been written to. The others are zero. And its
/// descriptors, for the driver reaches into both.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) descriptors: Descriptors,
    pid: i32,
    /// How many threads have an arena.
    threads: usize,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

const PAGE: usize = 0x1000;

impl Memory {
    /// The memory of a process with so many threads and this id.
    pub(super) fn of_threads(threads: usize, pid: i32) -> Memory {
        Memory { descriptors: Descriptors::default(), pid, threads, pages: BTreeMap::new() }
    }

    /// What a copy of the process has, of whose threads there is only the first.
    pub(super) fn fork(&self, pid: i32) -> Memory {
        Memory { descriptors: self.descriptors.clone(), pid, threads: 1, pages: self.pages.clone() }
    }

    /// Makes sure that so many bytes from an address on lie within one area.
    fn check(&self, address: u64, length: usize) -> Result<(), Fault> {
        let offset = address.checked_sub(ARENA_BASE).ok_or(Fault)?;
        let thread = usize::try_from(offset / ARENA_STRIDE).map_err(|_| Fault)?;
        if thread >= self.threads {
            return Err(Fault);
        }
        let end = address.checked_add(length as u64).ok_or(Fault)?;
        let mut areas = Area::ALL.into_iter().map(|area| area.addresses(thread));
        let inside = areas.any(|addresses| addresses.contains(&address) && end <= addresses.end);
        if inside { Ok(()) } else { Err(Fault) }
    }

    /// The pages that so many bytes from an address on lie in: of each, its number, the place in it where they
    /// begin, and which of the bytes those are.
    fn pieces(address: u64, length: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = address + done as u64;
            let place = at as usize % PAGE;
            let piece = done..length.min(done + PAGE - place);
            done = piece.end;
            (!piece.is_empty()).then_some((at / PAGE as u64, place, piece))
        })
    }
}

impl UserMemory for Memory {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        self.check(address, bytes.len())?;
        for (page, place, piece) in Memory::pieces(address, bytes.len()) {
            let piece = &mut bytes[piece];
            match self.pages.get(&page) {
                Some(page) => piece.copy_from_slice(&page[place..place + piece.len()]),
                None => piece.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.check(address, bytes.len())?;
        for (page, place, piece) in Memory::pieces(address, bytes.len()) {
            let page = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
            let length = piece.len();
            page[place..place + length].copy_from_slice(&bytes[piece]);
        }
        Ok(())
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
