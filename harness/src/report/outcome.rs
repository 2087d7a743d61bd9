//! Outcomes: what became of a case, in the few words that the formats of other programs have for it.

use super::case_result::CaseResult;
use super::human::write_case;
use super::matrix::write_divergence;
use super::results::{CaseDivergence, Results};
use crate::engine::Verdict;

/// What the test is called in which targets are compared.
pub(super) const COMPARISON: &str = "all targets did the same";

/// Why there is nothing to compare.
pub(super) const NOTHING_COMPARED: &str = "no case was run by two of the targets";

/// What is said of a target on which nothing could be run.
pub(super) const UNUSABLE: &str = "the target could not be used";

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All was as expected.
    Passed,
    /// The driver did something else.
    Failed {
        /// What, in a line.
        message: String,
    },
    /// The driver did something else, as it is known to do.
    Known {
        /// Why it does that.
        reason: String,
    },
    /// The case is not about this driver.
    Skipped {
        /// Why not.
        reason: String,
    },
    /// The case could not be run to a verdict.
    Broken {
        /// Why not, in a line.
        message: String,
    },
}

impl Outcome {
    /// What became of this case.
    pub(super) fn of(case: &CaseResult) -> Outcome {
        match &case.verdict {
            Verdict::Pass => Outcome::Passed,
            Verdict::Fail(deviation) => {
                let line = case.line.map_or("after the last step".to_owned(), |line| format!("line {line}"));
                let message = format!("{line}: expected {}, came {}", deviation.expected, deviation.came);
                Outcome::Failed { message: one_line(&message) }
            }
            Verdict::UnexpectedPass { reason } => {
                Outcome::Failed { message: one_line(&format!("it should have deviated, as {reason}")) }
            }
            Verdict::KnownDeviation { reason, .. } => Outcome::Known { reason: one_line(reason) },
            Verdict::Skip { reason } => Outcome::Skipped { reason: one_line(reason) },
            Verdict::OtherDriver { driver } => {
                Outcome::Skipped { reason: format!("the case is about the driver in {}", driver.title()) }
            }
            Verdict::Broken { reason } => {
                Outcome::Broken { message: one_line(reason.lines().next().unwrap_or_default()) }
            }
        }
    }
}

/// All that there is to tell people of a case, without colours; nothing of one that passed or was skipped.
pub(super) fn told(case: &CaseResult) -> String {
    let mut text = Vec::new();
    // Nothing can go wrong in writing to memory.
    let _ = write_case(&mut text, case);
    plain(text)
}

/// How targets part in a case, without colours.
pub(super) fn told_divergence(results: &Results, divergence: &CaseDivergence) -> String {
    let mut text = Vec::new();
    // Nothing can go wrong in writing to memory.
    let _ = write_divergence(&mut text, results, divergence);
    plain(text)
}

/// Text as it is without colours.
fn plain(text: Vec<u8>) -> String {
    let text = anstream::adapter::strip_bytes(&text).into_vec();
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Text in one line, without characters that are no text.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|letter: char| letter.is_whitespace() || letter.is_control()).collect();
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<&str>>().join(" ")
}
