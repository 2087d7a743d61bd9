//! The conformance suite, built into the program so that it needs no files where it runs.
//!
//! A case is one script, `cases/<topic>/<name>.drill`; its id is `<topic>/<name>`.

use include_dir::{Dir, DirEntry, include_dir};

static CASES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/cases");
static SPECIFICATION: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/spec");
static EXPECTATIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/expectations");
static FINDINGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../fuzz/findings");
static DIVERGENCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/divergences");
static UNREACHED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/unreached");
static KNOWN_BUGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/known-bugs");

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

/// A patch that brings a historical bug of the driver back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownBugFile {
    /// What the bug is called, such as `cve-2019-2215`.
    pub name: &'static str,
    /// The patch, a mail.
    pub patch: &'static [u8],
    /// A patch that makes the moment long in which it happens, if there is one.
    pub window: Option<&'static [u8]>,
}

/// What is known of a driver: its deviations, the divergences of programs that nobody wrote, or why some of its code is not
/// reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectationsFile {
    /// The driver, such as `linux-c-6.1`.
    pub driver: &'static str,
    /// The list, in TOML.
    pub list: &'static str,
}

/// A page of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecificationFile {
    /// Its file, such as `transactions.md`.
    pub name: &'static str,
    /// What it says, in Markdown.
    pub text: &'static str,
}

/// All pages of the specification, the list of them among them.
pub fn specification() -> Vec<SpecificationFile> {
    let files = SPECIFICATION.files().filter_map(|file| {
        let name = file.path().to_str()?;
        // A page that is not UTF-8 is as good as one without a title, and refused like one.
        Some(SpecificationFile { name, text: file.contents_utf8().unwrap_or_default() })
    });
    files.collect()
}

/// All lists of known deviations.
pub fn expectations() -> Vec<ExpectationsFile> {
    lists(&EXPECTATIONS)
}

/// All lists of known divergences of programs that nobody wrote, by the profiles that model the drivers.
pub fn divergences() -> Vec<ExpectationsFile> {
    lists(&DIVERGENCES)
}

/// All lists of the code that programs do not reach, by the drivers.
pub fn unreached() -> Vec<ExpectationsFile> {
    lists(&UNREACHED)
}

/// All historical bugs, in the order of their names.
pub fn known_bugs() -> Vec<KnownBugFile> {
    let files = KNOWN_BUGS.files().filter_map(|file| {
        let name = file.path().to_str()?.strip_suffix(".patch")?;
        let window = KNOWN_BUGS.get_file(format!("windows/{name}.patch")).map(|window| window.contents());
        Some(KnownBugFile { name, patch: file.contents(), window })
    });
    let mut bugs: Vec<KnownBugFile> = files.collect();
    bugs.sort_unstable();
    bugs
}

fn lists(folder: &Dir<'static>) -> Vec<ExpectationsFile> {
    let files = folder.files().filter_map(|file| {
        let driver = file.path().to_str()?.strip_suffix(".toml")?;
        // A list that is not UTF-8 is as good as one that is empty: neither names what must be named.
        Some(ExpectationsFile { driver, list: file.contents_utf8().unwrap_or("not UTF-8") })
    });
    files.collect()
}

/// All cases, in the order of their ids.
pub fn cases() -> Vec<CaseFile> {
    let mut cases = Vec::new();
    collect(&CASES, &mut cases);
    cases.sort_unstable();
    cases
}

/// Programs that showed a mistake once, in the order of their names.
pub fn findings() -> Vec<CaseFile> {
    let mut findings = Vec::new();
    collect(&FINDINGS, &mut findings);
    findings.sort_unstable();
    findings
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
