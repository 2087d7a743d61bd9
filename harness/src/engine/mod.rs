//! The engine: runs a program on a world and judges what comes of it.
//!
//! It is the same for every target. It encodes commands at concrete addresses, has the world do the system
//! calls, decodes what comes back, and matches that against what the program expects, binding symbols as it
//! goes. What a run did is its [`Transcript`], what it says of the target its [`Verdict`].

mod call;
mod cast;
mod decode;
mod describe;
mod encode;
mod execution;
mod fault;
mod judge;
mod matching;
mod payload;
mod set_up;
mod symbols;
#[cfg(test)]
mod tests;
mod told;
mod transcript;
mod verdict;
mod wording;
mod write_read;

pub use fault::ScriptFault;
pub use transcript::{PayloadRecord, ReturnRecord, StepOutcome, StepRecord, Transcript, WriteReadRecord};
pub use verdict::{Deviation, Verdict};

use serde::{Deserialize, Serialize};

use self::cast::Cast;
use self::execution::{Execution, Stop};
use self::symbols::Symbols;
use crate::program::Program;
use crate::target::{TargetError, Worlds};

/// What came of running a program on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What it says of the target.
    pub verdict: Verdict,
    /// What was done, as far as it was.
    pub transcript: Transcript,
}

impl Run {
    fn without_steps(verdict: Verdict) -> Run {
        Run { verdict, transcript: Transcript::default() }
    }
}

/// Something that the target rests on is missing or refused, so that no program can be run on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetUpError(pub String);

/// Why a program is not about a target, if it is not: that lacks something, or has too much.
pub fn inapplicable(program: &Program, worlds: &dyn Worlds) -> Option<String> {
    let lacking = program.requires.iter().find_map(|feature| worlds.lacks(*feature));
    let had = || program.without.iter().find(|feature| worlds.lacks(**feature).is_none());
    lacking.or_else(|| had().map(|feature| format!("the script is about drivers without {feature}")))
}

/// Runs a program on a fresh world.
pub fn run(program: &Program, worlds: &mut dyn Worlds) -> Result<Run, SetUpError> {
    if let Some(driver) = program.driver.filter(|driver| *driver != worlds.kind()) {
        return Ok(Run::without_steps(Verdict::OtherDriver { driver }));
    }
    if let Some(reason) = inapplicable(program, worlds) {
        return Ok(Run::without_steps(Verdict::Skip { reason }));
    }
    let mut execution = match prepare(program, worlds) {
        Ok(execution) => execution,
        Err(stop) => return Ok(Run::without_steps(verdict(stop)?)),
    };
    let stopped = execution.run().err();
    let (mut transcript, closed) = execution.close();
    let verdict = match (stopped, closed) {
        // What closing has to say after a deviation is no news: processes were stopped half-way.
        (Some(stop), _) => verdict(stop)?,
        (None, Err(error)) => verdict(Stop::Target(error))?,
        (None, Ok(complaints)) => {
            transcript.complaints = complaints;
            match transcript.complaints.first() {
                None => Verdict::Pass,
                Some(complaint) => Verdict::Fail(Deviation {
                    step: None,
                    expected: "a driver with nothing left once every process is gone".to_owned(),
                    came: transcript.complaints.join("\n"),
                    difference: complaint.clone(),
                }),
            }
        }
    };
    Ok(Run { verdict, transcript })
}

/// Opens the world and sets up the processes in it.
fn prepare<'a>(program: &'a Program, worlds: &'a mut dyn Worlds) -> Result<Execution<'a>, Stop> {
    let cast = Cast::of(program)?;
    let specifications = cast.specifications();
    let world = worlds.world(&specifications)?;
    let pids: Vec<i32> = (0..specifications.len()).map(|process| world.pid(process)).collect();
    let symbols = Symbols::of(program, &cast, &pids)?;
    let mut execution = Execution::new(program, cast, symbols, world);
    match execution.set_up() {
        Ok(()) => Ok(execution),
        Err(stop) => {
            // The reason stands, whatever closing says.
            let _ = execution.close();
            Err(stop)
        }
    }
}

fn verdict(stop: Stop) -> Result<Verdict, SetUpError> {
    Ok(match stop {
        Stop::Deviation(deviation) => Verdict::Fail(deviation),
        Stop::Fault(fault) => Verdict::Broken { reason: format!("the script is wrong: {fault}") },
        Stop::SetUp(reason) => Verdict::Broken { reason },
        Stop::Target(TargetError::Unsupported(reason)) => Verdict::Skip { reason },
        Stop::Target(TargetError::Broken(reason)) => Verdict::Broken { reason },
        Stop::Target(TargetError::SetUp(reason)) => return Err(SetUpError(reason)),
    })
}
