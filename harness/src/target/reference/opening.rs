//! Openings of devices: who has a descriptor of which, and how long each lasts.

use reference_driver::uapi::Errno;
use reference_driver::{ContextIndex, Device, OpenFile};

use super::{Answer, ReferenceWorld};
use crate::target::{FileId, InstanceId, ThreadIndex};

/// An opened device: it lasts as long as a descriptor, a mapping, a call or a transaction on its way uses it.
pub(super) struct Opening {
    pub(super) device: Device,
    pub(super) open: OpenFile,
    /// Index of the process that opened it.
    pub(super) opener: usize,
    /// What it is known by as a file of the script, if it is.
    pub(super) file: Option<FileId>,
    /// The instance of binderfs that its device is in, if it is in one of the script's.
    pub(super) instance: Option<InstanceId>,
}

/// The open file of a device has a number from here on. Those below are of files that scripts make.
const OPENINGS: u32 = 1 << 31;

impl ReferenceWorld {
    pub(super) fn open(
        &mut self,
        at: ThreadIndex,
        context: ContextIndex,
        nonblock: bool,
        instance: Option<InstanceId>,
    ) -> Result<Answer, Errno> {
        let process = &mut self.processes[at.process];
        if process.descriptor.is_some() {
            return Err(Errno::EEXIST);
        }
        let open = OpenFile::new(OPENINGS + self.opened);
        let number = process.memory.descriptors.open(open.clone(), true)?;
        let device = self.driver.open(process.caller(at.thread), context, nonblock)?;
        process.descriptor = Some(number);
        self.openings
            .insert(open.number(), Opening { device, open, opener: at.process, file: None, instance });
        self.opened += 1;
        Ok(Answer::Success)
    }

    /// The opening that a descriptor of a process is for. EBADF if there is none.
    pub(super) fn opening_at(&mut self, process: usize, number: u32) -> Result<&mut Opening, Errno> {
        let descriptor = self.processes[process].memory.descriptors.at(number).ok_or(Errno::EBADF)?;
        self.openings.get_mut(&descriptor.file.number()).ok_or(Errno::EBADF)
    }

    /// The opening that a process' calls go to.
    pub(super) fn opening(&mut self, process: usize) -> Result<&mut Opening, Errno> {
        let number = self.processes[process].descriptor.ok_or(Errno::EBADF)?;
        self.opening_at(process, number)
    }

    pub(super) fn device(&mut self, at: ThreadIndex) -> Result<Device, Errno> {
        Ok(self.opening(at.process)?.device)
    }

    pub(super) fn close(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let number = self.processes[at.process].descriptor.take().ok_or(Errno::EBADF)?;
        self.close_descriptor(at, number)
    }

    pub(super) fn flush(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let device = self.device(at)?;
        self.driver.flush(device);
        Ok(Answer::Success)
    }

    pub(super) fn release_unused_devices(&mut self) {
        self.release_unused_among(|_| true);
    }

    /// Releases these devices that a process which has ended may have been the last to use, and lets the driver forget each
    /// before the next.
    pub(super) fn release_one_by_one(&mut self, devices: &[Device]) {
        self.driver.run_deferred_work();
        for device in devices {
            self.release_unused_among(|opening| opening.device == *device);
            self.driver.run_deferred_work();
        }
    }

    fn release_unused_among(&mut self, mut is_meant: impl FnMut(&Opening) -> bool) {
        let processes = &self.processes;
        let driver = &mut self.driver;
        let is_used = |opening: &Opening| {
            // It is held by this world, too.
            opening.open.holders() > 1
                || processes
                    .iter()
                    .any(|process| process.mapped.holds(opening.device) || process.is_in_call(opening.device))
        };
        // As a rule there is none: that is soon seen.
        if self.openings.values().all(is_used) {
            return;
        }
        self.openings.retain(|_, opening| {
            let is_used = !is_meant(opening) || is_used(opening);
            if !is_used {
                driver.release(opening.device);
            }
            is_used
        });
    }
}
