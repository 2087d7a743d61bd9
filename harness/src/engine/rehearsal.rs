//! Rehearsals: programs that are made up while they run. A step is done on a world at once, and gets what came of it as
//! its expectation. So a program that has been rehearsed is a whole one, and running it anywhere else compares that
//! place with the one where it was rehearsed.

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::call::CallResult;
use super::execution::{Execution, Stop, ThreadState};
use super::judge::WriteReadResult;
use super::prepare;
use super::write_read::Finished;
use crate::program::*;
use crate::target::{Closing, TargetError, ThreadIndex, Worlds};

/// A usual program has fewer names, of processes, threads, objects and all others together.
const USUAL_NAMES: usize = 56;

/// A program on its way to be made up.
pub(crate) struct Rehearsal<'a> {
    execution: Execution<'a>,
    /// What a number that is a handle is called in each process, whatever it is a handle to at the time.
    handles: FxHashMap<(usize, u32), Name>,
    /// All names that mean something.
    taken: FxHashSet<Name>,
    /// How many names were looked for so far.
    named: usize,
    performed: usize,
}

/// Why a rehearsal cannot go on. Whatever was performed before stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Interrupted {
    /// The target cannot do this, or its own state makes no sense any more.
    #[error("{0}")]
    Target(String),
    /// The step cannot be done: it is at fault.
    #[error("the step cannot be done: {0}")]
    Fault(String),
    /// What came cannot be written as an expectation, as the payload lies where the receiver has no memory.
    #[error("what came cannot be expected: {0}")]
    Unspeakable(String),
    /// What came is nothing that a driver may do: a write that sleeps, or returns that are none.
    #[error("{0}")]
    Malformed(String),
}

impl From<Stop> for Interrupted {
    fn from(stop: Stop) -> Interrupted {
        match stop {
            Stop::Deviation(deviation) => Interrupted::Unspeakable(deviation.difference),
            Stop::Fault(fault) => Interrupted::Fault(fault.to_string()),
            Stop::SetUp(reason) => Interrupted::Target(reason),
            Stop::Target(error) => Interrupted::Target(error.to_string()),
        }
    }
}

impl From<TargetError> for Interrupted {
    fn from(error: TargetError) -> Interrupted {
        Interrupted::Target(error.to_string())
    }
}

impl<'a> Rehearsal<'a> {
    /// Sets up the processes that a program declares. Its steps, if it has any, are only looked at for their names.
    pub(crate) fn begin(
        program: &'a Program,
        worlds: &'a mut dyn Worlds,
    ) -> Result<Rehearsal<'a>, Interrupted> {
        let mut execution = prepare(program, worlds, 0)?;
        execution.set_up()?;
        let taken = program.declarations.iter().map(|noted| match &noted.value {
            Declaration::Process(process) => process.name.clone(),
            Declaration::Thread { name, .. } => name.clone(),
        });
        let mut all = FxHashSet::with_capacity_and_hasher(USUAL_NAMES, FxBuildHasher);
        all.extend(taken);
        Ok(Rehearsal { taken: all, execution, handles: FxHashMap::default(), named: 0, performed: 0 })
    }

    /// Where the thread of this name is.
    pub(crate) fn thread(&self, name: &Name) -> Option<ThreadIndex> {
        self.execution.cast.thread(name).ok()
    }

    /// The name of a thread.
    pub(crate) fn name(&self, thread: ThreadIndex) -> &Name {
        self.execution.cast.name(thread)
    }

    /// Whether a thread can do something new.
    pub(crate) fn is_idle(&self, thread: ThreadIndex) -> bool {
        self.execution.states.get(thread).is_none()
    }

    /// Whether a thread sleeps in a read.
    pub(crate) fn is_parked(&self, thread: ThreadIndex) -> bool {
        matches!(self.execution.states.get(thread), Some(ThreadState::Parked(_)))
    }

    /// Whether any thread sleeps in a read.
    pub(crate) fn has_parked(&self) -> bool {
        self.execution.states.iter().any(|(_, state)| matches!(state, ThreadState::Parked(_)))
    }

    /// Threads whose parked reads have returned, and that nothing has awaited.
    pub(crate) fn woken(&self) -> impl Iterator<Item = ThreadIndex> {
        let states = self.execution.states.iter();
        let woken = states.filter(|(_, state)| matches!(state, ThreadState::Woken { .. }));
        woken.map(|(thread, _)| thread)
    }

    /// Whether a thread is one of these.
    pub(crate) fn is_woken(&self, thread: ThreadIndex) -> bool {
        matches!(self.execution.states.get(thread), Some(ThreadState::Woken { .. }))
    }

    /// Whether a process has, or had, a descriptor for a file.
    pub(crate) fn has_descriptor(&self, process: usize, file: &Name) -> bool {
        self.execution.bindings.descriptor(process, &Descriptor::File(file.clone())).is_ok()
    }

    /// The number of a handle that has a name.
    pub(crate) fn handle_number(&self, name: &Name) -> Option<u32> {
        self.execution.bindings.handle(&Handle::Symbol(name.clone())).ok()
    }

    /// A name that means nothing yet: the one that is preferred, if there is one and it is free.
    pub(crate) fn new_name(&mut self, preferred: Option<Name>, prefix: &'static str) -> Name {
        let mut preferred = preferred;
        loop {
            let name = preferred.take().unwrap_or_else(|| {
                self.named += 1;
                Name::numbered(prefix, self.named)
            });
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Whether a name means something.
    pub(crate) fn is_taken(&self, name: &Name) -> bool {
        self.taken.contains(name)
    }

    /// Does a step of a thread. What it expects is replaced by what came; of the names that it would have given there,
    /// those are kept that are still free. If it is interrupted, nothing is expected of the step that means anything.
    pub(crate) fn perform(&mut self, thread: ThreadIndex, action: &mut Action) -> Result<(), Interrupted> {
        let wishes = Wishes::taken_from(action);
        forget_expectations(action);
        self.execution.symbols.number(thread.process, action);
        let index = self.performed;
        match action {
            Action::Call { call, expected } => {
                let parked = CallExpectation::Parked;
                let result = self.execution.do_call(index, thread, call, &parked)?;
                *expected = match result {
                    CallResult::Failed(errno) => CallExpectation::Fails(errno),
                    CallResult::Succeeded(None) => CallExpectation::Succeeds,
                    CallResult::Succeeded(Some(value)) => CallExpectation::Value(value),
                    CallResult::Polled(events) => CallExpectation::Events(events),
                    CallResult::Told(told) => CallExpectation::Tells(told),
                    CallResult::Parked => CallExpectation::Parked,
                };
            }
            Action::Write { options, commands, written } => {
                self.execution.idle(index, thread)?;
                let (pending, result) = self.execution.write_read(thread, commands, options, 0, written)?;
                let WriteReadResult::Finished(finished) = result else {
                    return Err(Interrupted::Malformed("a write sleeps".to_owned()));
                };
                sound(&finished)?;
                *written = how_written(&finished, pending.given.write_size, false);
            }
            Action::Read { options, expected } => {
                let (pending, result) = self.execution.read(thread, options)?;
                *expected = self.expectation(thread, &result, wishes)?;
                let judged = self.execution.judge_and_bind(thread, &pending, Some(expected), &result)?;
                judged.map_err(|difference| Interrupted::Unspeakable(difference.difference))?;
            }
            Action::WriteRead { options, commands, written, expected } => {
                self.execution.idle(index, thread)?;
                let (mut pending, result) =
                    self.execution.write_read(thread, commands, options, options.room(), written)?;
                if let WriteReadResult::Finished(finished) = &result {
                    *written = how_written(finished, pending.given.write_size, true);
                    pending.written = written.clone();
                }
                *expected = match written.errno {
                    Some(_) => None,
                    None => Some(self.expectation(thread, &result, wishes)?),
                };
                let judged = self.execution.judge_and_bind(thread, &pending, expected.as_ref(), &result)?;
                judged.map_err(|difference| Interrupted::Unspeakable(difference.difference))?;
            }
        }
        self.execution.wake(index, thread)?;
        self.performed += 1;
        Ok(())
    }

    /// Ends all processes, and says what is left of them.
    pub(crate) fn close(self) -> Result<Closing, TargetError> {
        self.execution.close().1
    }

    /// What came of a read, as what is expected of it.
    fn expectation(
        &mut self,
        thread: ThreadIndex,
        result: &WriteReadResult,
        mut wishes: Wishes,
    ) -> Result<ReadExpectation, Interrupted> {
        let finished = match result {
            WriteReadResult::Parked => return Ok(ReadExpectation::Parked),
            WriteReadResult::Finished(finished) => finished,
        };
        sound(finished)?;
        if let Some(errno) = finished.errno {
            return Ok(ReadExpectation::Failed { errno, consumed: Some(finished.read_consumed) });
        }
        let reader = self.execution.reader(thread);
        let mut patterns = reader.described(&finished.returns, wishes.expected.patterns());
        for arrival in patterns.iter_mut().filter_map(ReturnPattern::arrival_mut) {
            self.name_handles(thread.process, &mut arrival.data, &mut wishes);
            arrival.capture = Some(self.new_name(wishes.buffers.pop(), "b"));
        }
        Ok(ReadExpectation::Returns(patterns.into_iter().map(ReturnItem::One).collect()))
    }

    /// Names the handles in what a process has received.
    fn name_handles(&mut self, process: usize, items: &mut PayloadPattern, wishes: &mut Wishes) {
        for item in items {
            let mut item = item;
            while let DataItem::At(_, inner) = item {
                item = &mut **inner;
            }
            let DataItem::Object(Object::Handle { handle, .. }) = item else { continue };
            let number = match handle {
                HandlePattern::Is(Handle::Number(number)) if *number != 0 => *number,
                _ => continue,
            };
            let wish = wishes.handles.pop();
            *handle = match self.handles.get(&(process, number)) {
                Some(known) => HandlePattern::Is(Handle::Symbol(known.clone())),
                None => {
                    let name = self.new_name(wish, "h");
                    self.handles.insert((process, number), name.clone());
                    HandlePattern::Bind(name)
                }
            };
        }
    }
}

/// What was expected of a read, and the names that this would have given, the first one last.
struct Wishes {
    handles: Vec<Name>,
    buffers: Vec<Name>,
    expected: ReadExpectation,
}

impl Wishes {
    fn taken_from(action: &mut Action) -> Wishes {
        let expected = match action {
            Action::Read { expected, .. } | Action::WriteRead { expected: Some(expected), .. } => {
                std::mem::replace(expected, ReadExpectation::Parked)
            }
            _ => ReadExpectation::Parked,
        };
        let (mut handles, mut buffers) = (Vec::new(), Vec::new());
        expected.visit(&mut |pattern| {
            let Some(arrival) = pattern.arrival() else { return };
            buffers.extend(arrival.capture.clone());
            for item in &arrival.data {
                if let DataItem::Object(Object::Handle {
                    handle: HandlePattern::Bind(name) | HandlePattern::Is(Handle::Symbol(name)),
                    ..
                }) = item.without_place()
                {
                    handles.push(name.clone());
                }
            }
        });
        handles.reverse();
        buffers.reverse();
        Wishes { handles, buffers, expected }
    }
}

/// What an action expects may speak of names that mean nothing here.
fn forget_expectations(action: &mut Action) {
    match action {
        Action::Write { written, .. } => *written = WriteExpectation::default(),
        Action::Read { expected, .. } => *expected = ReadExpectation::Parked,
        Action::WriteRead { written, expected, .. } => {
            *written = WriteExpectation::default();
            *expected = Some(ReadExpectation::Parked);
        }
        Action::Call { expected, .. } => *expected = CallExpectation::Succeeds,
    }
}

fn sound(finished: &Finished) -> Result<(), Interrupted> {
    match &finished.malformed {
        None => Ok(()),
        Some(malformed) => Err(Interrupted::Malformed(malformed.clone())),
    }
}

/// How the writing of so many bytes has ended. An error with everything written is that of the reading, if there is one.
fn how_written(finished: &Finished, write_size: u64, reads: bool) -> WriteExpectation {
    let consumed = finished.write_consumed;
    match finished.errno {
        Some(errno) if !(reads && consumed == write_size) => {
            WriteExpectation { errno: Some(errno), consumed: Some(consumed) }
        }
        _ => WriteExpectation { errno: None, consumed: (consumed != write_size).then_some(consumed) },
    }
}
