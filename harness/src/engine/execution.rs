//! Execution: a program on its way through its steps.

use smallvec::SmallVec;

use super::bindings::Bindings;
use super::call::CallResult;
use super::cast::Cast;
use super::encode;
use super::fault::ScriptFault;
use super::judge::{Difference, Pending, WriteReadResult, judge_read, judge_write};
use super::matching::{Reader, Refusal};
use super::per_thread::PerThread;
use super::symbols::Symbols;
use super::transcript::{StepOutcome, StepRecord, Transcript, WriteReadRecord};
use super::verdict::Deviation;
use super::wording;
use super::write_read::{Finished, finish};
use crate::program::*;
use crate::script::fragment;
use crate::target::{Closing, Outcome, ProcessSpecification, SystemCall, TargetError, ThreadIndex, World};

/// A program that is being run.
pub(super) struct Execution<'a> {
    pub(super) program: &'a Program,
    /// The how manieth run of the program this is, from 1; only a race makes a difference of it.
    pub(super) repetition: u32,
    pub(super) cast: Cast,
    pub(super) symbols: Symbols,
    pub(super) bindings: Bindings,
    pub(super) world: Box<dyn World + 'a>,
    /// Threads that are not idle.
    pub(super) states: PerThread<ThreadState>,
    pub(super) transcript: Transcript,
}

/// Why a run ends before its program does.
#[derive(Debug)]
pub(super) enum Stop {
    /// The target did something else than what is expected.
    Deviation(Deviation),
    /// The program is wrong.
    Fault(ScriptFault),
    /// A process could not be set up. The whole reason.
    SetUp(String),
    /// The target could not do what it was asked to.
    Target(TargetError),
}

impl From<TargetError> for Stop {
    fn from(error: TargetError) -> Stop {
        Stop::Target(error)
    }
}

impl From<ScriptFault> for Stop {
    fn from(fault: ScriptFault) -> Stop {
        Stop::Fault(fault)
    }
}

/// What a thread that is not idle is about.
pub(super) enum ThreadState {
    /// It sleeps in this read.
    Parked(Pending),
    /// Its read has returned, and no step has looked at that.
    Woken { pending: Pending, finished: Finished, by: usize },
    /// It sleeps in this call.
    ParkedInCall(Call),
    /// Its call has returned, and no step has looked at that.
    Returned { result: CallResult },
    /// Its process has ended.
    Ended,
}

impl<'a> Execution<'a> {
    pub(super) fn new(
        program: &'a Program,
        repetition: u32,
        cast: Cast,
        specifications: &[ProcessSpecification],
        symbols: Symbols,
        world: Box<dyn World + 'a>,
    ) -> Execution<'a> {
        Execution {
            program,
            repetition,
            cast,
            symbols,
            bindings: Bindings::default(),
            world,
            states: PerThread::of(specifications),
            transcript: Transcript::default(),
        }
    }

    /// Does all steps, and looks for what nothing awaited.
    pub(super) fn run(&mut self) -> Result<(), Stop> {
        for (index, noted) in self.program.steps.iter().enumerate() {
            match &noted.value {
                Moment::Step(step) => self.step(index, step)?,
                Moment::Race(race) => self.race(index, race)?,
            }
        }
        let unawaited = self.states.iter().find_map(|(thread, state)| match state {
            ThreadState::Woken { finished, .. } => Some(self.unawaited(thread, finished)),
            ThreadState::Returned { result } => Some(self.unawaited_call(thread, result)),
            ThreadState::Parked(_) | ThreadState::ParkedInCall(_) | ThreadState::Ended => None,
        });
        match unawaited {
            Some(deviation) => Err(Stop::Deviation(deviation)),
            None => Ok(()),
        }
    }

    /// Ends the world, and gives what was done and what is wrong after that.
    pub(super) fn close(self) -> (Transcript, Result<Closing, TargetError>) {
        (self.transcript, self.world.close())
    }

    fn unawaited(&self, thread: ThreadIndex, finished: &Finished) -> Deviation {
        let came = self.reader(thread).came(finished, Vec::new());
        Deviation {
            step: None,
            expected: "no return that nothing in the script awaits".to_owned(),
            difference: format!(
                "{}'s read returned {came}, and nothing in the script awaits it",
                self.cast.name(thread)
            ),
            came,
        }
    }

    fn unawaited_call(&self, thread: ThreadIndex, result: &CallResult) -> Deviation {
        let words = wording::call_result_in_words(result);
        Deviation {
            step: None,
            expected: "no call that returns and nothing in the script awaits".to_owned(),
            difference: format!(
                "{}'s call {words}, and nothing in the script awaits it",
                self.cast.name(thread)
            ),
            came: wording::call_result(result),
        }
    }

    pub(super) fn reader(&self, thread: ThreadIndex) -> Reader<'_> {
        Reader { symbols: &self.symbols, process: thread.process }
    }

    fn step(&mut self, index: usize, step: &Step) -> Result<(), Stop> {
        let thread = self.actor(index, step)?;
        if let Some(ThreadState::Ended) = self.states.get(thread) {
            return Err(ScriptFault::Ended(self.cast.name(thread).clone()).into());
        }
        let judged = match &step.action {
            Action::Call { call, expected } => self.call(index, step, thread, call, expected)?,
            Action::Write { options, commands, written } => {
                self.idle(index, thread)?;
                let (pending, result) = self.write_read(thread, commands, options, 0, written)?;
                self.record(index, step, thread, &result, Vec::new())?;
                judge_write(&pending, &result)
            }
            Action::Read { options, expected } => {
                let (pending, result) = self.read(thread, options)?;
                self.record(index, step, thread, &result, expected.patterns())?;
                self.judge_and_bind(thread, &pending, Some(expected), &result)?
            }
            Action::WriteRead { options, commands, written, expected } => {
                self.idle(index, thread)?;
                let (pending, result) =
                    self.write_read(thread, commands, options, options.room(), written)?;
                let patterns = expected.as_ref().map(ReadExpectation::patterns).unwrap_or_default();
                self.record(index, step, thread, &result, patterns)?;
                self.judge_and_bind(thread, &pending, expected.as_ref(), &result)?
            }
        };
        judged.map_err(|Difference { expected, came, difference }| {
            Stop::Deviation(Deviation { step: Some(index), expected, came, difference })
        })
    }

    /// Judges what was read, and keeps what that binds.
    pub(super) fn judge_and_bind(
        &mut self,
        thread: ThreadIndex,
        pending: &Pending,
        expected: Option<&ReadExpectation>,
        result: &WriteReadResult,
    ) -> Result<Result<(), Difference>, Stop> {
        match judge_read(self.reader(thread), pending, expected, result, &self.bindings) {
            Ok(new) => {
                self.bindings.extend(new);
                Ok(Ok(()))
            }
            Err(Refusal::Differs(difference)) => Ok(Err(difference)),
            Err(Refusal::Fault(fault)) => Err(fault.into()),
        }
    }

    /// The thread that does a step. Where it is one of several, the one that has been woken.
    fn actor(&mut self, index: usize, step: &Step) -> Result<ThreadIndex, Stop> {
        let (candidates, alias) = match &step.actor {
            Actor::Thread(name) => return Ok(self.cast.thread(name)?),
            Actor::AnyOf { candidates, alias } => (candidates, alias),
        };
        if !matches!(step.action, Action::Read { .. }) {
            return Err(ScriptFault::ChoiceWithoutRead.into());
        }
        let mut woken = Vec::new();
        for name in candidates {
            let thread = self.cast.thread(name)?;
            match self.states.get(thread) {
                Some(ThreadState::Woken { by, .. }) => woken.push((name, thread, *by)),
                Some(ThreadState::Parked(_)) => {}
                Some(ThreadState::Ended) => return Err(ScriptFault::Ended(name.clone()).into()),
                Some(ThreadState::ParkedInCall(_) | ThreadState::Returned { .. }) | None => {
                    return Err(ScriptFault::NotParked(name.clone()).into());
                }
            }
        }
        if let [(_, thread, by)] = woken[..] {
            // Which one it is, is the driver's choice: the transcript says nothing of it.
            let declared = self.cast.name(thread).to_string();
            if let Some(record) = self.transcript.steps.get_mut(by) {
                record
                    .woke
                    .iter_mut()
                    .filter(|name| **name == declared)
                    .for_each(|name| *name = alias.to_string());
            }
            self.cast.alias(alias.clone(), thread);
            return Ok(thread);
        }
        self.note(index, step, StepOutcome::NotOneWoken);
        let all: Vec<&str> = candidates.iter().map(Name::as_str).collect();
        let woken: Vec<&str> = woken.iter().map(|(name, ..)| name.as_str()).collect();
        let came = match woken[..] {
            [] => format!("all of {} are still parked", all.join(", ")),
            _ => format!("the reads of {} have returned", woken.join(", ")),
        };
        Err(Stop::Deviation(Deviation {
            step: Some(index),
            expected: format!("exactly one of {} woken", all.join(", ")),
            difference: format!("{} of {} threads were woken, not 1", woken.len(), all.len()),
            came,
        }))
    }

    /// Makes sure that a thread can do something new in this step.
    pub(super) fn idle(&self, index: usize, thread: ThreadIndex) -> Result<(), Stop> {
        match self.states.get(thread) {
            None => Ok(()),
            Some(ThreadState::Parked(_) | ThreadState::ParkedInCall(_)) => {
                Err(ScriptFault::Parked(self.cast.name(thread).clone()).into())
            }
            Some(ThreadState::Ended) => Err(ScriptFault::Ended(self.cast.name(thread).clone()).into()),
            Some(ThreadState::Woken { finished, .. }) => {
                Err(Stop::Deviation(Deviation { step: Some(index), ..self.unawaited(thread, finished) }))
            }
            Some(ThreadState::Returned { result }) => {
                Err(Stop::Deviation(Deviation { step: Some(index), ..self.unawaited_call(thread, result) }))
            }
        }
    }

    /// A BINDER_WRITE_READ, encoded, and what must be known of it when it ends.
    pub(super) fn begin(
        &self,
        thread: ThreadIndex,
        commands: &[Command],
        options: &WriteReadOptions,
        read_size: u64,
        written: &WriteExpectation,
    ) -> Result<(SystemCall, Pending), Stop> {
        let encoded =
            encode::write_read(commands, options, read_size, thread, &self.symbols, &self.bindings)?;
        let call = SystemCall::Ioctl {
            request: reference_driver::uapi::BINDER_WRITE_READ,
            argument: encoded.address,
            memory: encoded.memory,
        };
        Ok((call, Pending { given: encoded.argument, written: written.clone() }))
    }

    /// Does a BINDER_WRITE_READ.
    pub(super) fn write_read(
        &mut self,
        thread: ThreadIndex,
        commands: &[Command],
        options: &WriteReadOptions,
        read_size: u64,
        written: &WriteExpectation,
    ) -> Result<(Pending, WriteReadResult), Stop> {
        let (call, pending) = self.begin(thread, commands, options, read_size, written)?;
        let outcome = self.world.call(thread, call)?;
        Ok((pending.clone(), self.ended_or_parked(thread, pending, outcome)?))
    }

    /// Reads, or awaits the end of a read.
    pub(super) fn read(
        &mut self,
        thread: ThreadIndex,
        options: &WriteReadOptions,
    ) -> Result<(Pending, WriteReadResult), Stop> {
        match self.states.remove(thread) {
            Some(_) if *options != WriteReadOptions::default() => {
                Err(ScriptFault::OptionsOfParkedRead(self.cast.name(thread).clone()).into())
            }
            Some(state) => self.await_read(thread, state),
            None => self.write_read(thread, &[], options, options.room(), &WriteExpectation::default()),
        }
    }

    /// The end of a read in which a thread was parked, or that it still is.
    fn await_read(
        &mut self,
        thread: ThreadIndex,
        state: ThreadState,
    ) -> Result<(Pending, WriteReadResult), Stop> {
        match state {
            ThreadState::Woken { pending, finished, .. } => {
                Ok((pending, WriteReadResult::Finished(finished)))
            }
            ThreadState::Parked(pending) => {
                let outcome = self.world.collect(thread)?;
                Ok((pending.clone(), self.ended_or_parked(thread, pending, outcome)?))
            }
            ThreadState::ParkedInCall(_) | ThreadState::Returned { .. } => {
                Err(ScriptFault::Parked(self.cast.name(thread).clone()).into())
            }
            ThreadState::Ended => Err(ScriptFault::Ended(self.cast.name(thread).clone()).into()),
        }
    }

    pub(super) fn ended_or_parked(
        &mut self,
        thread: ThreadIndex,
        pending: Pending,
        outcome: Outcome,
    ) -> Result<WriteReadResult, Stop> {
        match outcome {
            Outcome::Parked => {
                self.states.insert(thread, ThreadState::Parked(pending));
                Ok(WriteReadResult::Parked)
            }
            Outcome::Done(result) => {
                Ok(WriteReadResult::Finished(finish(&mut *self.world, thread, &pending.given, result)?))
            }
        }
    }

    /// Looks which parked threads a step has woken. What came of that is taken down at once, while it is there.
    pub(super) fn wake(&mut self, index: usize, actor: ThreadIndex) -> Result<(), Stop> {
        let others = self.states.iter().filter(|(thread, _)| *thread != actor);
        let parked = others
            .filter(|(_, state)| matches!(state, ThreadState::Parked(_) | ThreadState::ParkedInCall(_)));
        for thread in parked.map(|(thread, _)| thread).collect::<SmallVec<[_; 8]>>() {
            let Outcome::Done(result) = self.world.collect(thread)? else { continue };
            let state = match self.states.remove(thread) {
                Some(ThreadState::Parked(pending)) => {
                    let finished = finish(&mut *self.world, thread, &pending.given, result)?;
                    ThreadState::Woken { pending, finished, by: index }
                }
                Some(ThreadState::ParkedInCall(call)) => {
                    ThreadState::Returned { result: self.call_result(thread, &call, result)? }
                }
                _ => unreachable!("it was found parked above"),
            };
            self.states.insert(thread, state);
            if let Some(record) = self.transcript.steps.last_mut() {
                record.woke.push(self.cast.name(thread).to_string());
            }
        }
        Ok(())
    }

    /// All threads of a process are gone. What they had read, they had.
    pub(super) fn end(&mut self, process: usize) {
        for thread in self.cast.threads(process) {
            let state = self.states.get(thread);
            if !matches!(state, Some(ThreadState::Woken { .. } | ThreadState::Returned { .. })) {
                self.states.insert(thread, ThreadState::Ended);
            }
        }
    }

    pub(super) fn note(&mut self, index: usize, step: &Step, outcome: StepOutcome) {
        self.transcript.steps.push(StepRecord {
            step: index,
            thread: wording::actor(&step.actor),
            script: fragment::step(step),
            outcome,
            woke: Vec::new(),
            races: false,
        });
    }

    /// Takes down what a step that reads or writes came to, and whom it woke.
    pub(super) fn record(
        &mut self,
        index: usize,
        step: &Step,
        thread: ThreadIndex,
        result: &WriteReadResult,
        like: Vec<&ReturnPattern>,
    ) -> Result<(), Stop> {
        let outcome = match result {
            WriteReadResult::Parked => StepOutcome::Parked,
            WriteReadResult::Finished(finished) => StepOutcome::WriteRead(WriteReadRecord {
                errno: finished.errno.map(|errno| errno.to_string()),
                write_consumed: finished.write_consumed,
                read_consumed: finished.read_consumed,
                returns: self.reader(thread).records(&finished.returns, like),
                malformed: finished.malformed.clone(),
            }),
        };
        self.note(index, step, outcome);
        self.wake(index, thread)
    }
}
