//! JUnit: results as XML, which is what most continuous integrations show.
//!
//! Each target is a test suite. JUnit has no word for deviations that are known: they are skipped, with the reason. Where
//! there are several targets, one more suite says whether they did the same.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::case_result::CaseResult;
use super::outcome::{COMPARISON, NOTHING_COMPARED, Outcome, UNUSABLE, told, told_divergence};
use super::results::{Results, TargetResults, Unusable};

/// Writes results as JUnit XML.
pub fn write_junit(out: &mut dyn Write, results: &Results) -> io::Result<()> {
    let mut report = Report::new("binderdrill");
    // Every such time is one of RFC 3339.
    report.timestamp =
        results.provenance.as_ref().and_then(|provenance| provenance.started.to_string().parse().ok());
    for run in &results.runs {
        report.add_test_suite(suite(results, run));
    }
    for unusable in &results.unusable {
        report.add_test_suite(unused(unusable));
    }
    if results.runs.len() > 1 {
        report.add_test_suite(comparison(results));
    }
    // Written by the library, what ends it would not be told from what is wrong with it.
    let text = report.to_string().map_err(io::Error::other)?;
    // The library leaves out what XML has no words for but these.
    let text = text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    out.write_all(text.as_bytes())
}

fn suite(results: &Results, run: &TargetResults) -> TestSuite {
    let mut suite = TestSuite::new(&run.target);
    suite.set_time(Duration::try_from_secs_f64(run.seconds).unwrap_or_default());
    for (name, value) in [("driver", &run.driver), ("profile", &run.profile)] {
        if let Some(value) = value {
            suite.add_property((name, value.as_str()));
        }
    }
    suite.add_property(("binderdrill", results.binderdrill.as_str()));
    if let Some(provenance) = &results.provenance {
        suite.add_property(("suite", provenance.suite.as_str()));
        suite.add_property(("machine", provenance.machine.as_str()));
        if let Some(commit) = &provenance.commit {
            suite.add_property(("commit", commit.as_str()));
        }
    }
    suite.add_test_cases(run.cases.iter().map(|case| test_case(run, case)));
    suite
}

/// A target on which nothing could be run.
fn unused(unusable: &Unusable) -> TestSuite {
    let mut suite = TestSuite::new(&unusable.target);
    let status = bad(NonSuccessKind::Error, UNUSABLE.to_owned(), unusable.reason.clone());
    let mut test_case = TestCase::new("use of the target", status);
    test_case.set_classname(&unusable.target);
    suite.add_test_case(test_case);
    suite
}

fn test_case(run: &TargetResults, case: &CaseResult) -> TestCase {
    let status = match Outcome::of(case) {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed { message } => bad(NonSuccessKind::Failure, message, told(case)),
        Outcome::Broken { message } => bad(NonSuccessKind::Error, message, told(case)),
        Outcome::Known { reason } => skipped(&format!("deviates, as is known: {reason}")),
        Outcome::Skipped { reason } => skipped(&reason),
    };
    let mut test_case = TestCase::new(&case.id, status);
    test_case.set_classname(&run.target);
    test_case
}

fn bad(kind: NonSuccessKind, message: String, told: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message).set_description(told);
    status
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(reason);
    status
}

/// What all targets did, compared.
fn comparison(results: &Results) -> TestSuite {
    let mut suite = TestSuite::new("comparison");
    let status = match results.divergences.len() {
        0 if results.compared() == 0 => skipped(NOTHING_COMPARED),
        0 => TestCaseStatus::success(),
        several => {
            let told: Vec<String> =
                results.divergences.iter().map(|divergence| told_divergence(results, divergence)).collect();
            let message = format!("targets parted in {several} cases");
            bad(NonSuccessKind::Failure, message, told.join("\n\n"))
        }
    };
    let mut test_case = TestCase::new(COMPARISON, status);
    test_case.set_classname("comparison");
    suite.add_test_case(test_case);
    suite
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::tests::{hostile, of_all_kinds};

    fn junit(results: &Results) -> String {
        let mut text = Vec::new();
        write_junit(&mut text, results).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_became_of_cases_is_told_in_xml() {
        insta::assert_snapshot!(junit(&of_all_kinds()));
    }

    #[test]
    fn a_target_that_could_not_be_used_is_an_error() {
        let mut results = of_all_kinds();
        results.runs.truncate(1);
        let reason = "it does not boot:\nKernel panic - not syncing".to_owned();
        results.unusable = vec![Unusable { target: "vm:./bzImage".to_owned(), reason }];
        insta::assert_snapshot!(junit(&results));
    }

    proptest! {
        #[test]
        fn hostile_words_are_only_words(words in "(<|>|&|\\]\\]>|<!--|\"|'|\u{1b}\\[1m|[\\x00-\\x7f]){0,8}") {
            let results = hostile(&words);
            let read = Report::deserialize_from_str(&junit(&results)).unwrap();
            prop_assert_eq!(read.tests, results.runs.iter().map(|run| run.cases.len()).sum::<usize>());
            prop_assert_eq!(read.test_suites.len(), results.runs.len());
        }
    }
}
