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
mod settle;
mod situation;
#[cfg(test)]
mod tests;
mod undefined;

pub use choices::bytes_of_seed;
pub use depth::Depth;
pub use raw::{raw_bytes, raw_write_read};
pub(crate) use settle::message;
pub use settle::{Fault, Settled};

use arbitrary::Unstructured;
use reference_driver::Profile;

use self::choices::Choices;
use self::conversation::Conversation;
use self::mutate::Proposals;
use self::settle::settle_with;
use crate::program::Program;
use crate::script::{MOST_STEPS, parse};

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
pub fn generate(emphasis: Emphasis, profile: &Profile, bytes: &mut Unstructured<'_>) -> Settled {
    let mut choices = Choices(bytes);
    let (program, takes_descriptors) = conversation::cast(&mut choices);
    let length = 8 + choices.below(USUAL_STEPS - 24);
    let mut author = Conversation { emphasis, takes_descriptors, length };
    settle_with(program, profile, USUAL_STEPS, choices, &mut author)
}

/// Settles a program that somebody has written, or that was settled elsewhere: what it expects is replaced by what comes.
/// Races come apart into their steps. What is settled for this profile already stays as it is, and takes no bytes.
pub fn settle(program: &Program, profile: &Profile, bytes: &mut Unstructured<'_>) -> Settled {
    let mut author = Proposals(mutate::proposals(program));
    settle_with(program.clone(), profile, MOST_STEPS, Choices(bytes), &mut author)
}

/// A program like this one, in which a few things are different.
pub fn mutate(
    program: &Program,
    profile: &Profile,
    most_steps: usize,
    bytes: &mut Unstructured<'_>,
) -> Settled {
    let mut choices = Choices(bytes);
    let mut proposals = mutate::proposals(program);
    mutate::change(&mut proposals, &mut choices);
    settle_with(program.clone(), profile, most_steps, choices, &mut Proposals(proposals))
}

/// A program in which there is something of two others.
pub fn cross_over(
    first: &Program,
    second: &Program,
    profile: &Profile,
    most_steps: usize,
    bytes: &mut Unstructured<'_>,
) -> Settled {
    let mut choices = Choices(bytes);
    let (program, proposals) = mutate::cross(first, second, &mut choices);
    settle_with(program, profile, most_steps, choices, &mut Proposals(proposals))
}

/// The program that an input of a fuzzer is: the script, if it is one, or else what is generated out of its bytes. So any
/// engine can be used, whether or not it mutates programs as such, and what it keeps and what crashes it can be read.
pub fn program_of_input(input: &[u8], emphasis: Emphasis, profile: &Profile) -> Settled {
    // What begins like a script is one, or none: most inputs that do not are arbitrary bytes.
    match input.starts_with(b"#").then(|| parse(input)) {
        Some(Ok(script)) => settle(&script.program, profile, &mut Unstructured::new(&[])),
        _ => generate(emphasis, profile, &mut Unstructured::new(input)),
    }
}
