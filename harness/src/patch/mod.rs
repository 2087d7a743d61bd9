//! Patches of the kernel: what `git format-patch`, `git diff` and `diff -u` write, one or a series, what becomes of a
//! source under them, and the verdict on them.

mod changes;
mod kept;
mod series;
mod verdict;

pub use changes::{Changes, DoesNotApply};
pub use kept::Kept;
pub use series::{Patch, UnreadablePatch, read};
#[cfg(test)]
pub(crate) use verdict::tests as verdict_tests;
pub use verdict::{
    Change, ChangeKind, KernelVerdict, PATCH_FORMAT_VERSION, PatchResults, PatchVerdict, Repeated,
};

/// Where the driver's own source is.
pub const DRIVER: &str = "drivers/android/";
