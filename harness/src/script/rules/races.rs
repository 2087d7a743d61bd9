//! Rules about races: a script has one, of different threads, and none of them waits for another.

use std::collections::HashSet;

use super::super::diagnostics::Diagnostic;
use super::super::grammar::Reading;
use super::super::names::{Meaning, Mention, MentionKind};
use crate::program::{Actor, Moment};

pub(super) fn check(reading: &Reading<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let moments = reading.program.steps.iter().zip(&reading.positions.steps).zip(&reading.actors);
    let mut first = None;
    for ((noted, position), actors) in moments {
        let Moment::Race(race) = &noted.value else { continue };
        match &first {
            None => first = Some(position.bytes.clone()),
            Some(first) => diagnostics.push(
                Diagnostic::error("a second race", position.bytes.clone(), "a script has one race at most")
                    .related(first.clone(), "the first")
                    .help("make two scripts of it"),
            ),
        }
        let mut seen = HashSet::new();
        for (step, actor) in race.steps.iter().zip(actors) {
            if let Actor::Thread(name) = &step.actor
                && !seen.insert(name)
            {
                let message = format!("`{name}` twice in a race");
                let label = "expected another thread: one thread does one thing at a time";
                diagnostics.push(Diagnostic::error(message, actor.clone(), label));
            }
        }
        let within: Vec<&Mention> =
            reading.mentions.iter().filter(|mention| position.bytes.contains(&mention.span.start)).collect();
        for (index, mention) in within.iter().enumerate() {
            let (MentionKind::Uses(_), Some(bound)) =
                (mention.kind, within[..index].iter().find(|earlier| binds(earlier, mention)))
            else {
                continue;
            };
            let message = format!("`{}` is not known before the race", mention.name);
            let label = "expected a name from before the race: its steps begin at once";
            diagnostics.push(
                Diagnostic::error(message, mention.span.clone(), label)
                    .related(bound.span.clone(), "bound here"),
            );
        }
    }
}

/// Whether a name begins to mean something in one place that it must mean in the other.
fn binds(earlier: &Mention, mention: &Mention) -> bool {
    let is_binding =
        matches!(earlier.kind, MentionKind::Binds(Meaning::Handle | Meaning::Buffer | Meaning::File));
    is_binding && earlier.name == mention.name
}
