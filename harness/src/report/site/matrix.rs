//! The conformance matrix: what each target does with each clause of the specification.

use askama::Template;

use super::{Head, Pages, Site, SiteError};
use crate::report::case_result::CaseResult;
use crate::report::results::Counts;

#[derive(Template)]
#[template(path = "matrix.html")]
struct Matrix<'a> {
    head: Head,
    targets: Vec<&'a str>,
    pages: Vec<PageRows<'a>>,
    clauses: usize,
}

struct PageRows<'a> {
    topic: &'a str,
    title: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    name: &'a str,
    place: String,
    /// What it says, without the marks of Markdown.
    says: String,
    cells: Vec<Cell>,
    /// The words that a filter looks for.
    states: String,
}

/// What one target did with the cases of a clause.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    sign: &'static str,
    class: &'static str,
    state: &'static str,
    count: String,
    /// In words.
    told: String,
}

impl Cell {
    fn of<'r>(cases: impl IntoIterator<Item = &'r CaseResult>) -> Cell {
        let counts = Counts::of(cases);
        let bad = counts.failed + counts.broken + counts.unexpected_passes;
        let judged = bad + counts.known_deviations + counts.passed;
        let (sign, class, state) = match (bad, counts.known_deviations, counts.passed, counts.skipped) {
            (1.., ..) => ("✗", "bad", "deviates"),
            (0, 1.., ..) => ("≠", "known", "known"),
            (0, 0, 1.., _) => ("✓", "ok", "passes"),
            (0, 0, 0, 1..) => ("–", "none", "skipped"),
            (0, 0, 0, 0) => ("", "none", "without"),
        };
        let count = match state {
            "deviates" => format!("{bad}/{judged}"),
            "known" => format!("{}/{judged}", counts.known_deviations),
            "passes" => judged.to_string(),
            _ => String::new(),
        };
        let told = [
            (counts.passed, "passed"),
            (bad, "deviated"),
            (counts.known_deviations, "deviated as known"),
            (counts.skipped, "skipped"),
            (counts.of_other_driver, "about the other driver"),
        ];
        let told: Vec<String> = told
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        let told = if told.is_empty() { "no case".to_owned() } else { told.join(", ") };
        Cell { sign, class, state, count, told }
    }
}

impl Site<'_> {
    pub(super) fn matrix(&self, pages: &mut Pages) -> Result<(), SiteError> {
        let targets = self.targets();
        let rows_of = |page: &'_ crate::specification::Page| -> Vec<Row<'_>> {
            let row = |clause: &'_ crate::specification::SpecifiedClause| {
                let shown: Vec<_> = self
                    .cases
                    .iter()
                    .filter(|view| view.clauses.iter().any(|cited| cited == clause.name))
                    .collect();
                let cells: Vec<Cell> = targets
                    .iter()
                    .map(|target| {
                        let on =
                            shown.iter().flat_map(|view| &view.results).filter(|(name, _)| name == target);
                        Cell::of(on.map(|(_, case)| *case))
                    })
                    .collect();
                let mut states: Vec<&str> = cells.iter().map(|cell| cell.state).collect();
                states.sort_unstable();
                states.dedup();
                if states != ["without"] {
                    states.retain(|state| *state != "without");
                }
                Row {
                    name: clause.name,
                    place: super::handbook::place(page, clause),
                    says: said(&clause.text),
                    cells,
                    states: states.join(" "),
                }
            };
            page.clauses.iter().map(row).collect()
        };
        let of_pages: Vec<PageRows<'_>> = self
            .specification
            .pages
            .iter()
            .map(|page| PageRows { topic: page.topic, title: page.title, rows: rows_of(page) })
            .collect();
        let clauses = of_pages.iter().map(|page| page.rows.len()).sum();
        let head = Head::new("Conformance matrix", "matrix.html", "matrix");
        pages.page("matrix.html", &Matrix { head, targets, pages: of_pages, clauses })
    }
}

/// A clause on one line, without what marks code.
fn said(text: &str) -> String {
    let plain: String = text.chars().filter(|letter| !matches!(letter, '`' | '*')).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_without_cases_says_so() {
        let cell = Cell::of([]);
        assert_eq!((cell.state, cell.told.as_str()), ("without", "no case"));
    }
}
