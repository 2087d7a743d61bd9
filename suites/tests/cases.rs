//! Every case of the suite as a test of its own, run on the reference driver: `cargo nextest run death` runs
//! those about deaths. `rust/death/told-once` is `death/told-once` with the reference driver as a model of the one in
//! Rust.

use std::process::ExitCode;

use binderdrill::engine::Verdict;
use binderdrill::program::DriverKind;
use binderdrill::report::{CaseResult, write_case};
use binderdrill::suite::{self, Case};
use binderdrill::target::{ReferenceTarget, Worlds};
use libtest_mimic::{Arguments, Failed, Trial};
use strum::IntoEnumIterator;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = suite::embedded().into_iter().flat_map(|case| {
        let about = case.script.as_ref().ok().and_then(|script| script.program.driver);
        let kinds = DriverKind::iter().filter(move |kind| about.is_none_or(|about| about == *kind));
        kinds.map(move |kind| trial(case.clone(), kind)).collect::<Vec<_>>()
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A case that requires what the reference driver lacks counts as ignored, never as passed.
fn trial(case: Case, kind: DriverKind) -> Trial {
    let name = match kind {
        DriverKind::C => case.id.clone(),
        DriverKind::Rust => format!("rust/{}", case.id),
    };
    let ignored = lacked(&case, kind).is_some();
    Trial::test(name, move || run(&case, kind)).with_ignored_flag(ignored)
}

/// What the case requires, and the reference driver lacks.
fn lacked(case: &Case, kind: DriverKind) -> Option<String> {
    let script = case.script.as_ref().ok()?;
    script.program.requires.iter().find_map(|feature| ReferenceTarget::new(kind).lacks(*feature))
}

fn run(case: &Case, kind: DriverKind) -> Result<(), Failed> {
    let result = CaseResult::of(case, &mut ReferenceTarget::new(kind))?;
    match &result.verdict {
        Verdict::Pass | Verdict::KnownDeviation { .. } => Ok(()),
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
