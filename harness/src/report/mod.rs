//! Reports: what running cases on a target showed, for people and for programs.

mod coverage;
mod human;
mod matrix;
mod patch;
mod results;
mod style;
mod tally;
mod transcript;

pub use coverage::write_coverage;
pub use human::{write_case, write_summary};
pub use matrix::write_matrix;
pub use patch::{write_changes, write_verdicts};
pub use results::{CaseDivergence, CaseResult, Counts, FORMAT_VERSION, Results, TargetResults};
pub use tally::write_tally;
pub use transcript::write_transcript;
