//! Counters: how often each block of the driver ran, on whatever thread, in interrupts and workers too. A kernel that was
//! built with gcov has them in its debugfs. Those of a module that counts while its kernel does not
//! (`kernel/counting_module.rs`) are read where they lie in memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::module::Module;
use super::module_memory;
use super::packed::{pack, unpack};
use crate::kernel::COUNTING_SECTION;

/// Where the kernel shows them. Its objects are folders within, by the paths at which they were built.
const SHOWN: &str = "/sys/kernel/debug/gcov";

/// What sets all of them to zero when something is written to it.
const RESET: &str = "reset";

/// The ending of a file of counters, without the dot.
const COUNTERS: &str = "gcda";

/// The section of a module in which its counters are, among other things. It is zero when the module is loaded.
pub const MODULE_COUNTERS: &str = ".bss";

/// The size of a counter, in bytes.
const COUNTER: usize = size_of::<u64>();

/// Since when something has been counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// From the start of the kernel until it was ready for the first program.
    Boot,
    /// Since this was asked last, or since it was ready.
    Last,
}

/// What a kernel has counted: for each object of the driver the file that gcov reads. Of a module that counts alone, it is
/// by how much each word of its section [`MODULE_COUNTERS`] has grown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// The files, with their names, such as `binder.gcda`, or the section with its name.
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

/// What counts, in the guest.
pub struct Counting {
    /// What the section of a module that counts was when it was looked at last.
    module: Option<Vec<u8>>,
}

impl Counting {
    /// The driver that has just been loaded may count; these are the files of modules.
    pub fn of(modules: &[PathBuf]) -> io::Result<Counting> {
        let is_driver = |path: &&PathBuf| path.to_string_lossy().contains(module_memory::DRIVER);
        let Some(driver) = modules.iter().find(is_driver) else { return Ok(Counting { module: None }) };
        let driver = Module::read(driver).map_err(io::Error::other)?;
        let file = object::File::parse(driver.bytes.as_slice()).map_err(io::Error::other)?;
        let counts = file.section_by_name(COUNTING_SECTION).is_some();
        let counters = file.section_by_name(MODULE_COUNTERS).filter(|_| counts);
        let zeros = |size| usize::try_from(size).map(|size| vec![0; size]).map_err(io::Error::other);
        Ok(Counting { module: counters.map(|section| zeros(section.size())).transpose()? })
    }

    /// Takes what has been counted since it was taken last. `None` if nothing counts.
    pub fn take(&mut self) -> io::Result<Option<PackedCounters>> {
        let Some(before) = &mut self.module else { return take_of_kernel() };
        let now = module_memory::read_section(MODULE_COUNTERS, before.len())?;
        let growth = pack(&growth(before, &now))?;
        *before = now;
        Ok(Some(PackedCounters { files: vec![(MODULE_COUNTERS.to_owned(), growth)] }))
    }
}

/// By how much each counter has grown.
fn growth(before: &[u8], now: &[u8]) -> Vec<u8> {
    let counters = |bytes: &[u8]| bytes.as_chunks::<COUNTER>().0.to_vec();
    let grown = counters(before).into_iter().zip(counters(now));
    grown
        .flat_map(|(before, now)| {
            u64::from_le_bytes(now).wrapping_sub(u64::from_le_bytes(before)).to_le_bytes()
        })
        .collect()
}

/// Takes what the kernel has counted: all counters are zero then. `None` if it counts nothing.
fn take_of_kernel() -> io::Result<Option<PackedCounters>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_grows_by_what_was_added_to_it() {
        let bytes =
            |counters: &[u64]| counters.iter().flat_map(|counter| counter.to_le_bytes()).collect::<Vec<u8>>();
        let before = bytes(&[0, 7, u64::MAX]);
        let now = bytes(&[3, 7, 1]);
        assert_eq!(growth(&before, &now), bytes(&[3, 0, 2]));
        assert_eq!(growth(&[0; 24], &before), before);
        assert_eq!(
            growth(&before[..20], &now[..20]),
            bytes(&[3, 0]),
            "what is behind the last word is no counter"
        );
    }

    #[test]
    fn no_module_counts_where_there_is_none() {
        let mut counting = Counting::of(&[]).unwrap();
        assert_eq!(counting.take().unwrap(), None);
    }
}
