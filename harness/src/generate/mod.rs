//! Generating: programs that nobody wrote, for fuzzers.
//!
//! Whatever is generated, mutated or crossed over is *settled*: done step by step on the reference driver, so that it
//! refers to what there is and expects what came of it there. A settled program is a case like any other. To run it on a
//! kernel is to compare that kernel with the model.

mod choices;
mod conversation;
mod depth;
mod payloads;
mod repair;
mod settle;
mod situation;
mod undefined;

pub use choices::bytes_of_seed;
pub use depth::Depth;
pub use settle::{Fault, Settled};

use arbitrary::Unstructured;
use reference_driver::Profile;

use self::choices::Choices;
use self::conversation::Conversation;
use self::settle::{Author, Settler, settle_with};
use crate::program::{Actor, Moment, Program};

/// The most steps of a generated program, if nobody asks for another number.
pub const USUAL_STEPS: usize = 40;

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
    let length = 6 + choices.below(USUAL_STEPS - 12);
    let mut author = Conversation { emphasis, takes_descriptors, length };
    settle_with(program, profile, USUAL_STEPS, choices, &mut author)
}

/// Settles a program that somebody has written, or that was settled elsewhere: what it expects is replaced by what comes.
/// Races are left out.
pub fn settle(program: &Program, profile: &Profile, bytes: &mut Unstructured<'_>) -> Settled {
    settle_with(
        program.clone(),
        profile,
        crate::script::MOST_STEPS,
        Choices(bytes),
        &mut Given { program: program.clone() },
    )
}

/// An author whose steps are there already.
struct Given {
    program: Program,
}

impl Author for Given {
    fn write(&mut self, settler: &mut Settler<'_, '_, '_>) {
        for noted in std::mem::take(&mut self.program.steps) {
            let Moment::Step(step) = noted.value else { continue };
            let (Actor::Thread(name) | Actor::AnyOf { alias: name, .. }) = &step.actor;
            if let Some(thread) = settler.thread(name) {
                settler.propose(thread, step.action);
            }
        }
    }
}
