//! Exporting: a script as a program that needs no binderdrill, to be attached to a report of a bug.
//!
//! In C it does all that the script does, and judges it; for syzkaller it is as much of it as that can express.

mod c;
mod syzkaller;

use crate::program::{Actor, Moment};
use crate::script::Script;

/// What a script is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// One C file that does what the script does, and fails where the driver does something else
    C,
    /// A program of syzkaller, as far as its descriptions go
    Syz,
}

/// That a script cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} cannot be exported: {reason}")]
pub struct NotExportable {
    /// The line of the script on which the step begins, from 1.
    pub line: usize,
    /// Why not.
    pub reason: &'static str,
}

/// Exports a script, which came from there.
pub fn export(language: Language, script: &Script, origin: &str) -> Result<String, NotExportable> {
    match language {
        Language::C => c::export(script, origin),
        Language::Syz => syzkaller::export(script, origin),
    }
}

/// A step of a script, with where it stands.
struct Line<'a> {
    step: &'a crate::program::Step,
    line: usize,
    /// As the script has it, on one line.
    text: String,
    /// The comments before it.
    remarks: Vec<&'a str>,
}

/// The steps of a script, none of which may race.
fn lines(script: &Script) -> Result<Vec<Line<'_>>, NotExportable> {
    let steps = script.program.steps.iter().zip(&script.positions.steps);
    steps
        .map(|(noted, position)| match &noted.value {
            Moment::Race(_) => {
                let reason =
                    "steps that race need binderdrill, which runs them again and again with other delays";
                Err(NotExportable { line: position.line, reason })
            }
            Moment::Step(step) => Ok(Line {
                step,
                line: position.line,
                text: crate::script::fragment::step(step),
                remarks: noted
                    .before
                    .iter()
                    .filter_map(|line| match line {
                        crate::program::CommentLine::Text(text) => Some(text.as_str()),
                        crate::program::CommentLine::Blank => None,
                    })
                    .chain(noted.after.as_deref())
                    .collect(),
            }),
        })
        .collect()
}

/// The name by which the thread of a step is known.
fn actor_name(actor: &Actor) -> &crate::program::Name {
    match actor {
        Actor::Thread(name) => name,
        Actor::AnyOf { alias, .. } => alias,
    }
}
