//! Supplies: what is kept for patches besides kernels and sources. Each has a name in the list of kernels, and can be
//! deleted; what is needed again is made or fetched again.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What is kept for patches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Supply {
    /// The headers of a stock kernel of this release.
    Headers(String),
    /// What the bases of patches did.
    Results,
    /// The tree of this commit.
    Tree(String),
}

/// The folders of the store, each with what stands before the names of what is in it.
const HEADERS: (&str, &str) = ("headers", "headers:");
const TREES: (&str, &str) = ("trees", "tree:");

/// The folder of the store, and the name of what it holds.
const RESULTS: &str = "results";

impl Supply {
    /// All that are in a store.
    pub(super) fn all(store: &Path) -> Vec<Supply> {
        let inside = |(folder, prefix): (&str, &str)| {
            let entries = fs::read_dir(store.join(folder)).into_iter().flatten().flatten();
            let names: Vec<String> =
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            names
                .into_iter()
                .filter_map(move |name| format!("{prefix}{name}").parse().ok())
                .collect::<Vec<_>>()
        };
        let mut all = [inside(HEADERS), inside(TREES)].concat();
        all.extend(store.join(RESULTS).is_dir().then_some(Supply::Results));
        all.sort();
        all
    }

    /// Its folder in a store, if it is there.
    pub(super) fn folder(&self, store: &Path) -> Option<PathBuf> {
        let folder = match self {
            Supply::Headers(release) => store.join(HEADERS.0).join(release),
            Supply::Tree(commit) => store.join(TREES.0).join(commit),
            Supply::Results => store.join(RESULTS),
        };
        folder.is_dir().then_some(folder)
    }

    /// What it is, for people.
    pub fn title(&self) -> String {
        match self {
            Supply::Headers(release) => format!("headers, for patches of Linux {release}"),
            Supply::Tree(commit) => format!("a source, of the commit {commit}"),
            Supply::Results => "what the bases of patches did".to_owned(),
        }
    }
}

impl fmt::Display for Supply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Supply::Headers(release) => write!(f, "{}{release}", HEADERS.1),
            Supply::Tree(commit) => write!(f, "{}{commit}", TREES.1),
            Supply::Results => f.write_str(RESULTS),
        }
    }
}

/// That a word is no name of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSupply;

impl FromStr for Supply {
    type Err = NoSupply;

    fn from_str(word: &str) -> Result<Supply, NoSupply> {
        if word == RESULTS {
            return Ok(Supply::Results);
        }
        // What begins with a dot is being made; what has a slash would be elsewhere.
        let is_name = |name: &&str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
        let of =
            |(_, prefix): (&str, &'static str)| word.strip_prefix(prefix).filter(is_name).map(str::to_owned);
        of(HEADERS).map(Supply::Headers).or_else(|| of(TREES).map(Supply::Tree)).ok_or(NoSupply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_kept_has_a_name_and_a_folder() {
        let store = tempfile::tempdir().unwrap();
        assert!(Supply::all(store.path()).is_empty());
        for folder in
            ["headers/6.12.1-amd64", "headers/.fetching-x", "trees/0123456789ab", "results", "built/uml-c"]
        {
            fs::create_dir_all(store.path().join(folder)).unwrap();
        }
        let all = Supply::all(store.path());
        let names: Vec<String> = all.iter().map(Supply::to_string).collect();
        assert_eq!(names, ["headers:6.12.1-amd64", "results", "tree:0123456789ab"]);
        for (supply, name) in all.iter().zip(&names) {
            assert_eq!(&name.parse::<Supply>().unwrap(), supply);
            assert!(supply.folder(store.path()).unwrap().starts_with(store.path()));
        }
        for wrong in ["tree:", "tree:../built", "tree:.taking-x", "headers:a/b", "built:uml-c", "result"] {
            assert!(wrong.parse::<Supply>().is_err(), "{wrong}");
        }
        assert_eq!(Supply::Tree("fedcba987654".to_owned()).folder(store.path()), None);
    }
}
