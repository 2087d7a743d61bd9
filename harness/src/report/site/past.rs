//! The past: a summary of each report that was made in a folder, for what has changed and for the trend.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::SiteError;
use crate::engine::Verdict;
use crate::report::case_result::CaseResult;
use crate::report::found::Whence;
use crate::report::results::{Counts, Results, TargetResults};

/// The folder of summaries in the folder of a site.
pub const PAST: &str = "past";

/// The version of summaries.
const SUMMARY_VERSION: u32 = 1;

/// What a report said, in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    summary_version: u32,
    /// When what it tells of began; none if the results do not say.
    pub started: Option<Timestamp>,
    /// The version of the suite.
    pub suite: Option<String>,
    /// What ran it: the version of binderdrill, and its commit if that is known.
    #[serde(default)]
    pub binderdrill: Option<String>,
    /// The beginnings of the digests of scripts, by case.
    #[serde(default)]
    pub scripts: BTreeMap<String, String>,
    /// Its targets.
    pub targets: Vec<TargetSummary>,
    /// How many programs a campaign ran, and with how many of them targets parted ways that are not known to.
    pub campaign: Option<(u64, u64)>,
    /// What was replayed and was not as it must be, by target.
    #[serde(default)]
    pub deviating: BTreeMap<String, BTreeSet<String>>,
    /// The files of what a campaign found, by target. They are replayed from the next report on.
    #[serde(default)]
    pub found: BTreeMap<String, BTreeSet<String>>,
    /// The targets that could not be used.
    #[serde(default)]
    pub unusable: BTreeSet<String>,
}

/// What a report said of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSummary {
    /// The target.
    pub target: String,
    /// Its driver.
    pub driver: Option<String>,
    /// How many cases came to which verdict.
    pub counts: Counts,
    /// What became of each case; those about the other driver are left out.
    pub cases: BTreeMap<String, String>,
    /// The beginnings of the digests of scripts that are others than on the first target.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scripts: BTreeMap<String, String>,
}

/// That a summary cannot be read. The report is made without it.
#[derive(Debug, thiserror::Error)]
#[error("{path} is left out: {reason}", path = path.display())]
pub struct UnreadablePast {
    path: PathBuf,
    reason: String,
}

/// All summaries of a folder.
#[derive(Debug, Default)]
pub struct Past {
    /// From the oldest on.
    pub summaries: Vec<Summary>,
    /// Those that cannot be read.
    pub unreadable: Vec<UnreadablePast>,
}

impl Summary {
    /// That of results.
    pub fn of(results: &Results) -> Summary {
        let mut scripts = BTreeMap::new();
        for case in results.runs.iter().flat_map(|run| &run.cases) {
            scripts.entry(case.id.clone()).or_insert_with(|| beginning(&case.digest));
        }
        let of_target = |run: &TargetResults| TargetSummary {
            target: run.target.clone(),
            driver: run.driver.clone(),
            counts: run.counts,
            cases: run.cases.iter().filter_map(|case| Some((case.id.clone(), word(case)?))).collect(),
            scripts: run
                .cases
                .iter()
                .map(|case| (case.id.clone(), beginning(&case.digest)))
                .filter(|(id, digest)| scripts.get(id) != Some(digest))
                .collect(),
        };
        let targets = results.runs.iter().map(of_target).collect();
        let provenance = results.provenance.as_ref();
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for program in &results.found {
            if let Whence::Campaign { known: None, .. } = program.whence {
                found.entry(program.target.clone()).or_default().insert(program.case.origin.clone());
            }
        }
        Summary {
            summary_version: SUMMARY_VERSION,
            started: provenance.map(|provenance| provenance.started),
            suite: provenance.map(|provenance| provenance.suite.clone()),
            targets,
            binderdrill: provenance.map(|it| match &it.commit {
                Some(commit) => format!("{}, commit {commit}", results.binderdrill),
                None => results.binderdrill.clone(),
            }),
            scripts,
            campaign: results.campaign.as_ref().map(|tally| (tally.programs(), tally.unlisted())),
            deviating: results
                .replays
                .iter()
                .map(|replayed| (replayed.target.clone(), replayed.deviating.iter().cloned().collect()))
                .collect(),
            found,
            unusable: results.unusable.iter().map(|unusable| unusable.target.clone()).collect(),
        }
    }

    /// Whether a case had another script on a target than in another report, as far as both say.
    pub(super) fn has_other_script(&self, other: &Summary, target: &str, case: &str) -> bool {
        let of = |summary: &Summary| {
            let own = summary.targets.iter().find(|one| one.target == target);
            own.and_then(|own| own.scripts.get(case)).or_else(|| summary.scripts.get(case)).cloned()
        };
        matches!((of(self), of(other)), (Some(one), Some(other)) if one != other)
    }

    /// Keeps it in the folder of a site.
    pub fn keep(&self, folder: &Path) -> Result<(), SiteError> {
        let Some(started) = self.started else { return Ok(()) };
        let path = folder.join(PAST).join(format!("{}.json", file_stem(started)));
        let failed = |source| SiteError::File { path: path.clone(), source };
        let text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        fs::write(&path, text).map_err(failed)
    }
}

/// As much of a digest as tells scripts apart.
fn beginning(digest: &str) -> String {
    digest.chars().take(16).collect()
}

/// What a file is called that is about something which began at this time.
pub fn file_stem(started: Timestamp) -> String {
    started.strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

impl Past {
    /// Reads what the folder of a site has kept of the time before something began.
    pub fn before(folder: &Path, started: Option<Timestamp>) -> Past {
        let mut past = Past::default();
        let Ok(entries) = fs::read_dir(folder.join(PAST)) else { return past };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(summary) if started.is_none() || summary.started < started => past.summaries.push(summary),
                Ok(_) => {}
                Err(reason) => past.unreadable.push(UnreadablePast { path, reason }),
            }
        }
        past.summaries.sort_by_key(|summary| summary.started);
        past
    }
}

fn read(path: &Path) -> Result<Summary, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let summary: Summary = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match summary.summary_version {
        SUMMARY_VERSION => Ok(summary),
        other => Err(format!("it is of version {other}, and this binderdrill reads {SUMMARY_VERSION}")),
    }
}

/// A verdict in words that change when it does.
fn word(case: &CaseResult) -> Option<String> {
    Some(match &case.verdict {
        Verdict::OtherDriver { .. } => return None,
        Verdict::Pass => "passed".to_owned(),
        // In which run of a race it shows, and after which delays, is different every time.
        Verdict::Fail(_) if case.seed.is_some() => "failed".to_owned(),
        Verdict::Fail(deviation) => format!("failed: {}", deviation.difference),
        Verdict::KnownDeviation { .. } => "deviates as known".to_owned(),
        Verdict::UnexpectedPass { .. } => "passed unexpectedly".to_owned(),
        Verdict::Skip { .. } => "skipped".to_owned(),
        Verdict::Broken { .. } => "broken".to_owned(),
    })
}
