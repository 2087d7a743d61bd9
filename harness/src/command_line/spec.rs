//! `binderdrill spec`: what the specification says, and which cases show it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::Args;

use super::{CommandError, Status};
use crate::engine::Verdict;
use crate::expectation::{self, KnownDeviation};
use crate::record::{self, Record};
use crate::report::counted;
use crate::specification::{Entry, Page, Specification, SpecifiedClause};
use crate::suite::{self, Case};

#[derive(Debug, Args)]
pub(super) struct SpecArguments {
    /// A clause such as txn.3, or a page such as txn or transactions; without any, all pages are listed
    #[arg(value_name = "CLAUSE|PAGE")]
    entry: Option<String>,
}

pub(super) fn spec(arguments: &SpecArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let specification = Specification::embedded()?;
    let cases = suite::embedded();
    match &arguments.entry {
        None => write_contents(out, &specification)?,
        Some(word) => match specification.find(word)? {
            Entry::Page(page) => write_page(out, page, &cases)?,
            Entry::Clause(page, clause) => write_clause(out, &specification, page, clause, &cases)?,
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
    specification: &Specification,
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
    write_recorded(out, specification, &cases)?;
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

/// What each kernel that there is a record of did with these cases. Where they are about the other driver, the counterparts
/// of their clauses say what this one does.
fn write_recorded(
    out: &mut dyn Write,
    specification: &Specification,
    cases: &[&Case],
) -> Result<(), CommandError> {
    let records = record::all()?;
    let width = records.iter().map(|record| record.kernel.len()).max().unwrap_or(0);
    let mut separator = "\n";
    for Record { kernel, driver, cases: recorded, .. } in &records {
        let mut passed = 0;
        let mut others = Vec::new();
        let mut of_other_driver = Vec::new();
        for case in cases {
            let was = recorded.iter().find(|recorded| recorded.id == case.id);
            match was.map(|was| (was.digest == case.digest, &was.verdict)) {
                Some((true, Verdict::Pass)) => passed += 1,
                Some((true, Verdict::OtherDriver { .. })) => of_other_driver.push(*case),
                Some((true, verdict)) => others.push((&case.id, told(verdict))),
                Some((false, _)) => others.push((&case.id, "has changed since".to_owned())),
                None => others.push((&case.id, "has come since".to_owned())),
            }
        }
        writeln!(out, "{separator}{BOLD}{kernel:width$}{BOLD:#}  {passed} as specified  ({driver})")?;
        separator = "";
        if !of_other_driver.is_empty() {
            let about = counted(of_other_driver.len(), "case");
            let see: BTreeSet<&str> =
                of_other_driver.iter().flat_map(|case| specification.counterparts_of_case(case)).collect();
            let see = Vec::from_iter(see).join(", ");
            writeln!(out, "{:width$}  {about} about the other driver; for this one see {see}", "")?;
        }
        for (id, told) in others {
            writeln!(out, "{:width$}  {id} {told}", "")?;
        }
    }
    Ok(())
}

/// What became of a case that did not pass.
fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::KnownDeviation { .. } => "deviates, as is known (see below)".to_owned(),
        Verdict::Skip { reason } => format!("was skipped: {reason}"),
        _ => "failed".to_owned(),
    }
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
