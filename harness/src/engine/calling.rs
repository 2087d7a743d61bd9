//! Calling: a call other than BINDER_WRITE_READ on its way, from its step to what came of it.

use super::call::{self, CallResult, Means};
use super::execution::{Execution, Stop, ThreadState};
use super::fault::ScriptFault;
use super::judge::{Difference, judge_call};
use super::symbols::KnownProcess;
use super::{told, wording};
use crate::program::{Call, CallExpectation, Errno, Feature, Step, Told};
use crate::target::{Answer, Area, Outcome, ThreadIndex};

impl Execution<'_> {
    /// Does a call, and judges what came of it.
    pub(super) fn call(
        &mut self,
        index: usize,
        step: &Step,
        thread: ThreadIndex,
        call: &Call,
        expected: &CallExpectation,
    ) -> Result<Result<(), Difference>, Stop> {
        let result = self.do_call(index, thread, call, expected)?;
        self.note(index, step, wording::call_outcome(&result));
        self.wake(index, thread)?;
        Ok(judge_call(expected, &result, &self.symbols))
    }

    /// Does a call, or awaits one.
    pub(super) fn do_call(
        &mut self,
        index: usize,
        thread: ThreadIndex,
        call: &Call,
        expected: &CallExpectation,
    ) -> Result<CallResult, Stop> {
        let result = match call::means(call, thread, &self.cast, &self.symbols, &self.bindings)? {
            Means::Await => self.await_call(thread, expected)?,
            Means::Count(counter) => {
                self.idle(index, thread)?;
                CallResult::Succeeded(Some(self.world.count(thread.process, counter)? as i64))
            }
            Means::Signal(target) => {
                self.idle(index, thread)?;
                match self.world.signal(target)? {
                    Ok(()) => CallResult::Succeeded(None),
                    Err(errno) => CallResult::Failed(errno),
                }
            }
            Means::System(system_call) => {
                self.idle(index, thread)?;
                let outcome = self.world.call(thread, system_call)?;
                self.end_of_call(thread, call, expected, outcome)?
            }
        };
        if *call == Call::Exit {
            self.end(thread.process);
        }
        Ok(result)
    }

    /// The end of a call in which a thread was parked, or that it still is.
    fn await_call(&mut self, thread: ThreadIndex, expected: &CallExpectation) -> Result<CallResult, Stop> {
        match self.states.remove(thread) {
            Some(ThreadState::Returned { result }) => Ok(result),
            Some(ThreadState::ParkedInCall(call)) => {
                let outcome = self.world.collect(thread)?;
                self.end_of_call(thread, &call, expected, outcome)
            }
            Some(ThreadState::Parked(_) | ThreadState::Woken { .. }) | None => {
                Err(ScriptFault::NotInCall(self.cast.name(thread).clone()).into())
            }
            Some(ThreadState::Ended) => Err(ScriptFault::Ended(self.cast.name(thread).clone()).into()),
        }
    }

    /// What came of a call. Where it sleeps and is not meant to be left at that, time passes first.
    pub(super) fn end_of_call(
        &mut self,
        thread: ThreadIndex,
        call: &Call,
        expected: &CallExpectation,
        mut outcome: Outcome,
    ) -> Result<CallResult, Stop> {
        if outcome == Outcome::Parked && call.may_sleep() && !expected.may_park() {
            outcome = self.world.expire(thread)?;
        }
        match outcome {
            Outcome::Parked => {
                self.states.insert(thread, ThreadState::ParkedInCall(call.clone()));
                Ok(CallResult::Parked)
            }
            Outcome::Done(result) => self.call_result(thread, call, result),
        }
    }

    /// What a call returned, with what it tells where its argument was.
    pub(super) fn call_result(
        &mut self,
        thread: ThreadIndex,
        call: &Call,
        result: Result<Answer, Errno>,
    ) -> Result<CallResult, Stop> {
        match result {
            Err(errno) => return Ok(CallResult::Failed(errno)),
            Ok(Answer::Events(events)) => return Ok(CallResult::Polled(events)),
            Ok(Answer::Scheduling(told)) => return Ok(CallResult::Told(Told::Scheduling(told))),
            Ok(Answer::Report(report)) => {
                return Ok(CallResult::Told(told::report(&report, &self.cast, &self.symbols)));
            }
            Ok(Answer::Nice(nice)) => return Ok(CallResult::Succeeded(Some(nice.into()))),
            Ok(Answer::Number(number)) => return Ok(CallResult::Succeeded(Some(number))),
            Ok(Answer::Success) => {
                if let Call::Fork(child) = call {
                    self.introduce(thread.process, self.cast.process(child)?)?;
                }
            }
            Ok(answer) => {
                self.bind_descriptors(thread.process, call, answer);
                return Ok(CallResult::Succeeded(None));
            }
        }
        let address = Area::Argument.addresses(thread).start;
        if call::gives_number(call) {
            let bytes = self.world.read_memory(thread.process, address, 4)?;
            let number = bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            return Ok(CallResult::Succeeded(number.map(i64::from)));
        }
        if let Some(size) = told::size(call)
            && let Some(bytes) = self.world.read_memory(thread.process, address, size)?
            && let Some(told) = told::read(call, &bytes, thread.process, &self.symbols)
        {
            return Ok(CallResult::Told(told));
        }
        Ok(CallResult::Succeeded(None))
    }

    /// Keeps the numbers of descriptors that a call has made.
    fn bind_descriptors(&mut self, process: usize, call: &Call, answer: Answer) {
        match (call, answer) {
            (Call::Memfd(file) | Call::Dup(file), Answer::Descriptor(number)) => {
                self.bindings.bind_descriptor(process, file.clone(), number);
            }
            (Call::Pipe { reading, writing }, Answer::Pipe { reading: to_read, writing: to_write }) => {
                self.bindings.bind_descriptor(process, reading.clone(), to_read);
                self.bindings.bind_descriptor(process, writing.clone(), to_write);
            }
            _ => {}
        }
    }

    /// A process has been forked, and is known from here on.
    fn introduce(&mut self, parent: usize, child: usize) -> Result<(), Stop> {
        let is_told_contexts = self.program.requires.contains(&Feature::Lsm);
        let context = is_told_contexts.then(|| self.world.security_context(child)).transpose()?;
        let known = KnownProcess { pid: self.world.pid(child), security_context: context.flatten() };
        self.symbols.introduce(child, known);
        self.bindings.fork(parent, child);
        Ok(())
    }
}
