//! Coverage of the driver's own code: which of its lines and branches ran, by whose doing.
//!
//! A kernel that was built with gcov counts how often each block ran, whatever thread, interrupt or worker ran it. The
//! guest takes the counters after each program and sets them to zero (`target/guest/counters.rs`), so that what is counted
//! then is that program's; the driver has come to rest and forgotten all processes by then. gcov makes lines of it
//! ([`gcov`]). A driver in Rust counts in another way, and of that lines are made here ([`llvm`]). What never ran is put together into [`Block`]s, and [`Explanations`] say of those that no program can
//! reach why that is so.

mod blocks;
mod explanations;
pub mod gcov;
mod lcov;
mod lines;
pub mod llvm;
mod results;

pub use blocks::Block;
pub use explanations::{Explanation, Explanations, MalformedExplanations, Why};
pub use gcov::{Gcov, GcovError};
pub use lcov::write_lcov;
#[cfg(test)]
pub(crate) use lines::tests as lines_tests;
pub use lines::{Coverage, FileCoverage, Function, LineCoverage, Origin, Runs, Share, Totals};
pub use llvm::{Llvm, LlvmError};
#[cfg(test)]
pub(crate) use results::tests as results_tests;
pub use results::{COVERAGE_FORMAT_VERSION, CoverageResults, FileShares, Unreached};
