//! What makes a driver's module count which of its lines run, although its kernel counts nothing.
//!
//! gcc gives each function an array of counters. In a kernel that is built with gcov, each object tells the kernel of its
//! arrays by a constructor, which a stock kernel neither runs nor has anything to call for. Here gcc is asked to put what
//! it would tell into a section instead ([`SECTION`]), so that nothing has to run: a guest reads the arrays where they
//! lie in memory, and the module's symbols say which is whose. All that is missing then is what would add up counters of
//! several runs, which gcc names and nobody calls.

use std::fs;
use std::path::Path;

use super::{KernelError, file_error};

/// The section by which a module can be told that counts.
pub const SECTION: &str = ".gcov_info";

/// The object that is missing, in the driver's folder.
const OBJECT: &str = "binderdrill_counting";

/// Its source.
const SOURCE: &str = "void __gcov_merge_add(void *counters, unsigned int number);\n\
                      void __gcov_merge_add(void *counters, unsigned int number) {}\n";

/// What the driver's objects are compiled with. What a loop counts is to be in memory after each turn, and not only when
/// the loop ends. With `-g`, gcc remembers in which block each statement began, so that a line is counted too of which
/// optimizing leaves no code, such as one that sets what is returned to a number.
const FLAGS: &str = "-fprofile-arcs -ftest-coverage -fprofile-info-section=.gcov_info -fno-tree-loop-im -g";

/// What makes another module of the same source, for the key by which it is kept.
pub(super) const KEY: [&str; 2] = [FLAGS, SOURCE];

/// Puts what is missing into the driver's folder. Gives what its Kbuild is to say besides.
pub(super) fn add_to(driver: &Path) -> Result<String, KernelError> {
    let path = driver.join(format!("{OBJECT}.c"));
    fs::write(&path, SOURCE).map_err(|error| file_error(&path, error))?;
    Ok(format!("ccflags-y += {FLAGS}\nbinder_linux-y += {OBJECT}.o\nCFLAGS_REMOVE_{OBJECT}.o := {FLAGS}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_does_not_count_itself() {
        let driver = tempfile::tempdir().unwrap();
        let kbuild = add_to(driver.path()).unwrap();
        assert!(FLAGS.contains(SECTION));
        assert!(driver.path().join("binderdrill_counting.c").is_file());
        assert_eq!(kbuild.lines().filter(|line| line.ends_with(FLAGS)).count(), 2);
        assert!(kbuild.contains("\nbinder_linux-y += binderdrill_counting.o\n"));
    }
}
