//! Every case of the suite as a test of its own, run on the reference driver: `cargo nextest run death` runs
//! those about deaths. `rust/death/told-once` is `death/told-once` with the reference driver as a model of the one in
//! Rust, `c-6.1/death/told-once` with it as one of that of Linux 6.1. Those about systems without a security module are run
//! as if there were none.

use std::process::ExitCode;

use binderdrill::engine::{self, Verdict};
use binderdrill::program::Feature;
use binderdrill::report::{CaseResult, write_case};
use binderdrill::suite::{self, Case};
use binderdrill::target::{ReferenceTarget, Worlds};
use libtest_mimic::{Arguments, Failed, Trial};
use reference_driver::Profile;

/// With this in the environment all ends with the first failure: `cargo mutants` need not know more.
const STOP_EARLY: &str = "BINDERDRILL_STOP_EARLY";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // nextest asks for each test in a process of its own, which then reads only that script.
    let only = arguments.filter.clone().filter(|_| arguments.exact);
    let wanted = |id: &str| only.as_ref().is_none_or(|name| name.ends_with(id));
    let trials = suite::embedded_with(wanted).into_iter().flat_map(|case| {
        let about = case.script.as_ref().ok().and_then(|script| script.program.driver);
        let profiles = Profile::ALL.into_iter().filter(move |profile| {
            about.is_none_or(|about| about == ReferenceTarget::new(profile.clone()).kind())
        });
        profiles.map(move |profile| trial(case.clone(), profile)).collect::<Vec<_>>()
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A case that is not about what the reference driver models counts as ignored, never as passed.
fn trial(case: Case, profile: Profile) -> Trial {
    let name = match profile == Profile::default() {
        true => case.id.clone(),
        false => format!("{}/{}", profile.name, case.id),
    };
    let mut target = ReferenceTarget::new(profile);
    if case.script.as_ref().is_ok_and(|script| script.program.without.contains(&Feature::Lsm)) {
        target = target.without_security_module();
    }
    let ignored =
        case.script.as_ref().is_ok_and(|script| engine::inapplicable(&script.program, &target).is_some());
    let judged = move || {
        let judged = run(&case, &mut target);
        if let Err(failed) = &judged
            && std::env::var_os(STOP_EARLY).is_some()
        {
            eprintln!("{}: {}", case.id, failed.message().unwrap_or_default());
            std::process::exit(1);
        }
        judged
    };
    Trial::test(name, judged).with_ignored_flag(ignored)
}

fn run(case: &Case, target: &mut ReferenceTarget) -> Result<(), Failed> {
    let result = CaseResult::of(case, target)?;
    match &result.verdict {
        Verdict::Pass | Verdict::KnownDeviation { .. } => Ok(()),
        Verdict::Skip { reason } => {
            Err(format!("skipped, which a `requires` or `without` line must say: {reason}").into())
        }
        _ => {
            let mut report = anstream::StripStream::new(Vec::new());
            write_case(&mut report, &result)?;
            Err(String::from_utf8_lossy(&report.into_inner()).into())
        }
    }
}
