//! The art of knowing when all agents of a world have come to rest, and the driver with them.

use std::time::{Duration, Instant};

use super::super::counters::Counters;
use super::super::files::{opening_of, openings_of};
use super::super::observation::Parked;
use super::super::process::{OpeningIndex, Process, State, Thread};
use super::DeviceWorld;
use crate::program::DriverKind;
use crate::target::{SystemCall, TargetError, ThreadIndex};

/// How long the end of deferred work is awaited where nothing tells of it.
const UNSEEN_WORK: Duration = Duration::from_millis(20);

/// A flush that the driver has yet to do.
pub(super) struct Flushed {
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

impl DeviceWorld<'_> {
    /// Waits until every thread is idle or parked and the driver has no deferred work left.
    pub(super) fn settle(&mut self, at: ThreadIndex) -> Result<(), TargetError> {
        self.processes.iter_mut().for_each(Process::forget_read_ahead);
        self.closes_late |= self.may_have_deferred_work();
        let mut start = None;
        let mut pause = Duration::from_micros(50);
        while !self.is_at_rest(at)? {
            if start.get_or_insert_with(Instant::now).elapsed() > self.around.patience {
                return Err(TargetError::Hangs(self.what_hangs()));
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
        if self.around.agents_precede {
            return self.is_still(at);
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

    /// As [`DeviceWorld::is_at_rest`], where whoever has something to do runs before this. That does not tell who sleeps
    /// uninterruptibly, which the threads of a driver hardly ever do; only at the one that has been given something to do it
    /// is looked closer.
    ///
    /// What the driver puts off may wake threads: they have run when it is known to be done, and not before.
    fn is_still(&mut self, at: ThreadIndex) -> Result<bool, TargetError> {
        self.note_answers();
        if self.may_have_deferred_work() {
            let Look::AtRest(_) = self.look_at(at)? else { return Ok(false) };
            if !self.is_deferred_work_done() {
                return Ok(false);
            }
        } else if !self.is_any_in_call() {
            return Ok(true);
        }
        self.note_answers();
        Ok(matches!(self.look_at(at)?, Look::AtRest(_)))
    }

    /// Takes note of the answers of all threads.
    fn note_answers(&mut self) {
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            for thread in 0..process.threads.len() {
                if process.threads[thread].is_in_call() {
                    process.note_answer(thread);
                }
            }
        }
    }

    fn is_any_in_call(&self) -> bool {
        let mut threads =
            self.processes.iter().filter(|process| process.alive).flat_map(|process| &process.threads);
        threads.any(Thread::is_in_call)
    }

    /// Whether all threads that are in a call, but for one, have slept on since all was at rest the last time.
    fn all_sleep_on_but(&self, one: ThreadIndex) -> bool {
        self.processes.iter().enumerate().filter(|(_, process)| process.alive).all(|(index, process)| {
            process.threads.iter().enumerate().all(|(number, thread)| {
                one == ThreadIndex { process: index, thread: number }
                    || !thread.is_in_call()
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
        let is_calling = |process: &Process| process.threads[at.thread].is_in_call();
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
    pub(super) fn is_deferred_work_done(&mut self) -> bool {
        if !self.processes.iter().filter(|process| !process.alive).all(Process::is_gone) {
            return false;
        }
        let Some(counters) = self.around.counters else {
            return self.flushed.iter().all(|flushed| flushed.since.elapsed() > UNSEEN_WORK);
        };
        let in_use = self.openings_in_use();
        let least = self.before.processes + in_use.certain;
        self.told = counters.read();
        let known = self.told.unwrap_or_default().processes;
        let is_on_its_way = known > least
            && known <= least + in_use.doubtful
            && self.began.get_or_insert_with(Instant::now).elapsed() > UNSEEN_WORK;
        if known != least && !is_on_its_way {
            return false;
        }
        // Of some work no counter tells whether it is done, so the workers are asked who do it. Of flushes the driver in C
        // would tell, but changes its nodes to do so.
        let done = match self.around.kind {
            DriverKind::C => {
                self.flushed.is_empty()
                    || self.around.workers.are_idle()
                        && self.flushed.iter().all(|flushed| self.have_returned(flushed))
            }
            DriverKind::Rust => !self.work_put_off || self.around.workers.are_idle(),
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

    /// Whether every thread that a flush has to wake has returned. What is in use no more has gone behind its flush.
    fn have_returned(&self, flushed: &Flushed) -> bool {
        let Flushed { opening, asleep, .. } = flushed;
        !self.openings[*opening].is_shared && !self.is_in_use(*opening)
            || asleep.iter().all(|at| !self.processes[at.process].threads[at.thread].is_in_call())
    }

    /// Names what has not come to rest.
    pub(super) fn what_hangs(&self) -> String {
        let mut busy = Vec::new();
        for process in &self.processes {
            if !process.alive && !process.is_gone() {
                busy.push(format!("the process {} does not end", process.name));
            }
            for (index, thread) in process.threads.iter().enumerate() {
                if thread.is_in_call() && !matches!(process.parked(index), Ok(Some(_))) {
                    busy.push(format!("{} does not return from its call", thread.name));
                }
            }
        }
        if busy.is_empty() {
            let known = self.around.counters.and_then(Counters::read).unwrap_or_default().processes;
            let expected = self.before.processes + self.openings_in_use().certain;
            let known = match known == expected {
                true => String::new(),
                false => format!(": it knows {known} open devices, not {expected}"),
            };
            busy.push(format!("the driver has work left{known}"));
            for at in
                self.flushed.iter().filter(|flushed| !self.have_returned(flushed)).flat_map(|it| &it.asleep)
            {
                let name = &self.processes[at.process].threads[at.thread].name;
                busy.push(format!("a flush does not wake {name}"));
            }
        }
        let seconds = self.around.patience.as_secs();
        format!("hangs: after {seconds} s {} (--patience gives it longer)", busy.join(", "))
    }

    /// The openings of which a call will close a descriptor. Those that nothing else can hold end with it, and are not
    /// among them.
    pub(super) fn flushed_by(&self, at: ThreadIndex, call: &SystemCall) -> Vec<OpeningIndex> {
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
    pub(super) fn note_flush(&mut self, opening: OpeningIndex, by: ThreadIndex) {
        let in_call = State::Calling { device: Some(opening) };
        let asleep = self.processes.iter().enumerate().flat_map(|(index, process)| {
            let threads = process.threads.iter().enumerate();
            // A flush wakes those that read, and nobody who waits for events or freezes.
            let asleep = threads.filter(|(_, thread)| thread.state == in_call && thread.may_read);
            asleep.map(move |(thread, _)| ThreadIndex { process: index, thread })
        });
        let asleep = asleep.filter(|thread| *thread != by).collect();
        self.work_put_off = true;
        self.flushed.push(Flushed { opening, asleep, since: Instant::now() });
    }
}
