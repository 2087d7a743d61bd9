//! Patches of the kernel: what `git format-patch`, `git diff` and `diff -u` write, one or a series, what becomes of a
//! source under them, the verdict on them, and historical bugs that
//! patches bring back.

mod changes;
mod kept;
mod known_bug;
mod own_lines;
mod recall;
mod series;
mod verdict;

pub use changes::{Changes, DoesNotApply};
pub use kept::Kept;
pub use known_bug::{BugKind, KnownBug, MalformedBug, known_bugs};
#[cfg(test)]
pub(crate) use own_lines::tests as own_lines_tests;
pub use own_lines::{CountedLines, OwnLine, OwnLines, Ran};
#[cfg(test)]
pub(crate) use recall::tests as recall_tests;
pub use recall::{Catch, RECALL_FORMAT_VERSION, RecallResults, Recalled};
pub use series::{Patch, UnreadablePatch, read};
pub(crate) use verdict::did_the_same;
#[cfg(test)]
pub(crate) use verdict::tests as verdict_tests;
pub use verdict::{
    Change, ChangeKind, KernelVerdict, PATCH_FORMAT_VERSION, PatchResults, PatchVerdict, Repeated,
};

/// Where the driver's own source is.
pub const DRIVER: &str = "drivers/android/";
