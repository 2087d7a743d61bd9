//! Whether the suite has teeth: each bug that the reference driver can be given is found by the case that names it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::ScopedJoinHandle;

use binderdrill::engine::Verdict;
use binderdrill::program::DriverKind;
use binderdrill::report::CaseResult;
use binderdrill::suite::{self, Case};
use binderdrill::target::ReferenceTarget;
use reference_driver::{Bug, Profile};

#[test]
fn each_planted_bug_is_found_by_a_case_that_names_it() {
    // A driver that falls over is found out as well, and need not say where.
    std::panic::set_hook(Box::new(|_| {}));
    let cases: Vec<_> = suite::embedded().into_iter().filter(is_about_c).collect();
    let (sound, found) = std::thread::scope(|scope| {
        let cases = &cases;
        let fail = |profile| scope.spawn(move || failures(cases, profile));
        let sound = fail(Profile::C);
        let found = Bug::ALL.map(|bug| (bug, fail(Profile::C.with_bug(bug))));
        let joined = |run: ScopedJoinHandle<'_, _>| run.join().expect("a run catches what its cases throw");
        (joined(sound), found.map(|(bug, run)| (bug, joined(run))))
    });
    let _ = std::panic::take_hook();

    assert!(sound.is_empty(), "these fail without any bug: {sound:?}");
    let mut unnoticed = Vec::new();
    for (bug, failures) in found {
        let named = bug.published_as();
        println!("{named} ({bug:?}) fails {}: {}", failures.len(), failures.join(", "));
        if !cases.iter().any(|case| case.title().starts_with(named) && failures.contains(&case.id)) {
            unnoticed.push(format!("{bug:?}, {named}"));
        }
    }
    assert!(unnoticed.is_empty(), "no case that names them fails with these bugs: {unnoticed:#?}");
}

fn is_about_c(case: &Case) -> bool {
    case.script.as_ref().is_ok_and(|script| script.program.driver != Some(DriverKind::Rust))
}

/// The cases that fail on a reference driver like this.
fn failures(cases: &[Case], profile: Profile) -> Vec<String> {
    let passes = |case: &&Case| {
        let mut target = ReferenceTarget::new(profile.clone());
        let run = catch_unwind(AssertUnwindSafe(|| CaseResult::of(case, &mut target)));
        let Ok(Ok(result)) = run else { return false };
        matches!(result.verdict, Verdict::Pass | Verdict::Skip { .. } | Verdict::KnownDeviation { .. })
    };
    cases.iter().filter(|case| !passes(case)).map(|case| case.id.clone()).collect()
}
