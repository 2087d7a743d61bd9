//! Comparison: two transcripts side by side, and in lines that differ the words that do.

use similar::{ChangeTag, TextDiff};

use super::departures::Departure;
use crate::report::transcript::plain_lines;

/// Two transcripts, or one if nobody did otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Their lines.
    pub(super) rows: Vec<ComparedRow>,
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

/// What the target did beside what was done as expected.
pub(super) fn compared(departure: &Departure<'_>) -> Comparison {
    let right = plain_lines(&departure.case.transcript, &departure.case.lines).join("\n");
    let Some((_, beside)) = departure.beside else {
        let row = |line: &str| ComparedRow { differs: false, left: Vec::new(), right: whole(line, false) };
        return Comparison { rows: right.lines().map(row).collect() };
    };
    let left = plain_lines(&beside.transcript, &beside.lines).join("\n");
    between(&left, &right)
}

fn between(left: &str, right: &str) -> Comparison {
    let diff = TextDiff::from_lines(left, right);
    let mut rows = Vec::new();
    for operation in diff.ops() {
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for change in diff.iter_changes(operation) {
            let line = change.value().trim_end_matches('\n');
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
    Comparison { rows }
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

    fn text(pieces: &[Piece]) -> String {
        pieces
            .iter()
            .map(|Piece { differs, text }| if *differs { format!("[{text}]") } else { text.clone() })
            .collect()
    }

    #[test]
    fn words_that_differ_are_marked_on_each_side() {
        let rows =
            between("same\n= success, read_consumed 8\nonly here", "same\n= success, read_consumed 12").rows;
        let told: Vec<_> = rows.iter().map(|row| (row.differs, text(&row.left), text(&row.right))).collect();
        assert_eq!(told[0], (false, "same".to_owned(), "same".to_owned()));
        assert_eq!(
            told[1],
            (true, "= success, read_consumed [8]".to_owned(), "= success, read_consumed [12]".to_owned())
        );
        assert_eq!(told[2], (true, "[only here]".to_owned(), String::new()));
    }
}
