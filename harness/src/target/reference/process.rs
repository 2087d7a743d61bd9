//! Processes and their threads: what the kernel keeps of them apart from the driver.

use reference_driver::uapi::Errno;
use reference_driver::{Caller, Device};

use super::binderfs::Namespace;
use super::memory::Memory;
use super::polling::{Sleep, WatchId};
use super::reports::ListenerId;
use super::{Answer, ReferenceWorld};
use crate::program::{Name, Scheduling, SchedulingPolicy};
use crate::target::mappings::Mappings;
use crate::target::{ProcessSpecification, ThreadIndex, mappings_of};

pub(super) struct Process {
    pub(super) name: Name,
    pub(super) pid: i32,
    pub(super) euid: u32,
    pub(super) alive: bool,
    pub(super) threads: Vec<Thread>,
    /// How each of them is scheduled.
    pub(super) scheduling: Vec<Scheduling>,
    pub(super) memory: Memory,
    /// The descriptor by which it calls the device.
    pub(super) descriptor: Option<u32>,
    /// The devices that it has mapped.
    pub(super) mapped: Mappings<Device>,
    pub(super) next_mapping: u64,
    /// The namespaces that it is in, if not those of the target.
    pub(super) namespace: Option<Namespace>,
    /// What its epoll instance watches, if it has one, and the number of that.
    pub(super) watching: Option<(WatchId, u32)>,
    /// Which of those that listen it is, if it does.
    pub(super) listening: Option<ListenerId>,
}

/// How threads are scheduled that have never said anything about it.
const NO_PREFERENCE: Scheduling = Scheduling { policy: SchedulingPolicy::SchedOther, priority: 0 };

/// From the id of one process to that of the next; its threads have those in between.
pub(super) const PIDS: i32 = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Thread {
    Idle,
    /// It sleeps in the driver.
    Parked(Device),
    /// It sleeps in a poll.
    Polling(Sleep),
    /// Its parked call has returned, and nobody has collected it.
    Returned(Result<Answer, Errno>),
}

impl Process {
    pub(super) fn new(index: usize, specification: &ProcessSpecification) -> Process {
        let pid = (index as i32 + 1) * PIDS;
        Process {
            name: specification.name.clone(),
            pid,
            euid: specification.uid.unwrap_or(0),
            alive: !specification.forked,
            threads: vec![Thread::Idle; specification.threads.len()],
            scheduling: vec![NO_PREFERENCE; specification.threads.len()],
            memory: Memory::of_threads(index, specification.threads.len(), pid),
            descriptor: None,
            mapped: Mappings::default(),
            next_mapping: mappings_of(index).start,
            namespace: None,
            watching: None,
            listening: None,
        }
    }

    pub(super) fn caller(&self, thread: usize) -> Caller {
        Caller { pid: self.pid, tid: self.pid + thread as i32, euid: self.euid }
    }

    pub(super) fn is_in_call(&self, device: Device) -> bool {
        self.threads.iter().any(|thread| match thread {
            Thread::Parked(parked) => *parked == device,
            Thread::Polling(sleep) => sleep.is_at(device),
            Thread::Idle | Thread::Returned(_) => false,
        })
    }
}

impl ReferenceWorld {
    /// Makes a process like another, but for its threads and its mappings of devices.
    pub(super) fn fork(&mut self, at: ThreadIndex, child: usize) -> Result<Answer, Errno> {
        let parent = &self.processes[at.process];
        let (euid, memory) = (parent.euid, parent.memory.fork(child, self.processes[child].pid));
        let (descriptor, watching, listening) = (parent.descriptor, parent.watching, parent.listening);
        let (scheduling, namespace) = (parent.scheduling[at.thread], parent.namespace);
        self.driver.inherit_priority(parent.caller(at.thread), self.processes[child].pid);
        if namespace.is_some() {
            self.driver.enter_user_namespace(self.processes[child].pid, euid);
        }
        let child = &mut self.processes[child];
        *child = Process {
            name: child.name.clone(),
            pid: child.pid,
            euid,
            alive: true,
            threads: vec![Thread::Idle],
            scheduling: vec![scheduling],
            memory,
            descriptor,
            mapped: Mappings::default(),
            next_mapping: child.next_mapping,
            namespace,
            watching,
            listening,
        };
        Ok(Answer::Success)
    }

    pub(super) fn set_scheduler(&mut self, at: ThreadIndex, scheduling: Scheduling) -> Result<Answer, Errno> {
        let process = &mut self.processes[at.process];
        let caller = process.caller(at.thread);
        let own = &mut process.scheduling[at.thread];
        let is_real_time = scheduling.policy.is_real_time();
        let possible = if is_real_time { 1..=99 } else { 0..=0 };
        if !possible.contains(&scheduling.priority) {
            return Err(Errno::EINVAL);
        }
        // An idle thread is as one with a nice value beyond all others.
        let is_idle_no_more =
            own.policy == SchedulingPolicy::SchedIdle && scheduling.policy != SchedulingPolicy::SchedIdle;
        let nice = self.driver.priority(caller.tid);
        if !self.driver.may_schedule(caller)
            && (is_real_time || is_idle_no_more && !self.driver.may_have_priority(caller, nice))
        {
            return Err(Errno::EPERM);
        }
        *own = scheduling;
        Ok(Answer::Success)
    }

    pub(super) fn exit(&mut self, at: ThreadIndex) {
        let process = &mut self.processes[at.process];
        process.alive = false;
        process.descriptor = None;
        let descriptors = std::mem::take(&mut process.memory.descriptors);
        self.driver.process_ended(process.pid);
        for (index, thread) in process.threads.iter_mut().enumerate() {
            if let Thread::Parked(device) = *thread {
                // A thread that is killed returns to nobody.
                let _ = self.driver.interrupt(device, process.pid + index as i32, &mut process.memory);
            }
            *thread = Thread::Idle;
        }
        let mut devices: Vec<Device> = std::mem::take(&mut process.mapped).all().collect();
        for device in &devices {
            self.driver.munmap(*device, 0..u64::MAX);
        }
        for file in descriptors.files() {
            if let Some(opening) = self.openings.get(&file.number()) {
                self.driver.flush(opening.device);
                devices.push(opening.device);
            }
        }
        // Kernels mostly begin with what was let go of last.
        devices.reverse();
        self.release_one_by_one(&devices);
    }
}
