//! Expectations: the known deviations of real drivers, as `suites/expectations/` lists them.

use serde::Deserialize;

use crate::engine::{Deviation, Run, Transcript, Verdict};

/// A list of known deviations of one driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// The deviations.
    #[serde(default)]
    pub deviation: Vec<KnownDeviation>,
}

/// A case in which a driver is known to do something else than the case expects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDeviation {
    /// The id of the case.
    pub case: String,
    /// The step at which it deviates, as the script writes it; `None` if it shows after the last step.
    pub step: Option<String>,
    /// What came, as the report shows it.
    pub came: String,
    /// Why the driver does that.
    pub reason: String,
    /// Where that can be looked up: a link, a commit, a place in a source.
    pub source: String,
    /// It need not show in every run of the case, which is a race: that the case passes is no news.
    #[serde(default)]
    pub sometimes: bool,
}

/// That a list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("suites/expectations/{driver}.toml: {reason}")]
pub struct UnreadableExpectations {
    driver: String,
    reason: String,
}

/// The known deviations of a driver, such as `linux-c-6.1.0-56-amd64`, from every list whose name is the beginning of
/// that, up to a full number.
pub fn of_driver(driver: &str) -> Result<Expectations, UnreadableExpectations> {
    let mut all = Expectations::default();
    for file in binderdrill_suites::expectations().into_iter().filter(|file| names(driver, file.driver)) {
        all.deviation.extend(parse(file.driver, file.list)?.deviation);
    }
    Ok(all)
}

/// Reads a list.
pub fn parse(driver: &str, list: &str) -> Result<Expectations, UnreadableExpectations> {
    toml::from_str(list)
        .map_err(|error| UnreadableExpectations { driver: driver.to_owned(), reason: error.to_string() })
}

/// Whether a list of this name is about a driver.
fn names(driver: &str, list: &str) -> bool {
    driver.strip_prefix(list).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

impl Expectations {
    /// Whether a run of a case went wrong in the way in which some runs of it are known to.
    pub fn shows_sometimes(&self, id: &str, run: &Run) -> bool {
        let Verdict::Fail(deviation) = &run.verdict else { return false };
        let mut known = self.deviation.iter().filter(|known| known.sometimes && known.is_about(id));
        known.any(|known| known.is_seen_in(deviation, &run.transcript))
    }

    /// What a verdict amounts to in the light of what is known. `id` is the case's id, or the path of its file.
    pub fn judge(&self, id: &str, verdict: Verdict, transcript: &Transcript) -> Verdict {
        let about = || self.deviation.iter().filter(|known| known.is_about(id));
        match verdict {
            Verdict::Fail(deviation) => {
                match about().find(|known| known.is_seen_in(&deviation, transcript)) {
                    Some(KnownDeviation { reason, source, .. }) => {
                        Verdict::KnownDeviation { deviation, reason: reason.clone(), source: source.clone() }
                    }
                    None => Verdict::Fail(deviation),
                }
            }
            // Of several of which each is known it may do any, but one of them.
            Verdict::Pass => match about().next() {
                Some(known) if !about().any(|known| known.sometimes) => {
                    Verdict::UnexpectedPass { reason: known.reason.clone() }
                }
                _ => Verdict::Pass,
            },
            other => other,
        }
    }
}

impl KnownDeviation {
    fn is_about(&self, id: &str) -> bool {
        id == self.case || id.ends_with(&format!("cases/{}.drill", self.case))
    }

    fn is_seen_in(&self, deviation: &Deviation, transcript: &Transcript) -> bool {
        let step = transcript.steps.iter().rev().find(|record| Some(record.step) == deviation.step);
        step.map(|record| record.script.as_str()) == self.step.as_deref() && deviation.came == self.came
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{StepOutcome, StepRecord};

    const LIST: &str = "[[deviation]]\ncase = \"death/once\"\nstep = \"client < parked\"\ncame = \"BR_NOOP\"\n\
                        reason = \"lost\"\nsource = \"commit 1234\"\n";

    fn failure(came: &str) -> (Verdict, Transcript) {
        let record = StepRecord {
            step: 3,
            thread: "client".to_owned(),
            script: "client < parked".to_owned(),
            outcome: StepOutcome::Parked,
            woke: Vec::new(),
            races: false,
        };
        let deviation = Deviation {
            step: Some(3),
            expected: "parked".to_owned(),
            came: came.to_owned(),
            difference: String::new(),
        };
        (Verdict::Fail(deviation), Transcript { steps: vec![record], complaints: Vec::new() })
    }

    #[test]
    fn a_known_deviation_must_be_seen_as_it_is_known() {
        let list = parse("linux-c-6.1", LIST).unwrap();
        let (verdict, transcript) = failure("BR_NOOP");
        let judged = list.judge("death/once", verdict.clone(), &transcript);
        assert!(matches!(judged, Verdict::KnownDeviation { .. }), "{judged:?}");
        assert_eq!(list.judge("death/twice", verdict.clone(), &transcript), verdict);
        let (other, transcript) = failure("parked");
        assert_eq!(list.judge("death/once", other.clone(), &transcript), other);
        let passed = list.judge("suites/cases/death/once.drill", Verdict::Pass, &Transcript::default());
        assert!(matches!(passed, Verdict::UnexpectedPass { .. }), "{passed:?}");
    }

    #[test]
    fn of_several_known_deviations_of_a_case_each_is_known() {
        let other = LIST.replace("BR_NOOP", "parked");
        let list = parse("linux-c", &format!("{LIST}{other}")).unwrap();
        for came in ["BR_NOOP", "parked"] {
            let (verdict, transcript) = failure(came);
            let judged = list.judge("death/once", verdict, &transcript);
            assert!(matches!(judged, Verdict::KnownDeviation { .. }), "{came}: {judged:?}");
        }
        let passes = |list: &Expectations| list.judge("death/once", Verdict::Pass, &Transcript::default());
        assert!(matches!(passes(&list), Verdict::UnexpectedPass { .. }));
        let list = parse("linux-c", &format!("{LIST}{other}sometimes = true\n")).unwrap();
        assert_eq!(passes(&list), Verdict::Pass);
    }

    #[test]
    fn what_shows_sometimes_need_not_show() {
        let list = parse("linux-c", &format!("{LIST}sometimes = true\n")).unwrap();
        assert_eq!(list.judge("death/once", Verdict::Pass, &Transcript::default()), Verdict::Pass);
        let (verdict, transcript) = failure("BR_NOOP");
        let judged = list.judge("death/once", verdict, &transcript);
        assert!(matches!(judged, Verdict::KnownDeviation { .. }), "{judged:?}");
    }

    #[test]
    fn a_list_is_for_drivers_whose_names_begin_like_it() {
        assert!(names("linux-c-6.1.0-56-amd64", "linux-c-6.1"));
        assert!(!names("linux-c-6.12.117", "linux-c-6.1"));
        assert!(names("linux-c-7.2.12+deb14-amd64", "linux-c-7"));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_named() {
        let error = parse("linux-c-6.1", "[[deviation]]\ncase = 3").unwrap_err().to_string();
        assert!(error.contains("linux-c-6.1.toml"), "{error}");
        let error = parse("linux-c-6.1", &LIST.replace("came", "cam")).unwrap_err().to_string();
        assert!(error.contains("cam"), "{error}");
    }
}
