//! `binderdrill list`: what cases there are.

use std::io::Write;

use clap::Args;

use super::{CommandError, Status};
use crate::report::write_coverage;
use crate::suite::{self, Case, Coverage};

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Part of a case's name, a clause such as txn.3, a .drill file or a folder; without any, all cases
    filter: Vec<String>,
    /// Say instead how many of the cases use each command, return, ioctl, object type and transaction flag, and which
    /// of them none does
    #[arg(long)]
    coverage: bool,
}

pub(super) fn list(arguments: &ListArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let cases = suite::select(&arguments.filter)?;
    let status = match cases.iter().all(|case| case.script.is_ok()) {
        true => Status::AsExpected,
        false => Status::CouldNotRun,
    };
    if arguments.coverage {
        write_coverage(out, &Coverage::of(&cases))?;
        return Ok(status);
    }
    let width = cases.iter().map(|case| case.id.chars().count()).max().unwrap_or(0);
    for case in &cases {
        let bold = anstyle::Style::new().bold();
        let blanks = width - case.id.chars().count();
        writeln!(out, "{bold}{}{bold:#}{:blanks$}  {}", case.id, "", title(case))?;
        for remark in remarks(case) {
            writeln!(out, "{:width$}  {remark}", "")?;
        }
    }
    Ok(status)
}

fn title(case: &Case) -> &str {
    match case.script {
        Ok(_) => case.title(),
        Err(_) => "(cannot be read; `binderdrill check` says why)",
    }
}

fn remarks(case: &Case) -> Vec<String> {
    let Ok(script) = &case.script else { return Vec::new() };
    let mut remarks = Vec::new();
    let clauses: Vec<String> = case.clauses().iter().map(ToString::to_string).collect();
    if !clauses.is_empty() {
        remarks.push(format!("clause: {}", clauses.join(", ")));
    }
    remarks.extend(script.program.driver.map(|driver| format!("driver: {driver}")));
    let requires: Vec<String> = script.program.requires.iter().map(ToString::to_string).collect();
    if !requires.is_empty() {
        remarks.push(format!("requires {}", requires.join(", ")));
    }
    let without: Vec<String> = script.program.without.iter().map(ToString::to_string).collect();
    if !without.is_empty() {
        remarks.push(format!("without {}", without.join(", ")));
    }
    remarks.extend(case.unconfirmed().map(|reason| format!("unconfirmed: {reason}")));
    remarks
}
