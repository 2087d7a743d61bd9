//! Explanations: why programs do not reach some of the driver's code, as `suites/unreached/` lists it.

use serde::{Deserialize, Serialize};
use strum::Display;

use super::blocks::Block;
use crate::program::DriverKind;

/// A list of explanations of one driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanations {
    /// They.
    #[serde(default)]
    pub block: Vec<Explanation>,
}

/// Why some blocks are not reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// The function in which they lie.
    pub function: String,
    /// Words that stand in one of the lines of the block; without them, all blocks of the function are meant.
    pub holds: Option<String>,
    /// What keeps programs from there.
    pub why: Why,
    /// The same in more words.
    pub reason: String,
}

/// What keeps programs from a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Why {
    /// Only a kernel that boots runs it, and one that boots well does not.
    Boot,
    /// It runs when the kernel has no memory left, or when something else fails on which a program has no influence.
    Failure,
    /// It is for other processors, page sizes, processes or options than those of this kernel.
    Configuration,
    /// It is there for people who look for mistakes, in debugfs, in the log, or by a parameter of the module.
    Debugging,
    /// What calls it has seen to it that this does not happen.
    Excluded,
    /// Only two threads at the same moment lead there.
    Race,
    /// A script could lead there, and none does.
    Missing,
}

/// That a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("suites/unreached/{driver}.toml: {reason}")]
pub struct MalformedExplanations {
    driver: String,
    reason: String,
}

impl Why {
    /// Whether ioctl, mmap, poll, close or the shrinker can lead there.
    pub fn is_reachable(self) -> bool {
        match self {
            Why::Race | Why::Missing => true,
            Why::Boot | Why::Failure | Why::Configuration | Why::Debugging | Why::Excluded => false,
        }
    }
}

impl Explanation {
    /// What it is about.
    pub fn title(&self) -> String {
        match &self.holds {
            Some(holds) => format!("{} ({holds})", self.function),
            None => self.function.clone(),
        }
    }
}

impl Explanations {
    /// Those of a driver.
    pub fn embedded(driver: DriverKind) -> Result<Explanations, MalformedExplanations> {
        let mut all = Explanations::default();
        let driver = driver.to_string();
        for file in binderdrill_suites::unreached().into_iter().filter(|file| file.driver == driver) {
            all.block.extend(Explanations::parse(file.driver, file.list)?.block);
        }
        Ok(all)
    }

    /// Reads a list.
    pub fn parse(driver: &str, list: &str) -> Result<Explanations, MalformedExplanations> {
        toml::from_str(list)
            .map_err(|error| MalformedExplanations { driver: driver.to_owned(), reason: error.to_string() })
    }

    /// The one for a block, of whose file this is the text. One that names words goes before one that does not.
    pub fn of(&self, block: &Block, text: &str) -> Option<&Explanation> {
        let fits = |explanation: &&Explanation| {
            explanation.function == block.function
                && explanation
                    .holds
                    .as_ref()
                    .is_none_or(|holds| lines(text, block).any(|line| line.contains(holds)))
        };
        let fitting = || self.block.iter().filter(fits);
        fitting().find(|explanation| explanation.holds.is_some()).or_else(|| fitting().next())
    }

    /// Those that explain none of these blocks: what they are about has been reached, or is no longer there.
    pub fn idle(&self, explained: &[&Explanation]) -> Vec<&Explanation> {
        self.block.iter().filter(|own| !explained.contains(own)).collect()
    }
}

/// The text of a block.
fn lines<'a>(text: &'a str, block: &Block) -> impl Iterator<Item = &'a str> {
    let (before, lines) = (block.first as usize - 1, (block.last - block.first + 1) as usize);
    text.lines().skip(before).take(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "one\ntwo kmalloc\nthree\nfour\n";

    fn block(function: &str, first: u32, last: u32) -> Block {
        let function = function.to_owned();
        Block { file: "binder.c".to_owned(), function, first, last, lines: 1, whole: false }
    }

    fn explanations(list: &str) -> Explanations {
        Explanations::parse("c", list).unwrap()
    }

    #[test]
    fn what_is_known_of_a_block_is_found_by_its_words() {
        let known = explanations(
            "[[block]]\nfunction = \"f\"\nwhy = \"missing\"\nreason = \"general\"\n\
             [[block]]\nfunction = \"f\"\nholds = \"kmalloc\"\nwhy = \"failure\"\nreason = \"memory\"\n",
        );
        let reason = |block: &Block| known.of(block, TEXT).map(|known| known.reason.as_str());
        assert_eq!(reason(&block("f", 1, 2)), Some("memory"));
        assert_eq!(reason(&block("f", 3, 4)), Some("general"));
        assert_eq!(reason(&block("g", 1, 2)), None);
        let used = known.of(&block("f", 1, 2), TEXT).unwrap();
        assert_eq!(known.idle(&[used]).len(), 1);
    }

    #[test]
    fn the_lists_that_are_built_in_can_be_read() {
        let all = Explanations::embedded(DriverKind::C).unwrap();
        for (place, known) in all.block.iter().enumerate() {
            assert!(!known.reason.is_empty(), "{}", known.function);
            let twice = all.block[..place]
                .iter()
                .any(|other| (&other.function, &other.holds) == (&known.function, &known.holds));
            assert!(!twice, "{} {:?}", known.function, known.holds);
        }
    }

    #[test]
    fn a_malformed_list_is_refused() {
        let error = Explanations::parse("c", "[[block]]\nfunction = \"f\"\nwhy = \"so\"\n").unwrap_err();
        assert!(error.to_string().starts_with("suites/unreached/c.toml: "), "{error}");
    }
}
