//! The engine: runs a program on a world and judges what comes of it.
//!
//! It is the same for every target. It encodes commands at concrete addresses, has the world do the system
//! calls, decodes what comes back, and matches that against what the program expects, binding symbols as it
//! goes. What a run did is its [`Transcript`], what it says of the target its [`Verdict`].

mod appearance;
mod bindings;
mod call;
mod calling;
mod cast;
mod decode;
mod describe;
mod encode;
mod execution;
mod fault;
mod judge;
mod matching;
mod objects;
pub(crate) mod payload;
mod per_thread;
mod race;
mod rehearsal;
mod set_up;
mod symbols;
#[cfg(test)]
mod tests;
mod told;
mod transcript;
mod verdict;
mod wording;
mod write_read;

pub(crate) use encode::size_of_buffers;
pub use fault::ScriptFault;
pub(crate) use payload::{USUAL_BINDER_FLAGS, buffer_flags, objects};
pub(crate) use rehearsal::{Interrupted, Rehearsal};
pub(crate) use symbols::{Chosen, chosen};
pub use transcript::{PayloadRecord, ReturnRecord, StepOutcome, StepRecord, Transcript, WriteReadRecord};
pub use verdict::{Deviation, Verdict};

use serde::{Deserialize, Serialize};

use self::cast::Cast;
use self::execution::{Execution, Stop};
use self::symbols::{KnownProcess, Symbols};
use crate::program::{Feature, Program};
use crate::target::{Closing, TargetError, Worlds};

/// What came of running a program on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What it says of the target.
    pub verdict: Verdict,
    /// What was done, as far as it was.
    pub transcript: Transcript,
    /// How often the program was run, of as often as a race asks for.
    pub runs: u32,
    /// What the kernel's log had in the run, unless all was as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl Run {
    /// One in which nothing was done.
    pub fn without_steps(verdict: Verdict) -> Run {
        Run { verdict, transcript: Transcript::default(), runs: 0, log: Vec::new() }
    }

    /// The same, but for a kernel that has complained of this, and has had that in its log.
    pub fn but_for(&self, complaints: Vec<String>, log: Vec<String>) -> Run {
        let complaints: Vec<String> = complaints.iter().map(|line| complained(line)).collect();
        let mut run = self.clone();
        run.transcript.complaints.extend(complaints.iter().cloned());
        run.verdict = judge_complaints(run.verdict, complaints);
        run.log = shortened(log);
        run
    }

    /// The same, but for something that is left once every process is gone.
    pub fn leaving(&self, left: Vec<String>) -> Run {
        let mut run = self.clone();
        if run.verdict == Verdict::Pass {
            run.verdict = judge_closing(&left);
        }
        run.transcript.complaints.extend(left);
        run
    }
}

/// Something that the target rests on is missing or refused, so that no program can be run on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetUpError(pub String);

/// A thread that runs programs: with a stack as large as the first thread of a process has.
pub(crate) fn thread() -> std::thread::Builder {
    std::thread::Builder::new().stack_size(8 << 20)
}

/// Why a program is not about a target, if it is not: that lacks something, or has too much.
pub fn inapplicable(program: &Program, worlds: &dyn Worlds) -> Option<String> {
    let lacking = program.requires.iter().find_map(|feature| worlds.lacks(*feature));
    let had = || program.without.iter().find(|feature| worlds.lacks(**feature).is_none());
    lacking.or_else(|| had().map(|feature| format!("the script is about drivers without {feature}")))
}

/// Runs a program on a fresh world; one with a race as often as that says, each time on a world of its own, until
/// something is not as expected.
pub fn run(program: &Program, worlds: &mut dyn Worlds) -> Result<Run, SetUpError> {
    if let Some(driver) = program.driver.filter(|driver| *driver != worlds.kind()) {
        return Ok(Run::without_steps(Verdict::OtherDriver { driver }));
    }
    if let Some(reason) = inapplicable(program, worlds) {
        return Ok(Run::without_steps(Verdict::Skip { reason }));
    }
    let Some(race) = program.race() else { return run_once(program, worlds, 0) };
    for repetition in 1..race.times {
        let run = run_once(program, worlds, repetition)?;
        if run.verdict != Verdict::Pass {
            return Ok(race::told(run, race, repetition));
        }
    }
    let run = run_once(program, worlds, race.times)?;
    Ok(race::told(run, race, race.times))
}

/// Runs a program once on a fresh world.
fn run_once(program: &Program, worlds: &mut dyn Worlds, repetition: u32) -> Result<Run, SetUpError> {
    let mut execution = match prepare(program, worlds, repetition) {
        Ok(execution) => execution,
        Err(stop) => return Ok(Run::without_steps(verdict(stop)?)),
    };
    let stopped = execution.set_up().and_then(|()| execution.run()).err();
    let (mut transcript, closed) = execution.close();
    let Closing { left, complaints, log } = match (&stopped, closed) {
        // What is left after a deviation is no news: processes were stopped half-way.
        (Some(_), Ok(closing)) => Closing { left: Vec::new(), ..closing },
        (None, Ok(closing)) => closing,
        // The reason to stop stands, whatever closing says.
        (Some(_), Err(_)) => Closing::default(),
        (None, Err(error)) => {
            let verdict = verdict(Stop::Target(error))?;
            return Ok(Run { verdict, transcript, runs: 1, log: Vec::new() });
        }
    };
    let judged = match stopped {
        Some(stop) => verdict(stop)?,
        None => judge_closing(&left),
    };
    let complaints: Vec<String> = complaints.iter().map(|line| complained(line)).collect();
    transcript.complaints = left.into_iter().chain(complaints.clone()).collect();
    let verdict = judge_complaints(judged, complaints);
    let log = if verdict == Verdict::Pass { Vec::new() } else { shortened(log) };
    Ok(Run { verdict, transcript, runs: 1, log })
}

/// A line in which a kernel complains, as it is told.
fn complained(line: &str) -> String {
    format!("the kernel complains: {line}")
}

/// A kernel's log with as many lines as people read.
fn shortened(mut log: Vec<String>) -> Vec<String> {
    const MOST: usize = 500;
    if let Some(more @ 1..) = log.len().checked_sub(MOST) {
        log.truncate(MOST);
        log.push(format!("… {more} lines more"));
    }
    log
}

/// What it says of a driver that this is left once every process is gone.
fn judge_closing(left: &[String]) -> Verdict {
    let Some(first) = left.first() else { return Verdict::Pass };
    Verdict::Fail(Deviation {
        step: None,
        expected: "a driver with nothing left once every process is gone".to_owned(),
        came: left.join("\n"),
        difference: first.clone(),
    })
}

/// A kernel that complains of itself is at fault, whatever else there is to say. It is not taken for one that deviates
/// as it is known to, either, since what came is more.
fn judge_complaints(judged: Verdict, complaints: Vec<String>) -> Verdict {
    let Some(first) = complaints.first().cloned() else { return judged };
    let (step, expected, before, difference) = match judged {
        Verdict::Fail(Deviation { step, expected, came, difference }) => {
            (step, expected, Some(came), difference)
        }
        Verdict::Broken { reason } | Verdict::Skip { reason } => (None, String::new(), Some(reason), first),
        Verdict::Pass
        | Verdict::KnownDeviation { .. }
        | Verdict::UnexpectedPass { .. }
        | Verdict::OtherDriver { .. } => (None, String::new(), None, first),
    };
    let expected =
        if expected.is_empty() { "a kernel with nothing to complain of".to_owned() } else { expected };
    let came: Vec<String> = before.into_iter().chain(complaints).collect();
    Verdict::Fail(Deviation { step, expected, came: came.join("\n"), difference })
}

/// Opens the world.
fn prepare<'a>(
    program: &'a Program,
    worlds: &'a mut dyn Worlds,
    repetition: u32,
) -> Result<Execution<'a>, Stop> {
    let cast = Cast::of(program)?;
    let specifications = cast.specifications();
    let mut world = worlds.world(&specifications)?;
    let is_told_contexts = program.requires.contains(&Feature::Lsm);
    let processes: Vec<KnownProcess> = (0..specifications.len())
        .map(|process| {
            // One that is not there yet is made known when it is.
            let is_told_contexts = is_told_contexts && !specifications[process].forked;
            let context = is_told_contexts.then(|| world.security_context(process)).transpose()?;
            Ok(KnownProcess { pid: world.pid(process), security_context: context.flatten() })
        })
        .collect::<Result<_, TargetError>>()?;
    let symbols = Symbols::of(program, &cast, processes)?;
    Ok(Execution::new(program, repetition, cast, &specifications, symbols, world))
}

fn verdict(stop: Stop) -> Result<Verdict, SetUpError> {
    Ok(match stop {
        Stop::Deviation(deviation) => Verdict::Fail(deviation),
        Stop::Fault(fault) => Verdict::Broken { reason: format!("the script is wrong: {fault}") },
        Stop::SetUp(reason) => Verdict::Broken { reason },
        Stop::Target(TargetError::Unsupported(reason)) => Verdict::Skip { reason },
        Stop::Target(TargetError::SetUp(reason)) => return Err(SetUpError(reason)),
        Stop::Target(error) => Verdict::Broken { reason: error.to_string() },
    })
}
