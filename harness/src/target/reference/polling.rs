//! Polling as the kernel's `poll` and epoll do it: they ask the driver, and it calls them when it may be worth to ask
//! again.
//!
//! An epoll instance is hooked to the queue of the thread that had it watch the device. It asks, on behalf of whichever
//! thread waits, only if it has been called since it last found nothing.

use reference_driver::uapi::Errno;
use reference_driver::{Device, PollQueue};

use super::{Answer, End, File, FileId, ReferenceWorld};
use crate::program::PollEvents;
use crate::target::ThreadIndex;

/// A device that an epoll instance watches. A process that has been forked has that of its parent.
pub(super) struct Watch {
    device: Device,
    /// Where it is called, if the driver let it wait.
    queue: Option<PollQueue>,
    /// How often it had been called when it last looked.
    calls: Option<u64>,
    /// It has something to ask the device for.
    is_ready: bool,
}

/// Where a watch is in the list of all of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchId(usize);

impl ReferenceWorld {
    pub(super) fn poll(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        Ok(Answer::Events(match self.device(at) {
            Ok(device) => self.poll_device(at, device).0,
            Err(_) => PollEvents { invalid: true, ..PollEvents::default() },
        }))
    }

    /// What there is for a thread at a device, and where it can wait for more.
    fn poll_device(&mut self, at: ThreadIndex, device: Device) -> (PollEvents, Option<PollQueue>) {
        let caller = self.processes[at.process].caller(at.thread);
        match self.driver.poll(device, caller) {
            Ok(polled) => {
                let events = PollEvents { readable: polled.is_readable, ..PollEvents::default() };
                (events, Some(polled.queue))
            }
            Err(_) => (PollEvents { error: true, ..PollEvents::default() }, None),
        }
    }

    pub(super) fn epoll(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let device = self.device(at)?;
        if self.processes[at.process].watching.is_some() {
            return Err(Errno::EEXIST);
        }
        // To watch a device is to poll it.
        let (events, queue) = self.poll_device(at, device);
        let calls = queue.and_then(|queue| self.driver.calls(queue));
        self.processes[at.process].watching = Some(WatchId(self.watches.len()));
        self.watches.push(Watch { device, queue, calls, is_ready: events != PollEvents::default() });
        Ok(Answer::Success)
    }

    pub(super) fn epoll_wait(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let WatchId(id) = self.processes[at.process].watching.ok_or(Errno::EBADF)?;
        let Watch { device, queue, calls: heard, is_ready } = self.watches[id];
        // It is watched for as long as it is open, which a mapping keeps it.
        let is_open = self.openings.values().any(|opening| opening.device == device);
        let calls = queue.and_then(|queue| self.driver.calls(queue));
        let mut events = PollEvents::default();
        if is_open && (is_ready || calls != heard) {
            (events, _) = self.poll_device(at, device);
        }
        self.watches[id] = Watch { device, queue, calls, is_ready: events != PollEvents::default() };
        Ok(Answer::Events(events))
    }

    /// What there is to be found at a file. Nobody writes to pipes; a file in memory can always be read.
    pub(super) fn poll_descriptor(&mut self, at: ThreadIndex, number: u32) -> PollEvents {
        let none = PollEvents::default();
        if let Ok(opening) = self.opening_at(at.process, number) {
            let device = opening.device;
            return self.poll_device(at, device).0;
        }
        let Some(descriptor) = self.processes[at.process].memory.descriptors.at(number) else {
            return PollEvents { invalid: true, ..none };
        };
        let file = self.files.get(&FileId(descriptor.file.number()));
        let Some((other, end)) = file.and_then(|file| file.pipe) else {
            return PollEvents { readable: true, ..none };
        };
        let is_closed = self.files.get(&other).is_none_or(File::is_closed);
        PollEvents {
            hangup: is_closed && end == End::Reading,
            error: is_closed && end == End::Writing,
            ..none
        }
    }
}
