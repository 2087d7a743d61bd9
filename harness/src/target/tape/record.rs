//! Recorders: worlds that note what they are asked and what they answer.

use reference_driver::uapi::Errno;

use super::cut::cut;
use crate::engine::{self, Run, SetUpError, Verdict};
use crate::program::{Counter, DriverKind, Feature, Program};
use crate::target::{
    Closing, DescriptorState, Outcome, ProcessSpecification, Racer, SystemCall, TargetError, ThreadIndex,
    World, Worlds,
};

/// Runs a program, and gives what came of it with the tape of that, if there can be one: where all was as expected, and
/// nothing was done that is not put on tapes.
pub fn record(program: &Program, worlds: &mut dyn Worlds) -> Result<(Run, Option<Vec<u8>>), SetUpError> {
    let mut recorder = Recorder { worlds, recording: Recording::default() };
    let run = engine::run(program, &mut recorder)?;
    let is_as_expected = run.verdict == Verdict::Pass && run.transcript.complaints.is_empty();
    let tape = is_as_expected.then(|| cut(program, &recorder.recording)).and_then(Result::ok);
    Ok((run, tape))
}

/// What a world was asked and has answered.
#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) processes: Vec<ProcessSpecification>,
    /// The ids of the processes.
    pub(super) pids: Vec<i32>,
    pub(super) entries: Vec<Entry>,
}

/// A question to a world with its answer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most entries are calls")]
pub(super) enum Entry {
    Called {
        thread: ThreadIndex,
        call: SystemCall,
        outcome: Outcome,
    },
    Collected {
        thread: ThreadIndex,
        outcome: Outcome,
    },
    Signalled {
        thread: ThreadIndex,
        result: Result<(), Errno>,
    },
    Read {
        process: usize,
        address: u64,
        bytes: Option<Vec<u8>>,
    },
    Descriptor {
        process: usize,
        number: u32,
        state: Option<DescriptorState>,
    },
    Counted {
        process: usize,
        counter: Counter,
        count: u64,
    },
    /// What a security module calls a process.
    SecurityContext(Option<Vec<u8>>),
    /// What is not put on tapes.
    Other(&'static str),
}

/// Notes what happens in all of its worlds.
pub(super) struct Recorder<'a> {
    pub(super) worlds: &'a mut dyn Worlds,
    pub(super) recording: Recording,
}

impl Worlds for Recorder<'_> {
    fn name(&self) -> String {
        self.worlds.name()
    }

    fn driver(&self) -> Option<String> {
        self.worlds.driver()
    }

    fn kind(&self) -> DriverKind {
        self.worlds.kind()
    }

    fn lacks(&self, feature: Feature) -> Option<String> {
        self.worlds.lacks(feature)
    }

    fn world(&mut self, processes: &[ProcessSpecification]) -> Result<Box<dyn World + '_>, TargetError> {
        let world = self.worlds.world(processes)?;
        let recording = &mut self.recording;
        recording.processes = processes.to_vec();
        recording.pids = (0..processes.len()).map(|process| world.pid(process)).collect();
        Ok(Box::new(Recorded { world, recording }))
    }
}

/// A world of which all is noted.
struct Recorded<'a> {
    world: Box<dyn World + 'a>,
    recording: &'a mut Recording,
}

impl Recorded<'_> {
    fn note(&mut self, entry: Entry) {
        self.recording.entries.push(entry);
    }
}

impl World for Recorded<'_> {
    fn call(&mut self, thread: ThreadIndex, call: SystemCall) -> Result<Outcome, TargetError> {
        let outcome = self.world.call(thread, call.clone())?;
        self.note(Entry::Called { thread, call, outcome });
        Ok(outcome)
    }

    fn race(&mut self, racers: Vec<Racer>) -> Result<Vec<Outcome>, TargetError> {
        self.note(Entry::Other("a race"));
        self.world.race(racers)
    }

    fn collect(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError> {
        let outcome = self.world.collect(thread)?;
        self.note(Entry::Collected { thread, outcome });
        Ok(outcome)
    }

    fn expire(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError> {
        self.note(Entry::Other("time that passes"));
        self.world.expire(thread)
    }

    fn signal(&mut self, thread: ThreadIndex) -> Result<Result<(), Errno>, TargetError> {
        let result = self.world.signal(thread)?;
        self.note(Entry::Signalled { thread, result });
        Ok(result)
    }

    fn read_memory(
        &mut self,
        process: usize,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError> {
        let bytes = self.world.read_memory(process, address, length)?;
        self.note(Entry::Read { process, address, bytes: bytes.clone() });
        Ok(bytes)
    }

    fn look_at_memory(
        &mut self,
        process: usize,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<bool, TargetError> {
        let is_there = self.world.look_at_memory(process, address, bytes)?;
        self.note(Entry::Read { process, address, bytes: is_there.then(|| bytes.to_vec()) });
        Ok(is_there)
    }

    fn descriptor(&mut self, process: usize, number: u32) -> Result<Option<DescriptorState>, TargetError> {
        let state = self.world.descriptor(process, number)?;
        self.note(Entry::Descriptor { process, number, state });
        Ok(state)
    }

    fn pid(&self, process: usize) -> i32 {
        self.world.pid(process)
    }

    fn security_context(&mut self, process: usize) -> Result<Option<Vec<u8>>, TargetError> {
        let context = self.world.security_context(process)?;
        self.note(Entry::SecurityContext(context.clone()));
        Ok(context)
    }

    fn count(&mut self, process: usize, counter: Counter) -> Result<u64, TargetError> {
        let count = self.world.count(process, counter)?;
        self.note(Entry::Counted { process, counter, count });
        Ok(count)
    }

    fn has_reached_elsewhere(&self) -> bool {
        self.world.has_reached_elsewhere()
    }

    fn close(mut self: Box<Self>) -> Result<Closing, TargetError> {
        // Those who play may share one address space, where there is something.
        if self.has_reached_elsewhere() {
            self.note(Entry::Other("a look at what another process may have"));
        }
        self.world.close()
    }
}
