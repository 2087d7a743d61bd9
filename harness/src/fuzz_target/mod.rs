//! Fuzz targets: what a coverage-guided engine needs of us. What it begins with, how it changes an input, and what an input
//! shows. The crate in `fuzz/` hands this to libFuzzer and has nothing of its own.
//!
//! An input is a script, or else any bytes, out of which a program is made. Which driver is modelled is in the script.

mod dictionary;
mod known_scripts;
mod seeds;

pub use dictionary::dictionary;
pub use seeds::{Seed, file_name};

use std::hash::Hasher;
use std::panic::catch_unwind;
use std::rc::Rc;

use arbitrary::Unstructured;
use reference_driver::Profile;
use rustc_hash::FxHasher;

use crate::generate::{
    Emphasis, Input, Settled, Stage, USUAL_STEPS, bytes_of_seed, cross_over, mutate, raw_write_read,
};
use crate::oracle::{self, Violation};
use crate::program::{DriverKind, Program};
use crate::script::{parse, print};
use crate::target::Audits;

/// What an engine fuzzes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumString, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum FuzzTarget {
    /// Programs of [`Emphasis::CommandStreams`].
    CommandStream,
    /// Programs of [`Emphasis::ReferenceCounts`].
    Refcount,
    /// Programs of [`Emphasis::MalformedTransactions`].
    MalformedTransaction,
    /// Any bytes as the write buffer of a BINDER_WRITE_READ.
    RawWriteRead,
    /// The parser and the printer of scripts.
    Script,
}

/// What an input showed: a mistake of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{complaint}")]
pub struct Finding {
    /// What is wrong.
    pub complaint: String,
    /// The input as a script, as far as it can be one.
    pub script: Option<String>,
}

impl FuzzTarget {
    /// Tries an input: the model is audited after each call.
    pub fn judge(self, input: &[u8]) -> Result<(), Finding> {
        self.judge_audited(input, Audits::AfterEachCall)
    }

    /// Tries one of very many inputs: the model is audited at the end of a program, or as by [`FuzzTarget::judge`] if it is
    /// the turn of this input, which its bytes decide. A program with which something is wrong is judged by that again,
    /// which knows behind which step.
    pub fn judge_of_many(self, input: &[u8]) -> Result<(), Finding> {
        let audits = if is_its_turn(input) { Audits::AfterEachCall } else { Audits::AtTheEnd };
        self.judge_audited(input, audits).or_else(|finding| self.judge(input).and(Err(finding)))
    }

    fn judge_audited(self, input: &[u8], audits: Audits) -> Result<(), Finding> {
        let judged = catch_unwind(|| match self {
            FuzzTarget::Script => judge_text(input),
            target => {
                let (settled, profile) = target.settled(input, audits);
                oracle::examine(&settled, &profile).map_err(|violation| Finding::of(&settled, &violation))
            }
        });
        judged.unwrap_or_else(|panic| {
            let complaint = format!("the harness panics: {}", crate::generate::message(panic.as_ref()));
            let script = std::str::from_utf8(input).ok().filter(|text| text.starts_with('#'));
            Err(Finding { complaint, script: script.map(str::to_owned) })
        })
    }

    /// The program that an input is, settled for this driver; `None` if it is a text that is no script.
    pub fn program(self, input: &[u8], profile: &Profile) -> Option<Settled> {
        match self {
            FuzzTarget::Script => {
                let script = parse(input).ok()?;
                Some(crate::generate::settle(&script.program, profile, &mut Unstructured::new(&[])))
            }
            FuzzTarget::RawWriteRead if !input.starts_with(b"#") => Some(raw_write_read(input, profile)),
            target => Some(Input::read(input).settled(target.emphasis(), profile)),
        }
    }

    /// Another input, of at most so many bytes, that is like this one. `None` leaves it to the engine.
    pub fn mutate(self, input: &[u8], most_bytes: usize, seed: u32) -> Option<Vec<u8>> {
        let is_script = input.starts_with(b"#");
        let wants_bytes = match self {
            FuzzTarget::Script => !seed.is_multiple_of(4),
            FuzzTarget::RawWriteRead => true,
            _ => !is_script && seed.is_multiple_of(4),
        };
        if wants_bytes {
            return None;
        }
        let program = self.parent(input)?;
        let bytes = bytes_of_seed(seed.into());
        let profile = profile(&program);
        let settled = mutate(&program, at_the_end(&profile), USUAL_STEPS, &mut Unstructured::new(&bytes));
        made(settled, most_bytes)
    }

    /// Another input, of at most so many bytes, with something of both. `None` if there is none.
    pub fn cross_over(self, first: &[u8], second: &[u8], most_bytes: usize, seed: u32) -> Option<Vec<u8>> {
        if self == FuzzTarget::RawWriteRead {
            return None;
        }
        let (first, second) = (self.parent(first)?, self.parent(second)?);
        let bytes = bytes_of_seed(seed.into());
        let profile = profile(&first);
        let settled =
            cross_over(&first, &second, at_the_end(&profile), USUAL_STEPS, &mut Unstructured::new(&bytes));
        made(settled, most_bytes)
    }

    fn emphasis(self) -> Emphasis {
        match self {
            FuzzTarget::Refcount => Emphasis::ReferenceCounts,
            FuzzTarget::MalformedTransaction => Emphasis::MalformedTransactions,
            FuzzTarget::CommandStream => Emphasis::CommandStreams,
            FuzzTarget::RawWriteRead | FuzzTarget::Script => Emphasis::Mix,
        }
    }

    /// The program that an input is, and the driver that it is about.
    fn settled(self, input: &[u8], audits: Audits) -> (Settled, Profile) {
        let read = known_scripts::program(input).map_or_else(|| Input::read(input), Input::Script);
        let profile = match &read {
            Input::Script(program) => profile(program),
            Input::Bytes(_) => Profile::C,
        };
        let stage = Stage { profile: &profile, audits };
        let settled = match self {
            FuzzTarget::RawWriteRead => raw_write_read(input, stage),
            target => read.settled(target.emphasis(), stage),
        };
        (settled, profile)
    }

    /// The program to change: one that is not settled, if it need not be.
    fn parent(self, input: &[u8]) -> Option<Rc<Program>> {
        match known_scripts::read(input) {
            Some(program) => Some(program),
            None if self == FuzzTarget::Script => None,
            None => Some(Rc::new(self.settled(input, Audits::AtTheEnd).0.program)),
        }
    }
}

impl Finding {
    fn of(settled: &Settled, violation: &Violation) -> Finding {
        Finding { complaint: violation.to_string(), script: Some(print(&settled.program)) }
    }
}

/// One input in so many is audited after each call, of very many.
const TURN: u64 = 64;

/// Whether it is the turn of this input to be audited after each call.
fn is_its_turn(input: &[u8]) -> bool {
    let mut hasher = FxHasher::default();
    hasher.write(input);
    hasher.finish().is_multiple_of(TURN)
}

/// What to make a program on that is going to be judged: it is audited then.
fn at_the_end(profile: &Profile) -> Stage<'_> {
    Stage { profile, audits: Audits::AtTheEnd }
}

/// The driver that a program is about; that in C if it is about both.
fn profile(program: &Program) -> Profile {
    match program.driver {
        Some(DriverKind::Rust) => Profile::RUST,
        _ => Profile::C,
    }
}

/// The script of a program that has just been made, if there is room for it. An engine will hand it back at once.
fn made(settled: Settled, most_bytes: usize) -> Option<Vec<u8>> {
    let text = script(&settled, most_bytes)?;
    known_scripts::note(&text, settled.program);
    Some(text)
}

/// The script of a settled program, if there is room for it.
fn script(settled: &Settled, most_bytes: usize) -> Option<Vec<u8>> {
    let text = print(&settled.program).into_bytes();
    (!settled.program.steps.is_empty() && text.len() <= most_bytes).then_some(text)
}

/// A text is a script, or is refused with a reason. A script is read as it is printed.
fn judge_text(text: &[u8]) -> Result<(), Finding> {
    let finding = |complaint: String| {
        let script = std::str::from_utf8(text).ok().map(str::to_owned);
        Err(Finding { complaint, script })
    };
    let script = match parse(text) {
        Ok(script) => script,
        Err(diagnostics) => {
            let said = diagnostics.render("input", false);
            return if said.is_empty() { finding("it is refused without a word".to_owned()) } else { Ok(()) };
        }
    };
    let printed = print(&script.program);
    let finding = |complaint: &str| finding(format!("{complaint} This was printed:\n\n{printed}"));
    match parse(printed.as_bytes()) {
        Err(diagnostics) => finding(&diagnostics.render("printed", false)),
        Ok(again) if again.program != script.program => finding("It is not read as it was printed."),
        Ok(again) if print(&again.program) != printed => finding("Printed again it is another text."),
        Ok(_) => Ok(()),
    }
}
