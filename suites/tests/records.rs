//! The records of real kernels: they can be read, are of this suite, and nothing in them was left unexplained.

use std::collections::BTreeSet;

use binderdrill::engine::Verdict;
use binderdrill::{record, suite};

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
