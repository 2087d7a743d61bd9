//! A patch's own lines, for people: which of them ran and by whose doing, and which never did.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use crate::patch::{CountedLines, OwnLine, OwnLines, Ran};
use crate::report::counted;
use crate::report::human::write_table;
use crate::report::style::{ASIDE, BAD, FAINT, GOOD, NAME, Styled};

/// So many lines are shown; of more, those that never ran come first.
const SHOWN: usize = 40;

/// So many of the cases that ran a line are named.
const NAMED: usize = 2;

/// So much of a line is shown, in characters.
const ROOM: usize = 60;

/// Writes what ran of the lines that patches add or alter.
pub fn write_own_lines(out: &mut dyn Write, own_lines: &OwnLines) -> io::Result<()> {
    match own_lines {
        OwnLines::Unknown { why } => {
            let what = "it is not known which of the patch's own lines ran:";
            writeln!(out, "{} {why}\n", Styled(ASIDE, what))
        }
        OwnLines::Counted(lines) => write_counted(out, lines),
    }
}

/// What there is to say of all of them, in a sentence.
pub(super) fn summary(lines: &CountedLines) -> String {
    match (lines.with_code().count(), lines.never().count()) {
        _ if lines.lines.is_empty() => "the patch adds no line".to_owned(),
        (0, _) => "none of the patch's own lines has code that is counted".to_owned(),
        (1, 0) => "the one line of the patch that has code ran".to_owned(),
        (code, 0) => format!("all {code} lines of the patch that have code ran"),
        (1, _) => "the one line of the patch that has code never ran".to_owned(),
        (code, never) => {
            format!("{never} of {} of the patch that have code never ran", counted(code, "line"))
        }
    }
}

/// How many of the lines with code ran.
pub(super) fn share(own_lines: &OwnLines) -> String {
    match own_lines {
        OwnLines::Unknown { .. } => "not known".to_owned(),
        OwnLines::Counted(lines) => match lines.with_code().count() {
            0 => "none".to_owned(),
            code => format!("{} of {code} ran", code - lines.never().count()),
        },
    }
}

fn write_counted(out: &mut dyn Write, lines: &CountedLines) -> io::Result<()> {
    let is_bad = lines.never().next().is_some();
    writeln!(out, "{}", Styled(if is_bad { BAD } else { GOOD }, summary(lines)))?;
    let code: Vec<&OwnLine> = lines.with_code().collect();
    let mut shown = code.clone();
    if shown.len() > SHOWN {
        shown.sort_by_key(|line| line.ran != Ran::Never);
        shown.truncate(SHOWN);
        shown.sort_by_key(|line| (&line.file, line.line));
    }
    let mut file = "";
    for of_file in shown.chunk_by(|one, other| one.file == other.file) {
        if file != of_file[0].file {
            file = &of_file[0].file;
            writeln!(out, "  {}", Styled(NAME, file))?;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        for line in of_file {
            table.add_row([format!("   {}", line.line), shortened(&line.text), told(&line.ran)]);
        }
        if let Some(column) = table.column_mut(0) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write_table(out, &table)?;
    }
    if let left @ 1.. = code.len() - shown.len() {
        writeln!(out, "  {}", Styled(FAINT, format!("and {}", counted(left, "more line"))))?;
    }
    if !lines.lost.is_empty() {
        let what = "it is not known what these ran, since their guests were gone:";
        writeln!(out, "  {} {}", Styled(ASIDE, what), lines.lost.join(", "))?;
    }
    writeln!(out)
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.chars().count() {
        ..=ROOM => text.to_owned(),
        _ => format!("{}…", text.chars().take(ROOM - 1).collect::<String>()),
    }
}

/// How often a line ran, and by whose doing.
pub(super) fn told(ran: &Ran) -> String {
    let Ran::Did { boot, suite, corpus, ways_never_taken, cases } = ran else {
        return if *ran == Ran::Never { "NEVER".to_owned() } else { String::new() };
    };
    let times = |runs: u64| counted(usize::try_from(runs).unwrap_or(usize::MAX), "time");
    let (runs, named) = (boot.saturating_add(*suite).saturating_add(*corpus), cases.iter().take(NAMED));
    let named: Vec<&str> = named.map(String::as_str).collect();
    let more = match cases.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let by = match (*suite, named.is_empty()) {
        (_, true) => "as the kernel booted".to_owned(),
        (0, false) => format!("by no case of the suite, but by {}{more}", named.join(", ")),
        (_, false) => format!("by {}{more}", named.join(", ")),
    };
    let ways = match ways_never_taken {
        0 => String::new(),
        1 => "; one way on never taken".to_owned(),
        ways => format!("; {ways} ways on never taken"),
    };
    format!("{}, {by}{ways}", times(runs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::own_lines_tests::own_lines;

    fn text(own_lines: &OwnLines) -> String {
        let mut text = Vec::new();
        write_own_lines(&mut text, own_lines).unwrap();
        String::from_utf8(anstream::adapter::strip_bytes(&text).into_vec()).unwrap()
    }

    #[test]
    fn own_lines_are_told_with_what_ran_them() {
        let of_program =
            Ran::Did { boot: 0, suite: 0, corpus: 2, ways_never_taken: 0, cases: vec!["seed 7".to_owned()] };
        let booting = Ran::Did { boot: 1, suite: 0, corpus: 0, ways_never_taken: 2, cases: Vec::new() };
        let OwnLines::Counted(mut lines) = own_lines() else { panic!("they are counted") };
        for (line, ran) in [(13, of_program), (14, booting)] {
            lines.lines.push(OwnLine { line, ran, ..lines.lines[0].clone() });
        }
        insta::assert_snapshot!(text(&OwnLines::Counted(lines)));
        let unknown = OwnLines::Unknown { why: "only lines of C are counted".to_owned() };
        assert!(text(&unknown).contains("lines ran: only lines of C are counted"));
    }

    #[test]
    fn of_many_lines_those_that_never_ran_are_told() {
        let OwnLines::Counted(mut lines) = own_lines() else { panic!("they are counted") };
        let ran = lines.lines[0].clone();
        let never = lines.lines[2].clone();
        lines.lines = (1..=100).map(|line| OwnLine { line, ..ran.clone() }).collect();
        lines.lines.push(OwnLine { line: 101, ..never });
        let text = text(&OwnLines::Counted(lines));
        assert!(
            text.contains("101") && text.contains("NEVER") && text.contains("and 61 more lines"),
            "{text}"
        );
    }
}
