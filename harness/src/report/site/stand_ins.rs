//! Stand-ins: where no target of a report did a case as expected, what did so at another time (the record of that kernel),
//! or does it now (the reference driver), to be shown beside what deviates.

use std::collections::HashMap;

use reference_driver::Profile;

use crate::engine::Verdict;
use crate::record;
use crate::report::case_result::CaseResult;
use crate::report::kept::{RECORD, kept};
use crate::report::results::{Results, TargetResults};
use crate::suite::Case;
use crate::target::{ReferenceTarget, Target};

/// Cases as they were done as expected, each with who did so.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    cases: Vec<(String, CaseResult)>,
}

impl StandIns {
    /// Those that these results need.
    pub(super) fn of(results: &Results) -> StandIns {
        let mut stand_ins = StandIns::default();
        let mut records: HashMap<&str, Option<TargetResults>> = HashMap::new();
        for run in &results.runs {
            for case in run.cases.iter().filter(|case| deviates(case)) {
                if stand_ins.of_case(case).is_some() || passed(results, case).is_some() {
                    continue;
                }
                let recorded = record::kernel(&run.target).and_then(|kernel| {
                    let record = records
                        .entry(kernel)
                        .or_insert_with(|| kept(&format!("{RECORD}{kernel}")).ok())
                        .as_ref()?;
                    Some((record.target.clone(), as_expected(&record.cases, case)?.clone()))
                });
                stand_ins.cases.extend(recorded.or_else(|| on_model(results, run, case)));
            }
        }
        stand_ins
    }

    /// That of a case.
    pub(super) fn of_case(&self, case: &CaseResult) -> Option<(&str, &CaseResult)> {
        let same = |(_, other): &&(String, CaseResult)| other.id == case.id && other.digest == case.digest;
        self.cases.iter().find(same).map(|(target, case)| (target.as_str(), case))
    }
}

/// Whether something has to be shown beside it.
fn deviates(case: &CaseResult) -> bool {
    matches!(case.verdict, Verdict::Fail(_) | Verdict::KnownDeviation { .. } | Verdict::Broken { .. })
}

/// A target of these results that did a case as expected.
pub(super) fn passed<'r>(results: &'r Results, case: &CaseResult) -> Option<(&'r str, &'r CaseResult)> {
    results.runs.iter().find_map(|run| Some((run.target.as_str(), as_expected(&run.cases, case)?)))
}

fn as_expected<'c>(cases: &'c [CaseResult], case: &CaseResult) -> Option<&'c CaseResult> {
    cases
        .iter()
        .find(|other| other.id == case.id && other.digest == case.digest && other.verdict == Verdict::Pass)
}

/// What the model of a target's driver does.
fn on_model(results: &Results, run: &TargetResults, case: &CaseResult) -> Option<(String, CaseResult)> {
    let text = results.scripts.get(&case.digest)?;
    let profile = Profile::named(run.profile.as_deref()?)?;
    let mut model = ReferenceTarget::new(profile);
    let name = model.name();
    let done = CaseResult::of(&Case::new(&*case.id, &*case.origin, text.as_bytes()), &mut model).ok()?;
    (name != run.target && done.verdict == Verdict::Pass).then_some((name, done))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;
    use crate::target::ReferenceTarget;

    /// What a driver with a bug did, called so.
    fn planted(target: &str) -> Results {
        let driver = ReferenceTarget::new(Profile::C.with_bug(reference_driver::Bug::MessageUncounted));
        let mut results = results(&["oneway-spam/"], vec![driver]);
        results.runs[0].target = target.to_owned();
        results.runs[0].profile = Some("c".to_owned());
        results
    }

    #[test]
    fn beside_a_kernel_stands_its_record_and_beside_others_the_model() {
        let of = |target: &str| {
            let results = planted(target);
            let failed = results.runs[0].cases.iter().find(|case| deviates(case)).unwrap();
            StandIns::of(&results).of_case(failed).map(|(target, _)| target.to_owned())
        };
        assert_eq!(of("built:patched").as_deref(), Some("reference"));
        assert_eq!(of("uml:./linux").as_deref(), Some("reference"));
        // The record has the case unless its script has changed since.
        let recorded = of("built:uml-c");
        assert!(["record:uml-c", "reference"].contains(&recorded.as_deref().unwrap()), "{recorded:?}");
    }

    #[test]
    fn nothing_stands_in_where_a_target_did_it() {
        let (mut both, sound) = (planted("built:patched"), ReferenceTarget::new(Profile::C));
        both.runs.extend(results(&["oneway-spam/"], vec![sound]).runs);
        assert!(StandIns::of(&both).cases.is_empty());
    }
}
