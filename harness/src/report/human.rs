//! The report that people read: every case that did not pass, then how many did.

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::case_result::CaseResult;
use super::results::{Counts, TargetResults};
use super::style::{ASIDE, BAD, FAINT, GOOD, NAME, Styled};
use super::transcript::{elide, write_transcript};
use crate::engine::{Deviation, Verdict};

/// Of so many cases that were skipped for one reason, all are named.
const NAMED_SKIPS: usize = 3;

/// Writes what there is to say of a case at once: of a deviation everything that is known, and nothing if it passed, is
/// about another driver, or was skipped.
pub fn write_case(out: &mut dyn Write, case: &CaseResult) -> io::Result<()> {
    match &case.verdict {
        Verdict::Pass | Verdict::OtherDriver { .. } | Verdict::Skip { .. } => Ok(()),
        Verdict::Broken { reason } => {
            let mut lines = reason.trim_end().lines();
            let first = lines.next().unwrap_or_default();
            writeln!(out, "{} {}: {first}", Styled(BAD, "BROKEN"), Styled(NAME, &case.id))?;
            lines.try_for_each(|line| writeln!(out, "    {line}"))
        }
        Verdict::KnownDeviation { deviation, reason, source } => {
            writeln!(out, "{} {}: {reason} ({source})", Styled(ASIDE, "KNOWN"), Styled(NAME, &case.id))?;
            writeln!(out, "    came  {}", elide(&deviation.came))
        }
        Verdict::UnexpectedPass { reason } => {
            writeln!(
                out,
                "{} {}: it should have deviated, as {reason}; if that is mended, take its entry out of \
                 suites/expectations",
                Styled(BAD, "UNEXPECTED PASS"),
                Styled(NAME, &case.id)
            )
        }
        Verdict::Fail(deviation) => write_deviation(out, case, deviation),
    }
}

fn write_deviation(out: &mut dyn Write, case: &CaseResult, deviation: &Deviation) -> io::Result<()> {
    writeln!(out, "{} {}: {}", Styled(BAD, "FAIL"), Styled(NAME, &case.id), case.title)?;
    if let Some(reason) = &case.unconfirmed {
        writeln!(out, "    {}  {reason}", Styled(ASIDE, "unconfirmed"))?;
    }
    let step = case.transcript.steps.iter().rev().find(|record| Some(record.step) == deviation.step);
    match (case.line, step) {
        (Some(line), Some(step)) => {
            writeln!(out, "    {}:{line}: {}", case.origin, elide(&step.script))?;
        }
        (Some(line), None) => writeln!(out, "    {}:{line}", case.origin)?,
        (None, _) => writeln!(out, "    {}: after the last step", case.origin)?,
    }
    for (what, text) in
        [("expected", &deviation.expected), ("came", &deviation.came), ("differs", &deviation.difference)]
    {
        let text = elide(text).replace('\n', "\n              ");
        writeln!(out, "    {}  {text}", Styled(NAME, format!("{what:8}")))?;
    }
    if !case.clauses.is_empty() {
        writeln!(out, "    {}  {}", Styled(NAME, "clauses "), case.clauses.join(", "))?;
    }
    writeln!(out, "    {}", Styled(NAME, "so far"))?;
    write_transcript(out, &case.transcript, &case.lines, 6)?;
    if !case.log.is_empty() {
        writeln!(out, "    {}", Styled(NAME, "the kernel's log"))?;
        case.log.iter().try_for_each(|line| writeln!(out, "      {}", elide(line)))?;
    }
    writeln!(out)
}

/// Writes how many cases came to which verdict, and how to go on, with these words behind the target; with `topics`, also how
/// many of each topic.
pub fn write_summary(
    out: &mut dyn Write,
    results: &TargetResults,
    topics: bool,
    options: &str,
) -> io::Result<()> {
    write_skips(out, results)?;
    if topics {
        write_topics(out, results)?;
    }
    write_counts(out, results)?;
    if let Some(case) = results.cases.iter().find(|case| matches!(case.verdict, Verdict::Fail(_))) {
        let target = match results.target.as_str() {
            "reference" => String::new(),
            other => format!(" --target {}", quoted(other)),
        };
        let seed = case.seed.map(|seed| format!(" --seed {seed}")).unwrap_or_default();
        let command = format!("binderdrill run{target}{options}{seed}");
        writeln!(out, "to run a failed case again: {command} {}", quoted(&case.id))?;
    }
    Ok(())
}

/// Writes why cases were skipped, a line a reason.
fn write_skips(out: &mut dyn Write, results: &TargetResults) -> io::Result<()> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for case in &results.cases {
        let Verdict::Skip { reason } = &case.verdict else { continue };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, cases)) => cases.push(&case.id),
            None => reasons.push((reason, vec![&case.id])),
        }
    }
    for (reason, cases) in reasons {
        let cases = match cases.len() {
            ..=NAMED_SKIPS => cases.join(", "),
            several => format!("{several} cases"),
        };
        writeln!(out, "{} {}: {reason}", Styled(ASIDE, "SKIP"), Styled(NAME, cases))?;
    }
    Ok(())
}

fn write_topics(out: &mut dyn Write, results: &TargetResults) -> io::Result<()> {
    let mut topics: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for case in &results.cases {
        topics.entry(case.topic()).or_default().push(case);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let (known, other) = (results.counts.known_deviations > 0, results.counts.of_other_driver > 0);
    let rare = [known.then_some("known"), other.then_some("other driver")];
    table.set_header(
        ["topic", "passed", "failed", "skipped", "broken"].into_iter().chain(rare.into_iter().flatten()),
    );
    for (topic, cases) in topics {
        let counts = Counts::of(cases);
        let numbers = [counts.passed, counts.failed, counts.skipped, counts.broken].into_iter();
        let rare = [known.then_some(counts.known_deviations), other.then_some(counts.of_other_driver)];
        let numbers = numbers.chain(rare.into_iter().flatten());
        let topic = if topic.is_empty() { "-" } else { topic };
        table.add_row([topic.to_owned()].into_iter().chain(numbers.map(|number| number.to_string())));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let is_told = |case: &&CaseResult| !matches!(case.verdict, Verdict::Pass | Verdict::OtherDriver { .. });
    let skips = results.counts.skipped > 0;
    let last_told = results.cases.iter().rfind(is_told);
    if skips || last_told.is_some_and(|case| !matches!(case.verdict, Verdict::Fail(_))) {
        // A deviation ends with an empty line of its own.
        writeln!(out)?;
    }
    write_table(out, &table)?;
    writeln!(out)
}

/// Writes a table without the blank that each of its lines begins with.
pub(super) fn write_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end().strip_prefix(' ').unwrap_or(&line))?;
    }
    Ok(())
}

fn write_counts(out: &mut dyn Write, results: &TargetResults) -> io::Result<()> {
    let Counts {
        passed,
        failed,
        known_deviations,
        unexpected_passes,
        skipped,
        of_other_driver,
        broken,
        unconfirmed_passed,
        unconfirmed_failed,
    } = results.counts;
    let mut parts = Vec::new();
    let with_unconfirmed = |unconfirmed: usize| match unconfirmed {
        0 => String::new(),
        count => format!(" ({count} unconfirmed)"),
    };
    let mut part = |style, count: usize, word: &str, unconfirmed: usize| {
        if count > 0 {
            parts.push(format!(
                "{}{}",
                Styled(style, format!("{count} {word}")),
                with_unconfirmed(unconfirmed)
            ));
        }
    };
    part(GOOD, passed, "passed", unconfirmed_passed);
    part(BAD, failed, "failed", unconfirmed_failed);
    part(BAD, unexpected_passes, "unexpectedly passed", 0);
    part(ASIDE, known_deviations, "deviated as known", 0);
    part(ASIDE, skipped, "skipped", 0);
    part(ASIDE, of_other_driver, "about the other driver", 0);
    part(BAD, broken, "broken", 0);
    let time = match results.target.as_str() {
        "reference" => format!("in {:.2} s", results.seconds),
        _ => format!(
            "in {:.2} s, {:.2} s of it to the first case",
            results.seconds, results.seconds_to_first_case
        ),
    };
    writeln!(out, "{} on {} {}", parts.join(", "), results.target, Styled(FAINT, time))
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+=@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
