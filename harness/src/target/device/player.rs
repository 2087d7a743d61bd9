//! Players: a device on which [tapes](crate::target::tape) are played, one program after the other.
//!
//! It takes one processor, of which all agents have precedence over the harness: when the harness goes on after it has given
//! a thread its part, all is at rest, and it need not look for that.
//!
//! It does not wait until the driver has forgotten the processes of a program before the next one begins. Whether all has
//! been forgotten, with nothing left, is seen when many programs have been played ([`DeviceTarget::left`]). If
//! something is left, or the kernel has complained by then, none of them counts as played, and each is run by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::agent::INTERRUPTION;
use super::counters::Alive;
use super::files::Files;
use super::lodger::Lodger;
use super::part::Lines;
use super::process::{Condition, Process, State};
use super::relay::{Relay, part_at};
use super::{DeviceTarget, KernelVersion, counted, security};
use crate::program::{Counter, DriverKind};
use crate::target::tape::{Deed, Role, Tape, Turn};
use crate::target::{Part, TargetError, ThreadIndex, Worlds, mappings_of};

/// How long something that is on a tape may take to happen, before it is taken for something that does not.
const LONGEST_TURN: Duration = Duration::from_millis(100);

/// What is told where memory of a process is not as the process has left it.
const SPOILT: &str = "the memory of a process is changed where nothing should have written";

/// So many threads an agent has that plays, even if there are fewer in its role: it may have one of more next.
const USUAL_THREADS: usize = 2;

impl DeviceTarget {
    /// Whether tapes can be played at all.
    pub fn plays(&self) -> bool {
        // Before Linux 5.16, a process that ends by a fault takes all others in its address space along.
        let can_lodge = Lodger::ARE_POSSIBLE && self.kernel >= KernelVersion { major: 5, minor: 16 };
        can_lodge && self.agents_precede && self.counters.is_some()
    }

    /// Plays a program, and says whether it did as on the tape. An error is no word about the driver.
    pub fn play(&mut self, tape: &[u8]) -> Result<bool, TargetError> {
        let tape = Tape::read(tape).map_err(|error| TargetError::Bug(error.to_string()))?;
        if !self.is_for(&tape) {
            return Ok(false);
        }
        if self.alive.is_none() {
            self.alive = self.counters.as_ref().and_then(super::Counters::read);
        }
        // Else it could not be seen whether anything is left.
        if self.alive.is_none() {
            return Ok(false);
        }
        self.stopwatch.lap(Part::Reading);
        // What is counted must be of this program alone.
        let counts = |turn: &Turn| matches!(turn.deed, Deed::Count { .. });
        if tape.turns.iter().any(counts) && !self.forgets() {
            return Ok(false);
        }
        let roles = tape.roles.iter().enumerate();
        let mut processes =
            roles.map(|(place, role)| self.agent_for(place, role)).collect::<Result<Vec<Process>, _>>()?;
        let relay = hand_out(&tape, &mut processes);
        let is_called_so = |process: &Process| {
            tape.security_context.is_none_or(|context| {
                security::context_of(process.pid).is_some_and(|called| called == context)
            })
        };
        let can_play = processes.iter().all(is_called_so);
        self.stopwatch.lap(Part::Starting);
        let is_same = can_play && self.direct(&tape, &relay, &mut processes);
        self.stopwatch.lap(Part::Calling);
        let are_fit = if can_play && !is_same {
            // It is not known what they have done instead.
            processes.into_iter().for_each(|process| self.evict(process));
            false
        } else {
            self.dismiss(&tape, processes)
        };
        self.stopwatch.lap(Part::Ending);
        Ok(is_same && are_fit)
    }

    /// Waits until the driver has forgotten all that has been played. If it has not, or has done something to the processes that
    /// have played: what is left of them, as far as that can be told.
    pub fn left(&mut self) -> Option<Vec<String>> {
        let mut left = None;
        if !self.forgets() {
            // From here on what is left has been there before.
            let before = self.alive.take();
            let now = self.counters.as_ref().and_then(super::Counters::read);
            left = Some(before.zip(now).map_or_else(Vec::new, |(before, now)| now.leaked_since(&before)));
        }
        let mut condition = std::mem::replace(&mut self.condition, Condition::AsItShould);
        for lodger in self.lodgers.iter_mut().flatten().filter(|lodger| lodger.alive) {
            let own = lodger.condition();
            if own != Condition::AsItShould {
                condition = condition.max(own);
                lodger.evict();
            }
        }
        match condition {
            Condition::AsItShould => {}
            Condition::Unusual => drop(left.get_or_insert_default()),
            Condition::Spoilt => left.get_or_insert_default().push(SPOILT.to_owned()),
        }
        left
    }

    /// The same, of what will be asked again when all has been played.
    fn forgets(&mut self) -> bool {
        let Some(before) = self.alive else { return true };
        let start = Instant::now();
        loop {
            let now = self.counters.as_ref().and_then(super::Counters::read);
            if now == Some(before) && self.is_idle() {
                return true;
            }
            let has_time = start.elapsed() < self.patience;
            // What is left when all devices have been forgotten stays.
            let may_be_forgotten =
                now.is_none_or(|now| now.processes > before.processes) || start.elapsed() < LONGEST_TURN;
            if !has_time || !may_be_forgotten {
                return false;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Whether the driver has no work left of which its counters do not tell.
    fn is_idle(&mut self) -> bool {
        self.kind == DriverKind::C || self.workers.are_idle()
    }

    fn is_for(&self, tape: &Tape<'_>) -> bool {
        tape.driver.is_none_or(|driver| driver == self.kind)
            && tape.requires.iter().all(|feature| self.lacks(*feature).is_none())
            && tape.without.iter().all(|feature| self.lacks(*feature).is_some())
    }

    /// An agent for the role of the process with this index: the one that has been there before, if it can play it.
    fn agent_for(&mut self, place: usize, role: &Role<'_>) -> Result<Process, TargetError> {
        if self.lodgers.len() <= place {
            self.lodgers.resize_with(place + 1, || None);
        }
        let mut threads = USUAL_THREADS.max(role.threads as usize);
        let mut process = match self.lodgers[place].take() {
            Some(process) if process.alive && process.threads.len() >= threads => process,
            Some(mut process) if process.threads.len() >= threads => {
                process.lodge_anew(&self.path, self.patience)?;
                process
            }
            other => {
                if let Some(other) = other {
                    threads = threads.max(other.threads.len());
                    self.evict(other);
                    // There cannot be two at a place.
                    self.lodgers[place] = None;
                }
                Process::lodge(&self.nursery, &self.path, place, threads, self.patience)?
            }
        };
        process.act_as(role.uid, self.patience)?;
        Ok(process)
    }

    /// Ends a process that plays. What it has is for the next one at its place. What the driver has done to it is not seen later.
    fn evict(&mut self, mut process: Process) {
        self.condition = self.condition.max(process.condition());
        process.evict();
        let place = process.place();
        self.lodgers[place] = Some(process);
    }

    /// Has all turns done one after the other. False if something else comes than what is on the tape.
    fn direct(&mut self, tape: &Tape<'_>, relay: &Relay, processes: &mut [Process]) -> bool {
        let mut asleep: Vec<ThreadIndex> = Vec::with_capacity(8);
        let mut files = Files::default();
        let mut next = 0;
        while let Some(turn) = tape.turns.get(next) {
            let last = relay.begin(next);
            let is_done = match turn.deed {
                Deed::Part { start, .. } if last > next => {
                    self.run_relay(&tape.turns[next..=last], start, (relay, last), &asleep, processes)
                }
                _ => self.take_turn(turn, &mut asleep, &mut files, processes),
            };
            if !is_done {
                return false;
            }
            next = last + 1;
        }
        true
    }

    /// Has turns done that are passed on, of which the first begins at this place, and the last one is this.
    fn run_relay(
        &mut self,
        turns: &[Turn],
        start: u32,
        (relay, last): (&Relay, usize),
        asleep: &[ThreadIndex],
        processes: &mut [Process],
    ) -> bool {
        for Turn { thread, .. } in turns {
            let process = &mut processes[thread.process];
            if !process.alive || process.threads[thread.thread].is_in_call() {
                return false;
            }
            process.note_asked_by_others(thread.thread);
        }
        let ThreadIndex { process, thread } = turns[0].thread;
        processes[process].ask(thread, part_at(start), None);
        processes[process].threads[thread].state = State::Idle;
        let have_played = |processes: &[Process]| {
            let has_played = |turn: &Turn| processes[turn.thread.process].has_played(turn.thread.thread);
            relay.current() == last + 1 && turns.iter().all(has_played)
        };
        // Whoever sleeps and has been woken has answered by now.
        self.comes_to(|_| have_played(processes))
            && asleep.iter().all(|thread| !processes[thread.process].has_answered(thread.thread))
    }

    /// Has a turn done by itself.
    fn take_turn(
        &mut self,
        turn: &Turn,
        asleep: &mut Vec<ThreadIndex>,
        files: &mut Files,
        processes: &mut [Process],
    ) -> bool {
        let process = &mut processes[turn.thread.process];
        let mut ends = None;
        match turn.deed {
            Deed::Count { counter, count } => {
                let pid = process.pid;
                if !self.comes_to(|target| target.count(pid, counter) == Some(count)) {
                    return false;
                }
            }
            Deed::Part { start, .. } | Deed::Last { start } => {
                if !process.alive || process.threads[turn.thread.thread].is_in_call() {
                    return false;
                }
                process.ask(turn.thread.thread, part_at(start), None);
                asleep.push(turn.thread);
            }
            Deed::Signal if process.signal(turn.thread.thread, INTERRUPTION).is_err() => return false,
            Deed::Signal => {}
        }
        match turn.deed {
            Deed::Part { returns: true, .. } => ends = Some(turn.thread),
            Deed::Last { .. } => asleep.retain(|thread| thread.process != turn.thread.process),
            _ => {}
        }
        let is_done = self.await_turn(turn, ends, asleep, processes);
        // If it is not, the process may still be there, and is killed in the end.
        if let (true, Deed::Last { .. }) = (is_done, turn.deed) {
            processes[turn.thread.process].forget();
        }
        let pid = |process: usize| processes[process].pid;
        turn.files.iter().for_each(|(number, file)| files.learn(pid(turn.thread.process), *number, *file));
        let is_same =
            |(process, number, state): &(u32, u32, _)| files.state(pid(*process as usize), *number) == *state;
        is_done && turn.descriptors.iter().all(is_same)
    }

    /// Waits until something is so. False if it does not come to that.
    fn comes_to(&mut self, mut is_so: impl FnMut(&mut DeviceTarget) -> bool) -> bool {
        let start = Instant::now();
        loop {
            if is_so(self) {
                return true;
            }
            if start.elapsed() > LONGEST_TURN {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// A counter, as a process sees it, if the driver tells.
    fn count(&self, pid: i32, counter: Counter) -> Option<u64> {
        let counters = self.counters.as_ref()?;
        match counter {
            Counter::Buffers => counters.buffers_of(pid),
            counter => counted(counter, &counters.read()?, &self.alive?),
        }
    }

    /// Waits until the threads have come to the end of their parts that must have after a turn, and sees that no other one
    /// has.
    fn await_turn(
        &mut self,
        turn: &Turn,
        ends: Option<ThreadIndex>,
        asleep: &mut Vec<ThreadIndex>,
        processes: &mut [Process],
    ) -> bool {
        let mut start = None;
        let mut pause = Duration::from_micros(50);
        loop {
            let mut awaited = None;
            let mut is_same = true;
            asleep.retain(|thread| {
                let must_end = ends == Some(*thread) || turn.woken.contains(thread);
                let process = &mut processes[thread.process];
                process.note_answer(thread.thread);
                let own = &mut process.threads[thread.thread];
                match own.state {
                    State::Returned(result) => {
                        own.state = State::Idle;
                        is_same &= must_end && result == 0;
                        false
                    }
                    _ => {
                        if must_end {
                            awaited = Some(*thread);
                        }
                        true
                    }
                }
            });
            if !is_same {
                return false;
            }
            let is_over = awaited.is_none() && self.is_closed(turn, processes);
            if is_over {
                // Whoever has woken a thread of late has done so by now.
                return turn.open.is_none()
                    || asleep.iter().all(|thread| !processes[thread.process].has_answered(thread.thread));
            }
            if start.get_or_insert_with(Instant::now).elapsed() > LONGEST_TURN {
                return false;
            }
            match awaited {
                Some(thread) => processes[thread.process].wait_for_answer(thread.thread, pause),
                None => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    /// Whether the driver has done what is to be done after a turn in which something was closed.
    fn is_closed(&mut self, turn: &Turn, processes: &[Process]) -> bool {
        let Some(open) = turn.open else { return true };
        if matches!(turn.deed, Deed::Last { .. }) && !processes[turn.thread.process].is_gone() {
            return false;
        }
        let processes = |alive: Alive| alive.processes;
        let before = self.alive.map(processes);
        let known = self.counters.as_ref().and_then(super::Counters::read).map(processes);
        // Of flushes the driver in C does not tell, either.
        known.is_some() && known == before.map(|before| before + u64::from(open)) && self.workers.are_idle()
    }

    /// Keeps agents for what is played next that can be made as good as new. False if one cannot that should be.
    fn dismiss(&mut self, tape: &Tape<'_>, processes: Vec<Process>) -> bool {
        let mut asked = Vec::with_capacity(processes.len());
        let mut are_fit = true;
        for (mut process, role) in processes.into_iter().zip(&tape.roles) {
            process.sets_priorities = role.sets_priorities;
            if role.is_spent {
                self.evict(process);
                continue;
            }
            let start = mappings_of(process.place()).start;
            match process.ask_to_renew_but_for(start..start + role.mapped, role.has_places) {
                Some(renewer) => asked.push((process, renewer)),
                None => {
                    are_fit = false;
                    self.evict(process);
                }
            }
        }
        for (mut process, renewer) in asked {
            if process.is_as_new_by_all_accounts(renewer, self.patience) {
                let place = process.place();
                self.lodgers[place] = Some(process);
            } else {
                are_fit = false;
                self.evict(process);
            }
        }
        // The kernel's workers have something to do now: they make the driver forget what has been closed.
        (0..3).for_each(|_| std::thread::yield_now());
        are_fit
    }
}

/// Gives all agents their parts.
fn hand_out(tape: &Tape<'_>, processes: &mut [Process]) -> Arc<Relay> {
    let leg = |turn: &Turn| match turn.deed {
        Deed::Part { start, returns: true } if turn.is_bare() => {
            Some(processes[turn.thread.process].leg(turn.thread.thread, start))
        }
        _ => None,
    };
    let relay = Arc::new(Relay::new(tape.turns.iter().map(leg).collect()));
    let pids: Vec<i32> = processes.iter().map(|process| process.pid).collect();
    for (process, role) in processes.iter_mut().zip(&tape.roles) {
        let memory = process.memory_mut();
        role.touched.iter().for_each(|(address, length)| memory.note(*address, *length as usize));
        let (pids, parts) = (pids.clone(), role.parts.to_vec());
        process.learn(Lines { pids, parts, relay: Arc::clone(&relay) });
    }
    relay
}
