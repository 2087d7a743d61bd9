//! The target `reference`: the reference driver, in this process.
//!
//! This is the thin layer between a [`World`] and the sans-io [`Driver`]: process ids, descriptors and mappings
//! as the kernel's file system keeps them, and a memory for each process. The driver's state is audited after every
//! call, or, where many programs are run, at the end of each; what an audit finds is a bug of ours, and breaks the case.

mod binderfs;
mod files;
mod mapping;
mod memory;
mod opening;
mod polling;
mod process;
mod reports;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use strum::VariantArray;

use reference_driver::uapi::Errno;
use reference_driver::{Completion, Device, Driver, Fault, PiecesGivenMemory, Profile, UserMemory};

use binderfs::Mounted;
use files::{End, File};
use memory::Memory;
use opening::Opening;
use polling::Watch;
use process::{PIDS, Process, Thread};

use super::{
    Answer, Closing, DescriptorState, FileId, Image, InstanceId, Outcome, Piece, ProcessSpecification,
    Report, SystemCall, TargetError, ThreadIndex, World, Worlds, left_after_all,
};
use crate::program::{Context, Counter, DriverKind, Feature, PollEvents};

/// What the security module calls every process, as one does that has no policy.
const SECURITY_CONTEXT: &[u8] = b"kernel\0";

/// When the state of a reference driver is audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audits {
    /// After each call, so that it is known which one was wrong.
    AfterEachCall,
    /// Before the processes of a world are ended, and after that. What makes no sense then is found, but not what made
    /// none for a while.
    AtTheEnd,
}

/// The reference driver.
#[derive(Debug, Clone)]
pub struct ReferenceTarget {
    profile: Profile,
    audits: Audits,
    /// What a security module calls every process, if there is one.
    security_context: Option<Arc<[u8]>>,
}

impl ReferenceTarget {
    /// The reference driver as a model of this driver.
    pub fn new(profile: Profile) -> ReferenceTarget {
        let security_context = Some(Arc::from(SECURITY_CONTEXT));
        ReferenceTarget { profile, audits: Audits::AfterEachCall, security_context }
    }

    /// The same, audited at such times.
    pub fn audited(self, audits: Audits) -> ReferenceTarget {
        ReferenceTarget { audits, ..self }
    }

    /// The same on a system whose security module calls every process so.
    pub fn with_security_context(self, context: &[u8]) -> ReferenceTarget {
        ReferenceTarget { security_context: Some(Arc::from(context)), ..self }
    }

    /// The same on a system without a security module that tells the driver of processes.
    pub fn without_security_module(self) -> ReferenceTarget {
        ReferenceTarget { security_context: None, ..self }
    }
}

impl Worlds for ReferenceTarget {
    fn name(&self) -> String {
        match self.profile == Profile::default() {
            true => "reference".to_owned(),
            false => format!("reference:{}", self.profile.name),
        }
    }

    fn driver(&self) -> Option<String> {
        // As a model of the driver in Rust it does what is known to be wrong with that one, too.
        (self.kind() == DriverKind::Rust).then(|| "linux-rust".to_owned())
    }

    fn kind(&self) -> DriverKind {
        if self.profile == Profile::RUST { DriverKind::Rust } else { DriverKind::C }
    }

    fn lacks(&self, feature: Feature) -> Option<String> {
        match feature {
            Feature::CopyCounter
            | Feature::ObjectCounter
            | Feature::FdPassing
            | Feature::ScatterGather
            | Feature::Freeze
            | Feature::OnewaySpamDetection
            | Feature::ExtendedError
            | Feature::NodeInfo
            | Feature::Contexts
            | Feature::Binderfs
            | Feature::UserNamespaces => None,
            Feature::Lsm if self.security_context.is_some() => None,
            Feature::Lsm => Some("there is no security module".to_owned()),
            Feature::PendingFrozen if self.profile.has_pending_frozen => None,
            Feature::FreezeNotification if self.profile.has_freeze_notifications() => None,
            Feature::Reports if self.profile.makes_reports => None,
            Feature::CallersEuid if !self.profile.senders_are_openers => None,
            Feature::SplitMappings if self.profile.pieces_given_memory == PiecesGivenMemory::All => None,
            missing @ (Feature::PendingFrozen
            | Feature::FreezeNotification
            | Feature::CallersEuid
            | Feature::Reports
            | Feature::SplitMappings) => {
                Some(format!("a driver like {} has no {missing}", self.profile.name))
            }
        }
    }

    fn world(&mut self, processes: &[ProcessSpecification]) -> Result<Box<dyn World + '_>, TargetError> {
        // On a device that has been used before, the user who first became its context manager is remembered for good. So
        // let it be root here, too.
        let mut driver = Driver::new(self.profile.clone(), Context::VARIANTS.len()).with_managers_user(ROOT);
        if let Some(context) = &self.security_context {
            driver = driver.with_security_context(context.clone());
        }
        let processes =
            processes.iter().enumerate().map(|(index, specification)| Process::new(index, specification));
        Ok(Box::new(ReferenceWorld {
            driver,
            audits: self.audits,
            processes: processes.collect(),
            security_context: self.security_context.clone(),
            files: BTreeMap::new(),
            openings: BTreeMap::new(),
            opened: 0,
            watches: Vec::new(),
            slept: 0,
            listeners: Vec::new(),
            instances: BTreeMap::new(),
        }))
    }
}

/// The user whose processes may do anything.
const ROOT: u32 = 0;

/// For how many milliseconds a call may sleep for the time to pass: as long as it may on a device, where what sleeps
/// for longer is said to hang.
const LONGEST_WAIT: u32 = super::device::PATIENCE.as_millis() as u32;

/// Processes in front of a reference driver of their own.
struct ReferenceWorld {
    driver: Driver,
    audits: Audits,
    processes: Vec<Process>,
    /// What a security module calls each of them.
    security_context: Option<Arc<[u8]>>,
    files: BTreeMap<FileId, File>,
    /// Devices opened and not released, by the numbers of their open files.
    openings: BTreeMap<u32, Opening>,
    /// How many devices have been opened.
    opened: u32,
    /// What epoll instances watch, those that are closed too.
    watches: Vec<Watch>,
    /// How many threads have fallen asleep in a poll.
    slept: u64,
    /// What those that listen have not taken yet.
    listeners: Vec<VecDeque<Report>>,
    /// Instances of binderfs, by what the script knows them by.
    instances: BTreeMap<InstanceId, Mounted>,
}

impl ReferenceWorld {
    fn ioctl(
        &mut self,
        at: ThreadIndex,
        request: u32,
        argument: u64,
        memory: &Image,
    ) -> Result<Outcome, TargetError> {
        let process = &mut self.processes[at.process];
        for Piece { address, bytes, zeroes } in memory.iter() {
            process.memory.put(address, bytes, zeroes).map_err(|Fault| {
                TargetError::Bug(format!(
                    "{}: {} bytes at {address:#x} lie outside of the thread's arena",
                    process.name,
                    bytes.len() + zeroes
                ))
            })?;
        }
        let Ok(device) = self.device(at) else {
            return Ok(Outcome::Done(Err(Errno::EBADF)));
        };
        let process = &mut self.processes[at.process];
        let caller = process.caller(at.thread);
        let completion = self.driver.ioctl(device, caller, request, argument, &mut process.memory);
        Ok(outcome(completion, device, &mut process.threads[at.thread]))
    }

    /// Lets everything that a call has set off come to rest.
    fn settle(&mut self) -> Result<(), TargetError> {
        loop {
            self.release_unused_devices();
            self.driver.run_deferred_work();
            let woken = self.driver.take_woken();
            // A released device is not forgotten before their time is up, and so that is waited for.
            let overdue = self.driver.take_overdue();
            if woken.is_empty() && overdue.is_empty() && !self.wake_pollers() {
                break;
            }
            for (device, tid) in woken {
                self.go_on(device, tid, |driver, memory| Some(driver.resume(device, tid, memory)))?;
            }
            for (device, tid) in overdue {
                self.go_on(device, tid, |driver, _| driver.time_out(device, tid, LONGEST_WAIT))?;
            }
        }
        self.pass_reports_on();
        match self.audits {
            Audits::AfterEachCall => self.audit(),
            Audits::AtTheEnd => Ok(()),
        }
    }

    fn audit(&self) -> Result<(), TargetError> {
        let complaints = self.driver.audit();
        if complaints.is_empty() {
            return Ok(());
        }
        Err(TargetError::Bug(format!(
            "the reference driver's own state makes no sense: {}",
            complaints.join("; ")
        )))
    }

    /// What came of a call of a thread, once all that it has set off has come to rest, which may have woken it again.
    fn settled(&mut self, at: ThreadIndex, outcome: Outcome) -> Result<Outcome, TargetError> {
        self.settle()?;
        if outcome == Outcome::Parked { self.collect(at) } else { Ok(outcome) }
    }

    /// Goes on with a parked call.
    fn go_on(
        &mut self,
        device: Device,
        tid: i32,
        going_on: impl FnOnce(&mut Driver, &mut Memory) -> Option<Completion>,
    ) -> Result<(), TargetError> {
        let process = &mut self.processes[(tid / PIDS - 1) as usize];
        let thread = &mut process.threads[(tid % PIDS) as usize];
        // A thread that was killed after it had been woken does not go on.
        if *thread != Thread::Parked(device) {
            return Ok(());
        }
        let Some(completion) = going_on(&mut self.driver, &mut process.memory) else { return Ok(()) };
        if let Outcome::Done(result) = outcome(completion, device, thread) {
            *thread = Thread::Returned(result);
        }
        Ok(())
    }
}

/// What a completion means for the thread that made the call.
fn outcome(completion: Completion, device: Device, thread: &mut Thread) -> Outcome {
    match completion {
        Completion::Done(result) => {
            *thread = Thread::Idle;
            Outcome::Done(result.map(|()| Answer::Success))
        }
        Completion::Parked => {
            *thread = Thread::Parked(device);
            Outcome::Parked
        }
    }
}

impl World for ReferenceWorld {
    fn call(&mut self, at: ThreadIndex, call: SystemCall) -> Result<Outcome, TargetError> {
        let process = &self.processes[at.process];
        if !process.alive || process.threads[at.thread] != Thread::Idle {
            let why = if process.alive { "is in a call already" } else { "has exited" };
            return Err(TargetError::Bug(format!("{} {why}", process.name)));
        }
        let answer = match call {
            SystemCall::Open { context, nonblock } => self.open(at, context as usize, nonblock, None),
            SystemCall::Binderfs { instance, call } => self.binderfs(at, instance, call),
            SystemCall::Close => self.close(at),
            SystemCall::Flush => self.flush(at),
            SystemCall::Unshare => self.unshare(at),
            SystemCall::Mmap { size, write, at: place, .. } => self.mmap(at, size, write, place),
            SystemCall::Munmap(pages) => self.munmap(at, pages),
            SystemCall::Mprotect { pages, protection } => self.mprotect(at, pages, protection),
            SystemCall::Epoll => self.epoll(at),
            SystemCall::Listen => self.listen(at),
            SystemCall::Report => self.next_report(at),
            SystemCall::EpollClose => self.close_epoll(at),
            SystemCall::Memfd { file } => self.make(at, file, None).map(Answer::Descriptor),
            SystemCall::Pipe { reading, writing } => self.make_pipe(at, reading, writing),
            SystemCall::CloseDescriptor(number) => self.close_descriptor(at, number),
            SystemCall::Dup { file } => self.dup(at, file),
            SystemCall::Use(number) => self.use_descriptor(at, number),
            SystemCall::Fork { child } => self.fork(at, child),
            SystemCall::SetPriority(nice) => {
                let caller = self.processes[at.process].caller(at.thread);
                self.driver.set_priority(caller, nice).map(|()| Answer::Success)
            }
            SystemCall::GetPriority => {
                let tid = self.processes[at.process].caller(at.thread).tid;
                Ok(Answer::Nice(self.driver.priority(tid)))
            }
            SystemCall::SetScheduler(scheduling) => self.set_scheduler(at, scheduling),
            SystemCall::GetScheduler => {
                Ok(Answer::Scheduling(self.processes[at.process].scheduling[at.thread]))
            }
            SystemCall::LimitNice(limit) => {
                self.driver.limit_nice(self.processes[at.process].pid, limit);
                Ok(Answer::Success)
            }
            SystemCall::DropCaches => {
                self.driver.reclaim_pages();
                Ok(Answer::Success)
            }
            SystemCall::PollDescriptor(number) => Ok(Answer::Events(self.poll_descriptor(at, number))),
            SystemCall::LimitDescriptors(more) => {
                self.processes[at.process].memory.descriptors.limit(more);
                Ok(Answer::Success)
            }
            SystemCall::Exit => {
                self.exit(at);
                Ok(Answer::Success)
            }
            SystemCall::Poll { timeout_ms } => {
                let outcome = self.poll(at, timeout_ms);
                return self.settled(at, outcome);
            }
            SystemCall::EpollWait { timeout_ms } => {
                let outcome = self.epoll_wait(at, timeout_ms);
                return self.settled(at, outcome);
            }
            SystemCall::Ioctl { request, argument, memory } => {
                let outcome = self.ioctl(at, request, argument, &memory)?;
                return self.settled(at, outcome);
            }
        };
        self.settle()?;
        Ok(Outcome::Done(answer))
    }

    fn collect(&mut self, at: ThreadIndex) -> Result<Outcome, TargetError> {
        let process = &mut self.processes[at.process];
        let thread = &mut process.threads[at.thread];
        match *thread {
            Thread::Parked(_) | Thread::Polling(_) => Ok(Outcome::Parked),
            Thread::Returned(result) => {
                *thread = Thread::Idle;
                Ok(Outcome::Done(result))
            }
            Thread::Idle => Err(TargetError::Bug(format!("{} is in no call", process.name))),
        }
    }

    fn expire(&mut self, at: ThreadIndex) -> Result<Outcome, TargetError> {
        if let Thread::Polling(sleep) = self.processes[at.process].threads[at.thread]
            && sleep.has_limit()
        {
            let events = self.last_look(at, sleep);
            self.processes[at.process].threads[at.thread] = Thread::Returned(Ok(Answer::Events(events)));
            self.settle()?;
        }
        // Each device of a process is waited for on its own.
        while let Thread::Parked(device) = self.processes[at.process].threads[at.thread] {
            let tid = self.processes[at.process].caller(at.thread).tid;
            let mut has_limit = false;
            self.go_on(device, tid, |driver, _| {
                let completion = driver.time_out(device, tid, LONGEST_WAIT);
                has_limit = completion.is_some();
                completion
            })?;
            self.settle()?;
            if !has_limit {
                break;
            }
        }
        self.collect(at)
    }

    fn signal(&mut self, target: ThreadIndex) -> Result<Result<(), Errno>, TargetError> {
        let process = &mut self.processes[target.process];
        if !process.alive {
            return Ok(Err(Errno::ESRCH));
        }
        let thread = &mut process.threads[target.thread];
        match *thread {
            Thread::Parked(device) => {
                let tid = process.pid + target.thread as i32;
                let completion = self.driver.signal(device, tid, &mut process.memory);
                if let Outcome::Done(result) = outcome(completion, device, thread) {
                    *thread = Thread::Returned(result);
                }
            }
            Thread::Polling(sleep) => {
                let events = self.last_look(target, sleep);
                let is_nothing = events == PollEvents::default();
                let result = if is_nothing { Err(Errno::EINTR) } else { Ok(Answer::Events(events)) };
                self.processes[target.process].threads[target.thread] = Thread::Returned(result);
            }
            // Elsewhere than in a call a signal changes nothing.
            Thread::Idle | Thread::Returned(_) => return Ok(Ok(())),
        }
        self.settle()?;
        Ok(Ok(()))
    }

    fn read_memory(
        &mut self,
        process: usize,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError> {
        if let Some(mapped) = self.mapped_memory(process, address, length) {
            return Ok(Some(mapped.to_vec()));
        }
        let mut bytes = vec![0; length];
        Ok(self.processes[process].memory.read(address, &mut bytes).is_ok().then_some(bytes))
    }

    fn look_at_memory(
        &mut self,
        process: usize,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<bool, TargetError> {
        if let Some(mapped) = self.mapped_memory(process, address, bytes.len()) {
            bytes.copy_from_slice(mapped);
            return Ok(true);
        }
        Ok(self.processes[process].memory.read(address, bytes).is_ok())
    }

    fn descriptor(&mut self, process: usize, number: u32) -> Result<Option<DescriptorState>, TargetError> {
        let descriptor = self.processes[process].memory.descriptors.at(number);
        Ok(descriptor.map(|descriptor| DescriptorState {
            file: self.file_of(descriptor),
            close_on_exec: descriptor.close_on_exec,
        }))
    }

    fn has_reached_elsewhere(&self) -> bool {
        self.processes.iter().any(|process| process.memory.has_reached_elsewhere())
    }

    fn security_context(&mut self, _: usize) -> Result<Option<Vec<u8>>, TargetError> {
        Ok(self.security_context.as_deref().map(<[u8]>::to_vec))
    }

    fn pid(&self, process: usize) -> i32 {
        self.processes[process].pid
    }

    fn count(&mut self, process: usize, counter: Counter) -> Result<u64, TargetError> {
        let statistics = self.driver.statistics();
        Ok(match counter {
            Counter::PayloadCopies => statistics.payload_copies,
            Counter::PayloadBytes => statistics.payload_bytes,
            Counter::Nodes => statistics.nodes.alive(),
            Counter::References => statistics.references.alive(),
            Counter::Transactions => statistics.transactions.alive(),
            Counter::Threads => statistics.threads.alive(),
            Counter::Deaths => statistics.deaths.alive(),
            Counter::Descriptors => {
                let descriptors = self.processes[process].memory.descriptors.iter();
                descriptors.filter(|descriptor| self.file_of(descriptor).is_some()).count() as u64
            }
            Counter::Buffers => {
                let openings = self.openings.values().filter(|opening| opening.opener == process);
                openings.map(|opening| self.driver.buffers_in_use(opening.device) as u64).sum()
            }
        })
    }

    fn close(mut self: Box<Self>) -> Result<Closing, TargetError> {
        self.audit()?;
        for process in 0..self.processes.len() {
            self.exit(ThreadIndex { process, thread: 0 });
            self.settle()?;
        }
        self.audit()?;
        let statistics = self.driver.statistics();
        let left = [
            (("node", "nodes"), statistics.nodes),
            (("reference", "references"), statistics.references),
            (("transaction", "transactions"), statistics.transactions),
            (("death", "deaths"), statistics.deaths),
            (("freeze", "freezes"), statistics.freezes),
            (("thread", "threads"), statistics.threads),
            (("process", "processes"), statistics.processes),
            (("completion", "completions"), statistics.completions),
        ];
        let left = left.into_iter().filter(|(_, census)| census.alive() > 0);
        let left = left.map(|(kind, census)| left_after_all(census.alive(), kind));
        Ok(Closing { left: left.collect(), ..Closing::default() })
    }
}
