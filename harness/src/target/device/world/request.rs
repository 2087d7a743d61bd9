//! Requests: what a system call of a script asks of an agent, and what the number means that comes back.

use std::ops::Range;
use std::time::Instant;

use reference_driver::uapi::{BINDER_WRITE_READ, Errno};

use super::super::files::opening_of;
use super::super::message::*;
use super::super::process::{Opening, Process};
use super::super::{netlink, scheduling};
use super::DeviceWorld;
use crate::program::{BinderfsCall, Pages, Place, PollEvents, Scheduling};
use crate::target::{Answer, Area, Image, InstanceId, SystemCall, TargetError, ThreadIndex, is_too_long};

impl DeviceWorld<'_> {
    /// Gives a thread its request, which it begins with at this time (see [`Request::begin`]).
    pub(super) fn ask(&mut self, at: ThreadIndex, call: &SystemCall, begin: u64) -> Result<(), TargetError> {
        let (operation, detail, argument) = self.request(at, call)?;
        let address = self.mapping_address(at, call);
        self.began = self.openings.iter().any(|opening| opening.is_shared).then(Instant::now);
        self.processes.iter_mut().for_each(Process::forget_read_ahead);
        let process = &mut self.processes[at.process];
        // An epoll instance does not keep open what it watches.
        let device = if matches!(call, SystemCall::EpollWait { .. }) { None } else { process.device };
        process.threads[at.thread].polls = call.is_patient_poll();
        process.threads[at.thread].may_read =
            matches!(call, SystemCall::Ioctl { request: BINDER_WRITE_READ, .. });
        process.ask(at.thread, Request { operation, detail, argument, address, begin }, device);
        Ok(())
    }

    /// The request that a call makes: an operation, its detail and its argument.
    fn request(&mut self, at: ThreadIndex, call: &SystemCall) -> Result<(u32, u32, u64), TargetError> {
        if let SystemCall::Ioctl { memory, .. } = call {
            self.processes[at.process].write_memory(memory)?;
        }
        if let Some(plain) = plain(call) {
            return Ok(plain);
        }
        Ok(match call {
            SystemCall::Binderfs { instance, call } => self.binderfs_request(at, *instance, call)?,
            SystemCall::Open { context, nonblock } => {
                let number = self.new_opening(at);
                (OP_OPEN, u32::from(*nonblock) | number << 1, *context as u64)
            }
            SystemCall::Mmap { size, write, shared, .. } => (OP_MMAP, mapping_bits(*write, *shared), *size),
            SystemCall::Munmap(pages) => {
                let addresses = self.addresses_of(at, *pages).unwrap_or_default();
                (OP_MUNMAP, 0, addresses.end - addresses.start)
            }
            // `refusal` has looked for it.
            SystemCall::Listen => (OP_LISTEN, 0, netlink::group().unwrap_or(0).into()),
            SystemCall::Report => (OP_REPORT, 0, 0),
            SystemCall::PollDescriptor(number) => {
                // Where agents precede all else, the kernel does nothing while one of them has something to do, but soon after.
                let times = if self.around.agents_precede { 3 } else { 10 };
                (OP_POLL_DESCRIPTOR, if self.closes_late { times } else { 0 }, (*number).into())
            }
            SystemCall::Fork { child } => {
                (OP_FORK, *child as u32, self.processes[at.process].threads.len() as u64)
            }
            SystemCall::Unshare => (OP_UNSHARE, 0, 0),
            SystemCall::Dup { .. } => (OP_DUP, 0, 0),
            SystemCall::Use(number) => (OP_USE, 0, (*number).into()),
            SystemCall::SetScheduler(Scheduling { policy, priority }) => {
                (OP_SET_SCHEDULER, scheduling::number(*policy), *priority as u64)
            }
            SystemCall::GetScheduler => (OP_GET_SCHEDULER, 0, 0),
            _ => unreachable!("`plain` knows the rest, but for what `call` does, and that does not race"),
        })
    }

    /// The address that a request about a mapping bears.
    fn mapping_address(&self, at: ThreadIndex, call: &SystemCall) -> u64 {
        match call {
            SystemCall::Mmap { at: place, .. } => place.map_or(0, Place::address),
            SystemCall::Munmap(pages) => self.addresses_of(at, *pages).unwrap_or_default().start,
            SystemCall::Mprotect { pages, .. } => pages.place().address(),
            _ => 0,
        }
    }

    /// What a munmap takes away; `None` if nothing is mapped.
    pub(super) fn addresses_of(&self, at: ThreadIndex, pages: Option<Pages>) -> Option<Range<u64>> {
        match pages {
            Some(pages) => Some(pages.addresses()),
            None => self.processes[at.process].mapped.last(),
        }
    }

    /// The request that a call to binderfs makes, whose words are put into the memory of the thread.
    fn binderfs_request(
        &mut self,
        at: ThreadIndex,
        instance: InstanceId,
        call: &BinderfsCall,
    ) -> Result<(u32, u32, u64), TargetError> {
        let no_folder = |error| TargetError::Failed(format!("no folder to mount binderfs on: {error}"));
        let is_apart = self.processes[at.process].is_apart;
        let (operation, mut detail, words) =
            self.instances.request(instance, call, is_apart).map_err(no_folder)?;
        let address = Area::Payload.addresses(at).start;
        self.processes[at.process].write_memory(&Image::of(address, &words))?;
        if operation == OP_OPEN_PATH {
            detail |= self.new_opening(at) << 1;
        }
        Ok((operation, detail, address))
    }

    /// Takes note that a process opens a device. Gives the number that the opening is known by.
    fn new_opening(&mut self, by: ThreadIndex) -> u32 {
        let process = &mut self.processes[by.process];
        process.threads[by.thread].opens = Some(self.openings.len());
        self.openings.push(Opening { is_shared: false });
        self.openings.len() as u32 - 1
    }

    /// Why the world does not do a call.
    pub(super) fn refusal(&self, at: ThreadIndex, call: &SystemCall) -> Option<Errno> {
        let process = &self.processes[at.process];
        match call {
            SystemCall::Munmap(None) if process.mapped.last().is_none() => Some(Errno::EINVAL),
            SystemCall::Mmap { size, at, .. } if is_too_long(*at, *size) => Some(Errno::ENOMEM),
            SystemCall::Listen if netlink::group().is_err() => Some(Errno::ENOENT),
            SystemCall::Use(number) if opening_of(process.pid, *number).is_none() => Some(Errno::EBADF),
            SystemCall::Dup { .. }
                if process.device.is_some_and(|device| self.files.knows(device as u32)) =>
            {
                Some(Errno::EEXIST)
            }
            _ => None,
        }
    }
}

/// What the number that a system call returned means.
pub(super) fn answer(call: &SystemCall, result: i64) -> Result<Answer, Errno> {
    let result = number(result)?;
    Ok(match call {
        SystemCall::Poll { .. } | SystemCall::PollDescriptor(_) | SystemCall::EpollWait { .. } => {
            events(result)
        }
        SystemCall::Memfd { .. } | SystemCall::Dup { .. } => Answer::Descriptor(result as u32),
        SystemCall::Report => Answer::Number(result),
        SystemCall::GetPriority => Answer::Nice(20 - result as i32),
        SystemCall::GetScheduler => Answer::Scheduling(scheduling::told(result)),
        SystemCall::Binderfs { call: BinderfsCall::Read(_), .. } => Answer::Number(result),
        SystemCall::Pipe { .. } => Answer::Pipe { reading: result as u32, writing: (result >> 32) as u32 },
        _ => Answer::Success,
    })
}

/// What the number means that a call returned in which the thread slept: it has polled, or done an ioctl.
pub(super) fn late_answer(polls: bool, result: i64) -> Result<Answer, Errno> {
    let result = number(result)?;
    Ok(if polls { events(result) } else { Answer::Success })
}

/// What a system call returned that has not failed.
fn number(result: i64) -> Result<i64, Errno> {
    if result < 0 { Err(Errno(-result as i32)) } else { Ok(result) }
}

/// What a poll told; the events of epoll have the numbers of those of poll.
fn events(result: i64) -> Answer {
    let has = |flag: i16| result & i64::from(flag) != 0;
    Answer::Events(PollEvents {
        readable: has(nix::libc::POLLIN),
        error: has(nix::libc::POLLERR),
        hangup: has(nix::libc::POLLHUP),
        invalid: has(nix::libc::POLLNVAL),
    })
}
