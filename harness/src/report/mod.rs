//! Reports: what running cases on a target showed, for people and for programs.

mod human;
mod results;
mod style;
mod transcript;

pub use human::{write_case, write_summary};
pub use results::{CaseResult, Counts, FORMAT_VERSION, Results};
pub use transcript::write_transcript;
