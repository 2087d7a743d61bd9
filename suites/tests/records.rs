//! The records of real kernels: they can be read, are of this suite, and nothing in them was left unexplained.

use std::collections::{BTreeMap, BTreeSet};

use binderdrill::engine::{self, Verdict};
use binderdrill::program::{Feature, Program};
use binderdrill::target::ReferenceTarget;
use binderdrill::{record, suite};
use reference_driver::Profile;

#[test]
fn every_recorded_case_was_as_expected_or_as_known() {
    let cases: BTreeSet<String> = suite::embedded().into_iter().map(|case| case.id).collect();
    let records = record::all().expect("records that can be read");
    assert!(!records.is_empty(), "there is no record");
    for record in records {
        let recorded = record.cases.iter().filter(|recorded| cases.contains(&recorded.id)).count();
        assert!(recorded > cases.len() / 2, "{} is not a record of this suite", record.kernel);
        let unexplained = record.cases.iter().filter(|recorded| {
            matches!(
                recorded.verdict,
                Verdict::Fail(_) | Verdict::UnexpectedPass { .. } | Verdict::Broken { .. }
            )
        });
        let unexplained: Vec<&str> = unexplained.map(|recorded| recorded.id.as_str()).collect();
        assert!(unexplained.is_empty(), "{}: {unexplained:?}", record.kernel);
    }
}

/// What a kernel has or lacks for other reasons than its driver.
const OF_THE_SYSTEM: [Feature; 5] =
    [Feature::Lsm, Feature::Contexts, Feature::Binderfs, Feature::CopyCounter, Feature::ObjectCounter];

/// Each profile of the reference driver has what the kernels have that it is a model of, and lacks what they lack.
#[test]
fn what_a_kernel_runs_its_profile_runs() {
    let is_about_the_driver = |program: &Program| {
        !program.requires.iter().chain(&program.without).any(|f| OF_THE_SYSTEM.contains(f))
    };
    let cases =
        suite::embedded().into_iter().filter_map(|case| Some((case.id, (case.digest, case.script.ok()?))));
    let cases: BTreeMap<_, _> =
        cases.filter(|(_, (_, script))| is_about_the_driver(&script.program)).collect();
    let mut modelled = BTreeSet::new();
    for record in record::all().expect("records that can be read") {
        let profile = Profile::named(&record.profile);
        let target = ReferenceTarget::new(profile.unwrap_or_else(|| panic!("no profile {}", record.profile)));
        let mut compared = 0;
        for recorded in &record.cases {
            let Some((digest, script)) = cases.get(&recorded.id) else { continue };
            let is_of_other_driver = matches!(recorded.verdict, Verdict::OtherDriver { .. });
            if is_of_other_driver || *digest != recorded.digest {
                continue;
            }
            let ran = matches!(recorded.verdict, Verdict::Pass | Verdict::KnownDeviation { .. });
            let runs = engine::inapplicable(&script.program, &target).is_none();
            assert_eq!(ran, runs, "{} on {} and on reference:{}", recorded.id, record.kernel, record.profile);
            compared += 1;
        }
        assert!(compared > cases.len() / 2, "{} is an old record", record.kernel);
        modelled.insert(record.profile);
    }
    for profile in Profile::ALL {
        assert!(modelled.contains(profile.name), "there is no record of a kernel like {}", profile.name);
    }
}
