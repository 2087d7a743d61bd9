//! `binderdrill spec`: what the specification says, and which cases show it.

use std::io::{self, Write};

use super::{CommandError, SpecArguments, Status};
use crate::expectation::{self, KnownDeviation};
use crate::specification::{Entry, Page, Specification, SpecifiedClause};
use crate::suite::{self, Case};

pub(super) fn spec(arguments: &SpecArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let specification = Specification::embedded()?;
    let cases = suite::embedded();
    match &arguments.entry {
        None => write_contents(out, &specification)?,
        Some(word) => match specification.find(word)? {
            Entry::Page(page) => write_page(out, page, &cases)?,
            Entry::Clause(page, clause) => write_clause(out, page, clause, &cases)?,
        },
    }
    Ok(Status::AsExpected)
}

fn write_contents(out: &mut dyn Write, specification: &Specification) -> io::Result<()> {
    let width = specification.pages.iter().map(|page| page.topic.len()).max().unwrap_or(0);
    for Page { topic, title, about, clauses, .. } in &specification.pages {
        let count = counted(clauses.len(), "clause");
        writeln!(out, "{BOLD}{topic:width$}{BOLD:#}  {count:>10}  {title}: {about}")?;
    }
    Ok(())
}

/// All that a page says, with how many cases show it.
fn write_page(out: &mut dyn Write, page: &Page, cases: &[Case]) -> io::Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#} (suites/spec/{})", page.title, page.file)?;
    for clause in &page.clauses {
        let shown = shown_by(clause, cases).count();
        writeln!(out, "\n{BOLD}{}{BOLD:#}  {}\n{}", clause.name, counted(shown, "case"), clause.text)?;
    }
    Ok(())
}

/// A clause, the cases that show it, and the drivers that are known to do something else in those.
fn write_clause(
    out: &mut dyn Write,
    page: &Page,
    clause: &SpecifiedClause,
    cases: &[Case],
) -> Result<(), CommandError> {
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}  {} (suites/spec/{})\n\n{}\n",
        clause.name, page.title, page.file, clause.text
    )?;
    let cases: Vec<&Case> = shown_by(clause, cases).collect();
    let width = cases.iter().map(|case| case.id.len()).max().unwrap_or(0);
    for case in &cases {
        writeln!(out, "{:width$}  {}", case.id, about(case))?;
    }
    for file in binderdrill_suites::expectations() {
        let known = expectation::parse(file.driver, file.list)?.deviation;
        for KnownDeviation { case, came, reason, source, .. } in &known {
            if cases.iter().any(|shown| shown.id == *case) {
                writeln!(
                    out,
                    "\n{BOLD}{}{BOLD:#} deviates in {case}: {reason}\n    came  {came}\n    {source}",
                    file.driver
                )?;
            }
        }
    }
    Ok(())
}

const BOLD: anstyle::Style = anstyle::Style::new().bold();

fn shown_by<'c>(clause: &SpecifiedClause, cases: &'c [Case]) -> impl Iterator<Item = &'c Case> {
    let name = clause.name;
    cases.iter().filter(move |case| case.clauses().iter().any(|cited| cited.to_string() == name))
}

/// The title of a case, and which drivers it is about.
fn about(case: &Case) -> String {
    let driver = case.script.as_ref().ok().and_then(|script| script.program.driver);
    let driver = driver.map(|driver| format!(" (driver: {driver})"));
    format!("{}{}", case.title(), driver.unwrap_or_default())
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}
