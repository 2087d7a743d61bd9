//! Oracles: what must hold of any program whatever, so that what a fuzzer makes up can be judged though nobody wrote down
//! what it must do.
//!
//! [`examine`] judges a settled program by itself: whether the model was sound ([`Violation::Audit`]), whether laws of
//! the protocol hold in its [history](History), and whether a [count of references](counting) that was made apart from
//! the model agrees with it. [`compare`] is the other oracle, and the strongest: another driver must do the same.

mod counting;
mod fates;
mod history;
mod laws;
#[cfg(test)]
mod tests;

pub use counting::Coverage;

use crate::engine::{Deviation, Verdict};
use crate::generate::{Fault, Settled};
use crate::program::Program;
use crate::script::{parse, print};
use crate::target::{ReferenceTarget, Target};
use history::History;
use reference_driver::Profile;

/// How a law was broken, and in which step of the program, from 0, as far as it was in one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The state of the model made no sense behind the last step.
    #[error("the driver's state makes no sense behind step {step}: {complaint}")]
    Audit {
        /// How many steps there were.
        step: usize,
        /// What makes none.
        complaint: String,
    },
    /// The model fell over.
    #[error("the driver panics in step {step}: {complaint}")]
    Panic {
        /// In which step.
        step: usize,
        /// What the panic says.
        complaint: String,
    },
    /// What the model did is nothing that a driver may do.
    #[error("step {step}: {complaint}")]
    Malformed {
        /// In which step.
        step: usize,
        /// What it did.
        complaint: String,
    },
    /// Something is left though all processes have ended.
    #[error("{0}")]
    Left(String),
    /// A step could not be done or told: a mistake of the harness.
    #[error("the harness cannot go on behind step {step}: {complaint}")]
    Harness {
        /// How many steps there were.
        step: usize,
        /// Why.
        complaint: String,
    },
    /// The script of the program is not read as the program.
    #[error("the program is not what its script says: {0}")]
    Script(String),
    /// Run again, the program did something else.
    #[error("run again it did something else: {0}")]
    Replay(String),
    /// A thread was given an answer to a call that it had not made, or to one that had been answered.
    #[error("step {step}: `{thread}` is given an answer to nothing")]
    AnswerToNothing {
        /// In which step.
        step: usize,
        /// To whom.
        thread: String,
    },
    /// A transaction arrived that nobody had sent, or that had arrived.
    #[error("step {step}: what arrives with code {code} was not sent, or has arrived before")]
    ArrivedTwice {
        /// In which step.
        step: usize,
        /// Its code.
        code: u32,
    },
    /// A oneway message overtook another one to its node.
    #[error("step {step}: the message with code {code} has overtaken the one with code {overtaken}")]
    Overtaken {
        /// In which step.
        step: usize,
        /// Its code.
        code: u32,
        /// The code of the one that was sent before.
        overtaken: u32,
    },
    /// A oneway message arrived while one to the same node had not been freed.
    #[error("step {step}: the message with code {code} arrives before `{held}` is freed")]
    NotHeldBack {
        /// In which step.
        step: usize,
        /// Its code.
        code: u32,
        /// The buffer of the other one.
        held: String,
    },
    /// An owner was asked to keep what it keeps, or told to let go of what it does not.
    #[error("step {step}: {told} of {node} once more")]
    ToldTwice {
        /// In which step.
        step: usize,
        /// The return.
        told: &'static str,
        /// The node.
        node: String,
    },
    /// A process was told of a death, of a freeze or that a request is cleared, and no request of this cookie was left of
    /// which that could be told.
    #[error("step {step}: {told} of {cookie}, for which nobody asks")]
    NotAskedFor {
        /// In which step.
        step: usize,
        /// The return.
        told: &'static str,
        /// The cookie.
        cookie: String,
    },
    /// An owner was told to let go of an object that somebody holds.
    #[error("step {step}: {told} of {node}, which {holder} still holds")]
    HeldStill {
        /// In which step.
        step: usize,
        /// The return.
        told: &'static str,
        /// The object.
        node: String,
        /// Who holds it.
        holder: String,
    },
    /// An owner was asked to keep an object that nobody holds.
    #[error("step {step}: {told} of {node}, which nobody holds")]
    HeldByNobody {
        /// In which step.
        step: usize,
        /// The return.
        told: &'static str,
        /// The object.
        node: String,
    },
    /// An owner sleeps that should have been told to let go of an object.
    #[error("step {step}: `{thread}` sleeps, and {owed} of {node} is owed")]
    NeverTold {
        /// In which step.
        step: usize,
        /// Who sleeps.
        thread: String,
        /// The return that is owed.
        owed: &'static str,
        /// The object.
        node: String,
    },
    /// A handle stands for another number than it should.
    #[error("step {step}: an object arrives as `{came}`, and should as {expected}")]
    WrongHandle {
        /// In which step.
        step: usize,
        /// What it arrived as.
        came: String,
        /// What was counted.
        expected: String,
    },
    /// Another driver did something else.
    #[error("{target} does something else: {}", .deviation.difference)]
    Differs {
        /// What was run.
        target: String,
        /// What it did.
        deviation: Deviation,
    },
}

/// A law: a name, and whether it holds in a history.
type Law = (&'static str, fn(&History<'_>) -> Result<(), Violation>);

/// The laws that hold in every history.
const LAWS: [Law; 5] = [
    ("each call is answered once", laws::each_call_is_answered_once),
    ("what is sent arrives once", laws::what_is_sent_arrives_once),
    ("messages to a node keep their order", laws::messages_keep_their_order),
    ("owners are told of changes", laws::owners_are_told_of_changes),
    ("notifications are asked for", laws::notifications_are_asked_for),
];

/// Judges a settled program by itself. The first law that does not hold is told.
pub fn examine(settled: &Settled, profile: &Profile) -> Result<(), Violation> {
    sound(settled)?;
    let history = History::of(&settled.program);
    laws_hold(&history)?;
    if *profile != Profile::RUST {
        counting::check(&history)?;
    }
    Ok(())
}

/// Judges also what does not concern a driver, and takes longer: that the script of a program is read as the program, and
/// that it does the same each time it is run.
pub fn examine_thoroughly(settled: &Settled, profile: &Profile) -> Result<(), Violation> {
    examine(settled, profile)?;
    if settled.program.steps.is_empty() {
        return Ok(());
    }
    reads_as_printed(&settled.program)?;
    replays(&settled.program, profile)
}

/// How much of a program was counted by the count of references.
pub fn coverage(program: &Program) -> Coverage {
    counting::coverage(program)
}

/// Whether another model of the driver does the same as the one that the program was settled on.
pub fn compare(program: &Program, other: &Profile) -> Result<(), Violation> {
    let mut target = ReferenceTarget::new(other.clone());
    let name = Target::name(&target);
    match target.run(program).map(|run| run.verdict) {
        Ok(Verdict::Fail(deviation)) => Err(Violation::Differs { target: name, deviation }),
        Ok(Verdict::Broken { reason }) => {
            Err(Violation::Audit { step: program.steps.len(), complaint: reason })
        }
        _ => Ok(()),
    }
}

/// Whether the laws hold in what happened.
fn laws_hold(history: &History<'_>) -> Result<(), Violation> {
    LAWS.iter().try_for_each(|(_, law)| law(history))
}

/// The model was sound all the time, and nothing is left of it.
fn sound(settled: &Settled) -> Result<(), Violation> {
    let step = settled.program.steps.len();
    match &settled.fault {
        // What a driver has no memory for cannot be expected; there are scripts of which that is true.
        None | Some(Fault::Unspeakable(_)) => Ok(()),
        Some(Fault::Audit(complaint)) => Err(Violation::Audit { step, complaint: complaint.clone() }),
        Some(Fault::Panic(complaint)) => {
            Err(Violation::Panic { step: step.saturating_sub(1), complaint: complaint.clone() })
        }
        Some(Fault::Malformed(complaint)) => {
            Err(Violation::Malformed { step: step.saturating_sub(1), complaint: complaint.clone() })
        }
        Some(Fault::Left(what)) => Err(Violation::Left(what.clone())),
        Some(Fault::Step(complaint)) => Err(Violation::Harness { step, complaint: complaint.clone() }),
    }
}

/// The script of a program is read as this program.
fn reads_as_printed(program: &Program) -> Result<(), Violation> {
    let text = print(program);
    match parse(text.as_bytes()) {
        Err(diagnostics) => Err(Violation::Script(diagnostics.render("printed", false))),
        Ok(script) if script.program != *program => Err(Violation::Script("it differs".to_owned())),
        Ok(_) => Ok(()),
    }
}

/// The program does what it expects, and does the same once more.
fn replays(program: &Program, profile: &Profile) -> Result<(), Violation> {
    let mut runs = (0..2).map(|_| ReferenceTarget::new(profile.clone()).run(program));
    let (Some(Ok(first)), Some(Ok(second))) = (runs.next(), runs.next()) else {
        return Err(Violation::Replay("it cannot be run".to_owned()));
    };
    match &first.verdict {
        // Where it ends before its end, reads may not have been awaited.
        Verdict::Pass | Verdict::Fail(Deviation { step: None, .. }) => {}
        Verdict::Fail(deviation) => return Err(Violation::Replay(deviation.difference.clone())),
        verdict => return Err(Violation::Replay(format!("{verdict:?}"))),
    }
    match first == second {
        true => Ok(()),
        false => Err(Violation::Replay("two runs differ".to_owned())),
    }
}
