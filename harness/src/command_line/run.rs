//! `binderdrill run`: cases on targets.

use std::io::{self, Write};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::{CommandError, Format, RunArguments, Status};
use crate::report::{CaseResult, Counts, Results, TargetResults, write_case, write_matrix, write_summary};
use crate::suite::{self, Case};
use crate::target::Target;

pub(super) fn run(arguments: &RunArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let cases = suite::select(&arguments.filter)?;
    arguments.options.check(&arguments.targets)?;
    let targets: Vec<_> =
        arguments.targets.iter().map(|name| arguments.options.target(name)).collect::<Result<_, _>>()?;
    let mut runs = Vec::new();
    let mut failure = None;
    for (target, name) in targets.into_iter().zip(&arguments.targets) {
        match run_on(target, name, arguments, &cases, out) {
            Ok(run) => runs.push(run),
            // What has been found out before is not lost over it.
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let results = Results::of(runs);
    match arguments.format {
        Format::Human if results.runs.len() > 1 => {
            writeln!(out)?;
            write_matrix(out, &results)?;
        }
        Format::Human => {}
        Format::Json if failure.is_none() || !results.runs.is_empty() => write_json(out, &results)?,
        Format::Json => {}
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let counts = results.counts();
    let deviations = counts.failed + counts.unexpected_passes + results.divergences.len();
    Ok(match (deviations, counts.broken) {
        (0, 0) => Status::AsExpected,
        (0, _) => Status::CouldNotRun,
        _ => Status::Deviation,
    })
}

fn run_on(
    mut target: Box<dyn Target>,
    name: &str,
    arguments: &RunArguments,
    cases: &[Case],
    out: &mut dyn Write,
) -> Result<TargetResults, CommandError> {
    let started = Instant::now();
    let progress = progress_bar(cases.len());
    let mut results = Vec::with_capacity(cases.len());
    let mut seconds_to_first_case = 0.0;
    for case in cases {
        progress.set_message(format!("{name} {}", case.id));
        let result = CaseResult::of(case, target.as_mut())?;
        if results.is_empty() {
            seconds_to_first_case = started.elapsed().as_secs_f64();
        }
        if arguments.format == Format::Human {
            progress.suspend(|| write_case(out, &result))?;
        }
        results.push(result);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let run = TargetResults {
        target: name.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        seconds_to_first_case,
        counts: Counts::of(&results),
        cases: results,
    };
    if arguments.format == Format::Human {
        write_summary(out, &run, arguments.targets.len() == 1)?;
    }
    Ok(run)
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
