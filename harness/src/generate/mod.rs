//! Generating: programs that nobody wrote, for fuzzers.
//!
//! Whatever is generated, mutated or crossed over is *settled*: done step by step on the reference driver, so that it
//! refers to what there is and expects what came of it there. A settled program is a case like any other. To run it on a
//! kernel is to compare that kernel with the model.

mod choices;
mod conversation;
mod depth;
mod mutate;
mod payloads;
mod raw;
mod repair;
mod scene;
mod settle;
mod situation;
#[cfg(test)]
mod tests;
mod undefined;

pub use choices::bytes_of_seed;
pub use depth::Depth;
pub use raw::{raw_bytes, raw_write_read};
pub(crate) use settle::message;
pub use settle::{Fault, Settled, Stage};

use self::choices::Choices;
use self::conversation::Conversation;
use self::mutate::Proposals;
use self::settle::settle_with;
use crate::program::Program;
use crate::script::{MOST_STEPS, parse};
use std::rc::Rc;

use arbitrary::Unstructured;

/// The most steps of a generated program, if nobody asks for another number.
pub const USUAL_STEPS: usize = 64;

/// What a program is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::EnumString, strum::EnumIter)]
#[strum(serialize_all = "kebab-case")]
pub enum Emphasis {
    /// Streams of all commands, some of them broken off.
    CommandStreams,
    /// References that are counted, passed on and given back.
    ReferenceCounts,
    /// Transactions whose sizes, offsets, objects or addresses are wrong.
    MalformedTransactions,
    /// All of these.
    Mix,
}

/// Generates a program out of arbitrary bytes.
pub fn generate<'p>(
    emphasis: Emphasis,
    stage: impl Into<Stage<'p>>,
    bytes: &mut Unstructured<'_>,
) -> Settled {
    let mut choices = Choices(bytes);
    let (program, habits) = conversation::cast(&mut choices);
    let length = 8 + choices.below(USUAL_STEPS - 24);
    let mut author = Conversation { emphasis, habits, length };
    settle_with(program, stage.into(), USUAL_STEPS, choices, &mut author)
}

/// Settles a program that somebody has written, or that was settled elsewhere: what it expects is replaced by what comes.
/// Races come apart into their steps. What is settled for this profile already stays as it is, and takes no bytes.
pub fn settle<'p>(program: &Program, stage: impl Into<Stage<'p>>, bytes: &mut Unstructured<'_>) -> Settled {
    let mut author = Proposals(mutate::proposals(program));
    settle_with(program.without_steps(), stage.into(), MOST_STEPS, Choices(bytes), &mut author)
}

/// A program like this one, in which a few things are different.
pub fn mutate<'p>(
    program: &Program,
    stage: impl Into<Stage<'p>>,
    most_steps: usize,
    bytes: &mut Unstructured<'_>,
) -> Settled {
    let mut choices = Choices(bytes);
    let mut proposals = mutate::proposals(program);
    mutate::change(&mut proposals, &mut choices);
    settle_with(program.without_steps(), stage.into(), most_steps, choices, &mut Proposals(proposals))
}

/// A program in which there is something of two others.
pub fn cross_over<'p>(
    first: &Program,
    second: &Program,
    stage: impl Into<Stage<'p>>,
    most_steps: usize,
    bytes: &mut Unstructured<'_>,
) -> Settled {
    let mut choices = Choices(bytes);
    let (program, proposals) = mutate::cross(first, second, &mut choices);
    settle_with(program, stage.into(), most_steps, choices, &mut Proposals(proposals))
}

/// What an input of a fuzzer is: a script, or else bytes out of which a program is generated. So any engine can be used,
/// whether or not it mutates programs as such, and what it keeps and what crashes it can be read.
#[derive(Debug)]
pub enum Input<'i> {
    /// The program that a script is.
    Script(Rc<Program>),
    /// Anything else.
    Bytes(&'i [u8]),
}

impl<'i> Input<'i> {
    /// What begins like a script is one, or none: most inputs that do not are arbitrary bytes.
    pub fn read(input: &'i [u8]) -> Input<'i> {
        match input.starts_with(b"#").then(|| parse(input)) {
            Some(Ok(script)) => Input::Script(Rc::new(script.program)),
            _ => Input::Bytes(input),
        }
    }

    /// The program that it is.
    pub fn settled<'p>(&self, emphasis: Emphasis, stage: impl Into<Stage<'p>>) -> Settled {
        match self {
            Input::Script(program) => settle(program, stage, &mut Unstructured::new(&[])),
            Input::Bytes(bytes) => generate(emphasis, stage, &mut Unstructured::new(bytes)),
        }
    }
}
