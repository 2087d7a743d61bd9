//! What every script of the suite must have, whatever it is about.

use std::collections::BTreeMap;

use binderdrill::script::{self, Script};
use binderdrill::suite::{self, Case};

/// Every case that can be read. Of one that cannot, the test that runs it tells.
fn scripts() -> Vec<(Case, Script)> {
    let readable = |case: Case| case.script.clone().ok().map(|script| (case, script));
    let scripts: Vec<(Case, Script)> = suite::embedded().into_iter().filter_map(readable).collect();
    assert!(!scripts.is_empty(), "the suite is empty");
    scripts
}

/// Fails with every complaint that is made.
fn complain(complaints: impl Iterator<Item = String>) {
    let complaints: Vec<String> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_script_is_in_canonical_form() {
    let changed = |(case, script): (Case, Script)| {
        (script::print(&script.program) != *script.source)
            .then(|| format!("{0} is not in canonical form: run `binderdrill fmt {0}`", case.origin))
    };
    complain(scripts().into_iter().filter_map(changed));
}

#[test]
fn every_script_shows_a_clause() {
    let without = scripts().into_iter().filter(|(case, _)| case.clauses().is_empty());
    complain(without.map(|(case, _)| format!("{} names no clause", case.origin)));
}

#[test]
fn every_script_lies_in_the_folder_of_a_topic() {
    let elsewhere = scripts().into_iter().filter(|(case, _)| case.id.matches('/').count() != 1);
    complain(elsewhere.map(|(case, _)| format!("{} is not cases/<topic>/<name>.drill", case.id)));
}

#[test]
fn no_script_is_doubtful() {
    let doubts = |(case, script): (Case, Script)| {
        let doubts = script::lint(&script);
        (!doubts.is_empty()).then(|| doubts.render(&case.origin, false))
    };
    complain(scripts().into_iter().filter_map(doubts));
}

#[test]
fn no_two_titles_are_the_same() {
    let mut titles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (case, _) in scripts() {
        assert!(!case.title().is_empty(), "{} has no title", case.origin);
        titles.entry(case.title().to_owned()).or_default().push(case.id);
    }
    let shared = titles.into_iter().filter(|(_, cases)| cases.len() > 1);
    complain(shared.map(|(title, cases)| format!("{title:?}: {}", cases.join(", "))));
}
