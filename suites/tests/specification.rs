//! The specification: every clause has a case, every case cites clauses that there are. And the known deviations are
//! about cases that there are.

use std::collections::{BTreeMap, BTreeSet};

use binderdrill::expectation;
use binderdrill::specification::Specification;
use binderdrill::suite::{self, Case};
use reference_driver::uapi;

/// The names of all clauses. Reading them makes sure that each is there once, on the page of its topic.
fn clauses() -> BTreeSet<String> {
    let specification = Specification::embedded().expect("a specification that can be read");
    let clauses = specification.pages.iter().flat_map(|page| &page.clauses);
    let clauses: BTreeSet<String> = clauses.map(|clause| clause.name.to_owned()).collect();
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
    let without: Vec<_> = clauses().into_iter().filter(|clause| !cited.contains(clause)).collect();
    assert!(without.is_empty(), "clauses without a case: {without:?}");
}

#[test]
fn every_case_cites_clauses_that_there_are() {
    let clauses = clauses();
    let mut wrong = Vec::new();
    for case in suite::embedded() {
        let unknown =
            case.clauses().iter().map(ToString::to_string).filter(|clause| !clauses.contains(clause));
        wrong.extend(unknown.map(|clause| format!("{} cites {clause}", case.id)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Who reads of one driver finds out what the other one does.
#[test]
fn what_is_about_one_driver_says_where_to_read_of_the_other() {
    let specification = Specification::embedded().expect("a specification that can be read");
    let cases = suite::embedded()
        .into_iter()
        .filter(|case| case.script.as_ref().is_ok_and(|script| script.program.driver.is_some()));
    let alone: Vec<String> = cases
        .filter(|case| specification.counterparts_of_case(case).is_empty())
        .map(|case| case.id)
        .collect();
    assert!(alone.is_empty(), "{alone:?}");
}

/// A clause is one or two sentences, besides the marks that say in which driver it holds.
#[test]
fn every_clause_has_two_sentences_at_most() {
    let specification = Specification::embedded().expect("a specification that can be read");
    for clause in specification.pages.iter().flat_map(|page| &page.clauses) {
        let text = clause.text.replace('\n', " ").replace("*A mistake of C.*", "");
        let text = text.split(" In Rust: ").next().unwrap_or_default();
        let sentences = text.split(". ").filter(|sentence| !sentence.trim().is_empty()).count();
        assert!(sentences <= 2, "{} has {sentences}: {text}", clause.name);
    }
}

/// Who implements the protocol finds each of its numbers in the tables of the page about encoding, and no other.
#[test]
fn the_page_about_encoding_lists_every_number() {
    let page = binderdrill_suites::specification()
        .into_iter()
        .find(|page| page.name == "encoding.md")
        .expect("a page about encoding");
    let cells: Vec<&str> = page.text.lines().flat_map(|line| line.split('|')).map(str::trim).collect();
    let listed: BTreeMap<&str, u32> = cells
        .windows(2)
        .filter_map(|pair| Some((pair[0], u32::from_str_radix(pair[1].strip_prefix("0x")?, 16).ok()?)))
        .collect();
    let numbers = [
        uapi::COMMANDS,
        uapi::RETURNS,
        uapi::IOCTLS,
        uapi::OBJECT_TYPES,
        uapi::TRANSACTION_FLAGS,
        uapi::FLAT_OBJECT_FLAGS,
        uapi::BUFFER_FLAGS,
    ];
    assert_eq!(listed, numbers.concat().into_iter().collect());
}

#[test]
fn every_known_deviation_is_of_a_case() {
    let cases: BTreeMap<String, Case> =
        suite::embedded().into_iter().map(|case| (case.id.clone(), case)).collect();
    for file in binderdrill_suites::expectations() {
        let list = expectation::parse(file.driver, file.list).expect("a list that can be read");
        for known in list.deviation {
            let (list, id) = (file.driver, &known.case);
            let case = cases.get(id).unwrap_or_else(|| panic!("{list}.toml: there is no case {id}"));
            let races = case.race().is_some();
            assert!(
                races || !known.sometimes,
                "{list}.toml: {id} is no race, and what it shows shows always"
            );
        }
    }
}
