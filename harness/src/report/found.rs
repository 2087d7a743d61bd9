//! Found programs: programs that nobody wrote, with which a target does something else than its model. Each is told as a
//! case is, so that it has a page as one has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::case_result::CaseResult;
use crate::campaign::{Finding, Signature, Steadiness};
use crate::compare::divergence;
use crate::engine::{Deviation, Run, Verdict};
use crate::suite::Case;

/// A program that nobody wrote, with which a target does something else than it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundProgram {
    /// How it was come by.
    pub whence: Whence,
    /// The target.
    pub target: String,
    /// What the target did with it. The file of the script is where it has been kept.
    pub case: CaseResult,
    /// What did as it should, if anything did, and what that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
}

/// What another target did with a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    /// The other target.
    pub target: String,
    /// What it did.
    pub case: CaseResult,
}

/// How a program was come by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Whence {
    /// A campaign made it.
    Campaign {
        /// What kind of divergence it is.
        signature: Signature,
        /// The seed of the program that showed it first.
        seed: u64,
        /// How many steps that had.
        steps: usize,
        /// How often the program shows it.
        steadiness: Steadiness,
        /// The command that runs the program of the seed.
        command: String,
        /// Why, if it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<String>,
    },
    /// A fuzzer had kept it, and it was replayed.
    Replay {
        /// The command that replays it.
        command: String,
    },
}

impl FoundProgram {
    /// That of a campaign on these targets, as the case that was made of it. The first target is what the last one is
    /// compared with.
    pub fn of_campaign(
        finding: &Finding,
        case: &Case,
        targets: &[&str],
        command: String,
        known: Option<String>,
    ) -> FoundProgram {
        let Finding { seed, steps_before, difference, steadiness, .. } = finding;
        let mut runs =
            difference.runs.iter().map(|(target, run)| (target, CaseResult::of_run(case, run.clone())));
        let beside = runs.next().map(|(target, case)| Beside { target: target.clone(), case });
        let other = runs.next_back().map(|(_, result)| result);
        let mut result = other.unwrap_or_else(|| CaseResult::not_run(case, difference.signature.to_string()));
        if matches!(result.verdict, Verdict::Pass) {
            // The model itself is at fault, or nothing is known to be right.
            let transcripts: Vec<_> =
                difference.runs.iter().map(|(target, run)| (target.as_str(), &run.transcript)).collect();
            let parted = divergence(&transcripts).and_then(|parted| parted.deviation());
            let verdict = parted.unwrap_or_else(|| unlawful(difference.signature.as_str()));
            result = CaseResult::of_run(case, Run { verdict: Verdict::Fail(verdict), ..run_of(result) });
        }
        FoundProgram {
            whence: Whence::Campaign {
                signature: difference.signature.clone(),
                seed: *seed,
                steps: *steps_before,
                steadiness: *steadiness,
                command,
                known,
            },
            target: targets.last().copied().unwrap_or_default().to_owned(),
            case: result,
            beside,
        }
    }
}

/// What a case did, as the run that it was.
fn run_of(result: CaseResult) -> Run {
    let CaseResult { verdict, transcript, log, .. } = result;
    Run { verdict, transcript, runs: 1, log }
}

/// What there is to say of a program over which a law is broken, and of no step of it.
pub(crate) fn unlawful(complaint: &str) -> Deviation {
    Deviation {
        step: None,
        expected: "what holds of any program".to_owned(),
        came: complaint.to_owned(),
        difference: complaint.to_owned(),
    }
}
