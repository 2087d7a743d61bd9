//! What processes map of devices.

use std::ops::Range;

use reference_driver::uapi::Errno;

use super::{Answer, ReferenceWorld};
use crate::program::{PAGE, Pages, Place, Protection};
use crate::target::{ThreadIndex, behind_mapping, is_too_long};

impl ReferenceWorld {
    pub(super) fn mmap(
        &mut self,
        at: ThreadIndex,
        size: u64,
        write: bool,
        place: Option<Place>,
    ) -> Result<Answer, Errno> {
        const ADDRESS_SPACE: u64 = 1 << 46;
        if is_too_long(place, size) {
            return Err(Errno::ENOMEM);
        }
        let device = self.device(at)?;
        if size > ADDRESS_SPACE {
            return Err(Errno::ENOMEM);
        }
        let process = &mut self.processes[at.process];
        let caller = process.caller(at.thread);
        let address = place.map_or(process.next_mapping, Place::address);
        let addresses = address..address + size.next_multiple_of(PAGE);
        // What is there goes first, whatever the driver will say.
        self.take_away(at.process, &addresses);
        self.driver.mmap(device, caller, address, size, write)?;
        let process = &mut self.processes[at.process];
        process.mapped.map(addresses, device);
        if place.is_none() {
            process.next_mapping = behind_mapping(process.next_mapping, size);
        }
        Ok(Answer::Success)
    }

    pub(super) fn munmap(&mut self, at: ThreadIndex, pages: Option<Pages>) -> Result<Answer, Errno> {
        let last = || self.processes[at.process].mapped.last();
        let addresses = pages.map(Pages::addresses).or_else(last).ok_or(Errno::EINVAL)?;
        self.take_away(at.process, &addresses);
        Ok(Answer::Success)
    }

    /// Takes away what a process has mapped at these addresses.
    pub(super) fn take_away(&mut self, process: usize, addresses: &Range<u64>) {
        let mapped = &mut self.processes[process].mapped;
        for device in mapped.at(addresses) {
            self.driver.munmap(device, addresses.clone());
        }
        mapped.unmap(addresses);
    }

    pub(super) fn mprotect(
        &mut self,
        at: ThreadIndex,
        pages: Pages,
        protection: Protection,
    ) -> Result<Answer, Errno> {
        let Range { mut start, end } = pages.addresses();
        // One mapping after the other, up to where there is none.
        while start < end {
            let (end_of_piece, device) =
                self.processes[at.process].mapped.piece_at(start).ok_or(Errno::ENOMEM)?;
            if protection == Protection::Write {
                return Err(Errno::EACCES);
            }
            let part = start..end.min(end_of_piece);
            start = part.end;
            self.driver.mprotect(device, part, protection != Protection::None);
        }
        Ok(Answer::Success)
    }

    /// What a process sees at an address, if it has mapped a device there.
    pub(super) fn mapped_memory(&self, process: usize, address: u64, length: usize) -> Option<&[u8]> {
        let mut devices = self.processes[process].mapped.all();
        devices.find_map(|device| self.driver.mapped_memory(device, address, length))
    }
}
