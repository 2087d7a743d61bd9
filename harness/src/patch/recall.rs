//! Recall: which of the bugs that are known the suite finds again, once they are brought back.

use serde::Serialize;

use super::{BugKind, Change, ChangeKind, KernelVerdict, KnownBug};
use crate::engine::Verdict;

/// The version of the format in which a recall is written; it grows whenever a reader of the one before might be misled.
pub const RECALL_FORMAT_VERSION: u32 = 1;

/// What became of known bugs, as it is written in JSON.
#[derive(Debug, Clone, Serialize)]
pub struct RecallResults {
    /// [`RECALL_FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of binderdrill that ran.
    pub binderdrill: String,
    /// Each bug.
    pub bugs: Vec<Recalled>,
}

/// What became of a known bug.
#[derive(Debug, Clone, Serialize)]
pub struct Recalled {
    /// What it is called.
    pub bug: String,
    /// What it does.
    pub title: String,
    /// The change that mended it.
    pub fix: String,
    /// What it takes to show it.
    pub kind: BugKind,
    /// Whether memory is used wrongly.
    pub memory: bool,
    /// The cases that are about it.
    pub expected: Vec<String>,
    /// The kernel that was given the bug, such as `built:uml-c`.
    pub kernel: String,
    /// The one that has it, as a target; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patched: Option<String>,
    /// Why it could not be tried, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untried: Option<String>,
    /// The cases that are right without it and wrong with it; those that are about it come first.
    pub caught_by: Vec<Catch>,
    /// How often the cases that race were run.
    pub rounds: u32,
    /// Whether the moment in which it happens was made long, in the kernel without it too.
    pub widened: bool,
    /// How long it took to build the kernel, in seconds.
    pub building: f64,
    /// How long it took to run all cases, in seconds.
    pub seconds: f64,
}

/// A case that catches a bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Catch {
    /// The case.
    pub case: String,
    /// What it saw.
    pub saw: String,
}

impl Recalled {
    /// A bug of which nothing has come yet.
    pub fn of(bug: &KnownBug, kernel: String) -> Recalled {
        Recalled {
            bug: bug.name.clone(),
            title: bug.patch.title.clone(),
            fix: bug.fix.clone(),
            kind: bug.kind,
            memory: bug.memory,
            expected: bug.caught_by.clone(),
            kernel,
            patched: None,
            untried: None,
            caught_by: Vec::new(),
            rounds: 0,
            widened: false,
            building: 0.0,
            seconds: 0.0,
        }
    }

    /// Takes in what the kernel with the bug did beside that without it.
    pub fn take(&mut self, verdict: &KernelVerdict) {
        // What a driver is known to do without the bug, if only sometimes, says nothing of it.
        let is_known = |change: &Change| matches!(change.patched.verdict, Verdict::KnownDeviation { .. });
        let changes = verdict.changes.iter();
        let broken = changes.filter(|change| change.kind == ChangeKind::Broken && !is_known(change));
        self.caught_by.extend(broken.map(Catch::of));
        self.caught_by.sort_by_key(|catch| !self.expected.contains(&catch.case));
    }

    /// Whether it is missed though there are cases about it.
    pub fn is_missed(&self) -> bool {
        self.untried.is_none() && self.caught_by.is_empty() && !self.expected.is_empty()
    }
}

impl Catch {
    fn of(change: &Change) -> Catch {
        let saw = match &change.patched.verdict {
            Verdict::Fail(deviation) | Verdict::KnownDeviation { deviation, .. } => {
                deviation.difference.clone()
            }
            Verdict::Broken { reason } => reason.clone(),
            Verdict::Skip { reason } => format!("skipped: {reason}"),
            Verdict::Pass | Verdict::UnexpectedPass { .. } | Verdict::OtherDriver { .. } => String::new(),
        };
        Catch { case: change.base.id.clone(), saw }
    }
}

impl RecallResults {
    /// What these came to.
    pub fn of(bugs: Vec<Recalled>) -> RecallResults {
        let binderdrill = env!("CARGO_PKG_VERSION").to_owned();
        RecallResults { format_version: RECALL_FORMAT_VERSION, binderdrill, bugs }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::patch::verdict_tests::{case, dies, fails, verdict};

    /// A bug that is about `race/b`, and was brought back.
    pub(crate) fn recalled(name: &str) -> Recalled {
        let text = "Subject: binder: a bug\nFix: x\nKind: race\nMemory: no\nCaught-By: race/b\n\n\
                    --- a/a\n+++ b/a\n@@ -1,2 +1,1 @@\n one\n-two\n";
        Recalled::of(&KnownBug::parse(name, text.as_bytes()).unwrap(), "built:uml-c".to_owned())
    }

    #[test]
    fn what_is_wrong_only_with_the_bug_catches_it() {
        let mut verdict = verdict();
        let base = ["a/a", "race/b", "c/c"].map(|id| case(id, "EBUSY", Verdict::Pass));
        let mut patched = base.clone();
        patched[0].verdict = fails("EPERM");
        patched[1].verdict = dies();
        verdict.judge(&base, &patched, |_| Ok::<_, ()>(Vec::new())).unwrap();
        let mut bug = recalled("a-bug");
        assert!(bug.is_missed());
        bug.take(&verdict);
        assert!(!bug.is_missed());
        let caught: Vec<&str> = bug.caught_by.iter().map(|catch| catch.case.as_str()).collect();
        assert_eq!(caught, ["race/b", "a/a"]);
    }
}
