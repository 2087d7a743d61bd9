//! Every case of the suite as a test of its own, run on the reference driver: `cargo nextest run death` runs
//! those about deaths.

use std::process::ExitCode;

use binderdrill::engine::Verdict;
use binderdrill::report::{CaseResult, write_case};
use binderdrill::suite::{self, Case};
use binderdrill::target::{ReferenceTarget, Worlds};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = suite::embedded().into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A case that requires what the reference driver lacks counts as ignored, never as passed.
fn trial(case: Case) -> Trial {
    let ignored = lacked(&case).is_some();
    Trial::test(case.id.clone(), move || run(&case)).with_ignored_flag(ignored)
}

/// What the case requires, and the reference driver lacks.
fn lacked(case: &Case) -> Option<String> {
    let script = case.script.as_ref().ok()?;
    script.program.requires.iter().find_map(|feature| ReferenceTarget::default().lacks(*feature))
}

fn run(case: &Case) -> Result<(), Failed> {
    let result = CaseResult::of(case, &mut ReferenceTarget::default())?;
    match &result.verdict {
        Verdict::Pass => Ok(()),
        Verdict::Skip { reason } => {
            Err(format!("skipped, which a `requires` line must say: {reason}").into())
        }
        _ => {
            let mut report = anstream::StripStream::new(Vec::new());
            write_case(&mut report, &result)?;
            Err(String::from_utf8_lossy(&report.into_inner()).into())
        }
    }
}
