//! Marks: a verdict in one sign and one word. The word is always there for those who do not see the sign or its colour.

use crate::engine::Verdict;

/// A verdict, as pages show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// A sign.
    pub(super) sign: &'static str,
    /// A word.
    pub(super) word: &'static str,
    /// The class that says what it looks like.
    pub(super) class: &'static str,
}

impl Mark {
    pub(super) fn of(verdict: &Verdict) -> Mark {
        let (sign, word, class) = match verdict {
            Verdict::Pass => ("✓", "passed", "ok"),
            Verdict::Fail(_) => ("✗", "failed", "bad"),
            Verdict::KnownDeviation { .. } => ("≠", "deviates as known", "known"),
            Verdict::UnexpectedPass { .. } => ("!", "passed unexpectedly", "bad"),
            Verdict::Skip { .. } => ("–", "skipped", "none"),
            Verdict::OtherDriver { .. } => ("·", "about the other driver", "none"),
            Verdict::Broken { .. } => ("?", "broken", "bad"),
        };
        Mark { sign, word, class }
    }
}
