//! Results: what running cases on a target showed, as it is written in JSON.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::found::FoundProgram;
use super::kept::RECORD;
use crate::campaign::Tally;
use crate::compare::{Divergence, divergence};
use crate::engine::{Run, SetUpError, StepRecord, Transcript, Verdict};
use crate::expectation::{self, Expectations};
use crate::suite::{self, Case};
use crate::target::Target;

/// The version of the format; it grows whenever a reader of the one before might be misled.
pub const FORMAT_VERSION: u32 = 1;

/// What running some cases on some targets showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of binderdrill that ran.
    pub binderdrill: String,
    /// The targets, in the order in which the user named them.
    pub runs: Vec<TargetResults>,
    /// The cases that targets of one profile did different things with, or with which one target deviated and another
    /// did not; but for those that were not run on all.
    pub divergences: Vec<CaseDivergence>,
    /// The cases that drivers of different profiles did different things with, all of which are right: their scripts
    /// leave the choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<CaseDivergence>,
    /// The cases that targets did different things with as they are known to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<CaseDivergence>,
    /// When and where it ran; none in old records of kernels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// The scripts of the cases, by their digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<String, String>,
    /// What programs that nobody wrote have shown, if any were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Tally>,
    /// What became of the inputs that fuzzers have kept, if they were replayed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<Replayed>,
    /// The programs that nobody wrote, with which targets did something else than they should: what a campaign found, and
    /// what of the replayed inputs is otherwise. Of many inputs, not all are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundProgram>,
    /// The targets that were asked for and on which nothing could be run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
}

/// A target on which nothing could be run, such as a kernel that does not boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unusable {
    /// The target.
    pub target: String,
    /// Why not, with the last lines of its console if it has one.
    pub reason: String,
}

/// When and where something ran, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// When it began.
    pub started: Timestamp,
    /// The commit that binderdrill was built from, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The version of the suite that is built in: a digest of all its scripts.
    pub suite: String,
    /// The machine: its kernel, its architecture, and how many processors it has.
    pub machine: String,
    /// What the delays of races were made of, if somebody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What became of inputs that fuzzers have kept, on one target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// The target.
    pub target: String,
    /// How many inputs there were.
    pub inputs: usize,
    /// Those with which the target did as the model does.
    pub same: usize,
    /// Those about what the target lacks.
    pub skipped: usize,
    /// Those that are no scripts, and were refused as they should be.
    pub refused: usize,
    /// Those with which the target did otherwise than the model, as it is known to do with programs that nobody wrote.
    #[serde(default)]
    pub known: usize,
    /// Those with which something was not as it must be.
    pub deviations: usize,
    /// The names of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviating: Vec<String>,
    /// Those that could not be run.
    pub broken: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was told of those that deviate or are broken.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub told: String,
}

/// A case that targets did different things with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseDivergence {
    /// The case.
    pub id: String,
    /// The line of the script where they part, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// How they part.
    pub divergence: Divergence,
}

/// What a run of some cases on one target showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetResults {
    /// The target as the user named it.
    pub target: String,
    /// The profile of the reference driver that its driver is nearest to; none if no case was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Its driver, such as `linux-c-6.12.117+deb12-amd64`; none if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Wall time from the preparation of the target to the end of the last case, in seconds.
    pub seconds: f64,
    /// Wall time to the end of the first case, in seconds: mostly what it takes to boot.
    pub seconds_to_first_case: f64,
    /// How many cases came to which verdict.
    pub counts: Counts,
    /// The cases, in the order in which they ran.
    pub cases: Vec<CaseResult>,
    /// When and where it ran, if that was another time or place than that of the other targets, and is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

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

/// How many cases came to which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// All was as expected.
    pub passed: usize,
    /// The target did something else.
    pub failed: usize,
    /// The target did something else, as it is known to do.
    pub known_deviations: usize,
    /// All was as expected, though the target is known to do something else.
    pub unexpected_passes: usize,
    /// The target lacks something.
    pub skipped: usize,
    /// The case is about the other implementation of the driver.
    pub of_other_driver: usize,
    /// No verdict could be had.
    pub broken: usize,
    /// Of those that passed, the ones that no real kernel has confirmed.
    pub unconfirmed_passed: usize,
    /// Of those that failed, the ones that no real kernel has confirmed.
    pub unconfirmed_failed: usize,
}

impl Results {
    /// What these runs of the same cases showed.
    pub fn of(runs: Vec<TargetResults>) -> Results {
        let Differences { divergences, choices, known } = Differences::between(&runs);
        Results {
            format_version: FORMAT_VERSION,
            binderdrill: env!("CARGO_PKG_VERSION").to_owned(),
            runs,
            divergences,
            choices,
            known,
            provenance: None,
            scripts: BTreeMap::new(),
            campaign: None,
            replays: Vec::new(),
            found: Vec::new(),
            unusable: Vec::new(),
        }
    }

    /// The same, with the scripts of these cases.
    pub fn with_scripts(mut self, cases: &[Case]) -> Results {
        let readable = cases.iter().filter_map(|case| Some((case, case.script.as_ref().ok()?)));
        self.scripts =
            readable.map(|(case, script)| (case.digest.clone(), script.source.to_string())).collect();
        self
    }

    /// The same, with those scripts from the suite that is built in which the results are of and do not have.
    pub fn with_known_scripts(mut self) -> Results {
        let has = |case: &CaseResult| self.scripts.contains_key(&case.digest);
        let cases = self.runs.iter().flat_map(|run| &run.cases);
        let missing: HashMap<&str, &str> =
            cases.filter(|case| !has(case)).map(|case| (case.id.as_str(), case.digest.as_str())).collect();
        let known = suite::embedded_with(|id| missing.contains_key(id)).into_iter();
        let same = known.filter(|case| missing.get(case.id.as_str()) == Some(&case.digest.as_str()));
        let scripts: Vec<(String, String)> =
            same.filter_map(|case| Some((case.digest, case.script.ok()?.source.to_string()))).collect();
        self.scripts.extend(scripts);
        self
    }

    /// Keeps these programs, and their scripts.
    pub fn keep_found(&mut self, found: impl IntoIterator<Item = (FoundProgram, String)>) {
        for (program, script) in found {
            self.scripts.insert(program.case.digest.clone(), script);
            self.found.push(program);
        }
    }

    /// The counts of all targets together.
    pub fn counts(&self) -> Counts {
        Counts::of(self.runs.iter().flat_map(|run| &run.cases))
    }
}

/// The cases that targets did different things with.
#[derive(Default)]
struct Differences {
    divergences: Vec<CaseDivergence>,
    choices: Vec<CaseDivergence>,
    known: Vec<CaseDivergence>,
}

impl Differences {
    /// The differences between runs. Where a case has other scripts in other runs, those with the first are compared.
    fn between(runs: &[TargetResults]) -> Differences {
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

impl TargetResults {
    /// When and where it ran, if that is known: of a record, only what that says itself.
    pub fn provenance<'r>(&'r self, results: &'r Results) -> Option<&'r Provenance> {
        let of_all = || results.provenance.as_ref().filter(|_| !self.target.starts_with(RECORD));
        self.provenance.as_ref().or_else(of_all)
    }
}

impl Provenance {
    /// Of something that began at this time, on this machine.
    pub fn of(started: Timestamp, seed: Option<u64>) -> Provenance {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = nix::sys::utsname::uname().map_or_else(
            |_| std::env::consts::ARCH.to_owned(),
            |name| {
                let words = [name.sysname(), name.release(), name.machine()];
                words.map(|word| word.to_string_lossy().into_owned()).join(" ")
            },
        );
        Provenance {
            started,
            commit: option_env!("BINDERDRILL_COMMIT").map(str::to_owned),
            suite: suite::version(),
            machine: format!("{kernel}, {processors} processors"),
            seed,
        }
    }
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

impl Counts {
    /// Counts these cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Counts {
        let mut counts = Counts::default();
        for case in cases {
            let unconfirmed = usize::from(case.unconfirmed.is_some());
            match case.verdict {
                Verdict::Pass => {
                    counts.passed += 1;
                    counts.unconfirmed_passed += unconfirmed;
                }
                Verdict::Fail(_) => {
                    counts.failed += 1;
                    counts.unconfirmed_failed += unconfirmed;
                }
                Verdict::KnownDeviation { .. } => counts.known_deviations += 1,
                Verdict::UnexpectedPass { .. } => counts.unexpected_passes += 1,
                Verdict::Skip { .. } => counts.skipped += 1,
                Verdict::OtherDriver { .. } => counts.of_other_driver += 1,
                Verdict::Broken { .. } => counts.broken += 1,
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Deviation, StepOutcome};

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
        let deviates =
            |came: &str| Verdict::Fail(Deviation { step: None, came: came.to_owned(), ..deviation() });
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
