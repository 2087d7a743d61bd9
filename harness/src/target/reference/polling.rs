//! Polling as the kernel's `poll` and epoll do it: they ask the driver, and it calls them when it may be worth to ask
//! again. A thread that sleeps in a poll asks again then, and sleeps on if there is nothing for it.
//!
//! An epoll instance is hooked to the queue of the thread that had it watch the device. It asks, on behalf of whichever
//! thread waits, only if it has been called since it last found nothing.

use reference_driver::uapi::Errno;
use reference_driver::{Device, OpenFile, PollQueue};

use super::{Answer, End, File, FileId, LONGEST_WAIT, Outcome, ReferenceWorld, Thread};
use crate::program::PollEvents;
use crate::target::ThreadIndex;

/// A device that an epoll instance watches. A process that has been forked has that of its parent.
pub(super) struct Watch {
    device: Device,
    /// The opening that it is of: when that is gone, the driver may give its device to another one.
    opening: u32,
    /// Where it is called, if the driver let it wait.
    queue: Option<PollQueue>,
    /// How often it had been called when it last looked.
    calls: Option<u64>,
    /// It has something to ask the device for.
    is_ready: bool,
}

/// The open file of an epoll instance has a number from here on, below those of devices.
const WATCHES: u32 = 1 << 30;

/// Where a watch is in the list of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WatchId(usize);

/// What a thread sleeps in until there is something for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sleep {
    until: Awaited,
    /// For how long at most.
    timeout_ms: u32,
    /// How many have fallen asleep before.
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// There is something at the descriptor of a device, which calls in a queue. So often it had called when the thread
    /// last looked.
    Device { number: u32, device: Device, queue: PollQueue, calls: Option<u64> },
    /// There is something at what an epoll instance watches.
    Watch(WatchId),
}

impl Sleep {
    /// Whether it keeps a device open, as an epoll instance does not.
    pub(super) fn is_at(&self, wanted: Device) -> bool {
        matches!(self.until, Awaited::Device { device, .. } if device == wanted)
    }

    /// Whether it ends by itself.
    pub(super) fn has_limit(&self) -> bool {
        self.timeout_ms <= LONGEST_WAIT
    }
}

impl ReferenceWorld {
    pub(super) fn poll(&mut self, at: ThreadIndex, timeout_ms: u32) -> Outcome {
        let (Some(number), Ok(device)) = (self.processes[at.process].descriptor, self.device(at)) else {
            return found(PollEvents { invalid: true, ..PollEvents::default() });
        };
        let (events, queue) = self.poll_device(at, device);
        match queue {
            Some(queue) if events == PollEvents::default() => {
                let calls = self.driver.calls(queue);
                self.fall_asleep(at, Awaited::Device { number, device, queue, calls }, timeout_ms)
            }
            _ => found(events),
        }
    }

    pub(super) fn epoll_wait(&mut self, at: ThreadIndex, timeout_ms: u32) -> Outcome {
        let process = &self.processes[at.process];
        let Some((id, number)) = process.watching else { return Outcome::Done(Err(Errno::EBADF)) };
        // Somebody may have closed what the number stood for, and made something else.
        match process.memory.descriptors.at(number).map(|descriptor| descriptor.file.number()) {
            Some(file) if file == WATCHES + id.0 as u32 => {}
            Some(_) => return Outcome::Done(Err(Errno::EINVAL)),
            None => return Outcome::Done(Err(Errno::EBADF)),
        }
        match self.ask_watch(at, id) {
            events if events == PollEvents::default() => self.fall_asleep(at, Awaited::Watch(id), timeout_ms),
            events => found(events),
        }
    }

    /// A thread that has found nothing waits, if it wants to.
    fn fall_asleep(&mut self, at: ThreadIndex, until: Awaited, timeout_ms: u32) -> Outcome {
        if timeout_ms == 0 {
            return found(PollEvents::default());
        }
        self.slept += 1;
        let sleep = Sleep { until, timeout_ms, number: self.slept };
        self.processes[at.process].threads[at.thread] = Thread::Polling(sleep);
        Outcome::Parked
    }

    /// Has those ask again who sleep in a poll and have been called. Whether anybody has found something.
    pub(super) fn wake_pollers(&mut self) -> bool {
        let mut has_found = false;
        let mut sleeping: Vec<(ThreadIndex, Sleep)> = Vec::new();
        for (process, state) in self.processes.iter().enumerate() {
            for (thread, state) in state.threads.iter().enumerate() {
                if let Thread::Polling(sleep) = *state {
                    sleeping.push((ThreadIndex { process, thread }, sleep));
                }
            }
        }
        // Of those who wait for one epoll instance, the last one is woken, and if it finds something, the one before.
        sleeping.sort_by_key(|(_, sleep)| std::cmp::Reverse(sleep.number));
        for (at, sleep) in sleeping {
            let (events, until) = match sleep.until {
                Awaited::Watch(id) => (self.ask_watch(at, id), sleep.until),
                Awaited::Device { number, device, queue, calls: heard } => {
                    let calls = self.driver.calls(queue);
                    if calls == heard {
                        continue;
                    }
                    // What the number stands for is looked up anew, though the device is kept open.
                    let events = self.poll_descriptor(at, number);
                    (events, Awaited::Device { number, device, queue, calls })
                }
            };
            let has_nothing = events == PollEvents::default();
            has_found |= !has_nothing;
            self.processes[at.process].threads[at.thread] = match has_nothing {
                true => Thread::Polling(Sleep { until, ..sleep }),
                false => Thread::Returned(Ok(Answer::Events(events))),
            };
        }
        has_found
    }

    /// What a thread finds that is woken by nobody, but by a signal or as its time has passed. A poll looks once more then;
    /// an epoll instance has nothing to ask for.
    pub(super) fn last_look(&mut self, at: ThreadIndex, sleep: Sleep) -> PollEvents {
        match sleep.until {
            Awaited::Device { number, .. } => self.poll_descriptor(at, number),
            Awaited::Watch(_) => PollEvents::default(),
        }
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
        let opening = self.opening(at.process)?;
        let (device, opening) = (opening.device, opening.open.number());
        if self.processes[at.process].watching.is_some() {
            return Err(Errno::EEXIST);
        }
        let id = self.watches.len();
        let open = OpenFile::new(WATCHES + id as u32);
        let number = self.processes[at.process].memory.descriptors.open(open, true)?;
        // To watch a device is to poll it.
        let (events, queue) = self.poll_device(at, device);
        let calls = queue.and_then(|queue| self.driver.calls(queue));
        self.processes[at.process].watching = Some((WatchId(id), number));
        self.watches.push(Watch { device, opening, queue, calls, is_ready: events != PollEvents::default() });
        Ok(Answer::Success)
    }

    pub(super) fn close_epoll(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let process = &mut self.processes[at.process];
        let (_, number) = process.watching.take().ok_or(Errno::EBADF)?;
        process.memory.descriptors.close(number)?;
        Ok(Answer::Success)
    }

    /// What there is for a thread at what an epoll instance watches.
    fn ask_watch(&mut self, at: ThreadIndex, WatchId(id): WatchId) -> PollEvents {
        let Watch { device, opening, queue, calls: heard, is_ready } = self.watches[id];
        // It is watched for as long as it is open, which a mapping keeps it.
        let is_open = self.openings.contains_key(&opening);
        let calls = queue.and_then(|queue| self.driver.calls(queue));
        let mut events = PollEvents::default();
        if is_open && (is_ready || calls != heard) {
            (events, _) = self.poll_device(at, device);
        }
        self.watches[id] = Watch { device, opening, queue, calls, is_ready: events != PollEvents::default() };
        events
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

fn found(events: PollEvents) -> Outcome {
    Outcome::Done(Ok(Answer::Events(events)))
}

#[cfg(test)]
mod tests {
    use reference_driver::Profile;

    use crate::engine::{Verdict, run};
    use crate::script::parse;
    use crate::target::ReferenceTarget;

    /// Makes sure that a script of one process passes, as it does on kernels.
    fn passes(steps: &str) {
        let script = format!("# A title.\n\nprocess server\n\n{steps}");
        let program = parse(script.as_bytes()).unwrap().program;
        let run = run(&program, &mut ReferenceTarget::new(Profile::C)).unwrap();
        assert_eq!(run.verdict, Verdict::Pass, "{run:?}");
    }

    #[test]
    fn an_epoll_instance_takes_a_descriptor() {
        passes(
            "server ! limit_descriptors 0\nserver ! epoll = EMFILE\nserver ! limit_descriptors 1\nserver ! epoll\n\
             server ! memfd log = EMFILE\nserver ! epoll_close\nserver ! memfd other\n",
        );
    }

    #[test]
    fn an_epoll_instance_whose_number_is_closed_is_none() {
        passes(
            "server ! memfd log\nserver ! close log\nserver ! epoll\nserver ! close log\n\
             server ! epoll_wait = EBADF\nserver ! memfd other\nserver ! epoll_wait = EINVAL\n\
             server ! epoll = EEXIST\nserver ! epoll_close\nserver ! close other = EBADF\n",
        );
    }
}
