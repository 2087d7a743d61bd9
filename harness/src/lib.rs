//! binderdrill: a conformance and fuzzing harness for the Android Binder driver.

// These end the program where nobody reads what it says: `command_line` has its own, which do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod campaign;
pub mod command_line;
pub mod compare;
pub mod coverage;
pub mod difference;
pub mod engine;
pub mod expectation;
pub mod export;
pub mod fuzz_target;
pub mod generate;
pub mod input;
pub mod kernel;
pub mod minimise;
pub mod oracle;
pub mod patch;
pub mod program;
pub mod record;
pub mod report;
pub mod script;
pub mod specification;
pub mod suite;
pub mod target;
