//! Reports: what running cases on a target showed, for people and for programs.

mod coverage;
pub mod diagram;
mod human;
mod matrix;
mod patch;
mod reading;
mod recall;
mod results;
mod schema;
pub mod site;
mod style;
mod tally;
mod transcript;

pub use coverage::write_coverage;
pub use human::{write_case, write_summary};
pub use matrix::write_matrix;
pub use patch::{write_changes, write_verdicts};
pub use reading::{UnreadableResults, merge, read, write_compressed};
pub use recall::write_recall;
pub use results::{
    CaseDivergence, CaseResult, Counts, FORMAT_VERSION, Provenance, Replayed, Results, TargetResults,
};
pub use schema::schema;
pub use tally::write_tally;
pub(crate) use transcript::plain_lines;
pub use transcript::write_transcript;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{self, Case};
    use crate::target::Target;

    /// What these targets do with some cases of the suite, without the time that it took.
    pub(super) fn results<T: Target>(filters: &[&str], targets: Vec<T>) -> Results {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        results_of(&suite::select(&filters).unwrap(), targets)
    }

    /// What these targets do with these cases.
    pub(super) fn results_of<T: Target>(cases: &[Case], targets: Vec<T>) -> Results {
        let run = |mut target: T| {
            let of_case = |case| CaseResult::of(case, &mut target).unwrap();
            let cases: Vec<CaseResult> = cases.iter().map(of_case).collect();
            TargetResults {
                target: target.name(),
                profile: target.profile(),
                driver: target.driver(),
                seconds: 0.5,
                seconds_to_first_case: 0.25,
                counts: Counts::of(&cases),
                cases,
            }
        };
        let mut results = Results::of(targets.into_iter().map(run).collect()).with_scripts(cases);
        results.provenance = Some(Provenance {
            started: "2026-11-20T02:00:00Z".parse().unwrap(),
            commit: Some("0123456789ab".to_owned()),
            suite: suite::version(),
            machine: "Linux 6.12 x86_64, 2 processors".to_owned(),
            seed: None,
        });
        results
    }
}
