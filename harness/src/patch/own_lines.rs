//! Own lines: the lines that a patch adds or alters, and whether they ran, how often, and by whose doing.

use std::path::Path;

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::{Changes, DRIVER, DoesNotApply};
use crate::coverage::{Coverage, Origin};

/// What is known of a patch's own lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OwnLines {
    /// What ran of them.
    Counted(CountedLines),
    /// It is not known what ran of them.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// What ran of a patch's own lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CountedLines {
    /// The patched kernel that counted, as a target; `None` where there was nothing to count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_on: Option<String>,
    /// How long it took to build it, in seconds.
    pub building: f64,
    /// How long it took to run everything on it, in seconds.
    pub seconds: f64,
    /// The lines, by files, as they are with the patch.
    pub lines: Vec<OwnLine>,
    /// Cases of which it is not known what they ran, since their guests were gone.
    pub lost: Vec<String>,
}

/// A line that a patch adds or alters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnLine {
    /// Its file, from the folder of the source.
    pub file: String,
    /// Its number, from 1.
    pub line: u32,
    /// The line.
    pub text: String,
    /// Whether it ran.
    pub ran: Ran,
}

/// Whether a line ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ran {
    /// There is no code in it, or none that is counted.
    NoCode,
    /// It never did.
    Never,
    /// It did.
    Did {
        /// How often while the kernel booted.
        boot: u64,
        /// How often by the doing of the suite.
        suite: u64,
        /// How often by the doing of programs that nobody wrote, or that somebody keeps.
        corpus: u64,
        /// How many of the ways that the code may go at its end were never taken.
        ways_never_taken: usize,
        /// The cases and programs that ran it.
        cases: Vec<String>,
    },
}

impl Changes {
    /// The lines that these add to a source with the changes before, or alter there. Nothing is known of them yet.
    pub fn own_lines(&self, before: &Changes, source: &Path) -> Result<Vec<OwnLine>, DoesNotApply> {
        let mut own = Vec::new();
        for (file, after) in self.files() {
            let Some(after) = after else { continue };
            let before = before.text(file, source)?.unwrap_or_default();
            let diff = TextDiff::from_lines(before.as_str(), after);
            let added = diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Insert);
            own.extend(added.filter_map(|change| {
                let line = u32::try_from(change.new_index()? + 1).ok()?;
                let text = change.value().trim_end_matches(['\n', '\r']).to_owned();
                Some(OwnLine { file: file.to_owned(), line, text, ran: Ran::NoCode })
            }));
        }
        Ok(own)
    }
}

impl OwnLines {
    /// These and those of another driver, which another kernel has counted.
    pub fn and(self, others: OwnLines) -> OwnLines {
        match (self, others) {
            (OwnLines::Counted(mut counted), OwnLines::Counted(others)) => {
                counted.counted_on = counted.counted_on.or(others.counted_on);
                counted.building += others.building;
                counted.seconds += others.seconds;
                counted.lines.extend(others.lines);
                counted.lost.extend(others.lost);
                OwnLines::Counted(counted)
            }
            // What is known of half of them is not told as if it were all.
            (unknown @ OwnLines::Unknown { .. }, _) | (_, unknown) => unknown,
        }
    }
}

impl OwnLine {
    /// What this coverage says of it.
    pub fn look_up(&mut self, coverage: &Coverage) {
        let file = self.file.strip_prefix(DRIVER);
        let Some(line) = file.and_then(|file| coverage.line(file, self.line)) else {
            self.ran = Ran::NoCode;
            return;
        };
        let of = |origin| line.runs.of(origin);
        self.ran = match line.runs.total() {
            0 => Ran::Never,
            _ => Ran::Did {
                boot: of(Origin::Boot),
                suite: of(Origin::Suite),
                corpus: of(Origin::Corpus),
                ways_never_taken: line.branches.iter().filter(|branch| branch.total() == 0).count(),
                cases: coverage.cases_of(line).map(str::to_owned).collect(),
            },
        };
    }
}

impl CountedLines {
    /// Those with code.
    pub fn with_code(&self) -> impl Iterator<Item = &OwnLine> {
        self.lines.iter().filter(|line| line.ran != Ran::NoCode)
    }

    /// Those with code that never ran.
    pub fn never(&self) -> impl Iterator<Item = &OwnLine> {
        self.lines.iter().filter(|line| line.ran == Ran::Never)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use crate::coverage::lines_tests::coverage;
    use crate::patch::Patch;

    /// A patch of which one line ran, another did not, and a third has no code.
    pub(crate) fn own_lines() -> OwnLines {
        let line = |line, text: &str, ran| OwnLine {
            file: "drivers/android/binder.c".to_owned(),
            line,
            text: format!("\t{text}"),
            ran,
        };
        let cases = ["context/one", "context/two", "context/three", "fuzz/findings/x"].map(str::to_owned);
        OwnLines::Counted(CountedLines {
            counted_on: Some("patched:ba9876543210".to_owned()),
            building: 3.0,
            seconds: 4.0,
            lines: vec![
                line(
                    10,
                    "if (twice) {",
                    Ran::Did { boot: 0, suite: 3, corpus: 1, ways_never_taken: 1, cases: cases.to_vec() },
                ),
                line(11, "\t/* <once> is enough */", Ran::NoCode),
                line(12, "\treturn -EPERM;", Ran::Never),
            ],
            lost: vec!["death/two".to_owned()],
        })
    }

    #[test]
    fn lines_of_a_patch_are_those_that_it_adds_or_alters() {
        let source = tempfile::tempdir().unwrap();
        fs::create_dir_all(source.path().join("drivers/android")).unwrap();
        let path = source.path().join("drivers/android/binder.c");
        fs::write(path, "one\ntwo\nthree\nfour\nfive\n").unwrap();
        let patch = |hunk: &str| {
            Patch::of_diff(&format!("--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n{hunk}"))
        };
        let first = Changes::default()
            .and(&patch("@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n"), source.path())
            .unwrap();
        let second =
            first.and(&patch("@@ -3,3 +3,3 @@\n three\n-four\n five\n+six\n"), source.path()).unwrap();
        let own = |changes: &Changes, before: &Changes| {
            let own = changes.own_lines(before, source.path()).unwrap();
            own.into_iter().map(|line| (line.line, line.text)).collect::<Vec<_>>()
        };
        let told = |lines: &[(u32, &str)]| {
            lines.iter().map(|(line, text)| (*line, (*text).to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(own(&second, &Changes::default()), told(&[(2, "zwei"), (5, "six")]));
        assert_eq!(own(&second, &first), told(&[(5, "six")]), "those of the patches before are theirs");
    }

    #[test]
    fn a_line_is_told_with_the_cases_that_ran_it() {
        let coverage = coverage();
        let of = |runs: &dyn Fn(u64) -> bool| {
            let lines = &coverage.files["binder.c"].lines;
            *lines.iter().find(|(_, line)| runs(line.runs.total())).unwrap().0
        };
        let line = |line, file: &str| {
            let mut line = OwnLine { file: file.to_owned(), line, text: String::new(), ran: Ran::NoCode };
            line.look_up(&coverage);
            line.ran
        };
        let ran = of(&|runs| runs > 0);
        let Ran::Did { boot, suite, corpus, cases, .. } = line(ran, "drivers/android/binder.c") else {
            panic!("line {ran} ran")
        };
        assert!(boot > 0 && suite > 0 && corpus == 0);
        assert_eq!(cases, ["topic/case"]);
        assert_eq!(line(of(&|runs| runs == 0), "drivers/android/binder.c"), Ran::Never);
        assert_eq!(line(1, "drivers/android/binder.c"), Ran::NoCode);
        assert_eq!(line(ran, "mm/binder.c"), Ran::NoCode);
    }
}
