//! A world on a device: agents, and the art of knowing when all of them have come to rest.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use reference_driver::uapi::Errno;

use super::agent::{INTERRUPTION, now};
use super::binderfs::Instances;
use super::counted;
use super::counters::{Alive, Counters};
use super::files::{Files, opening_of, openings_of};
use super::kernel_log::{self, KernelLog};
use super::message::*;
use super::netlink;
use super::nursery::Nursery;
use super::observation::{Bustle, Parked};
use super::process::{Opening, OpeningIndex, Process, Silence, State, line};
use super::reclaim;
use super::scheduling;
use super::security;
use super::workers::Workers;
use crate::program::{
    BinderfsCall, Context, Counter, DriverKind, PAGE, Pages, Place, PollEvents, Protection, Scheduling,
};
use crate::target::{
    Answer, Area, Closing, DescriptorState, Image, InstanceId, Outcome, Part, ProcessSpecification, Racer,
    Report, Stopwatch, SystemCall, TargetError, ThreadIndex, World, is_too_long,
};

/// How long before a race its threads are told of it: as long as it takes them to wake.
const HEAD_START: Duration = Duration::from_micros(500);

/// The most agents that are kept for later.
const MOST_SPARES: usize = 64;

/// How long the end of deferred work is awaited where nothing tells of it.
const UNSEEN_WORK: Duration = Duration::from_millis(20);

/// Agents in front of a device.
pub struct DeviceWorld<'a> {
    processes: Vec<Process>,
    openings: Vec<Opening>,
    kind: DriverKind,
    counters: Option<&'a Counters>,
    log: Option<&'a mut KernelLog>,
    /// Agents that are as good as new, if those of this world are to be kept.
    spares: Option<&'a mut Vec<Process>>,
    stopwatch: &'a mut Stopwatch,
    workers: &'a mut Workers,
    /// What tells in one look that all is at rest, if that is enough.
    bustle: Option<&'a Bustle>,
    /// What the kernel has complained of since the world before was closed.
    complaints: Vec<String>,
    files: Files,
    instances: Instances,
    /// What was alive in the driver before this world.
    before: Alive,
    /// Where what is alive is told to the next world.
    alive: &'a mut Option<Alive>,
    /// Openings of which a descriptor has been closed, and whose threads must still be told to return.
    flushed: Vec<Flushed>,
    /// Something has been closed that the driver may still have work with.
    work_put_off: bool,
    /// When the last call began, where it matters. To look at a clock takes some guests as long as any system call.
    began: Option<Instant>,
    patience: Duration,
    path: &'a Path,
}

/// What one world after another is in.
pub(super) struct Surroundings<'a> {
    pub(super) nursery: &'a Nursery,
    pub(super) kind: DriverKind,
    pub(super) counters: Option<&'a Counters>,
    pub(super) log: Option<&'a mut KernelLog>,
    /// Agents that can be used again, if they are to be.
    pub(super) spares: Option<&'a mut Vec<Process>>,
    pub(super) stopwatch: &'a mut Stopwatch,
    pub(super) workers: &'a mut Workers,
    /// What tells in one look that all is at rest, if that is to be enough.
    pub(super) bustle: Option<&'a Bustle>,
    /// What was alive in the driver when the world before had been closed, if that is known and it had left nothing.
    pub(super) alive: &'a mut Option<Alive>,
    pub(super) patience: Duration,
    /// The target's own device.
    pub(super) path: &'a Path,
}

/// A flush that the driver has yet to do.
struct Flushed {
    opening: OpeningIndex,
    /// Threads that slept in the driver at that time: they must return.
    asleep: Vec<ThreadIndex>,
    since: Instant,
}

/// What one look at a thread shows.
enum Look {
    /// It may be parked, or is in no call.
    AtRest(Option<Parked>),
    Busy,
}

/// How many openings the driver must know.
struct InUse {
    /// Somebody is seen to use them.
    certain: u64,
    /// Nobody is, but they may be on their way to somebody.
    doubtful: u64,
}

impl<'a> DeviceWorld<'a> {
    pub(super) fn new(
        surroundings: Surroundings<'a>,
        specifications: &[ProcessSpecification],
    ) -> Result<DeviceWorld<'a>, TargetError> {
        let Surroundings {
            nursery,
            kind,
            counters,
            mut log,
            spares,
            stopwatch,
            workers,
            bustle,
            alive,
            patience,
            path,
        } = surroundings;
        let before = alive.take().or_else(|| counters.and_then(Counters::read)).unwrap_or_default();
        let late = log.as_mut().map(|log| log.new_complaints()).unwrap_or_default();
        let complaints = late.into_iter().map(|line| format!("{line} (after the case before)")).collect();
        let mut world = DeviceWorld {
            processes: Vec::new(),
            openings: Vec::new(),
            kind,
            counters,
            log,
            spares,
            stopwatch,
            workers,
            bustle,
            alive,
            complaints,
            files: Files::default(),
            instances: Instances::default(),
            before,
            flushed: Vec::new(),
            work_put_off: false,
            began: None,
            patience,
            path,
        };
        for specification in specifications {
            let spare = world.spares.as_mut().and_then(|spares| {
                Some(spares.swap_remove(spares.iter().position(|spare| spare.suits(specification))?))
            });
            world.processes.push(match spare {
                Some(mut spare) => {
                    spare.become_one(specification);
                    spare
                }
                None => Process::start(nursery, specification, patience)?,
            });
        }
        world.stopwatch.lap(Part::Starting);
        Ok(world)
    }

    /// Gives a thread its request, which it begins with at this time (see [`Request::begin`]).
    fn ask(&mut self, at: ThreadIndex, call: &SystemCall, begin: u64) -> Result<(), TargetError> {
        let (operation, detail, argument) = self.request(at, call)?;
        let address = self.mapping_address(at, call);
        self.began = self.openings.iter().any(|opening| opening.is_shared).then(Instant::now);
        self.processes.iter_mut().for_each(Process::forget_read_ahead);
        let process = &mut self.processes[at.process];
        let device = process.device;
        process.ask(at.thread, Request { operation, detail, argument, address, begin }, device);
        Ok(())
    }

    /// The request that a call makes: an operation, its detail and its argument.
    fn request(&mut self, at: ThreadIndex, call: &SystemCall) -> Result<(u32, u32, u64), TargetError> {
        Ok(match call {
            SystemCall::Binderfs { instance, call } => self.binderfs_request(at, *instance, call)?,
            SystemCall::Open { context, nonblock } => {
                let number = self.new_opening(at);
                (OP_OPEN, u32::from(*nonblock) | number << 1, *context as u64)
            }
            SystemCall::Close => (OP_CLOSE, 0, 0),
            SystemCall::Flush => (OP_FLUSH, 0, 0),
            SystemCall::Mmap { size, write, shared, .. } => {
                let write = if *write { MMAP_WRITE } else { 0 };
                (OP_MMAP, write | if *shared { MMAP_SHARED } else { 0 }, *size)
            }
            SystemCall::Munmap(pages) => {
                let addresses = self.addresses_of(at, *pages).unwrap_or_default();
                (OP_MUNMAP, 0, addresses.end - addresses.start)
            }
            SystemCall::Mprotect { pages, protection } => {
                let protection = match protection {
                    Protection::None => nix::libc::PROT_NONE,
                    Protection::Read => nix::libc::PROT_READ,
                    Protection::Write => nix::libc::PROT_READ | nix::libc::PROT_WRITE,
                };
                (OP_MPROTECT, protection as u32, pages.size())
            }
            SystemCall::Poll => (OP_POLL, 0, 0),
            SystemCall::Epoll => (OP_EPOLL, 0, 0),
            SystemCall::EpollWait => (OP_EPOLL_WAIT, 0, 0),
            SystemCall::EpollClose => (OP_EPOLL_CLOSE, 0, 0),
            // `refusal` has looked for it.
            SystemCall::Listen => (OP_LISTEN, 0, netlink::group().unwrap_or(0).into()),
            SystemCall::Report => (OP_REPORT, 0, 0),
            SystemCall::Exit => (OP_EXIT, 0, 0),
            SystemCall::Memfd { file } => (OP_MEMFD, 0, file.0.into()),
            SystemCall::Pipe { .. } => (OP_PIPE, 0, 0),
            SystemCall::CloseDescriptor(number) => (OP_CLOSE_DESCRIPTOR, 0, (*number).into()),
            SystemCall::PollDescriptor(number) => (OP_POLL_DESCRIPTOR, 0, (*number).into()),
            SystemCall::LimitDescriptors(more) => (OP_LIMIT_DESCRIPTORS, 0, (*more).into()),
            SystemCall::Fork { .. } => (OP_FORK, 0, self.processes[at.process].threads.len() as u64),
            SystemCall::Dup { .. } => (OP_DUP, 0, 0),
            SystemCall::Use(number) => (OP_USE, 0, (*number).into()),
            SystemCall::SetPriority(nice) => (OP_SET_PRIORITY, 0, *nice as u64),
            SystemCall::GetPriority => (OP_GET_PRIORITY, 0, 0),
            SystemCall::SetScheduler(Scheduling { policy, priority }) => {
                (OP_SET_SCHEDULER, scheduling::number(*policy), *priority as u64)
            }
            SystemCall::GetScheduler => (OP_GET_SCHEDULER, 0, 0),
            SystemCall::LimitNice(_) | SystemCall::DropCaches => {
                unreachable!("`call` does it, and it does not race")
            }
            SystemCall::Ioctl { request, argument, memory } => {
                self.processes[at.process].write_memory(memory)?;
                (OP_IOCTL, *request, *argument)
            }
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
    fn addresses_of(&self, at: ThreadIndex, pages: Option<Pages>) -> Option<Range<u64>> {
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
        let no_folder = |error| TargetError::Broken(format!("no folder to mount binderfs on: {error}"));
        let (operation, mut detail, words) = self.instances.request(instance, call).map_err(no_folder)?;
        let address = Area::Payload.addresses(at.thread).start;
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
        self.openings.push(Opening { opener: process.pid, is_shared: false });
        self.openings.len() as u32 - 1
    }

    /// Waits until every thread is idle or parked and the driver has no deferred work left.
    fn settle(&mut self, at: ThreadIndex) -> Result<(), TargetError> {
        self.processes.iter_mut().for_each(Process::forget_read_ahead);
        let mut start = None;
        let mut pause = Duration::from_micros(50);
        while !self.is_at_rest(at)? {
            if start.get_or_insert_with(Instant::now).elapsed() > self.patience {
                return Err(TargetError::Broken(self.what_hangs()));
            }
            self.processes[at.process].wait_for_answer(at.thread, pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether everything is at rest, now that a thread has been given something to do: whether there was a moment at which
    /// all threads were at rest at once, with no work left to the driver. Two looks at each thread, between which none of
    /// them has run, prove that.
    ///
    /// One look is enough at threads that have slept on since all was at rest the last time: none of them has run since, and
    /// so none has woken another. The one that has been given something to do may have, before it went to sleep; so it is
    /// looked at before all others, and once more after them.
    fn is_at_rest(&mut self, at: ThreadIndex) -> Result<bool, TargetError> {
        if let Some(bustle) = self.bustle {
            return self.is_still(at, bustle);
        }
        if !self.may_have_deferred_work() {
            let Look::AtRest(first) = self.look_at(at)? else { return Ok(false) };
            if self.all_sleep_on_but(at) {
                let sleeps_on = |first| self.processes[at.process].has_slept_on(at.thread, first);
                let is_at_rest = first.is_none_or(sleeps_on);
                if is_at_rest {
                    self.processes[at.process].threads[at.thread].rest = first;
                }
                return Ok(is_at_rest);
            }
        }
        let Some(seen) = self.look()? else { return Ok(false) };
        if !self.is_deferred_work_done() {
            return Ok(false);
        }
        let sleeps_on =
            |(at, first): &(ThreadIndex, Parked)| self.processes[at.process].has_slept_on(at.thread, *first);
        if !seen.iter().all(sleeps_on) || !self.is_deferred_work_done() {
            return Ok(false);
        }
        for (at, parked) in seen {
            self.processes[at.process].threads[at.thread].rest = Some(parked);
        }
        Ok(true)
    }

    /// As [`DeviceWorld::is_at_rest`], where one look is enough. It does not tell who sleeps uninterruptibly, which the
    /// threads of a driver hardly ever do; only at the one that has been given something to do it is looked closer.
    fn is_still(&mut self, at: ThreadIndex, bustle: &Bustle) -> Result<bool, TargetError> {
        self.note_answers();
        if !self.may_have_deferred_work() && !self.is_any_in_call() {
            return Ok(true);
        }
        if bustle.is_there_any() {
            return Ok(false);
        }
        self.note_answers();
        let Look::AtRest(_) = self.look_at(at)? else { return Ok(false) };
        Ok(!self.may_have_deferred_work() || self.is_deferred_work_done())
    }

    /// Takes note of the answers of all threads.
    fn note_answers(&mut self) {
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            for thread in 0..process.threads.len() {
                if matches!(process.threads[thread].state, State::Calling { .. }) {
                    process.note_answer(thread);
                }
            }
        }
    }

    fn is_any_in_call(&self) -> bool {
        let mut threads =
            self.processes.iter().filter(|process| process.alive).flat_map(|process| &process.threads);
        threads.any(|thread| matches!(thread.state, State::Calling { .. }))
    }

    /// Whether all threads that are in a call, but for one, have slept on since all was at rest the last time.
    fn all_sleep_on_but(&self, one: ThreadIndex) -> bool {
        self.processes.iter().enumerate().filter(|(_, process)| process.alive).all(|(index, process)| {
            process.threads.iter().enumerate().all(|(number, thread)| {
                one == ThreadIndex { process: index, thread: number }
                    || !matches!(thread.state, State::Calling { .. })
                    || thread.rest.is_some_and(|rest| process.has_slept_on(number, rest))
            })
        })
    }

    /// Takes the first look at every thread that is in a call; `None` if one is busy.
    fn look(&mut self) -> Result<Option<Vec<(ThreadIndex, Parked)>>, TargetError> {
        let mut seen = Vec::new();
        for process in 0..self.processes.len() {
            for thread in 0..self.processes[process].threads.len() {
                let at = ThreadIndex { process, thread };
                match self.look_at(at)? {
                    Look::Busy => return Ok(None),
                    Look::AtRest(parked) => seen.extend(parked.map(|parked| (at, parked))),
                }
            }
        }
        Ok(Some(seen))
    }

    /// Takes the first look at a thread.
    fn look_at(&mut self, at: ThreadIndex) -> Result<Look, TargetError> {
        let process = &mut self.processes[at.process];
        let is_calling =
            |process: &Process| matches!(process.threads[at.thread].state, State::Calling { .. });
        if !process.alive || !is_calling(process) {
            return Ok(Look::AtRest(None));
        }
        process.note_answer(at.thread);
        if !is_calling(process) {
            return Ok(Look::AtRest(None));
        }
        Ok(process.parked(at.thread)?.map_or(Look::Busy, |parked| Look::AtRest(Some(parked))))
    }

    /// Whether the driver may have been left work that it does later, or forgets about a device later. It may only where
    /// something has been closed.
    fn may_have_deferred_work(&self) -> bool {
        self.work_put_off || !self.flushed.is_empty() || self.openings.iter().any(|opening| opening.is_shared)
    }

    /// Whether the driver has forgotten what was closed, and woken whom a flush must wake.
    fn is_deferred_work_done(&mut self) -> bool {
        if !self.processes.iter().filter(|process| !process.alive).all(Process::is_gone) {
            return false;
        }
        let Some(counters) = self.counters else {
            return self.flushed.iter().all(|flushed| flushed.since.elapsed() > UNSEEN_WORK);
        };
        let in_use = self.openings_in_use();
        let least = self.before.processes + in_use.certain;
        let known = counters.read().unwrap_or_default().processes;
        let is_on_its_way = known > least
            && known <= least + in_use.doubtful
            && self.began.get_or_insert_with(Instant::now).elapsed() > UNSEEN_WORK;
        if known != least && !is_on_its_way {
            return false;
        }
        let done = match self.kind {
            DriverKind::C => self.flushed.iter().all(|flushed| self.has_flushed(flushed, counters)),
            // It does not tell when it is done with what it closes, so the workers are asked who do that.
            DriverKind::Rust => !self.work_put_off || self.workers.are_idle(),
        };
        if done {
            self.flushed.clear();
            self.work_put_off = false;
        }
        done
    }

    /// How many openings the driver must still know.
    fn openings_in_use(&self) -> InUse {
        let held: Vec<u32> = match self.openings.iter().any(|opening| opening.is_shared) {
            true => {
                let alive = self.processes.iter().filter(|process| process.alive);
                alive.flat_map(|process| openings_of(process.pid)).collect()
            }
            false => Vec::new(),
        };
        let mut in_use = InUse { certain: 0, doubtful: 0 };
        for (index, opening) in self.openings.iter().enumerate() {
            if self.is_in_use(index) || opening.is_shared && held.contains(&(index as u32)) {
                in_use.certain += 1;
            } else if opening.is_shared {
                in_use.doubtful += 1;
            }
        }
        in_use
    }

    /// Whether a process is known to use an opening.
    fn is_in_use(&self, index: OpeningIndex) -> bool {
        self.processes.iter().filter(|process| process.alive).any(|process| {
            process.is_in_call(index)
                || process.mapped.holds(index)
                || !self.openings[index].is_shared && process.held.contains(&index)
        })
    }

    /// Whether every thread of a flushed process has returned, or will.
    ///
    /// What is told of threads is told by process, and may be of an earlier device that its mapping keeps: only one that is
    /// still in use is asked about. Any other has gone behind its flush.
    fn has_flushed(&self, flushed: &Flushed, counters: &Counters) -> bool {
        if !self.openings[flushed.opening].is_shared && !self.is_in_use(flushed.opening) {
            return true;
        }
        let thread = |at: &ThreadIndex| &self.processes[at.process].threads[at.thread];
        let returned = |at: &ThreadIndex| !matches!(thread(at).state, State::Calling { .. });
        let told = counters.threads_of(self.openings[flushed.opening].opener);
        flushed.asleep.iter().all(returned)
            && told.iter().all(|(tid, need_return)| {
                let slept = flushed.asleep.iter().any(|at| thread(at).tid == *tid);
                *need_return || slept
            })
    }

    /// Names what has not come to rest.
    fn what_hangs(&self) -> String {
        let mut busy = Vec::new();
        for process in &self.processes {
            if !process.alive && !process.is_gone() {
                busy.push(format!("the process {} does not end", process.name));
            }
            for (index, thread) in process.threads.iter().enumerate() {
                let calling = matches!(thread.state, State::Calling { .. });
                if calling && !matches!(process.parked(index), Ok(Some(_))) {
                    busy.push(format!("{} does not return from its call", thread.name));
                }
            }
        }
        if busy.is_empty() {
            let known = self.counters.and_then(Counters::read).unwrap_or_default().processes;
            let expected = self.before.processes + self.openings_in_use().certain;
            busy.push(format!("the driver has work left: it knows {known} open devices, not {expected}"));
        }
        let seconds = self.patience.as_secs();
        format!("hangs: after {seconds} s {} (--patience gives it longer)", busy.join(", "))
    }

    /// The openings of which a call will close a descriptor. Those that nothing else can hold end with it, and are not
    /// among them.
    fn flushed_by(&self, at: ThreadIndex, call: &SystemCall) -> Vec<OpeningIndex> {
        let process = &self.processes[at.process];
        let is_any_shared = self.openings.iter().any(|opening| opening.is_shared);
        let indices = |numbers: Vec<u32>| numbers.into_iter().map(|number| number as OpeningIndex);
        match call {
            SystemCall::Close | SystemCall::Flush => process.device.into_iter().collect(),
            SystemCall::CloseDescriptor(number) if is_any_shared => {
                indices(opening_of(process.pid, *number).into_iter().collect()).collect()
            }
            SystemCall::Exit if is_any_shared => {
                indices(openings_of(process.pid)).filter(|index| self.openings[*index].is_shared).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Takes note that a descriptor of an opening has been closed.
    fn note_flush(&mut self, opening: OpeningIndex, by: ThreadIndex) {
        let in_call = State::Calling { device: Some(opening) };
        let asleep = self.processes.iter().enumerate().flat_map(|(index, process)| {
            let threads = process.threads.iter().enumerate();
            let asleep = threads.filter(|(_, thread)| thread.state == in_call);
            asleep.map(move |(thread, _)| ThreadIndex { process: index, thread })
        });
        let asleep = asleep.filter(|thread| *thread != by).collect();
        self.work_put_off = true;
        self.flushed.push(Flushed { opening, asleep, since: Instant::now() });
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
            SystemCall::LimitDescriptors(_)
            | SystemCall::SetPriority(_)
            | SystemCall::SetScheduler(_)
            | SystemCall::Fork { .. } => process.is_spent = true,
            SystemCall::Binderfs { .. } => process.is_spent = true,
            SystemCall::Dup { .. } => {
                process.device.into_iter().for_each(|device| self.openings[device].is_shared = true);
            }
            _ => {}
        }
    }

    /// The report that has been put into the memory of a thread; `None` if it is about somebody else.
    fn report(&mut self, at: ThreadIndex, length: usize) -> Result<Option<Report>, TargetError> {
        let address = Area::Payload.addresses(at.thread).start;
        let message = self.read_memory(at.process, address, length)?.unwrap_or_default();
        let came = netlink::read(&message).map_err(TargetError::Broken)?;
        let Some(from) = self.thread_with(came.from_tid as i32) else { return Ok(None) };
        let is_own_device =
            self.path.file_name().is_some_and(|name| name == std::ffi::OsStr::new(&came.context));
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

    /// Why the world does not do a call.
    fn refusal(&self, at: ThreadIndex, call: &SystemCall) -> Option<Errno> {
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

    /// Has a process make another one.
    fn fork(&mut self, at: ThreadIndex, child: usize) -> Result<Outcome, TargetError> {
        let no_socket = |errno| TargetError::Broken(format!("no socket for a new process: {errno}"));
        let (ours, theirs) = line().map_err(no_socket)?;
        let call = SystemCall::Fork { child };
        let handed_over = self.processes[at.process].hand_over(&theirs, self.processes[child].memory());
        handed_over.map_err(|_| died(&self.processes[at.process]))?;
        drop(theirs);
        self.ask(at, &call, 0)?;
        self.await_plain(at, &call)?;
        if let State::Returned(pid @ 1..) = self.processes[at.process].threads[at.thread].state {
            let parent = &self.processes[at.process];
            let device = parent.device;
            for number in openings_of(parent.pid) {
                self.openings[number as OpeningIndex].is_shared = true;
            }
            self.processes[child].come_to_life(pid as i32, ours, self.patience)?;
            self.processes[child].device = device;
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
        Err(TargetError::Broken(format!("{} {why}", process.threads[at.thread].name)))
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
            _ => {}
        }
        match self.processes[at.process].await_answer(at.thread, self.patience) {
            Ok(_) => {}
            Err(Silence::Died) => return Err(died(&self.processes[at.process])),
            Err(Silence::Lasting) => return Err(TargetError::Broken(self.what_hangs())),
        }
        if let State::Returned(result @ 0..) = self.processes[at.process].threads[at.thread].state {
            self.note(at, call, result);
            self.learn_files(at, call, result);
        }
        Ok(())
    }

    /// Keeps agents for the next world that can be made as good as new, if any are to be kept.
    fn keep_agents(&mut self) {
        let Some(spares) = &mut self.spares else { return };
        let patience = self.patience;
        let mut asked = Vec::new();
        for mut process in std::mem::take(&mut self.processes) {
            match process.ask_to_renew(patience) {
                true => asked.push(process),
                false => self.processes.push(process),
            }
        }
        for mut process in asked {
            match process.is_as_new(patience) && spares.len() < MOST_SPARES {
                true => spares.push(process),
                false => self.processes.push(process),
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
    TargetError::Broken(format!("the process {} has died", process.name))
}

/// What the number that a system call returned means.
fn answer(call: &SystemCall, result: i64) -> Result<Answer, Errno> {
    if result < 0 {
        return Err(Errno(-result as i32));
    }
    Ok(match call {
        // The events of epoll have the numbers of those of poll.
        SystemCall::Poll | SystemCall::PollDescriptor(_) | SystemCall::EpollWait => {
            let has = |flag: i16| result & i64::from(flag) != 0;
            Answer::Events(PollEvents {
                readable: has(nix::libc::POLLIN),
                error: has(nix::libc::POLLERR),
                hangup: has(nix::libc::POLLHUP),
                invalid: has(nix::libc::POLLNVAL),
            })
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
        if call == SystemCall::DropCaches {
            reclaim::drop_caches()?;
            self.settle(at)?;
            return Ok(Outcome::Done(Ok(Answer::Success)));
        }
        self.stopwatch.lap(Part::Working);
        let flushed = self.flushed_by(at, &call);
        self.ask(at, &call, 0)?;
        self.await_end(at, &call, flushed)?;
        self.stopwatch.lap(Part::Calling);
        self.settle(at)?;
        self.stopwatch.lap(Part::Resting);
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
                let ioctl = SystemCall::Ioctl { request: 0, argument: 0, memory: Image::default() };
                Ok(Outcome::Done(answer(&ioctl, result)))
            }
            State::Idle => Err(TargetError::Broken(format!("{} is in no call", thread.name))),
        }
    }

    fn expire(&mut self, at: ThreadIndex) -> Result<Outcome, TargetError> {
        let process = &mut self.processes[at.process];
        if matches!(process.threads[at.thread].state, State::Calling { .. }) {
            match process.await_answer(at.thread, self.patience) {
                Ok(_) => {}
                Err(Silence::Died) => return Err(died(process)),
                Err(Silence::Lasting) => return Ok(Outcome::Parked),
            }
        }
        self.settle(at)?;
        self.collect(at)
    }

    fn signal(&mut self, target: ThreadIndex) -> Result<Result<(), Errno>, TargetError> {
        let process = &self.processes[target.process];
        let (pid, tid) = (process.pid, process.threads[target.thread].tid);
        let number = INTERRUPTION as nix::libc::c_int;
        // SAFETY: agents handle the signal, and no other thread has both of these ids.
        let sent = unsafe { nix::libc::syscall(nix::libc::SYS_tgkill, pid, tid, number) };
        let sent = nix::errno::Errno::result(sent);
        self.settle(target)?;
        Ok(sent.map(drop).map_err(|errno| Errno(errno as i32)))
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
        let count = self.counters.and_then(|counters| match counter {
            Counter::Buffers => counters.buffers_of(self.processes[process].pid),
            counter => counted(counter, &counters.read()?, &self.before),
        });
        count.ok_or_else(|| TargetError::Unsupported(format!("this device does not count {counter}")))
    }

    fn close(mut self: Box<Self>) -> Result<Closing, TargetError> {
        self.stopwatch.lap(Part::Working);
        self.keep_agents();
        self.processes.iter_mut().for_each(Process::kill);
        self.stopwatch.lap(Part::Ending);
        // Nothing is on its way to anybody.
        self.openings.clear();
        self.flushed.clear();
        self.work_put_off = true;
        let mut start = None;
        while !self.is_deferred_work_done() {
            if start.get_or_insert_with(Instant::now).elapsed() > self.patience {
                return Err(TargetError::Broken(self.what_hangs()));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        let now = self.counters.and_then(Counters::read);
        *self.alive = now.filter(|now| *now == self.before);
        let now = now.unwrap_or_default();
        let log = self.log.as_mut().map(|log| log.new_lines()).unwrap_or_default();
        let mut complaints = std::mem::take(&mut self.complaints);
        complaints.extend(kernel_log::complaints(&log));
        self.stopwatch.lap(Part::Forgetting);
        Ok(Closing { left: now.leaked_since(&self.before), complaints, log })
    }
}
