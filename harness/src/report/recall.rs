//! Recall, for people: a line a bug, with the cases that caught it.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::human::write_table;
use crate::patch::Recalled;

/// So many of the cases that caught a bug are named.
const NAMED: usize = 2;

/// Writes what became of each bug, and how many there are of each fate.
pub fn write_recall(out: &mut dyn Write, bugs: &[Recalled]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["bug", "kind", "kernel", "seconds", "caught by"]);
    for bug in bugs {
        table.add_row([
            bug.bug.clone(),
            bug.kind.to_string(),
            bug.kernel.clone(),
            format!("{:.1}", bug.building + bug.seconds),
            fate(bug),
        ]);
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    write_table(out, &table)?;
    let caught = bugs.iter().filter(|bug| !bug.caught_by.is_empty()).count();
    let untried = bugs.iter().filter(|bug| bug.untried.is_some()).count();
    let missed = bugs.len() - caught - untried;
    writeln!(out, "\n{caught} of {} caught, {missed} missed, {untried} not tried", bugs.len())
}

fn fate(bug: &Recalled) -> String {
    let widened = if bug.widened { ", with its window widened" } else { "" };
    let rounds = match bug.rounds {
        2.. => format!(" in {} rounds{widened}", bug.rounds),
        _ => widened.to_owned(),
    };
    if let Some(reason) = &bug.untried {
        return format!("not tried: {}", reason.lines().next().unwrap_or_default());
    }
    if bug.caught_by.is_empty() {
        let known = if bug.expected.is_empty() { ", as no case is about it" } else { "" };
        return format!("missed{rounds}{known}");
    }
    let named: Vec<&str> = bug.caught_by.iter().take(NAMED).map(|catch| catch.case.as_str()).collect();
    let more = match bug.caught_by.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}{rounds}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Catch;
    use crate::patch::recall_tests::recalled;

    #[test]
    fn each_bug_is_told_with_what_caught_it() {
        let mut bugs = ["caught", "missed", "unknown", "untried"].map(recalled);
        let catch = |case: &str| Catch { case: case.to_owned(), saw: "EPERM came, not EBUSY".to_owned() };
        bugs[0].caught_by = ["race/b", "a/a", "a/b"].map(catch).to_vec();
        bugs[0].rounds = 3;
        bugs[0].widened = true;
        bugs[0].seconds = 12.0;
        bugs[1].rounds = 5;
        bugs[2].expected.clear();
        bugs[3].untried = Some("it does not compile\nbinder.c: no".to_owned());
        let mut text = Vec::new();
        write_recall(&mut text, &bugs).unwrap();
        let text = String::from_utf8(text).unwrap();
        for told in [
            "race/b, a/a and 1 more in 3 rounds, with its window widened",
            "missed in 5 rounds",
            "missed, as no case is about it",
            "not tried: it does not compile",
            "1 of 4 caught, 2 missed, 1 not tried",
        ] {
            assert!(text.contains(told), "{told:?} is not in:\n{text}");
        }
    }
}
