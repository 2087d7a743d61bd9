//! The conformance suite, built into the program so that it needs no files where it runs.
//!
//! A case is one script, `cases/<topic>/<name>.drill`; its id is `<topic>/<name>`.

use include_dir::{Dir, DirEntry, include_dir};

static CASES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/cases");

/// The ending of a script's file name, without the dot.
pub const EXTENSION: &str = "drill";

/// A case of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaseFile {
    /// Its id, such as `transaction/sync-call`.
    pub id: &'static str,
    /// Its script, which should be UTF-8.
    pub script: &'static [u8],
}

/// All cases, in the order of their ids.
pub fn cases() -> Vec<CaseFile> {
    let mut cases = Vec::new();
    collect(&CASES, &mut cases);
    cases.sort_unstable();
    cases
}

fn collect(folder: &Dir<'static>, cases: &mut Vec<CaseFile>) {
    for entry in folder.entries() {
        match entry {
            DirEntry::Dir(folder) => collect(folder, cases),
            DirEntry::File(file) => {
                let id = file.path().to_str().and_then(|path| path.strip_suffix(".drill"));
                cases.extend(id.map(|id| CaseFile { id, script: file.contents() }));
            }
        }
    }
}
