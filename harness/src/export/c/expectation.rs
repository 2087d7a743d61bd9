//! Reads and writes: a step that does a BINDER_WRITE_READ, and what must come of it.

use super::names::Names;
use super::payload::{expect, line};
use super::{Done, Refusal, command, errno, returns};
use crate::program::*;

/// More ways than these for returns to come in are not written out.
const MOST_WAYS: usize = 128;

/// A step that does a BINDER_WRITE_READ, or awaits the end of one. `number` is that of the step.
pub(super) fn step(action: &Action, number: usize, names: &mut Names) -> Result<Done, Refusal> {
    let nothing: &[Command] = &[];
    let (options, commands, written, expected) = match action {
        Action::Write { options, commands, written } => (options, commands.as_slice(), Some(written), None),
        Action::Read { options, expected } => (options, nothing, None, Some(expected)),
        Action::WriteRead { options, commands, written, expected } => {
            (options, commands.as_slice(), Some(written), expected.as_ref())
        }
        Action::Call { .. } => unreachable!("calls are exported by `call`"),
    };
    let reads = !matches!(action, Action::Write { .. });
    let mut act = String::new();
    for (place, command) in commands.iter().enumerate() {
        // Each has variables of its own.
        let mut put = String::new();
        command::put(&mut put, command, place, names)?;
        if put.contains("unsigned char *") {
            act.push_str("\t{\n");
            put.lines().for_each(|of_command| {
                act.push_str(if of_command.is_empty() { "" } else { "\t" });
                act.push_str(of_command);
                act.push('\n');
            });
            act.push_str("\t}\n");
        } else {
            act.push_str(&put);
        }
    }
    let usual = WriteExpectation::default();
    let written = written.unwrap_or(&usual);
    let must_fail_with = written.errno.map_or_else(|| "0".to_owned(), errno);
    let amount = written.consumed.map_or_else(|| "ANY_AMOUNT".to_owned(), |consumed| consumed.to_string());
    // Without an error, any amount means all of it.
    line(&mut act, &format!("expect_written({must_fail_with}, {amount});"));
    let read_size = if reads { options.room() } else { 0 };
    line(&mut act, &format!("write_read({read_size}, {});", departures(options)));

    let mut check = String::new();
    expect(&mut check, "take_returns()");
    expect(&mut check, "wrote_as_expected()");
    let mut ways = Vec::new();
    let mut flags = Vec::new();
    match (reads, expected) {
        (false, _) if written.errno.is_none() => expect(&mut check, "error == 0"),
        (false, _) | (true, None) => {}
        (true, Some(expected)) => {
            let alternatives = alternatives(expected, names)?;
            if expected.may_park() {
                flags.push("MAY_PARK");
            }
            match &alternatives[..] {
                [] => expect(&mut check, "!\"it returned, and must be parked\""),
                [only] => check.push_str(only),
                _ => {
                    let tried: Vec<String> = (0..alternatives.len())
                        .map(|place| format!("attempt(way_{number}_{place})"))
                        .collect();
                    line(&mut check, &format!("return {};", tried.join(" ||\n\t       ")));
                    ways = alternatives.into_iter().map(|way| way + "\treturn true;\n").collect();
                }
            }
        }
    }
    if ways.is_empty() {
        line(&mut check, "return true;");
    }
    if matches!(action, Action::Read { .. }) {
        flags.push("MAY_AWAIT");
    }
    Ok(Done { act: Some(act), ways, check, flags, candidates: None })
}

fn departures(options: &WriteReadOptions) -> String {
    if (WriteReadOptions { read_size: None, ..options.clone() }) == WriteReadOptions::default() {
        return "NULL".to_owned();
    }
    let number = |field: Option<u64>| {
        field.map_or_else(|| "-1".to_owned(), |number| format!("(long long){number}ULL"))
    };
    format!(
        "&(struct departures){{ {}, {}, {}, {}, {} }}",
        number(options.write_size),
        number(options.write_consumed),
        number(options.read_consumed),
        options.write_buffer_unmapped,
        options.read_buffer_unmapped
    )
}

/// What must hold of a read that has returned: one of these.
fn alternatives(expected: &ReadExpectation, names: &mut Names) -> Result<Vec<String>, Refusal> {
    Ok(match expected {
        ReadExpectation::Parked => Vec::new(),
        ReadExpectation::Failed { errno: failure, consumed } => {
            let mut text = String::new();
            expect(&mut text, &format!("error == {}", errno(*failure)));
            if let Some(consumed) = consumed {
                expect(&mut text, &format!("given.read_consumed == {consumed}"));
            }
            vec![text]
        }
        ReadExpectation::AnyOf(choices) => {
            let mut all = Vec::new();
            for choice in choices {
                all.extend(alternatives(choice, names)?);
            }
            all
        }
        ReadExpectation::Returns(items) => {
            let mut orders: Vec<Vec<&ReturnPattern>> = vec![Vec::new()];
            for item in items {
                let ways: Vec<Vec<&ReturnPattern>> = match item {
                    ReturnItem::One(pattern) => vec![vec![pattern]],
                    ReturnItem::AnyOf(lists) => lists.iter().map(|list| list.iter().collect()).collect(),
                    ReturnItem::InAnyOrder(patterns) => orders_of(&patterns.iter().collect::<Vec<_>>())?,
                };
                orders = orders
                    .iter()
                    .flat_map(|order| ways.iter().map(|way| [order.as_slice(), way.as_slice()].concat()))
                    .collect();
                if orders.len() > MOST_WAYS {
                    return Err(TOO_MANY);
                }
            }
            let mut all = Vec::new();
            for order in orders {
                let mut text = String::new();
                // It says itself what does not hold.
                line(&mut text, &format!("if (!came_list({}))", order.len()));
                line(&mut text, "\treturn false;");
                for (place, pattern) in order.into_iter().enumerate() {
                    returns::check(&mut text, pattern, place, names)?;
                }
                all.push(text);
            }
            all
        }
    })
}

const TOO_MANY: &str = "its returns may come in more ways than can be written out";

/// All orders of patterns; of equal ones, the first stands for all.
fn orders_of<'a>(patterns: &[&'a ReturnPattern]) -> Result<Vec<Vec<&'a ReturnPattern>>, Refusal> {
    if patterns.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    let mut all = Vec::new();
    for (index, first) in patterns.iter().enumerate() {
        if patterns[..index].contains(first) {
            continue;
        }
        let mut rest = patterns.to_vec();
        rest.remove(index);
        for order in orders_of(&rest)? {
            all.push([&[*first], order.as_slice()].concat());
        }
        if all.len() > MOST_WAYS {
            return Err(TOO_MANY);
        }
    }
    Ok(all)
}
