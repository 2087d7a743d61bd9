//! Divergences: the cases that targets did different things with, and which of these are news.

use std::collections::{HashMap, HashSet};

use super::case_result::CaseResult;
use super::results::{CaseDivergence, TargetResults};
use crate::compare::divergence;
use crate::engine::Verdict;

/// The cases that targets did different things with.
#[derive(Default)]
pub(super) struct Differences {
    pub(super) divergences: Vec<CaseDivergence>,
    pub(super) choices: Vec<CaseDivergence>,
    pub(super) known: Vec<CaseDivergence>,
}

impl Differences {
    /// The differences between runs. Where a case has other scripts in other runs, those with the first are compared.
    pub(super) fn between(runs: &[TargetResults]) -> Differences {
        let mut differences = Differences::default();
        let by_id: Vec<HashMap<&str, &CaseResult>> =
            runs.iter().map(|run| run.cases.iter().map(|case| (case.id.as_str(), case)).collect()).collect();
        let mut seen = HashSet::new();
        let cases = runs.iter().flat_map(|run| &run.cases).filter(|case| seen.insert(&case.id));
        for case in cases {
            let of_runs = runs.iter().zip(&by_id).filter_map(|(run, cases)| {
                let same = cases.get(case.id.as_str()).filter(|other| other.digest == case.digest)?;
                Ran::of(run, same)
            });
            let ran: Vec<Ran> = of_runs.collect();
            let diverging = |is_looked_at: &dyn Fn(&Ran) -> bool| {
                let looked_at = ran.iter().filter(|ran| is_looked_at(ran));
                let transcripts: Vec<_> = looked_at.map(|ran| (ran.target, &ran.case.transcript)).collect();
                let divergence = divergence(&transcripts)?;
                let line = divergence.step.and_then(|step| case.lines.get(step).copied());
                Some(CaseDivergence { id: case.id.clone(), line, divergence })
            };
            let Some(all) = diverging(&|_| true) else { continue };
            let is_news = |ran: &Ran| !matches!(ran.case.verdict, Verdict::KnownDeviation { .. });
            match diverging(&is_news) {
                None => differences.known.push(all),
                Some(news) => {
                    let is_left_open = |diverging: &CaseDivergence| {
                        ran.iter().any(|ran| ran.case.leaves_open(&diverging.divergence))
                    };
                    let within_one = |one: &Ran| {
                        let of_one = diverging(&|ran| is_news(ran) && ran.profile == one.profile);
                        of_one.is_some_and(|parted| !is_left_open(&parted))
                    };
                    let failed = ran.iter().any(|ran| matches!(ran.case.verdict, Verdict::Fail(_)));
                    if failed || ran.iter().any(within_one) {
                        differences.divergences.push(news);
                    } else {
                        differences.choices.push(news);
                    }
                }
            }
        }
        differences
    }
}

/// What a target did with a case that it ran to a verdict which is about the driver.
struct Ran<'a> {
    target: &'a str,
    profile: Option<&'a str>,
    case: &'a CaseResult,
}

impl Ran<'_> {
    fn of<'a>(run: &'a TargetResults, case: &'a CaseResult) -> Option<Ran<'a>> {
        let is_of_driver =
            matches!(case.verdict, Verdict::Pass | Verdict::Fail(_) | Verdict::KnownDeviation { .. });
        is_of_driver.then_some(Ran { target: &run.target, profile: run.profile.as_deref(), case })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Deviation, StepOutcome, StepRecord, Transcript};
    use crate::report::{Counts, Results};

    /// What one target did in a case of one step, which passes or not.
    fn run(target: &str, profile: &str, outcome: StepOutcome, verdict: Verdict) -> TargetResults {
        let step = StepRecord {
            step: 0,
            thread: "client".to_owned(),
            script: "client < any of { parked | EAGAIN }".to_owned(),
            outcome,
            woke: Vec::new(),
            races: false,
        };
        let case = CaseResult {
            id: "topic/case".to_owned(),
            origin: "topic/case.drill".to_owned(),
            digest: String::new(),
            title: "A case.".to_owned(),
            clauses: Vec::new(),
            unconfirmed: None,
            seed: None,
            verdict,
            line: None,
            transcript: Transcript { steps: vec![step], complaints: Vec::new() },
            log: Vec::new(),
            lines: vec![4],
            left_open: Vec::new(),
        };
        TargetResults {
            target: target.to_owned(),
            profile: Some(profile.to_owned()),
            driver: None,
            options: String::new(),
            seconds: 0.0,
            seconds_to_first_case: 0.0,
            counts: Counts::of([&case]),
            cases: vec![case],
            provenance: None,
        }
    }

    fn otherwise() -> StepOutcome {
        StepOutcome::Succeeded { value: None }
    }

    #[test]
    fn what_the_script_leaves_open_different_drivers_may_do_differently() {
        let results = Results::of(vec![
            run("c", "c", StepOutcome::Parked, Verdict::Pass),
            run("rust", "rust", otherwise(), Verdict::Pass),
        ]);
        assert!(results.divergences.is_empty());
        assert_eq!(results.choices.len(), 1);
        assert_eq!(results.choices[0].line, Some(4));
    }

    #[test]
    fn what_the_script_leaves_open_one_driver_may_do_differently() {
        let step = |step, thread: &str, woke: &[&str], outcome| StepRecord {
            step,
            thread: thread.to_owned(),
            script: String::new(),
            outcome,
            woke: woke.iter().map(|thread| (*thread).to_owned()).collect(),
            races: false,
        };
        let of = |target, steps: Vec<StepRecord>, left_open: &[usize]| {
            let mut run = run(target, "rust", otherwise(), Verdict::Pass);
            run.cases[0].transcript.steps = steps;
            run.cases[0].left_open = left_open.to_vec();
            run
        };
        let woken = || vec![step(0, "client", &["w1"], otherwise()), step(1, "w1", &[], otherwise())];
        let asleep = || vec![step(0, "client", &[], otherwise()), step(1, "w1", &[], StepOutcome::Parked)];
        let between = |left_open| {
            let results = Results::of(vec![of("a", woken(), left_open), of("b", asleep(), left_open)]);
            (results.divergences.len(), results.choices.len())
        };
        assert_eq!(between(&[1]), (0, 1));
        assert_eq!(between(&[]), (1, 0));
        let mut parted = asleep();
        parted[0].outcome = StepOutcome::Parked;
        let results = Results::of(vec![of("a", woken(), &[1]), of("b", parted.clone(), &[1])]);
        assert_eq!(results.divergences.len(), 1, "the step that wakes did something else itself");
        let results = Results::of(vec![of("a", woken(), &[0]), of("b", parted, &[0])]);
        assert_eq!(results.choices.len(), 1);
    }

    #[test]
    fn one_driver_does_the_same_everywhere() {
        let results = Results::of(vec![
            run("reference", "c", StepOutcome::Parked, Verdict::Pass),
            run("c", "c", otherwise(), Verdict::Pass),
        ]);
        assert_eq!(results.divergences.len(), 1);
        assert!(results.choices.is_empty());
    }

    fn deviation() -> Deviation {
        Deviation {
            step: Some(0),
            expected: "EAGAIN".to_owned(),
            came: "done".to_owned(),
            difference: "it is done".to_owned(),
        }
    }

    #[test]
    fn what_is_known_is_no_news() {
        let known = Verdict::KnownDeviation {
            deviation: deviation(),
            reason: "a mistake".to_owned(),
            source: "a place".to_owned(),
        };
        let results = Results::of(vec![
            run("c", "c", StepOutcome::Parked, Verdict::Pass),
            run("rust", "rust", otherwise(), known),
        ]);
        assert!(results.divergences.is_empty() && results.choices.is_empty());
        assert_eq!(results.known.len(), 1);
    }

    #[test]
    fn a_deviation_is_no_choice() {
        let results = Results::of(vec![
            run("c", "c", StepOutcome::Parked, Verdict::Pass),
            run("rust", "rust", otherwise(), Verdict::Fail(deviation())),
        ]);
        assert_eq!(results.divergences.len(), 1);
        assert!(results.choices.is_empty());
    }
}
