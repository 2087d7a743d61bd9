//! Coverage as lcov's tracefiles have it, which genhtml, editors and continuous integrations read.

use std::io::{self, Write};

use ::lcov::Record;

use super::lines::{Coverage, FileCoverage, Runs};
use crate::patch::DRIVER;

/// Writes a tracefile: all of the driver, and with `cases` what each case ran as a test of its own.
pub fn write_lcov(out: &mut dyn Write, coverage: &Coverage, cases: bool) -> io::Result<()> {
    for (name, file) in &coverage.files {
        let all = records(file).collect();
        write_section(out, "", name, all)?;
    }
    if !cases {
        return Ok(());
    }
    for (case, id) in coverage.cases.iter().enumerate() {
        for (name, file) in &coverage.files {
            let ran = file.lines.iter().filter(|(_, line)| line.cases.contains(&case));
            let lines: Vec<Record> =
                ran.map(|(line, _)| Record::LineData { line: *line, count: 1, checksum: None }).collect();
            if !lines.is_empty() {
                write_section(out, &test_name(id), name, lines)?;
            }
        }
    }
    Ok(())
}

fn write_section(out: &mut dyn Write, test: &str, file: &str, records: Vec<Record>) -> io::Result<()> {
    let begin = [
        Record::TestName { name: test.to_owned() },
        Record::SourceFile { path: format!("{DRIVER}{file}").into() },
    ];
    for record in begin.into_iter().chain(records).chain([Record::EndOfRecord]) {
        writeln!(out, "{record}")?;
    }
    Ok(())
}

/// What there is to say of a file.
fn records(file: &FileCoverage) -> impl Iterator<Item = Record> {
    let totals = file.totals(|runs| runs.total() > 0);
    let found = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let names = file
        .functions
        .iter()
        .map(|(start, function)| Record::FunctionName { name: function.name.clone(), start_line: *start });
    let functions = file
        .functions
        .values()
        .map(|function| Record::FunctionData { name: function.name.clone(), count: function.runs.total() });
    let branches = file.lines.iter().flat_map(|(line, known)| {
        let reached = known.runs.total() > 0;
        let taken = move |runs: &Runs| reached.then(|| runs.total());
        (0..).zip(&known.branches).map(move |(branch, runs)| Record::BranchData {
            line: *line,
            block: 0,
            branch,
            taken: taken(runs),
        })
    });
    let lines = file.lines.iter().map(|(line, known)| Record::LineData {
        line: *line,
        count: known.runs.total(),
        checksum: None,
    });
    names
        .chain(functions)
        .chain([
            Record::FunctionsFound { found: found(totals.functions.all) },
            Record::FunctionsHit { hit: found(totals.functions.reached) },
        ])
        .chain(branches)
        .chain([
            Record::BranchesFound { found: found(totals.branches.all) },
            Record::BranchesHit { hit: found(totals.branches.reached) },
        ])
        .chain(lines)
        .chain([
            Record::LinesFound { found: found(totals.lines.all) },
            Record::LinesHit { hit: found(totals.lines.reached) },
        ])
}

/// The name of a test, which lcov wants to be of letters, digits and underscores.
fn test_name(case: &str) -> String {
    case.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::lines::tests::coverage;

    #[test]
    fn a_tracefile_is_read_as_it_was_written() {
        let coverage = coverage();
        let mut text = Vec::new();
        write_lcov(&mut text, &coverage, true).unwrap();
        let read: Vec<Record> = ::lcov::Reader::new(text.as_slice()).collect::<Result<_, _>>().unwrap();
        let mut again = Vec::new();
        read.iter().for_each(|record| writeln!(again, "{record}").unwrap());
        assert_eq!(again, text);
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }
}
