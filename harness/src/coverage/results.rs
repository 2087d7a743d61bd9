//! What a measurement of coverage came to: how much ran of each file, and what did not, with the reasons.

use std::collections::BTreeMap;

use serde::Serialize;
use strum::VariantArray;

use super::blocks::Block;
use super::explanations::{Explanation, Explanations, Why};
use super::lines::{Coverage, Origin, Share, Totals};
use crate::kernel::{KernelError, Notes};

/// The version of the format in which results are written as JSON.
pub const COVERAGE_FORMAT_VERSION: u32 = 1;

/// What there is to say of the coverage of a driver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageResults {
    /// The version of this format.
    pub format_version: u32,
    /// The version of this program.
    pub binderdrill: String,
    /// The target.
    pub target: String,
    /// Its driver.
    pub driver: Option<String>,
    /// How many cases and programs ran.
    pub programs: usize,
    /// Those of which it is not known what they ran, since their guests were gone.
    pub lost: Vec<String>,
    /// How much ran of each file; the one with the most lines first.
    pub files: Vec<FileShares>,
    /// What never ran, the largest first.
    pub unreached: Vec<Unreached>,
    /// Explanations that explain nothing: what they are about ran, or is not there.
    pub idle: Vec<String>,
    /// Line by line.
    pub coverage: Coverage,
    /// The text of each file.
    #[serde(skip)]
    pub texts: BTreeMap<String, String>,
}

/// How much ran of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileShares {
    /// The file, by its name in the driver's folder.
    pub file: String,
    /// By the doing of each.
    pub by: BTreeMap<Origin, Totals>,
    /// By the doing of all.
    pub all: Totals,
    /// Of the lines that programs can reach: without those that no program can, and those that only booting runs.
    pub reachable: Share,
}

/// What never ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreached {
    /// What.
    #[serde(flatten)]
    pub block: Block,
    /// What keeps programs from there, as far as it is known.
    pub why: Option<Why>,
    /// The same in more words.
    pub reason: Option<String>,
}

impl CoverageResults {
    /// What there is to say of it, with the source that the notes of the kernel are about.
    pub fn of(
        target: &str,
        coverage: Coverage,
        notes: &Notes,
        known: &Explanations,
    ) -> Result<CoverageResults, KernelError> {
        let texts = coverage.files.keys().map(|file| Ok((file.clone(), notes.source(file)?)));
        let texts: BTreeMap<String, String> = texts.collect::<Result<_, KernelError>>()?;
        Ok(CoverageResults::with_texts(target, coverage, texts, known))
    }

    /// The same with these texts.
    pub(super) fn with_texts(
        target: &str,
        coverage: Coverage,
        texts: BTreeMap<String, String>,
        known: &Explanations,
    ) -> CoverageResults {
        let blocks = Block::all(&coverage);
        let explained: Vec<Option<&Explanation>> =
            blocks.iter().map(|block| known.of(block, &texts[&block.file])).collect();
        let used: Vec<&Explanation> = explained.iter().copied().flatten().collect();
        let idle = known.idle(&used).into_iter().map(Explanation::title).collect();
        let unreached = blocks.into_iter().zip(explained).map(|(block, known)| Unreached {
            block,
            why: known.map(|known| known.why),
            reason: known.map(|known| known.reason.clone()),
        });
        let unreached: Vec<Unreached> = unreached.collect();
        let mut files: Vec<FileShares> =
            coverage.files.keys().map(|file| FileShares::of(file, &coverage, &unreached)).collect();
        files.sort_by(|a, b| b.all.lines.all.cmp(&a.all.lines.all).then_with(|| a.file.cmp(&b.file)));
        CoverageResults {
            format_version: COVERAGE_FORMAT_VERSION,
            binderdrill: env!("CARGO_PKG_VERSION").to_owned(),
            target: target.to_owned(),
            driver: None,
            programs: coverage.cases.len(),
            lost: Vec::new(),
            files,
            unreached,
            idle,
            coverage,
            texts,
        }
    }
}

impl FileShares {
    fn of(file: &str, coverage: &Coverage, unreached: &[Unreached]) -> FileShares {
        let covered = &coverage.files[file];
        let by = Origin::VARIANTS.iter().map(|origin| (*origin, covered.totals(|runs| runs.of(*origin) > 0)));
        let all = covered.totals(|runs| runs.total() > 0);
        let programs = covered.totals(|runs| runs.of(Origin::Suite) > 0 || runs.of(Origin::Corpus) > 0);
        let only_booting = all.lines.reached - programs.lines.reached;
        let out_of_reach = unreached.iter().filter(|unreached| unreached.block.file == file);
        let out_of_reach = out_of_reach.filter(|unreached| !unreached.is_within_reach());
        let out_of_reach: usize = out_of_reach.map(|unreached| unreached.block.lines).sum();
        let reachable =
            Share { reached: programs.lines.reached, all: all.lines.all - only_booting - out_of_reach };
        FileShares { file: file.to_owned(), by: by.collect(), all, reachable }
    }
}

impl Unreached {
    /// Whether programs may be able to reach it: whatever nothing is known of is counted so.
    pub fn is_within_reach(&self) -> bool {
        self.why.is_none_or(Why::is_reachable)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::coverage::lines::tests::coverage;

    /// What came of the driver of two functions, of which one lies where it is for people only.
    pub(crate) fn results() -> CoverageResults {
        let text =
            |file| (String::from(file), "x\n".repeat(13) + "value = -value;\n" + &"x < y\n".repeat(20));
        let texts = ["binder.c", "binder_internal.h"].map(text).into();
        let known = "[[block]]\nfunction = \"never\"\nwhy = \"debugging\"\nreason = \"it is shown only\"\n\
                     [[block]]\nfunction = \"gone\"\nwhy = \"race\"\nreason = \"nobody knows\"\n";
        let known = Explanations::parse("c", known).unwrap();
        CoverageResults::with_texts("built:uml-c-gcov", coverage(), texts, &known)
    }

    #[test]
    fn what_programs_cannot_reach_is_not_asked_of_them() {
        let results = results();
        let file = &results.files[0];
        let out_of_reach: Vec<&Unreached> =
            results.unreached.iter().filter(|unreached| !unreached.is_within_reach()).collect();
        assert_eq!(out_of_reach.len(), 1);
        assert_eq!(file.reachable.all, file.all.lines.all - out_of_reach[0].block.lines);
        assert_eq!(file.reachable.reached, file.all.lines.reached);
        assert_eq!(results.idle, ["gone"]);
    }
}
