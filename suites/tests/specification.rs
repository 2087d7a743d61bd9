//! The specification: every clause has a case, every case cites clauses that there are. And the known deviations are
//! about cases that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use binderdrill::expectation;
use binderdrill::suite;

/// The clauses of the specification, such as `txn.3`, by the page that they are on. A clause is a paragraph that
/// begins with its name, as in `**txn.3** The caller …`.
fn clauses() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec");
    let mut clauses = BTreeMap::new();
    for page in fs::read_dir(&folder).expect("suites/spec").map(|entry| entry.expect("an entry").path()) {
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&page).expect("a page of the specification");
        let named = text.lines().filter_map(|line| line.strip_prefix("**")?.split_once("**"));
        for (clause, sentence) in named {
            assert!(!sentence.trim().is_empty(), "{clause} on {name} says nothing on its first line");
            let twice = clauses.insert(clause.to_owned(), name.clone());
            assert_eq!(twice, None, "{clause} is there twice, on {name} too");
        }
    }
    assert!(!clauses.is_empty(), "the specification is empty");
    clauses
}

fn cited() -> BTreeSet<String> {
    let cases = suite::embedded();
    cases.iter().flat_map(|case| case.clauses()).map(ToString::to_string).collect()
}

#[test]
fn every_clause_has_a_case() {
    let cited = cited();
    let without: Vec<_> = clauses().into_iter().filter(|(clause, _)| !cited.contains(clause)).collect();
    assert!(without.is_empty(), "clauses without a case: {without:?}");
}

#[test]
fn every_case_cites_clauses_that_there_are() {
    let clauses = clauses();
    let mut wrong = Vec::new();
    for case in suite::embedded() {
        let unknown =
            case.clauses().iter().map(ToString::to_string).filter(|clause| !clauses.contains_key(clause));
        wrong.extend(unknown.map(|clause| format!("{} cites {clause}", case.id)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_clauses_of_a_page_are_numbered_from_1() {
    let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for clause in clauses().into_keys() {
        let (topic, number) = clause.split_once('.').expect("a clause is called topic.number");
        numbers.entry(topic.to_owned()).or_default().push(number.parse().expect("a number"));
    }
    for (topic, mut numbers) in numbers {
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u32), "{topic}: {numbers:?}");
    }
}

#[test]
fn every_known_deviation_is_of_a_case() {
    let cases: BTreeSet<String> = suite::embedded().into_iter().map(|case| case.id).collect();
    for file in binderdrill_suites::expectations() {
        let list = expectation::parse(file.driver, file.list).expect("a list that can be read");
        for known in list.deviation {
            assert!(cases.contains(&known.case), "{}.toml: there is no case {}", file.driver, known.case);
        }
    }
}
