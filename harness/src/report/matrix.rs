//! The report on several targets: how many cases passed on which, and where they did different things.

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::case_result::CaseResult;
use super::human::write_table;
use super::outcome::NOTHING_COMPARED;
use super::results::{CaseDivergence, Counts, Results};
use super::style::{BAD, FAINT, GOOD, NAME, Styled};
use super::transcript::{elide, remarks};

/// With more targets than this, each has a line and not a column.
const MOST_COLUMNS: usize = 5;

/// Writes the matrix of topics and targets, and every case that targets did different things with, side by side.
pub fn write_matrix(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    for diverging in &results.divergences {
        write_divergence(out, results, diverging)?;
    }
    write_table(
        out,
        &if results.runs.len() > MOST_COLUMNS { by_target(results) } else { by_topics(results) },
    )?;
    writeln!(out)?;
    let (style, count) = match results.divergences.len() {
        0 if results.compared() == 0 => (BAD, NOTHING_COMPARED.to_owned()),
        0 if results.choices.is_empty() && results.known.is_empty() => {
            (GOOD, "all targets did the same".to_owned())
        }
        0 => (GOOD, "all targets did the same, but for".to_owned()),
        1 => (BAD, "1 case was not done alike by all targets".to_owned()),
        several => (BAD, format!("{several} cases were not done alike by all targets")),
    };
    writeln!(out, "{}", Styled(style, count))?;
    for (what, differences) in
        [("choices that scripts leave to a driver", &results.choices), ("known deviations", &results.known)]
    {
        if !differences.is_empty() {
            let cases: Vec<&str> = differences.iter().map(|difference| difference.id.as_str()).collect();
            writeln!(out, "{}", Styled(FAINT, format!("  {what}: {}", cases.join(", "))))?;
        }
    }
    Ok(())
}

/// A line a target.
fn by_target(results: &Results) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["target", "cases", "seconds"]);
    for run in &results.runs {
        let cases: Vec<&CaseResult> = run.cases.iter().collect();
        table.add_row([run.target.clone(), cell(&cases), format!("{:.1}", run.seconds)]);
    }
    align_right(&mut table);
    table
}

/// A line a topic, and a column a target.
fn by_topics(results: &Results) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let targets = results.runs.iter().map(|run| run.target.clone());
    table.set_header(["topic".to_owned()].into_iter().chain(targets));
    let columns: Vec<BTreeMap<&str, Vec<&CaseResult>>> =
        results.runs.iter().map(|run| by_topic(&run.cases)).collect();
    let topics = columns.first().into_iter().flat_map(BTreeMap::keys);
    for topic in topics {
        let cells = columns.iter().map(|column| cell(column.get(topic).map_or(&[][..], Vec::as_slice)));
        table.add_row([(*topic).to_owned()].into_iter().chain(cells));
    }
    align_right(&mut table);
    table
}

fn align_right(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn by_topic(cases: &[CaseResult]) -> BTreeMap<&str, Vec<&CaseResult>> {
    let mut topics: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
    for case in cases {
        topics.entry(case.topic()).or_default().push(case);
    }
    topics
}

/// How many of some cases passed, and what became of the others.
fn cell(cases: &[&CaseResult]) -> String {
    let counts = Counts::of(cases.iter().copied());
    let others = [
        ("failed", counts.failed),
        ("unexpected", counts.unexpected_passes),
        ("known", counts.known_deviations),
        ("skipped", counts.skipped),
        ("broken", counts.broken),
    ];
    let others =
        others.into_iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}"));
    others.fold(counts.passed.to_string(), |cell, other| format!("{cell}, {other}"))
}

/// Writes what each target did with a case, side by side.
pub(super) fn write_divergence(
    out: &mut dyn Write,
    results: &Results,
    diverging: &CaseDivergence,
) -> io::Result<()> {
    let CaseDivergence { id, line, divergence } = diverging;
    let case = results.runs.iter().flat_map(|run| &run.cases).find(|case| case.id == *id);
    let title = case.map_or("", |case| case.title.as_str());
    writeln!(out, "{} {}: {title}", Styled(BAD, "DIFFERS"), Styled(NAME, id))?;
    let script =
        divergence.sides.iter().find_map(|side| side.record.as_ref()).map(|record| elide(&record.script));
    let origin = case.map_or("", |case| case.origin.as_str());
    match (line, script) {
        (Some(line), Some(script)) => writeln!(out, "    {origin}:{line}: {script}")?,
        _ => writeln!(out, "    {origin}: after the last step")?,
    }
    let width = divergence.sides.iter().map(|side| side.targets.join(", ").len()).max().unwrap_or(0);
    for side in &divergence.sides {
        let lines = match &side.record {
            Some(record) => remarks(record),
            None if divergence.step.is_some() => vec!["had ended before".to_owned()],
            None if side.complaints.is_empty() => vec!["nothing was left".to_owned()],
            None => side.complaints.clone(),
        };
        let mut label = side.targets.join(", ");
        for line in lines {
            writeln!(out, "    {}  {}", Styled(FAINT, format!("{label:width$}")), elide(&line))?;
            label.clear();
        }
    }
    writeln!(out)
}
