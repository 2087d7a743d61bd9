//! Cases: scripts with a name, from the suite that is built in or from files, and how they are selected.

mod coverage;
mod files;
mod selection;

pub use coverage::{Cell, Coverage, FamilyCoverage, WordCoverage};
pub use files::{FileError, cases_at, read_script, read_script_or_case};
pub(crate) use files::{files_under, is_script};
pub use selection::{SelectionError, is_meant, select};

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::program::{Clause, Race};
use crate::report::CaseResult;
use crate::script::{self, Diagnostics, Script};

/// A script with a name.
#[derive(Debug, Clone)]
pub struct Case {
    /// What selects it: `transaction/sync-call` in the suite, or the path of its file.
    pub id: String,
    /// Where its text is, for messages.
    pub origin: String,
    /// SHA-256 of its text, in hexadecimal: whether it is still the same.
    pub digest: String,
    /// What it says, or why it cannot be read.
    pub script: Result<Script, Diagnostics>,
}

impl Case {
    /// A case with this text.
    pub fn new(id: impl Into<String>, origin: impl Into<String>, source: &[u8]) -> Case {
        let digest = hex::encode(Sha256::digest(source));
        Case { id: id.into(), origin: origin.into(), digest, script: script::parse(source) }
    }

    /// The first line of its script, which says what the case is about.
    pub fn title(&self) -> &str {
        self.script.as_ref().ok().and_then(|script| script.program.opening.first()).map_or("", String::as_str)
    }

    /// The folder that the case is in.
    pub fn topic(&self) -> &str {
        self.id.rsplit_once('/').map_or("", |(topic, _)| topic)
    }

    /// What several of its threads do at once, if they do.
    pub fn race(&self) -> Option<&Race> {
        self.script.as_ref().ok()?.program.race()
    }

    /// Whether it leaves open what comes of one of its steps.
    pub fn leaves_open(&self) -> bool {
        self.script.as_ref().is_ok_and(|script| script.program.left_open().next().is_some())
    }

    /// The clauses that the case shows.
    pub fn clauses(&self) -> &[Clause] {
        self.script.as_ref().map_or(&[], |script| &script.program.clauses)
    }

    /// Why no real kernel has confirmed the case, if none has.
    pub fn unconfirmed(&self) -> Option<&str> {
        self.script.as_ref().ok()?.program.unconfirmed.as_deref()
    }
}

/// The version of the suite that is built in: a digest of the names and texts of all its cases.
pub fn version() -> String {
    let mut digest = Sha256::new();
    for file in binderdrill_suites::cases() {
        digest.update(file.id);
        digest.update([0]);
        digest.update(Sha256::digest(file.script));
    }
    hex::encode(digest.finalize())
}

/// Those of these cases whose script the suite that is built in has otherwise.
pub fn changed_since<'a>(results: impl Iterator<Item = &'a CaseResult>) -> Vec<&'a str> {
    let files = binderdrill_suites::cases().into_iter();
    let now: HashMap<&str, String> =
        files.map(|file| (file.id, hex::encode(Sha256::digest(file.script)))).collect();
    let changed =
        results.filter(|result| now.get(result.id.as_str()).is_some_and(|digest| *digest != result.digest));
    changed.map(|result| result.id.as_str()).collect()
}

/// The cases of the suite that is built in, in the order of their ids.
pub fn embedded() -> Vec<Case> {
    embedded_with(|_| true)
}

/// Those of them whose id is wanted. Only their scripts are read.
pub fn embedded_with(wanted: impl Fn(&str) -> bool) -> Vec<Case> {
    let case = |file: binderdrill_suites::CaseFile| {
        let origin = format!("suites/cases/{}.{}", file.id, binderdrill_suites::EXTENSION);
        Case::new(file.id, origin, file.script)
    };
    binderdrill_suites::cases().into_iter().filter(|file| wanted(file.id)).map(case).collect()
}
