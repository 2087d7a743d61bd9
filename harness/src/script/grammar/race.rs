//! The grammar of what is done at one time: a step, or `race 200 times { STEP | STEP }`.

use std::ops::Range;

use super::super::cursor::{Cursor, Parsed};
use super::super::diagnostics::Diagnostic;
use super::operand::{integer, number};
use super::step::step;
use crate::program::{Moment, Race};

/// The most times that a program is run for its race.
const MOST_TIMES: u32 = 100_000;

/// A statement that is no declaration, and where its actors stand.
pub(super) fn moment(cursor: &mut Cursor<'_>) -> Parsed<(Moment, Vec<Range<usize>>)> {
    if !cursor.is_line_of("race") {
        let (step, actor) = step(cursor)?;
        return Ok((Moment::Step(step), vec![actor]));
    }
    let start = cursor.peek().span.start;
    cursor.expect_word("race")?;
    let times = integer::<u32>(cursor, "how often the script is to be run", false)?;
    if !(1..=MOST_TIMES).contains(&times.value) {
        let label = format!("expected a number from 1 to {MOST_TIMES}");
        return Err(Diagnostic::error("a race that cannot be run so many times", times.span, label).into());
    }
    cursor.expect_word("times")?;
    let seed = if cursor.accept_word("seed") { number(cursor, "a seed as a number")? } else { 0 };
    cursor.open("{")?;
    let (mut steps, mut actors) = (Vec::new(), Vec::new());
    loop {
        if cursor.is_word("any") {
            let span = cursor.peek().span.clone();
            let label = "expected the name of a thread: each does something new";
            return Err(Diagnostic::error("one of several threads in a race", span, label).into());
        }
        let (step, actor) = step(cursor)?;
        steps.push(step);
        actors.push(actor);
        if cursor.close("}") {
            break;
        }
        if !cursor.accept("|") {
            return Err(cursor.expected("`,`, `|` or `}`"));
        }
    }
    if steps.len() < 2 {
        let span = start..cursor.end_of_previous();
        let label = "expected two steps or more, separated by `|`";
        return Err(Diagnostic::error("a race of a single step", span, label).into());
    }
    Ok((Moment::Race(Race { times: times.value, seed, steps }), actors))
}
