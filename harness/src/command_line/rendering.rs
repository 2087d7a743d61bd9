//! The formats in which results are written.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use super::{CommandError, write_json};
use crate::report::{
    BuildId, Origin, Results, Submission, Unsendable, write_case, write_junit, write_kcidb, write_ktap,
    write_matrix, write_summary,
};

/// How to write results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ResultsFormat {
    /// For people: what deviated, and a summary
    Human,
    /// For programs: everything, in JSON
    Json,
    /// As kselftest prints results, and the kernel's own tools read them
    Ktap,
    /// JUnit's XML, which continuous integrations show
    Junit,
    /// For KernelCI: what KCIDB takes
    Kcidb,
}

/// What KernelCI is told besides results.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct KcidbArguments {
    /// With `--format kcidb`, as whose the results are sent [default: binderdrill]
    #[arg(long = "kcidb-origin", value_name = "ORIGIN")]
    origin: Option<Origin>,
    /// With `--format kcidb`, the name that KernelCI has for the kernel that was run [default: it is described]
    #[arg(long = "kcidb-build", value_name = "BUILD")]
    build: Option<BuildId>,
}

impl KcidbArguments {
    /// As whose the results are sent. Options that the format does not take are refused.
    pub(super) fn submission(&self, format: Option<ResultsFormat>) -> Result<Submission, CommandError> {
        let idle = [("--kcidb-origin", self.origin.is_some()), ("--kcidb-build", self.build.is_some())];
        match idle.into_iter().find(|(_, given)| *given && format != Some(ResultsFormat::Kcidb)) {
            Some((option, _)) => Err(CommandError::Options(format!("{option} is for --format kcidb"))),
            None => {
                Ok(Submission { origin: self.origin.clone().unwrap_or_default(), build: self.build.clone() })
            }
        }
    }
}

/// Writes results that are all there.
pub(super) fn write_results(
    out: &mut dyn Write,
    results: &Results,
    format: ResultsFormat,
    submission: &Submission,
) -> Result<(), CommandError> {
    match format {
        ResultsFormat::Human => write_for_people(out, results)?,
        ResultsFormat::Json => write_json(out, results)?,
        ResultsFormat::Ktap => write_ktap(out, results)?,
        ResultsFormat::Junit => write_junit(out, results)?,
        ResultsFormat::Kcidb => write_kcidb(out, results, submission).map_err(|error| match error {
            Unsendable::Output(error) => CommandError::Output(error),
            error => CommandError::Unsendable(error),
        })?,
    }
    Ok(())
}

fn write_for_people(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    for run in &results.runs {
        run.cases.iter().try_for_each(|case| write_case(out, case))?;
        write_summary(out, run, results.runs.len() == 1, "")?;
    }
    if results.runs.len() > 1 {
        writeln!(out)?;
        write_matrix(out, results)?;
    }
    Ok(())
}
