//! Results: what running cases on a target showed, as it is written in JSON.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::case_result::CaseResult;
use super::divergences::Differences;
use super::found::FoundProgram;
use super::kept::RECORD;
use crate::campaign::Tally;
use crate::compare::Divergence;
use crate::engine::Verdict;
use crate::suite::{self, Case};

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
    /// Those of which nothing is left when they are made fit to be compared.
    #[serde(default)]
    pub empty: usize,
    /// Those with which the target did otherwise than the model, as it is known to do with programs that nobody wrote.
    #[serde(default)]
    pub known: usize,
    /// Those with which something was not as it must be.
    pub deviations: usize,
    /// The names of these, and of those that could not be run.
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
    /// The options that go with it, as words of a command line that each have a blank before.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub options: String,
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
    /// How many cases at least two of the targets have run.
    pub fn compared(&self) -> usize {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        let has_run =
            |case: &&CaseResult| !matches!(case.verdict, Verdict::Skip { .. } | Verdict::OtherDriver { .. });
        for case in self.runs.iter().flat_map(|run| &run.cases).filter(has_run) {
            *times.entry(&case.id).or_default() += 1;
        }
        times.values().filter(|times| **times > 1).count()
    }

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
