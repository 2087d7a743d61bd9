//! `binderdrill trace`: what each step of one script did.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Status, TargetArguments, give_seed, tell};
use crate::engine::Verdict;
use crate::report::{CaseResult, write_case, write_transcript};
use crate::suite::{Case, read_script_or_case};

#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    /// A script, or the name of a case of the suite; `-` is standard input
    file: PathBuf,
    /// The driver to run on: `reference`, `device:/dev/binder`, `vm:debian-6.12`, `vm:PATH/TO/bzImage`
    #[arg(long, value_name = "TARGET", default_value = "reference")]
    target: String,
    /// What the delays of races are made of, in place of what their scripts say
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    options: TargetArguments,
}

pub(super) fn trace(arguments: &TraceArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(std::slice::from_ref(&arguments.target))?;
    let origin = arguments.file.display().to_string();
    let mut case = Case::new(origin.clone(), origin, &read_script_or_case(&arguments.file)?);
    give_seed(arguments.seed, &mut case);
    let mut target = arguments.options.target(&arguments.target, case.race().is_some())?;
    let result = CaseResult::of(&case, target.as_mut())?;
    let status = match result.verdict {
        Verdict::Pass
        | Verdict::Skip { .. }
        | Verdict::OtherDriver { .. }
        | Verdict::KnownDeviation { .. } => Status::AsExpected,
        Verdict::Fail(_) | Verdict::UnexpectedPass { .. } => Status::Deviation,
        Verdict::Broken { .. } => Status::CouldNotRun,
    };
    // The report of a deviation shows the transcript itself.
    if !matches!(result.verdict, Verdict::Fail(_)) {
        write_transcript(out, &result.transcript, &result.lines, 0)?;
    }
    write_case(out, &result)?;
    match &result.verdict {
        Verdict::Skip { reason } => tell(&format!("{}: skipped: {reason}", result.id)),
        Verdict::OtherDriver { driver } => {
            tell(&format!("{}: it is about the driver in {}", result.id, driver.title()));
        }
        Verdict::Pass if case.race().is_some() => {
            tell(&format!(
                "{}: all was as expected; of a race no step is told, as each run is another",
                result.id
            ));
        }
        _ => {}
    }
    Ok(status)
}
