//! Players: a device on which [tapes](crate::target::tape) are played, one program after the other.
//!
//! It takes one processor, of which all agents have precedence over the harness: when the harness goes on after it has given
//! a thread its part, all is at rest, and it need not look for that.
//!
//! It does not wait until the driver has forgotten the processes of a program before the next one begins. Whether all has
//! been forgotten, with nothing left, is seen when many programs have been played ([`DeviceTarget::has_forgotten`]). If
//! something is left, or the kernel has complained by then, none of them counts as played, and each is run by itself.

use std::time::{Duration, Instant};

use zerocopy::IntoBytes;

use super::agent::INTERRUPTION;
use super::counters::Alive;
use super::files::Files;
use super::message::{OP_PLAY, Request};
use super::part::PIDS_SIZE;
use super::process::{Process, State};
use super::world::MOST_SPARES;
use super::{DeviceTarget, counted, security};
use crate::program::{Counter, DriverKind, Name};
use crate::target::tape::{Deed, MOST_ROLES, Role, Tape, Turn};
use crate::target::{MAPPINGS, Part, ProcessSpecification, TargetError, ThreadIndex, Worlds};

/// How long something that is on a tape may take to happen, before it is taken for something that does not.
const LONGEST_TURN: Duration = Duration::from_millis(100);

impl DeviceTarget {
    /// Whether tapes can be played at all.
    pub fn plays(&self) -> bool {
        self.agents_precede && self.counters.is_some()
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
        let mut processes =
            tape.roles.iter().map(|role| self.agent_for(role)).collect::<Result<Vec<Process>, _>>()?;
        let is_called_so = |process: &Process| {
            tape.security_context.is_none_or(|context| {
                security::context_of(process.pid).is_some_and(|called| called == context)
            })
        };
        let can_play = hand_out(&tape, &mut processes) && processes.iter().all(is_called_so);
        self.stopwatch.lap(Part::Starting);
        let is_same = can_play && self.direct(&tape, &mut processes);
        self.stopwatch.lap(Part::Calling);
        let are_fit = if can_play && !is_same {
            // It is not known what they have done instead.
            drop(processes);
            false
        } else {
            self.dismiss(&tape, processes)
        };
        self.stopwatch.lap(Part::Ending);
        Ok(is_same && are_fit)
    }

    /// Waits until the driver has forgotten all that has been played. False if something is left, or if it has done something
    /// to the processes that have played.
    pub fn has_forgotten(&mut self) -> bool {
        let has_forgotten = self.forgets();
        if !has_forgotten {
            // From here on what is left has been there before.
            self.alive = None;
        }
        let mut are_as_they_should = true;
        self.spares.iter_mut().for_each(|spares| {
            spares.retain_mut(|spare| {
                let is_as_it_should = spare.is_left_as_it_should();
                are_as_they_should &= is_as_it_should;
                is_as_it_should
            });
        });
        has_forgotten && are_as_they_should
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

    /// An agent for a role: one that is as good as new, if there is one.
    fn agent_for(&mut self, role: &Role<'_>) -> Result<Process, TargetError> {
        if let Some(spares) = &mut self.spares
            && let Some(place) = spares.iter().position(|spare| spare.could_play(role))
        {
            return Ok(spares.swap_remove(place));
        }
        let name = Name::new("player").expect("letters are a name");
        let specification = ProcessSpecification {
            uid: role.uid,
            threads: vec![name.clone(); role.threads as usize],
            name,
            forked: false,
        };
        Process::start(&self.nursery, &specification, self.patience)
    }

    /// Has all turns done one after the other. False if something else comes than what is on the tape.
    fn direct(&mut self, tape: &Tape<'_>, processes: &mut [Process]) -> bool {
        let mut asleep: Vec<ThreadIndex> = Vec::with_capacity(8);
        let mut files = Files::default();
        tape.turns.iter().all(|turn| {
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
            let is_done = self.await_turn(turn, ends, &mut asleep, processes);
            // If it is not, the process may still be there, and is killed in the end.
            if let (true, Deed::Last { .. }) = (is_done, turn.deed) {
                processes[turn.thread.process].forget();
            }
            let pid = |process: usize| processes[process].pid;
            turn.files
                .iter()
                .for_each(|(number, file)| files.learn(pid(turn.thread.process), *number, *file));
            is_done
                && turn
                    .descriptors
                    .iter()
                    .all(|(process, number, state)| files.state(pid(*process as usize), *number) == *state)
        })
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
            if role.is_spent {
                continue;
            }
            process.sets_priorities = role.sets_priorities;
            let mapped = MAPPINGS..MAPPINGS + role.mapped;
            match process.ask_to_renew_but_for(mapped, role.has_places) {
                Some(renewer) => asked.push((process, renewer)),
                None => are_fit = false,
            }
        }
        for (mut process, renewer) in asked {
            let is_fit = process.is_as_new_by_all_accounts(renewer, self.patience);
            are_fit &= is_fit;
            // All others end here.
            if let Some(spares) = &mut self.spares
                && is_fit
                && spares.len() < MOST_SPARES
            {
                spares.push(process);
            }
        }
        // The kernel's workers have something to do now: they make the driver forget what has been closed.
        (0..3).for_each(|_| std::thread::yield_now());
        are_fit
    }
}

/// Gives all agents their parts. False if there is no room for them.
fn hand_out(tape: &Tape<'_>, processes: &mut [Process]) -> bool {
    let mut pids = [0i32; MOST_ROLES];
    const { assert!(size_of::<[i32; MOST_ROLES]>() == PIDS_SIZE) };
    pids.iter_mut().zip(&*processes).for_each(|(pid, process)| *pid = process.pid);
    processes.iter_mut().zip(&tape.roles).all(|(process, role)| {
        let memory = process.memory_mut();
        role.touched.iter().for_each(|(address, length)| memory.note(*address, *length as usize));
        memory.put_on_sheet(&[pids.as_bytes(), role.parts])
    })
}

/// The request to play the part that begins at this place.
fn part_at(start: u32) -> Request {
    Request { operation: OP_PLAY, detail: 0, argument: start.into(), address: 0, begin: 0 }
}
