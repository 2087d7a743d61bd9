//! A world on a device: agents, each a process of a script.

mod request;
mod rest;

use std::path::Path;
use std::time::{Duration, Instant};

use reference_driver::uapi::Errno;

use super::agent::{INTERRUPTION, now};
use super::binderfs::Instances;
use super::counted;
use super::counters::{Alive, Counters};
use super::files::{Files, opening_of, openings_of};
use super::kernel_log::{self, KernelLog};
use super::netlink;
use super::nursery::Nursery;
use super::process::{Opening, OpeningIndex, Process, Silence, State, line};
use super::reclaim;
use super::scheduling;
use super::security;
use super::workers::Workers;
use crate::program::{BinderfsCall, Context, Counter, DriverKind, PAGE};
use crate::target::{
    Answer, Area, Closing, DescriptorState, Outcome, Part, ProcessSpecification, Racer, Report, Stopwatch,
    SystemCall, TargetError, ThreadIndex, World,
};
use request::{answer, late_answer};
use rest::Flushed;

/// How long before a race its threads are told of it: as long as it takes them to wake.
const HEAD_START: Duration = Duration::from_micros(500);

/// The most agents that are kept for later.
const MOST_SPARES: usize = 64;

/// Agents in front of a device.
pub struct DeviceWorld<'a> {
    around: Surroundings<'a>,
    processes: Vec<Process>,
    openings: Vec<Opening>,
    /// What the kernel has complained of since the world before was closed.
    complaints: Vec<String>,
    files: Files,
    instances: Instances,
    /// What was alive in the driver before this world.
    before: Alive,
    /// What the driver has told last, when it was asked whether it is done.
    told: Option<Alive>,
    /// Openings of which a descriptor has been closed, and whose threads must still be told to return.
    flushed: Vec<Flushed>,
    /// Something has been closed that the driver may still have work with.
    work_put_off: bool,
    /// The driver may have let go of files while it did work that it had put off: the kernel closes such ones a little later.
    closes_late: bool,
    /// When the last call began, where it matters. To look at a clock takes some guests as long as any system call.
    began: Option<Instant>,
}

/// What one world after another is in.
pub(super) struct Surroundings<'a> {
    pub(super) nursery: &'a Nursery,
    pub(super) kind: DriverKind,
    pub(super) counters: Option<&'a Counters>,
    pub(super) log: Option<&'a mut KernelLog>,
    /// Agents that are as good as new, if those of a world are to be kept.
    pub(super) spares: Option<&'a mut Vec<Process>>,
    pub(super) stopwatch: &'a mut Stopwatch,
    pub(super) workers: &'a mut Workers,
    /// Whether agents run before the harness, on a machine with one processor.
    pub(super) agents_precede: bool,
    /// What was alive in the driver when the world before had been closed, if that is known and it had left nothing. Each
    /// world tells it to the next one.
    pub(super) alive: &'a mut Option<Alive>,
    pub(super) patience: Duration,
    /// The target's own device.
    pub(super) path: &'a Path,
}

impl<'a> DeviceWorld<'a> {
    pub(super) fn new(
        mut around: Surroundings<'a>,
        specifications: &[ProcessSpecification],
    ) -> Result<DeviceWorld<'a>, TargetError> {
        let before =
            around.alive.take().or_else(|| around.counters.and_then(Counters::read)).unwrap_or_default();
        let late = around.log.as_mut().map(|log| log.new_complaints()).unwrap_or_default();
        let complaints = late.into_iter().map(|line| format!("{line} (after the case before)")).collect();
        let mut world = DeviceWorld {
            around,
            processes: Vec::new(),
            openings: Vec::new(),
            complaints,
            files: Files::default(),
            instances: Instances::default(),
            before,
            told: None,
            flushed: Vec::new(),
            work_put_off: false,
            closes_late: false,
            began: None,
        };
        for (place, specification) in specifications.iter().enumerate() {
            let spare = world.around.spares.as_mut().and_then(|spares| {
                Some(spares.swap_remove(spares.iter().position(|spare| spare.suits(place, specification))?))
            });
            world.processes.push(match spare {
                Some(mut spare) => {
                    spare.become_one(specification);
                    spare
                }
                None => Process::start(world.around.nursery, place, specification, world.around.patience)?,
            });
        }
        world.around.stopwatch.lap(Part::Starting);
        Ok(world)
    }

    /// Takes note of what a call has changed that has failed with EBUSY: what lay where a device was to be mapped is gone by the
    /// time the driver refuses that.
    fn note_busy(&mut self, at: ThreadIndex, call: &SystemCall) {
        if let SystemCall::Mmap { size, at: Some(place), .. } = call {
            let start = place.address();
            self.processes[at.process].mapped.unmap(&(start..start + size.next_multiple_of(PAGE)));
            self.work_put_off = true;
        }
    }

    /// Takes note of what a call has changed that has returned this.
    fn note(&mut self, at: ThreadIndex, call: &SystemCall, result: i64) {
        let unmapped = match call {
            SystemCall::Munmap(pages) => self.addresses_of(at, *pages),
            _ => None,
        };
        let process = &mut self.processes[at.process];
        match call {
            SystemCall::Open { .. } | SystemCall::Binderfs { call: BinderfsCall::Open { .. }, .. } => {
                let opening = process.threads[at.thread].opens.take();
                process.device = opening;
                process.held.extend(opening);
            }
            SystemCall::Mmap { size, at: place, .. } => {
                // It may have taken the place of another one.
                self.work_put_off |= place.is_some();
                let end = result as u64 + size.next_multiple_of(PAGE);
                process.device.into_iter().for_each(|device| process.mapped.map(result as u64..end, device));
            }
            SystemCall::Munmap(_) => {
                self.work_put_off = true;
                unmapped.into_iter().for_each(|addresses| process.mapped.unmap(&addresses));
            }
            SystemCall::Close => {
                let closed = process.device.take();
                process.held.retain(|held| Some(*held) != closed);
            }
            SystemCall::Use(number) => {
                process.device = opening_of(process.pid, *number).map(|number| number as OpeningIndex);
            }
            SystemCall::CloseDescriptor(number) if process.is_own(*number) => process.is_spent = true,
            SystemCall::Unshare => (process.is_apart, process.is_spent) = (true, true),
            SystemCall::SetPriority(_) => process.sets_priorities = true,
            SystemCall::LimitDescriptors(_) | SystemCall::SetScheduler(_) | SystemCall::Fork { .. } => {
                process.is_spent = true
            }
            SystemCall::Binderfs { .. } => process.is_spent = true,
            // It has been polled for longer than that takes.
            SystemCall::PollDescriptor(_) if result == 0 => self.closes_late = false,
            SystemCall::Dup { .. } => {
                process.device.into_iter().for_each(|device| self.openings[device].is_shared = true);
            }
            _ => {}
        }
    }

    /// The report that has been put into the memory of a thread; `None` if it is about somebody else.
    fn report(&mut self, at: ThreadIndex, length: usize) -> Result<Option<Report>, TargetError> {
        let address = Area::Payload.addresses(at).start;
        let message = self.read_memory(at.process, address, length)?.unwrap_or_default();
        let came = netlink::read(&message).map_err(TargetError::Failed)?;
        let Some(from) = self.thread_with(came.from_tid as i32) else { return Ok(None) };
        let is_own_device =
            self.around.path.file_name().is_some_and(|name| name == std::ffi::OsStr::new(&came.context));
        Ok(Some(Report {
            error: came.error,
            context: if is_own_device { Some(Context::Binder) } else { came.context.parse().ok() },
            from_pid: came.from_pid as i32,
            from,
            to_pid: came.to_pid.map(|pid| pid as i32),
            to: came.to_tid.and_then(|tid| self.thread_with(tid as i32)),
            is_reply: came.is_reply,
            flags: came.flags,
            code: came.code,
            data_size: came.data_size,
        }))
    }

    /// The thread of this world that has an id.
    fn thread_with(&self, tid: i32) -> Option<ThreadIndex> {
        self.processes.iter().enumerate().find_map(|(process, state)| {
            let thread = state.threads.iter().position(|thread| thread.tid == tid)?;
            Some(ThreadIndex { process, thread })
        })
    }

    /// Has a process make another one.
    fn fork(&mut self, at: ThreadIndex, child: usize) -> Result<Outcome, TargetError> {
        let no_socket = |errno| TargetError::Failed(format!("no socket for a new process: {errno}"));
        let (ours, theirs) = line().map_err(no_socket)?;
        let call = SystemCall::Fork { child };
        let handed_over = self.processes[at.process].hand_over(&theirs, self.processes[child].memory());
        handed_over.map_err(|_| died(&self.processes[at.process]))?;
        drop(theirs);
        self.ask(at, &call, 0)?;
        self.await_plain(at, &call)?;
        if let State::Returned(pid @ 1..) = self.processes[at.process].threads[at.thread].state {
            let parent = &self.processes[at.process];
            let (device, is_apart) = (parent.device, parent.is_apart);
            for number in openings_of(parent.pid) {
                self.openings[number as OpeningIndex].is_shared = true;
            }
            self.processes[child].come_to_life(pid as i32, ours, self.around.patience)?;
            self.processes[child].device = device;
            self.processes[child].is_apart = is_apart;
        }
        self.settle(at)?;
        Ok(self.outcome(at, &call))
    }

    /// Takes note of files that a call has made.
    fn learn_files(&mut self, at: ThreadIndex, call: &SystemCall, result: i64) {
        let pid = self.processes[at.process].pid;
        match (call, answer(call, result)) {
            (SystemCall::Memfd { file } | SystemCall::Dup { file }, Ok(Answer::Descriptor(number))) => {
                self.files.learn(pid, number, *file);
            }
            (
                SystemCall::Pipe { reading, writing },
                Ok(Answer::Pipe { reading: to_read, writing: to_write }),
            ) => {
                self.files.learn(pid, to_read, *reading);
                self.files.learn(pid, to_write, *writing);
            }
            _ => {}
        }
    }

    /// Makes sure that a thread can do something.
    fn is_free(&self, at: ThreadIndex) -> Result<(), TargetError> {
        let process = &self.processes[at.process];
        if process.alive && process.threads[at.thread].state == State::Idle {
            return Ok(());
        }
        let why = if process.alive { "is in a call already" } else { "has exited" };
        Err(TargetError::Bug(format!("{} {why}", process.threads[at.thread].name)))
    }

    /// Awaits what [`DeviceWorld::await_plain`] does, or the end of a process. Openings of which that closes a descriptor
    /// are flushed.
    fn await_end(
        &mut self,
        at: ThreadIndex,
        call: &SystemCall,
        flushed: Vec<OpeningIndex>,
    ) -> Result<(), TargetError> {
        self.await_plain(at, call)?;
        let process = &mut self.processes[at.process];
        if *call == SystemCall::Exit {
            process.forget();
            self.work_put_off = true;
        } else if !matches!(process.threads[at.thread].state, State::Returned(0..)) {
            return Ok(());
        }
        flushed.into_iter().for_each(|opening| self.note_flush(opening, at));
        Ok(())
    }

    /// Awaits a call that returns by itself, which tells what else to wait for.
    fn await_plain(&mut self, at: ThreadIndex, call: &SystemCall) -> Result<(), TargetError> {
        match call {
            SystemCall::Ioctl { .. } | SystemCall::Exit => return Ok(()),
            call if call.is_patient_poll() => return Ok(()),
            _ => {}
        }
        match self.processes[at.process].await_answer(at.thread, self.around.patience) {
            Ok(_) => {}
            Err(Silence::Died) => return Err(died(&self.processes[at.process])),
            Err(Silence::Lasting) => return Err(TargetError::Hangs(self.what_hangs())),
        }
        match self.processes[at.process].threads[at.thread].state {
            State::Returned(result @ 0..) => {
                self.note(at, call, result);
                self.learn_files(at, call, result);
            }
            State::Returned(error) if error == -i64::from(Errno::EBUSY.0) => self.note_busy(at, call),
            _ => {}
        }
        Ok(())
    }

    /// Keeps agents for the next world that can be made as good as new, if any are to be kept.
    fn keep_agents(&mut self) {
        let Some(spares) = &mut self.around.spares else { return };
        let mut asked = Vec::new();
        for mut process in std::mem::take(&mut self.processes) {
            match process.ask_to_renew() {
                Some(renewer) => asked.push((process, renewer)),
                None => self.processes.push(process),
            }
        }
        for (mut process, renewer) in asked {
            match process.is_as_new(renewer, self.around.patience) && spares.len() < MOST_SPARES {
                true => spares.push(process),
                false => self.processes.push(process),
            }
        }
    }

    /// Has agents be scheduled as a script expects that begins to care for it, and no more after it.
    fn renounce_precedence(&mut self) {
        if !std::mem::take(&mut self.around.agents_precede) {
            return;
        }
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            process.is_spent = true;
            for thread in &process.threads {
                // Who is gone needs none.
                let _ = scheduling::set_precedence(thread.tid, false);
            }
        }
    }

    /// What came of a call, now that all is at rest.
    fn outcome(&mut self, at: ThreadIndex, call: &SystemCall) -> Outcome {
        let process = &mut self.processes[at.process];
        let thread = &mut process.threads[at.thread];
        match thread.state {
            State::Returned(result) => {
                thread.state = State::Idle;
                Outcome::Done(answer(call, result))
            }
            // It has ended, as it was asked to.
            _ if !process.alive => Outcome::Done(Ok(Answer::Success)),
            _ => Outcome::Parked,
        }
    }
}

/// Says that a process has died that was not meant to.
fn died(process: &Process) -> TargetError {
    TargetError::Died(process.name.clone())
}

impl World for DeviceWorld<'_> {
    fn call(&mut self, at: ThreadIndex, call: SystemCall) -> Result<Outcome, TargetError> {
        self.is_free(at)?;
        if let Some(errno) = self.refusal(at, &call) {
            return Ok(Outcome::Done(Err(errno)));
        }
        if let SystemCall::Fork { child } = call {
            return self.fork(at, child);
        }
        if let SystemCall::LimitNice(limit) = call {
            scheduling::limit_nice(self.processes[at.process].pid, limit)?;
            self.processes[at.process].is_spent = true;
            return Ok(Outcome::Done(Ok(Answer::Success)));
        }
        if matches!(call, SystemCall::SetScheduler(_) | SystemCall::GetScheduler) {
            self.renounce_precedence();
        }
        if call == SystemCall::DropCaches {
            reclaim::drop_caches()?;
            self.settle(at)?;
            return Ok(Outcome::Done(Ok(Answer::Success)));
        }
        self.around.stopwatch.lap(Part::Working);
        let flushed = self.flushed_by(at, &call);
        self.ask(at, &call, 0)?;
        self.await_end(at, &call, flushed)?;
        self.around.stopwatch.lap(Part::Calling);
        self.settle(at)?;
        self.around.stopwatch.lap(Part::Resting);
        match self.outcome(at, &call) {
            Outcome::Done(Ok(Answer::Number(length))) if call == SystemCall::Report => {
                match self.report(at, length as usize)? {
                    Some(report) => Ok(Outcome::Done(Ok(Answer::Report(report)))),
                    // It is about processes that are none of ours.
                    None => self.call(at, call),
                }
            }
            outcome => Ok(outcome),
        }
    }

    fn race(&mut self, racers: Vec<Racer>) -> Result<Vec<Outcome>, TargetError> {
        racers.iter().try_for_each(|racer| self.is_free(racer.thread))?;
        self.renounce_precedence();
        let begin = now() + HEAD_START.as_nanos() as u64;
        let flushed: Vec<_> = racers.iter().map(|racer| self.flushed_by(racer.thread, &racer.call)).collect();
        for Racer { thread, call, delay } in &racers {
            self.ask(*thread, call, begin + delay.as_nanos() as u64)?;
        }
        // Who looks takes a processor from those who race.
        let longest = racers.iter().map(|racer| racer.delay).max().unwrap_or_default();
        std::thread::sleep(HEAD_START + longest);
        for (Racer { thread, call, .. }, flushed) in racers.iter().zip(flushed) {
            self.await_end(*thread, call, flushed)?;
        }
        let lives = |racer: &&Racer| racer.call != SystemCall::Exit;
        if let Some(racer) = racers.iter().find(lives).or(racers.first()) {
            self.settle(racer.thread)?;
        }
        Ok(racers.iter().map(|racer| self.outcome(racer.thread, &racer.call)).collect())
    }

    fn collect(&mut self, at: ThreadIndex) -> Result<Outcome, TargetError> {
        // Since the last call everything has been at rest.
        let thread = &mut self.processes[at.process].threads[at.thread];
        match thread.state {
            State::Calling { .. } => Ok(Outcome::Parked),
            State::Returned(result) => {
                thread.state = State::Idle;
                Ok(Outcome::Done(late_answer(thread.polls, result)))
            }
            State::Idle => Err(TargetError::Bug(format!("{} is in no call", thread.name))),
        }
    }

    fn expire(&mut self, at: ThreadIndex) -> Result<Outcome, TargetError> {
        let process = &mut self.processes[at.process];
        if process.threads[at.thread].is_in_call() {
            match process.await_answer(at.thread, self.around.patience) {
                Ok(_) => {}
                Err(Silence::Died) => return Err(died(process)),
                Err(Silence::Lasting) => return Ok(Outcome::Parked),
            }
        }
        self.settle(at)?;
        self.collect(at)
    }

    fn signal(&mut self, target: ThreadIndex) -> Result<Result<(), Errno>, TargetError> {
        let sent = self.processes[target.process].signal(target.thread, INTERRUPTION);
        self.settle(target)?;
        Ok(sent.map_err(|errno| Errno(errno as i32)))
    }

    fn read_memory(
        &mut self,
        process: usize,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError> {
        self.processes[process].read_memory(address, length)
    }

    fn descriptor(&mut self, process: usize, number: u32) -> Result<Option<DescriptorState>, TargetError> {
        Ok(self.files.state(self.processes[process].pid, number))
    }

    fn security_context(&mut self, process: usize) -> Result<Option<Vec<u8>>, TargetError> {
        Ok(security::context_of(self.processes[process].pid))
    }

    fn pid(&self, process: usize) -> i32 {
        self.processes[process].pid
    }

    fn count(&mut self, process: usize, counter: Counter) -> Result<u64, TargetError> {
        if counter == Counter::Descriptors {
            let count = self.files.count(self.processes[process].pid);
            return count.ok_or_else(|| {
                TargetError::Unsupported("the descriptors of processes cannot be looked at here".to_owned())
            });
        }
        let count = self.around.counters.and_then(|counters| match counter {
            Counter::Buffers => counters.buffers_of(self.processes[process].pid),
            counter => counted(counter, &counters.read()?, &self.before),
        });
        count.ok_or_else(|| TargetError::Unsupported(format!("this device does not count {counter}")))
    }

    fn close(mut self: Box<Self>) -> Result<Closing, TargetError> {
        self.around.stopwatch.lap(Part::Working);
        self.keep_agents();
        self.processes.iter_mut().for_each(Process::kill);
        self.around.stopwatch.lap(Part::Ending);
        // Nothing is on its way to anybody.
        self.openings.clear();
        self.flushed.clear();
        self.work_put_off = true;
        let mut start = None;
        while !self.is_deferred_work_done() {
            if start.get_or_insert_with(Instant::now).elapsed() > self.around.patience {
                return Err(TargetError::Hangs(self.what_hangs()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let told = self.told.filter(|told| *told == self.before);
        let now = told.or_else(|| self.around.counters.and_then(Counters::read));
        *self.around.alive = now.filter(|now| *now == self.before);
        let now = now.unwrap_or_default();
        let log = self.around.log.as_mut().map(|log| log.new_lines()).unwrap_or_default();
        let mut complaints = std::mem::take(&mut self.complaints);
        complaints.extend(kernel_log::complaints(&log));
        self.around.stopwatch.lap(Part::Forgetting);
        Ok(Closing { left: now.leaked_since(&self.before), complaints, log })
    }
}
