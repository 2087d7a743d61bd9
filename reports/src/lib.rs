//! Records of real kernels, built into the program so that it needs no files where it runs.
//!
//! A record is `records/<kernel>.json.gz`: what the whole suite showed on that kernel, in the format of
//! `binderdrill run --format json`. CONTRIBUTING.md says how they are made.

use include_dir::{Dir, include_dir};

static RECORDS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/records");

/// The ending of a record's file name, without the first dot.
pub const EXTENSION: &str = "json.gz";

/// What the suite showed on one kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordFile {
    /// The kernel, such as `debian-6.12`.
    pub kernel: &'static str,
    /// The results, in JSON, compressed by gzip.
    pub compressed: &'static [u8],
}

/// All records, in the order of their kernels' names.
pub fn records() -> Vec<RecordFile> {
    let files = RECORDS.files().filter_map(|file| {
        let name = file.path().to_str()?;
        let kernel = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
        Some(RecordFile { kernel, compressed: file.contents() })
    });
    let mut records: Vec<RecordFile> = files.collect();
    records.sort_unstable();
    records
}
