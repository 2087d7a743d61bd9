//! The counters of a kernel that was built with gcov, as its debugfs has them: how often each block of the driver ran, on
//! whatever thread, in interrupts and workers too.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::packed::{pack, unpack};

/// Where the kernel shows them. Its objects are folders within, by the paths at which they were built.
const SHOWN: &str = "/sys/kernel/debug/gcov";

/// What sets all of them to zero when something is written to it.
const RESET: &str = "reset";

/// The ending of a file of counters, without the dot.
const COUNTERS: &str = "gcda";

/// Since when something has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// From the start of the kernel until it was ready for the first program.
    Boot,
    /// Since this was asked last, or since it was ready.
    Last,
}

/// What a kernel has counted: for each object of the driver the file that gcov reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// The files, with their names, such as `binder.gcda`.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The same, as it travels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedCounters {
    files: Vec<(String, String)>,
}

impl PackedCounters {
    /// What has been counted.
    pub fn unpack(&self) -> io::Result<Counters> {
        let files = self.files.iter().map(|(name, file)| Ok((name.clone(), unpack(file)?)));
        Ok(Counters { files: files.collect::<io::Result<_>>()? })
    }
}

/// Takes what has been counted, in the guest: all counters are zero then. `None` if the kernel counts nothing.
pub fn take() -> io::Result<Option<PackedCounters>> {
    let shown = Path::new(SHOWN);
    if !shown.is_dir() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for entry in WalkDir::new(shown).sort_by_file_name() {
        let entry = entry.map_err(io::Error::from)?;
        if entry.path().extension().is_some_and(|ending| ending == COUNTERS) {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, pack(&fs::read(entry.path())?)?));
        }
    }
    fs::write(shown.join(RESET), "0")?;
    Ok(Some(PackedCounters { files }))
}
