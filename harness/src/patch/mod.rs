//! Patches of the kernel: what `git format-patch`, `git diff` and `diff -u` write, one or a series, and what becomes of
//! a source under them.

mod changes;
mod series;

pub use changes::{Changes, DoesNotApply};
pub use series::{Patch, UnreadablePatch, read};

/// Where the driver's own source is.
pub const DRIVER: &str = "drivers/android/";
