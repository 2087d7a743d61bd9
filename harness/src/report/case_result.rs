//! What became of one case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::Divergence;
use crate::engine::{Run, SetUpError, StepRecord, Transcript, Verdict};
use crate::expectation::{self, Expectations};
use crate::suite::Case;
use crate::target::Target;

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseResult {
    /// What selects the case on the command line.
    pub id: String,
    /// The file of its script.
    pub origin: String,
    /// The digest of its script (see [`Case::digest`]).
    pub digest: String,
    /// The first line of its script.
    pub title: String,
    /// The clauses of the specification that it shows, such as `txn.3`.
    pub clauses: Vec<String>,
    /// Why no real kernel has confirmed what it expects, if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<String>,
    /// What the delays of its race were made of, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What became of it.
    pub verdict: Verdict,
    /// The line of the script where the target deviated, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What each step did, as far as steps were done.
    pub transcript: Transcript,
    /// What the kernel's log had while the case ran, unless all was as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// The lines of the script on which its steps begin, from 1, by the index of the step.
    pub lines: Vec<usize>,
    /// The indexes of those steps that expect `any of` several things.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_open: Vec<usize>,
}

/// Why cases are left out.
const LEFT_OUT: &str = "it was not run, since guests died over too many cases before it";

impl CaseResult {
    /// A case that is not run, since guests have died over too many before it.
    pub fn left_out(case: &Case) -> CaseResult {
        CaseResult::not_run(case, LEFT_OUT.to_owned())
    }

    /// Whether it was not run, since guests had died over too many before it.
    pub fn is_left_out(&self) -> bool {
        matches!(&self.verdict, Verdict::Broken { reason } if reason == LEFT_OUT)
    }

    /// A case that has not been run, for this reason.
    pub fn not_run(case: &Case, reason: String) -> CaseResult {
        CaseResult {
            id: case.id.clone(),
            origin: case.origin.clone(),
            digest: case.digest.clone(),
            title: case.title().to_owned(),
            clauses: case.clauses().iter().map(ToString::to_string).collect(),
            unconfirmed: case.unconfirmed().map(str::to_owned),
            seed: case.race().map(|race| race.seed),
            verdict: Verdict::Broken { reason },
            line: None,
            transcript: Transcript::default(),
            log: Vec::new(),
            lines: Vec::new(),
            left_open: Vec::new(),
        }
    }

    /// Runs a case on a target.
    pub fn of(case: &Case, target: &mut dyn Target) -> Result<CaseResult, SetUpError> {
        let script = match &case.script {
            Ok(script) => script,
            Err(diagnostics) => {
                return Ok(CaseResult::not_run(case, diagnostics.render(&case.origin, false)));
            }
        };
        let mut run = target.run(&script.program)?;
        let known = match target.driver() {
            Some(driver) => expectation::of_driver(&driver).map_err(|error| SetUpError(error.to_string()))?,
            None => Expectations::default(),
        };
        // Of a race that is run in parts, what is told begins with the delays of the part that it is told of.
        let mut seed = script.program.race().map(|race| race.seed);
        let mut rest = script.program.clone();
        while known.shows_sometimes(&case.id, &run) && rest.leave_out(run.runs) {
            // What is known to show in some runs ends none of the others.
            let next = target.run(&rest)?;
            let runs = next.runs;
            if next.verdict != Verdict::Pass {
                run = next;
                seed = rest.race().map(|race| race.seed);
            }
            run.runs = runs;
        }
        run.verdict = known.judge(&case.id, run.verdict, &run.transcript);
        Ok(CaseResult { seed, ..CaseResult::of_run(case, run) })
    }

    /// What became of a case in this run.
    pub fn of_run(case: &Case, run: Run) -> CaseResult {
        let mut result = CaseResult::not_run(case, String::new());
        if let Ok(script) = &case.script {
            result.lines = script.positions.steps.iter().map(|position| position.line).collect();
            result.left_open = script.program.left_open().collect();
        }
        result.line = match &run.verdict {
            Verdict::Fail(deviation) | Verdict::KnownDeviation { deviation, .. } => {
                deviation.step.and_then(|step| result.lines.get(step).copied())
            }
            _ => None,
        };
        CaseResult { verdict: run.verdict, transcript: run.transcript, log: run.log, ..result }
    }

    /// Whether this and others part at a step that the script leaves open, or in whether they wake a thread that waits
    /// for such a step.
    pub fn leaves_open(&self, divergence: &Divergence) -> bool {
        let Some(parted) = divergence.step else { return false };
        if self.left_open.contains(&parted) {
            return true;
        }
        let mut records = divergence.sides.iter().map(|side| side.record.as_ref());
        let Some(Some(first)) = records.next() else { return false };
        let is_open_to = |thread: &String| {
            let later = self.transcript.steps.iter().filter(|record| record.step > parted);
            let mut own = later.filter(|record| record.thread == *thread);
            own.next().is_some_and(|record| self.left_open.contains(&record.step))
        };
        records.all(|record| {
            let Some(record) = record else { return false };
            let woken = first.woke.iter().chain(&record.woke);
            let mut by_one =
                woken.filter(|thread| first.woke.contains(thread) != record.woke.contains(thread));
            StepRecord { woke: first.woke.clone(), ..record.clone() } == *first && by_one.all(is_open_to)
        })
    }

    /// The line of the script from which on nothing is kept of what came, since threads race there: that is different in
    /// every run, and is kept only of one that went wrong.
    pub fn untold_from(&self) -> Option<usize> {
        let went_well = matches!(self.verdict, Verdict::Pass | Verdict::UnexpectedPass { .. });
        let next = self.lines.get(self.transcript.steps.len()).copied();
        next.filter(|_| self.seed.is_some() && went_well)
    }

    /// The folder that the case is in.
    pub fn topic(&self) -> &str {
        self.id.rsplit_once('/').map_or("", |(topic, _)| topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Deviation;

    /// A C driver with a race that does this, request by request; it keeps how often each asked it to run.
    struct Racing {
        does: Vec<crate::engine::Run>,
        asked: Vec<u32>,
    }

    impl Target for Racing {
        fn name(&self) -> String {
            "built:uml-c".to_owned()
        }

        fn run(&mut self, program: &crate::program::Program) -> Result<crate::engine::Run, SetUpError> {
            self.asked.push(program.race().map_or(0, |race| race.times));
            Ok(self.does.remove(0))
        }

        fn driver(&self) -> Option<String> {
            Some("linux-c-7.3.0".to_owned())
        }

        fn profile(&self) -> Option<String> {
            None
        }
    }

    #[test]
    fn what_is_known_to_show_sometimes_ends_no_other_run() {
        let id = "race/call-on-its-way-to-a-process-that-exits";
        let case = crate::suite::embedded_with(|name| name == id).remove(0);
        let run = |verdict, runs| crate::engine::Run { runs, ..crate::engine::Run::without_steps(verdict) };
        let deviates = |came: &str| {
            Verdict::Fail(Deviation {
                step: None,
                expected: String::new(),
                came: came.to_owned(),
                difference: String::new(),
            })
        };
        let known = || deviates("1 node is left after all is closed");
        let judged = |does| {
            let mut target = Racing { does, asked: Vec::new() };
            (CaseResult::of(&case, &mut target).unwrap().verdict, target.asked)
        };
        let (verdict, asked) = judged(vec![run(known(), 3), run(known(), 7), run(Verdict::Pass, 40)]);
        assert!(matches!(verdict, Verdict::KnownDeviation { .. }), "{verdict:?}");
        assert_eq!(asked, [50, 47, 40]);
        // The delays of the run that went wrong are those that `--seed` repeats.
        let mut target =
            Racing { does: vec![run(known(), 3), run(deviates("2 nodes are left"), 1)], asked: Vec::new() };
        let seed = CaseResult::of(&case, &mut target).unwrap().seed;
        assert_eq!(seed, case.race().map(|race| race.seed + 3));
        let (verdict, asked) = judged(vec![run(known(), 3), run(deviates("2 nodes are left"), 1)]);
        assert!(matches!(verdict, Verdict::Fail(_)), "{verdict:?}");
        assert_eq!(asked, [50, 47]);
        let (_, asked) = judged(vec![run(known(), 50)]);
        assert_eq!(asked, [50]);
    }
}
