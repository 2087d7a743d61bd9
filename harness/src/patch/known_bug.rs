//! Known bugs: historical mistakes of the driver, each with a patch that brings it back and with what is known of it.
//!
//! A bug is a mail, as patches are, with these header lines besides its subject: `Fix`, the change that mended it;
//! `Kind`, `sequence` or `race`; `Memory`, whether memory is used wrongly, so that KASAN is what sees it; and
//! `Caught-By`, the cases that are about it, if there are any.

use mail_parser::{Message, MessageParser};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

use super::Patch;
use super::series;

/// A historical bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownBug {
    /// What it is called, such as `cve-2019-2215`.
    pub name: String,
    /// The patch that brings it back.
    pub patch: Patch,
    /// The change that mended it.
    pub fix: String,
    /// What it takes to show it.
    pub kind: BugKind,
    /// Whether memory is used wrongly, which a kernel with KASAN sees.
    pub memory: bool,
    /// The cases that are about it. Without any, nobody expects it to be caught.
    pub caught_by: Vec<String>,
    /// Of a race: what makes the moment long in which it happens, in a kernel with the bug or without.
    pub window: Option<Patch>,
}

/// What it takes to show a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum BugKind {
    /// One step after the other.
    Sequence,
    /// Two threads at the same time.
    Race,
}

/// Why a file is no known bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the known bug {name}: {reason}")]
pub struct MalformedBug {
    /// What it is called.
    pub name: String,
    /// What is the matter.
    pub reason: String,
}

/// All that are built in, in the order of their names.
pub fn known_bugs() -> Result<Vec<KnownBug>, MalformedBug> {
    let files = binderdrill_suites::known_bugs().into_iter();
    files.map(|file| KnownBug::parse(file.name, file.patch)?.with_window(file.window)).collect()
}

impl KnownBug {
    /// Reads one.
    pub fn parse(name: &str, mail: &[u8]) -> Result<KnownBug, MalformedBug> {
        let malformed = |reason: String| MalformedBug { name: name.to_owned(), reason };
        let Ok([patch]) = <[Patch; 1]>::try_from(series::parse(mail, name)) else {
            return Err(malformed("it is not one patch".to_owned()));
        };
        let files =
            patch.files().map_err(|reason| malformed(format!("it is not a whole patch: {reason}")))?;
        if files.iter().any(|file| file.patch().as_text().is_none_or(|diff| diff.hunks().is_empty())) {
            return Err(malformed("its patch has a file without a hunk".to_owned()));
        }
        let headers = MessageParser::default().parse(mail);
        let headers = headers.ok_or_else(|| malformed("it is no mail".to_owned()))?;
        let needed = |field: &'static str| {
            header(&headers, field).ok_or_else(|| malformed(format!("it has no header line {field}:")))
        };
        let kind = needed("Kind")?;
        let memory = needed("Memory")?;
        Ok(KnownBug {
            name: name.to_owned(),
            fix: needed("Fix")?,
            kind: kind
                .parse()
                .map_err(|_| malformed(format!("Kind: is sequence or race, and not {kind:?}")))?,
            memory: match memory.as_str() {
                "yes" => true,
                "no" => false,
                _ => return Err(malformed(format!("Memory: is yes or no, and not {memory:?}"))),
            },
            caught_by: header(&headers, "Caught-By")
                .map(|cases| cases.split(',').map(|case| case.trim().to_owned()).collect())
                .unwrap_or_default(),
            window: None,
            patch,
        })
    }

    /// The bug with what makes its moment long, if somebody has written that.
    fn with_window(self, diff: Option<&[u8]>) -> Result<KnownBug, MalformedBug> {
        let malformed =
            |reason: &str| MalformedBug { name: self.name.clone(), reason: format!("its window {reason}") };
        let Some(diff) = diff else { return Ok(self) };
        if self.kind != BugKind::Race {
            return Err(malformed("is of no use: it takes no race"));
        }
        let Ok([window]) = <[Patch; 1]>::try_from(series::parse(diff, &self.name)) else {
            return Err(malformed("is not one patch"));
        };
        Ok(KnownBug { window: Some(window), ..self })
    }
}

/// The words of a header line, which may go on in the next one.
fn header(mail: &Message<'_>, field: &'static str) -> Option<String> {
    let words = mail.header_raw(field)?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::kernel::Store;
    use crate::patch::Changes;
    use crate::suite;

    const MAIL: &str = "Subject: [PATCH] binder: a bug\nFix: 0123456789ab (\"binder: mend it\")\nKind: race\n\
                        Memory: yes\nCaught-By: race/one,\n race/two\n\nWhy.\n---\n\
                        --- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1,2 +1,1 @@\n one\n-two\n";

    #[test]
    fn a_bug_is_a_mail_with_what_is_known_of_it() {
        let bug = KnownBug::parse("a-bug", MAIL.as_bytes()).unwrap();
        assert_eq!(bug.patch.title, "binder: a bug");
        assert_eq!(bug.fix, "0123456789ab (\"binder: mend it\")");
        assert_eq!((bug.kind, bug.memory), (BugKind::Race, true));
        assert_eq!(bug.caught_by, ["race/one", "race/two"]);
        let unknown = MAIL.replace("Caught-By: race/one,\n race/two\n", "");
        assert!(KnownBug::parse("a-bug", unknown.as_bytes()).unwrap().caught_by.is_empty());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (right, wrong, told) in [
            ("Kind: race\n", "", "no header line Kind:"),
            ("Kind: race", "Kind: racy", "sequence or race, and not \"racy\""),
            ("Memory: yes", "Memory: maybe", "yes or no, and not \"maybe\""),
            ("Fix: ", "Fixes: ", "no header line Fix:"),
            ("@@ -1,2", "@@ -1,9", "not a whole patch"),
            ("@@ -1,2", "", "a file without a hunk"),
        ] {
            let error = KnownBug::parse("a-bug", MAIL.replace(right, wrong).as_bytes()).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("the known bug a-bug") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn only_a_race_has_a_window() {
        let (_, diff) = MAIL.split_once("---\n").unwrap();
        let with = |mail: &str, diff: &str| {
            KnownBug::parse("a-bug", mail.as_bytes()).unwrap().with_window(Some(diff.as_bytes()))
        };
        assert_eq!(with(MAIL, diff).unwrap().window.unwrap().touched(), ["drivers/android/binder.c"]);
        let error = with(MAIL, "Hello.\n").unwrap_err().to_string();
        assert!(error.ends_with("its window is not one patch"), "{error}");
        let error = with(&MAIL.replace("race\n", "sequence\n"), diff).unwrap_err().to_string();
        assert!(error.ends_with("it takes no race"), "{error}");
    }

    #[test]
    fn those_that_are_built_in_name_cases_of_the_suite() {
        let cases: HashSet<String> = suite::embedded_with(|_| true).into_iter().map(|case| case.id).collect();
        let bugs = known_bugs().unwrap();
        assert!(bugs.len() >= 15, "{} bugs", bugs.len());
        for bug in bugs {
            for case in &bug.caught_by {
                assert!(cases.contains(case), "{}: there is no case {case}", bug.name);
            }
        }
    }

    #[test]
    fn those_that_are_built_in_apply_to_the_source_that_they_are_for() {
        const SOURCE: &str = "linux-source-7.3";
        let there = |store: &Store| store.sources().iter().any(|source| source.name.to_string() == SOURCE);
        let Some(store) = Store::of_user().ok().filter(there) else {
            eprintln!("there is no {SOURCE} (binderdrill kernel build fetches it): not looked at");
            return;
        };
        let source = store.source(&SOURCE.parse().unwrap(), &mut |_| {}).unwrap();
        for bug in known_bugs().unwrap() {
            let and = |changes: &Changes, patch| {
                let patched = changes.and(patch, &source.folder);
                let patched = patched.unwrap_or_else(|error| panic!("{}: {error}", bug.name));
                assert_ne!(patched, *changes, "{}", bug.name);
                patched
            };
            and(&Changes::default(), &bug.patch);
            if let Some(window) = &bug.window {
                and(&and(&Changes::default(), window), &bug.patch);
            }
        }
    }
}
