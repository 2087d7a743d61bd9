//! Selection: which cases the words of a command line mean.

use std::path::Path;

use super::files::{self, FileError, is_script};
use super::{Case, embedded};

/// How many near ids are suggested.
const SUGGESTIONS: usize = 3;
/// How like an id must be to what was typed to be suggested, from 0 to 1.
const LIKENESS: f64 = 0.6;

/// Why a selection selects nothing that can be run.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// No case and no clause is called so.
    #[error("no case has {filter:?} in its name or among its clauses{}", suggest(near))]
    NothingSelected {
        /// What was asked for.
        filter: String,
        /// Ids of cases that look like it.
        near: Vec<String>,
    },
    /// The path of a script, and no such file.
    #[error("there is no file {0}")]
    NoSuchFile(String),
    /// A folder without any script.
    #[error("there is no script (*.drill) in the folder {0}")]
    EmptyFolder(String),
    /// There is no case at all.
    #[error("there are no cases in the suite that is built into this program")]
    EmptySuite,
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

fn suggest(near: &[String]) -> String {
    match near {
        [] => "; `binderdrill list` shows what there is".to_owned(),
        near => format!("; near it there is {}", near.join(", ")),
    }
}

/// The cases that filters mean, each once: all of the suite without any filter.
pub fn select(filters: &[String]) -> Result<Vec<Case>, SelectionError> {
    let suite = embedded();
    if filters.is_empty() {
        return if suite.is_empty() { Err(SelectionError::EmptySuite) } else { Ok(suite) };
    }
    let mut selected: Vec<Case> = Vec::new();
    for filter in filters {
        for case in select_one(&suite, filter)? {
            if !selected.iter().any(|other| other.id == case.id) {
                selected.push(case);
            }
        }
    }
    Ok(selected)
}

fn select_one(suite: &[Case], filter: &str) -> Result<Vec<Case>, SelectionError> {
    let path = Path::new(filter);
    if is_script(path) {
        return match path.exists() {
            true => Ok(vec![files::case(path)?]),
            false => Err(SelectionError::NoSuchFile(filter.to_owned())),
        };
    }
    let is_named = |case: &&Case| {
        let clauses: Vec<String> = case.clauses().iter().map(ToString::to_string).collect();
        is_meant(&case.id, &clauses, filter)
    };
    let named: Vec<Case> = suite.iter().filter(is_named).cloned().collect();
    if path.is_dir() {
        let cases = files::cases_under(path)?;
        // A folder that happens to be called like a topic, and has nothing to do with it.
        let topic: Vec<Case> = named.into_iter().filter(|case| case.topic() == filter).collect();
        return match cases.is_empty() && !topic.is_empty() {
            true => Ok(topic),
            false if cases.is_empty() => Err(SelectionError::EmptyFolder(filter.to_owned())),
            false => Ok(cases),
        };
    }
    if named.is_empty() {
        return Err(SelectionError::NothingSelected { filter: filter.to_owned(), near: near(suite, filter) });
    }
    Ok(named)
}

/// Whether a filter is part of the id of a case, or of one of its clauses.
pub fn is_meant(id: &str, clauses: &[String], filter: &str) -> bool {
    !filter.is_empty() && (id.contains(filter) || clauses.iter().any(|clause| names_clause(clause, filter)))
}

/// `txn.3` names the clause txn.3, and not txn.31; `txn` and `txn.` name both.
fn names_clause(clause: &str, filter: &str) -> bool {
    clause.match_indices(filter).any(|(at, _)| {
        let behind = clause[at + filter.len()..].chars().next();
        !(filter.ends_with(|c: char| c.is_ascii_digit()) && behind.is_some_and(|c| c.is_ascii_digit()))
    })
}

fn near(suite: &[Case], filter: &str) -> Vec<String> {
    let likeness = |case: &Case| {
        let name = case.id.rsplit('/').next().unwrap_or_default();
        [case.id.as_str(), name, case.topic()]
            .iter()
            .map(|candidate| strsim::normalized_damerau_levenshtein(filter, candidate))
            .fold(0.0, f64::max)
    };
    let mut near: Vec<(f64, &Case)> = suite
        .iter()
        .map(|case| (likeness(case), case))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    near.into_iter().take(SUGGESTIONS).map(|(_, case)| case.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Vec<Case> {
        let case = |id: &str, clauses: &str| {
            let text = format!("# About {id}.\nclause: {clauses}\n\nprocess p\n\np  ! poll = 0\n");
            Case::new(id, id, text.as_bytes())
        };
        vec![
            case("transaction/sync-call", "txn.3, identity.1"),
            case("transaction/oneway", "txn.31"),
            case("death/while-idle", "death.2"),
        ]
    }

    fn selected(filter: &str) -> Vec<String> {
        select_one(&suite(), filter).unwrap().into_iter().map(|case| case.id).collect()
    }

    #[test]
    fn a_part_of_an_id_selects() {
        assert_eq!(selected("death"), ["death/while-idle"]);
        assert_eq!(selected("sync"), ["transaction/sync-call"]);
        assert_eq!(selected("transaction/"), ["transaction/sync-call", "transaction/oneway"]);
    }

    #[test]
    fn a_clause_selects_and_its_number_is_not_cut_short() {
        assert_eq!(selected("txn.3"), ["transaction/sync-call"]);
        assert_eq!(selected("txn.31"), ["transaction/oneway"]);
        assert_eq!(selected("txn."), ["transaction/sync-call", "transaction/oneway"]);
    }

    #[test]
    fn a_filter_without_a_case_is_an_error_that_suggests() {
        let error = select_one(&suite(), "transaction/synccall").unwrap_err().to_string();
        assert!(error.contains("near it there is transaction/sync-call"), "{error}");
        let error = select_one(&suite(), "qqq").unwrap_err().to_string();
        assert!(error.contains("binderdrill list"), "{error}");
        assert!(select_one(&suite(), "").is_err());
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let error = select_one(&suite(), "no/such.drill").unwrap_err().to_string();
        assert_eq!(error, "there is no file no/such.drill");
    }
}
