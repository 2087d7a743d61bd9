//! Reports: what running cases on a target showed, for people and for programs.

mod beside;
mod case_result;
mod coverage;
pub mod diagram;
mod difference;
mod divergences;
mod driver;
mod found;
mod human;
mod inert;
mod junit;
mod kcidb;
mod kept;
mod ktap;
mod matrix;
mod outcome;
mod patch;
mod reading;
mod recall;
mod results;
mod schema;
pub mod site;
mod style;
mod tally;
mod transcript;

pub use case_result::CaseResult;
pub use coverage::write_coverage;
pub use difference::{named, write_differences};
pub use driver::{write_alone, write_driver_coverage, write_driver_pages};
pub(crate) use found::unlawful;
pub use found::{Beside, FoundProgram, Whence};
pub(crate) use human::quoted;
pub use human::{write_case, write_summary};
pub use junit::write_junit;
pub use kcidb::{BuildId, Origin, Submission, Unsendable, write_kcidb};
pub use kept::{NoKeptResults, kept};
pub use ktap::write_ktap;
pub use matrix::write_matrix;
pub use patch::{
    prepare_patch_pages, write_changes, write_own_lines, write_patch_pages, write_title, write_verdicts,
};
pub use reading::{UnreadableResults, merge, read, write_compressed};
pub use recall::write_recall;
pub use results::{
    CaseDivergence, Counts, FORMAT_VERSION, Provenance, Replayed, Results, TargetResults, Unusable,
};
pub use schema::schema;
pub use tally::write_tally;
pub use transcript::write_transcript;
pub(crate) use transcript::{plain_lines, remarks};

/// How many there are of something, in words.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::{Deviation, StepOutcome, StepRecord, Transcript, Verdict};
    use crate::program::DriverKind;
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
                options: String::new(),
                seconds: 0.5,
                seconds_to_first_case: 0.25,
                counts: Counts::of(&cases),
                cases,
                provenance: None,
            }
        };
        let mut results = Results::of(targets.into_iter().map(run).collect()).with_scripts(cases);
        results.provenance = Some(Provenance { suite: suite::version(), ..provenance() });
        results
    }

    /// A case with this id and verdict, all words of which are these.
    fn case(id: &str, words: &str, verdict: Verdict) -> CaseResult {
        CaseResult {
            id: id.to_owned(),
            origin: format!("suites/cases/{id}.drill"),
            digest: "0123".to_owned(),
            title: words.to_owned(),
            clauses: vec!["txn.3".to_owned()],
            unconfirmed: None,
            seed: None,
            line: matches!(verdict, Verdict::Fail(_)).then_some(6),
            verdict,
            transcript: Transcript {
                steps: vec![StepRecord {
                    step: 0,
                    thread: "client".to_owned(),
                    script: format!("client ! BINDER_VERSION {words}"),
                    outcome: StepOutcome::Failed { errno: "EINVAL".to_owned() },
                    woke: Vec::new(),
                    races: false,
                }],
                complaints: vec![words.to_owned()],
            },
            log: vec![format!("binder: {words}")],
            lines: vec![6],
            left_open: Vec::new(),
        }
    }

    /// A case of each verdict, all words of which are these.
    fn of_each_verdict(words: &str) -> Vec<CaseResult> {
        let deviation = || Deviation {
            step: Some(0),
            expected: "EBUSY".to_owned(),
            came: words.to_owned(),
            difference: words.to_owned(),
        };
        let (reason, source) = (words.to_owned(), words.to_owned());
        let verdicts = [
            ("passes", Verdict::Pass),
            ("fails", Verdict::Fail(deviation())),
            ("known", Verdict::KnownDeviation { deviation: deviation(), reason: reason.clone(), source }),
            ("unexpected", Verdict::UnexpectedPass { reason: reason.clone() }),
            ("skipped", Verdict::Skip { reason: reason.clone() }),
            ("other", Verdict::OtherDriver { driver: DriverKind::Rust }),
            ("broken", Verdict::Broken { reason: format!("the guest died\n{reason}") }),
        ];
        verdicts.map(|(id, verdict)| case(&format!("topic/{id}"), words, verdict)).into()
    }

    fn run(target: &str, driver: Option<&str>, cases: Vec<CaseResult>) -> TargetResults {
        TargetResults {
            target: target.to_owned(),
            profile: Some("c".to_owned()),
            driver: driver.map(str::to_owned),
            options: String::new(),
            seconds: 0.5,
            seconds_to_first_case: 0.25,
            counts: Counts::of(&cases),
            cases,
            provenance: None,
        }
    }

    fn provenance() -> Provenance {
        Provenance {
            started: "2026-11-20T02:00:00Z".parse().unwrap(),
            commit: Some("0123456789ab".to_owned()),
            suite: "0123".to_owned(),
            machine: "Linux 6.12 x86_64, 2 processors".to_owned(),
            seed: None,
        }
    }

    /// The reference driver, a kernel that came to each verdict, and one that passes.
    pub(crate) fn of_all_kinds() -> Results {
        let words = "the second manager is told EINVAL";
        let pass = |id: &str| case(id, words, Verdict::Pass);
        let mut reference = pass("topic/fails");
        reference.transcript.steps[0].outcome = StepOutcome::Failed { errno: "EBUSY".to_owned() };
        let kernel = of_each_verdict(words);
        let other = vec![pass("topic/passes"), pass("topic/before-linux-6.12")];
        let mut results = Results::of(vec![
            run("reference", None, vec![reference]),
            run("vm:debian-6.12", Some("linux-c-6.12.1"), kernel),
            run("built:uml-c", Some("linux-c-7.3.0"), other),
        ]);
        results.binderdrill = "0.1.0".to_owned();
        results.provenance = Some(provenance());
        results
    }

    /// A kernel that came to each verdict, with these words in all places.
    pub(super) fn hostile(words: &str) -> Results {
        let mut cases = of_each_verdict(words);
        for case in &mut cases {
            case.id.push_str(words);
        }
        let mut results = Results::of(vec![run(&format!("vm:{words}"), Some(words), cases)]);
        results.provenance = Some(Provenance { machine: words.to_owned(), ..provenance() });
        results
    }
}
