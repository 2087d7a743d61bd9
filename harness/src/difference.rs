//! Differences: what two targets did otherwise, case by case, such as one kernel and the next.

use std::collections::HashMap;

use serde::Serialize;

use crate::compare::divergence;
use crate::engine::Verdict;
use crate::report::{CaseResult, Provenance, TargetResults};

/// What two targets did otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Differences {
    /// The first target.
    pub left: Side,
    /// The second target.
    pub right: Side,
    /// How many cases were the same.
    pub same: usize,
    /// Cases that both ran, and that were not.
    pub changed: Vec<Changed>,
    /// Cases that only one of them ran, since the other is a driver that they are not about.
    pub lacking: Vec<Lacking>,
    /// Cases that had other scripts on the one than on the other, and cannot be compared.
    pub other_scripts: Vec<String>,
}

/// One of two targets.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// What it is called, such as `record:debian-6.12`.
    pub name: String,
    /// Its driver; none if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// When and where it ran, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Cases that only this one has results of.
    pub only: Vec<String>,
}

/// A case that two targets did otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// What the first one did.
    pub left: CaseResult,
    /// What the second one did.
    pub right: CaseResult,
}

/// A case that only one of two targets ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// The case.
    pub id: String,
    /// The target that ran it.
    pub ran: String,
    /// Why the other one did not.
    pub reason: String,
}

impl Differences {
    /// What is not the same on the two. Only cases that are `wanted` are looked at.
    pub fn between(
        left: TargetResults,
        right: TargetResults,
        wanted: impl Fn(&CaseResult) -> bool,
    ) -> Differences {
        let side = |run: &TargetResults| Side {
            name: run.target.clone(),
            driver: run.driver.clone(),
            provenance: run.provenance.clone(),
            only: Vec::new(),
        };
        let mut differences = Differences {
            left: side(&left),
            right: side(&right),
            same: 0,
            changed: Vec::new(),
            lacking: Vec::new(),
            other_scripts: Vec::new(),
        };
        let of_one_driver = left.profile.is_some() && left.profile == right.profile;
        let on_right = right.cases.into_iter().filter(&wanted);
        let mut on_right: HashMap<String, CaseResult> =
            on_right.map(|case| (case.id.clone(), case)).collect();
        for case in left.cases.into_iter().filter(&wanted) {
            match on_right.remove(&case.id) {
                Some(other) => differences.compare(case, other, of_one_driver),
                None => differences.left.only.push(case.id),
            }
        }
        differences.right.only = on_right.into_keys().collect();
        differences.right.only.sort();
        differences
    }

    fn compare(&mut self, left: CaseResult, right: CaseResult, of_one_driver: bool) {
        if left.digest != right.digest {
            self.other_scripts.push(left.id);
            return;
        }
        match (why_not_run(&left.verdict), why_not_run(&right.verdict)) {
            (Some(_), Some(_)) => self.same += 1,
            (Some(reason), None) => {
                self.lacking.push(Lacking { id: left.id, ran: self.right.name.clone(), reason });
            }
            (None, Some(reason)) => {
                self.lacking.push(Lacking { id: left.id, ran: self.left.name.clone(), reason });
            }
            (None, None) if is_same(&left, &right, of_one_driver) => self.same += 1,
            (None, None) => self.changed.push(Changed { left, right }),
        }
    }

    /// Whether the two did the same, as far as they can be compared.
    pub fn is_nothing(&self) -> bool {
        self.changed.is_empty() && self.lacking.is_empty()
    }

    /// How many cases either has results of.
    pub fn cases(&self) -> usize {
        let compared = self.same + self.changed.len() + self.lacking.len() + self.other_scripts.len();
        compared + self.left.only.len() + self.right.only.len()
    }
}

/// Why a case has shown nothing of a driver, if it has not.
fn why_not_run(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Skip { reason } => Some(reason.clone()),
        Verdict::OtherDriver { driver } => {
            Some(format!("the case is about the driver in {}", driver.title()))
        }
        Verdict::Pass
        | Verdict::Fail(_)
        | Verdict::KnownDeviation { .. }
        | Verdict::UnexpectedPass { .. }
        | Verdict::Broken { .. } => None,
    }
}

/// Whether both did the same. Of cases that race, and where a script leaves something open, runs differ on one and the
/// same kernel, and only the verdict counts: two that deviate there each in its own way have not done the same.
fn is_same(left: &CaseResult, right: &CaseResult, of_one_driver: bool) -> bool {
    let same_kind = std::mem::discriminant(&left.verdict) == std::mem::discriminant(&right.verdict);
    let one_verdict = left.verdict == right.verdict;
    let is_left_open =
        |parted| of_one_driver && one_verdict && (left.leaves_open(&parted) || right.leaves_open(&parted));
    let transcripts = [("left", &left.transcript), ("right", &right.transcript)];
    same_kind && (left.seed.is_some() || divergence(&transcripts).is_none_or(is_left_open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::kept;

    #[test]
    fn a_record_is_as_it_is() {
        let name = &crate::record::names()[0];
        let differences = Differences::between(kept(name).unwrap(), kept(name).unwrap(), |_| true);
        assert!(differences.is_nothing(), "{:?}", differences.changed);
        assert_eq!(differences.same, differences.cases());
    }

    #[test]
    fn every_case_is_counted_once() {
        let (left, mut right) = (kept("record:debian-6.1").unwrap(), kept("record:debian-7").unwrap());
        let gone = right.cases.remove(0);
        right.cases[0].digest.push('0');
        let mut new = right.cases[1].clone();
        new.id.push_str("-new");
        right.cases.push(new.clone());
        let all = left.cases.len() + 1;
        let differences = Differences::between(left, right, |_| true);
        assert_eq!(differences.cases(), all);
        assert_eq!((differences.left.only, differences.right.only), (vec![gone.id], vec![new.id]));
        assert_eq!(differences.other_scripts.len(), 1);
        assert!(differences.lacking.iter().any(|lacking| lacking.ran == "record:debian-7"));
    }

    #[test]
    fn what_a_script_leaves_open_is_the_same_unless_both_deviate_there() {
        use crate::engine::{Deviation, StepOutcome};
        let any = kept("record:debian-6.1")
            .unwrap()
            .cases
            .into_iter()
            .find(|case| !case.transcript.steps.is_empty());
        let any = any.unwrap();
        let of = |errno: &str, verdict| {
            let mut of = CaseResult { left_open: vec![any.transcript.steps[0].step], verdict, ..any.clone() };
            of.transcript.steps[0].outcome = StepOutcome::Failed { errno: errno.to_owned() };
            of
        };
        let fails = |came: &str| {
            let difference = format!("{came} came");
            Verdict::Fail(Deviation {
                step: None,
                expected: String::new(),
                came: came.to_owned(),
                difference,
            })
        };
        let (busy, denied) = (of("EBUSY", Verdict::Pass), of("EPERM", Verdict::Pass));
        assert!(is_same(&busy, &denied, true));
        assert!(!is_same(&busy, &denied, false));
        assert!(!is_same(&of("EIO", fails("EIO")), &of("ENXIO", fails("ENXIO")), true));
    }
}
