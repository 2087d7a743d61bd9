//! `binderdrill run`: cases on a target.

use std::io::{self, Write};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, Format, RunArguments, Status};
use crate::report::{CaseResult, Counts, FORMAT_VERSION, Results, write_case, write_summary};
use crate::suite;

pub(super) fn run(arguments: &RunArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let started = Instant::now();
    let mut target = arguments.target.target()?;
    let cases = suite::select(&arguments.filter)?;
    let progress = progress_bar(cases.len());
    let mut results = Vec::with_capacity(cases.len());
    for case in &cases {
        progress.set_message(case.id.clone());
        let result = CaseResult::of(case, target.as_mut())?;
        if arguments.format == Format::Human {
            progress.suspend(|| write_case(out, &result))?;
        }
        results.push(result);
        progress.inc(1);
    }
    progress.finish_and_clear();

    let results = Results {
        format_version: FORMAT_VERSION,
        binderdrill: env!("CARGO_PKG_VERSION").to_owned(),
        target: target.name(),
        seconds: started.elapsed().as_secs_f64(),
        counts: Counts::of(&results),
        cases: results,
    };
    match arguments.format {
        Format::Human => write_summary(out, &results)?,
        Format::Json => write_json(out, &results)?,
    }
    Ok(match (results.counts.failed, results.counts.broken) {
        (0, 0) => Status::AsExpected,
        (0, _) => Status::CouldNotRun,
        _ => Status::Deviation,
    })
}

fn write_json(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, results)?;
    writeln!(out)
}

/// On a terminal, how far the run is; elsewhere nothing.
fn progress_bar(cases: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("a well-formed template");
    ProgressBar::new(cases as u64).with_style(style)
}
