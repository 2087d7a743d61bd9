//! Comparison: two transcripts side by side, and in lines that differ the words that do.

use similar::{ChangeTag, TextDiff};

use super::departures::Departure;
use crate::engine::Transcript;
use crate::report::transcript::plain_lines;

/// Two transcripts, or one if nobody did otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Their lines.
    pub(super) rows: Vec<ComparedRow>,
    /// The line of the script from which on the first was not kept, since threads race there.
    pub(super) untold: Option<usize>,
}

/// A line of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ComparedRow {
    /// Whether they differ.
    pub(super) differs: bool,
    /// What should have come, in pieces.
    pub(super) left: Vec<Piece>,
    /// What came.
    pub(super) right: Vec<Piece>,
}

/// Some words of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// Whether the other line does not have them.
    pub(super) differs: bool,
    /// The words.
    pub(super) text: String,
}

/// What the target did beside what was done as expected. What was not kept is compared with nothing.
pub(super) fn compared(departure: &Departure<'_>) -> Comparison {
    let case = departure.case;
    let Some((_, beside)) = departure.beside else {
        return Comparison { rows: alone(&case.transcript, &case.lines), untold: None };
    };
    let (right, left) = (&case.transcript, &beside.transcript);
    let untold = beside.untold_from();
    let told = if untold.is_some() { left.steps.len() } else { right.steps.len() };
    let (first, rest) = right.split_at(told);
    let [left, first] = [(left, beside), (&first, case)].map(|(told, case)| plain_lines(told, &case.lines));
    let mut rows = between(&left, &first);
    rows.extend(alone(&rest, &case.lines));
    Comparison { rows, untold }
}

/// What only one of the two has, or what cannot be compared.
fn alone(transcript: &Transcript, lines: &[usize]) -> Vec<ComparedRow> {
    let row = |line: &String| ComparedRow { differs: false, left: Vec::new(), right: whole(line, false) };
    plain_lines(transcript, lines).iter().map(row).collect()
}

fn between(left: &[String], right: &[String]) -> Vec<ComparedRow> {
    let [left, right] = [left, right].map(|lines| lines.iter().map(String::as_str).collect::<Vec<_>>());
    let diff = TextDiff::from_slices(&left, &right);
    let mut rows = Vec::new();
    for operation in diff.ops() {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for change in diff.iter_changes(operation) {
            let line = change.value();
            match change.tag() {
                ChangeTag::Equal => {
                    rows.push(ComparedRow {
                        differs: false,
                        left: whole(line, false),
                        right: whole(line, false),
                    });
                }
                ChangeTag::Delete => removed.push(line),
                ChangeTag::Insert => added.push(line),
            }
        }
        for place in 0..removed.len().max(added.len()) {
            let (left, right) = match (removed.get(place), added.get(place)) {
                (Some(one), Some(other)) => words(one, other),
                (one, other) => {
                    let side = |line: Option<&&str>| line.map(|line| whole(line, true)).unwrap_or_default();
                    (side(one), side(other))
                }
            };
            rows.push(ComparedRow { differs: true, left, right });
        }
    }
    rows
}

fn whole(line: &str, differs: bool) -> Vec<Piece> {
    vec![Piece { differs, text: line.to_owned() }]
}

/// The words of two lines.
fn words(left: &str, right: &str) -> (Vec<Piece>, Vec<Piece>) {
    let diff = TextDiff::from_words(left, right);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for change in diff.iter_all_changes() {
        let differs = change.tag() != ChangeTag::Equal;
        if change.tag() != ChangeTag::Insert {
            push(&mut ours, differs, change.value());
        }
        if change.tag() != ChangeTag::Delete {
            push(&mut theirs, differs, change.value());
        }
    }
    (ours, theirs)
}

fn push(pieces: &mut Vec<Piece>, differs: bool, text: &str) {
    match pieces.last_mut() {
        Some(last) if last.differs == differs => last.text.push_str(text),
        _ => pieces.push(Piece { differs, text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::case_result::CaseResult;

    #[test]
    fn what_is_not_kept_of_a_race_is_compared_with_nothing() {
        let case = crate::suite::embedded_with(|id| id.starts_with("race/")).remove(0);
        let mut model = crate::target::ReferenceTarget::new(reference_driver::Profile::C);
        let failed = {
            let Ok(script) = &case.script else { panic!("{}", case.id) };
            let mut program = script.program.clone();
            program.steps.iter_mut().for_each(|step| {
                // What is no race is told to its end.
                if let crate::program::Moment::Race(race) = &step.value {
                    step.value = crate::program::Moment::Step(race.steps[0].clone());
                }
            });
            crate::target::Target::run(&mut model, &program).unwrap()
        };
        let passed = CaseResult::of(&case, &mut model).unwrap();
        let deviation = crate::report::unlawful("it went wrong");
        let verdict = crate::engine::Verdict::Fail(deviation.clone());
        let failed = CaseResult::of_run(&case, crate::engine::Run { verdict, ..failed });
        assert!(failed.transcript.steps.len() > passed.transcript.steps.len());
        let departure = Departure {
            case: &failed,
            targets: vec!["kernel"],
            kind: crate::report::site::Kind::Failed,
            deviation: Some(deviation),
            beside: Some(("reference", &passed)),
            logs: Vec::new(),
            found: None,
        };
        let Comparison { rows, untold } = compared(&departure);
        assert_eq!(untold, passed.untold_from());
        assert!(untold.is_some() && rows.iter().all(|row| !row.differs), "{rows:?}");
    }

    fn text(pieces: &[Piece]) -> String {
        pieces
            .iter()
            .map(|Piece { differs, text }| if *differs { format!("[{text}]") } else { text.clone() })
            .collect()
    }

    #[test]
    fn words_that_differ_are_marked_on_each_side() {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let left = lines(&["same", "= success, read_consumed 8", "same at the end of one", "only here"]);
        let right = lines(&["same", "= success, read_consumed 12", "same at the end of one"]);
        let rows = between(&left, &right);
        let told: Vec<_> = rows.iter().map(|row| (row.differs, text(&row.left), text(&row.right))).collect();
        assert_eq!(told[0], (false, "same".to_owned(), "same".to_owned()));
        assert_eq!(
            told[1],
            (true, "= success, read_consumed [8]".to_owned(), "= success, read_consumed [12]".to_owned())
        );
        let same = "same at the end of one".to_owned();
        assert_eq!(told[2], (false, same.clone(), same));
        assert_eq!(told[3], (true, "[only here]".to_owned(), String::new()));
    }
}
