//! Tallies: what a campaign has come to.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::signature::Signature;
use super::{Outcome, Ran, Steadiness, Took};
use crate::generate::Depth;
use crate::target::{Part, Spent};

/// The last programs, whose divergences tell whether all has been found.
const LAST: u64 = 50_000;

/// What a campaign has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// The seed of its first program.
    pub seed: u64,
    /// How long it took.
    pub seconds: f64,
    /// What was compared, each with what came of it.
    pub lanes: Vec<LaneTally>,
}

/// What a lane has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LaneTally {
    /// What it is called.
    pub name: String,
    /// Programs that it ran.
    pub programs: u64,
    /// Their steps.
    pub steps: u64,
    /// The share of steps that succeeded.
    pub succeeded: f64,
    /// Transactions that came to their end, a program.
    pub completed_per_program: f64,
    /// Programs that it ran a second, with all of its benches.
    pub programs_per_second: f64,
    /// The share of the time of benches in which programs were made, not run.
    pub making: f64,
    /// Where the time goes, in microseconds a program.
    pub time: BTreeMap<String, f64>,
    /// Programs that a target has not run, as it lacks what they require: on these nothing was compared with it.
    #[serde(default)]
    pub skipped: u64,
    /// Programs with a divergence that is not known.
    pub unlisted: u64,
    /// Programs with one that is.
    pub listed: u64,
    /// Of the last programs, at most 50,000, those with a divergence that is not known.
    pub unlisted_of_last: u64,
    /// How many these last programs are.
    pub last: u64,
    /// Divergences by their signature.
    pub groups: Vec<Group>,
    #[serde(skip)]
    depth: Depth,
    /// How long the first target took, and the others, for so many programs.
    #[serde(skip)]
    first: Duration,
    #[serde(skip)]
    others: Duration,
    #[serde(skip)]
    taken: u64,
    #[serde(skip)]
    spent: Spent,
    #[serde(skip)]
    made: Duration,
    #[serde(skip)]
    ran: Duration,
    /// The numbers of the programs with an unlisted divergence, from 0.
    #[serde(skip)]
    places: Vec<u64>,
}

/// Divergences of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// What kind it is.
    pub signature: Signature,
    /// Programs that show it.
    pub programs: u64,
    /// Why, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// How often the program shows it that was looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steadiness: Option<Steadiness>,
    /// Where that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Tally {
    /// One of nothing yet.
    pub fn new(seed: u64, lanes: impl IntoIterator<Item = String>) -> Tally {
        Tally { seed, seconds: 0.0, lanes: lanes.into_iter().map(LaneTally::new).collect() }
    }

    /// Counts a program.
    pub fn count(&mut self, ran: Ran, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.lanes[ran.lane].count(ran);
        for lane in &mut self.lanes {
            lane.programs_per_second = lane.programs as f64 / self.seconds.max(f64::MIN_POSITIVE);
        }
    }

    /// Divergences that are not known, in all lanes.
    pub fn unlisted(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.unlisted).sum()
    }

    /// How many kinds of divergences are not known, in all lanes.
    pub fn unlisted_kinds(&self) -> usize {
        let groups = self.lanes.iter().flat_map(|lane| &lane.groups);
        groups.filter(|group| group.known.is_none()).count()
    }

    /// Programs that targets have not run for what they lack, in all lanes.
    pub fn skipped(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.skipped).sum()
    }

    /// Programs, in all lanes.
    pub fn programs(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.programs).sum()
    }
}

impl LaneTally {
    /// Takes note of how long programs took.
    pub fn note_time(&mut self, took: Took) {
        self.first += took.first;
        self.others += took.others;
        self.taken += took.programs;
        self.spent += took.spent;
        let each = |time: Duration, programs: u64| share(time.as_secs_f64() * 1e6, programs as f64);
        let others = each(self.others, self.taken);
        self.time = BTreeMap::from([
            ("making".to_owned(), each(self.made, self.programs)),
            ("first target".to_owned(), each(self.first, self.taken)),
            ("other targets".to_owned(), others),
        ]);
        if self.spent.programs > 0 {
            let inside = each(self.spent.total(), self.spent.programs);
            // Few have been measured, and these may have been the slow ones.
            if others > inside {
                self.time.insert("other targets: channel".to_owned(), others - inside);
            }
            for part in Part::VARIANTS {
                let time = each(self.spent.on(*part), self.spent.programs);
                self.time.insert(format!("other targets: {part}"), time);
            }
        }
    }

    /// Divergences of a kind: those that are listed, or those that are not.
    pub fn group_mut(&mut self, signature: &Signature, is_listed: bool) -> Option<&mut Group> {
        let is_it = |group: &&mut Group| group.signature == *signature && group.known.is_some() == is_listed;
        self.groups.iter_mut().find(is_it)
    }

    fn new(name: String) -> LaneTally {
        LaneTally {
            name,
            programs: 0,
            steps: 0,
            succeeded: 0.0,
            completed_per_program: 0.0,
            programs_per_second: 0.0,
            making: 0.0,
            time: BTreeMap::new(),
            first: Duration::ZERO,
            others: Duration::ZERO,
            taken: 0,
            spent: Spent::default(),
            skipped: 0,
            unlisted: 0,
            listed: 0,
            unlisted_of_last: 0,
            last: 0,
            groups: Vec::new(),
            depth: Depth::default(),
            made: Duration::ZERO,
            ran: Duration::ZERO,
            places: Vec::new(),
        }
    }

    fn count(&mut self, ran: Ran) {
        match ran.outcome {
            Outcome::Same => {}
            Outcome::Skipped => self.skipped += 1,
            Outcome::Diverges { signature, known } => {
                match known {
                    Some(_) => self.listed += 1,
                    None => {
                        self.unlisted += 1;
                        self.places.push(self.programs);
                    }
                }
                match self.group_mut(&signature, known.is_some()) {
                    Some(group) => group.programs += 1,
                    None => {
                        let group = Group { signature, programs: 1, known, steadiness: None, file: None };
                        self.groups.push(group);
                    }
                }
            }
        }
        self.programs += 1;
        self.depth += ran.depth;
        self.made += ran.making;
        self.ran += ran.running;
        self.last = self.programs.min(LAST);
        let first_of_last = self.programs - self.last;
        let before = self.places.partition_point(|place| *place < first_of_last);
        self.unlisted_of_last = (self.places.len() - before) as u64;
        self.steps = self.depth.steps;
        self.succeeded = share(self.depth.successes as f64, self.depth.steps as f64);
        self.completed_per_program = share(self.depth.completed() as f64, self.programs as f64);
        let [made, ran] = [self.made, self.ran].map(|time| time.as_secs_f64());
        self.making = share(made, made + ran);
    }
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(outcome: Outcome) -> Ran {
        Ran {
            lane: 0,
            depth: Depth { programs: 1, steps: 4, successes: 3, replied: 2, ..Depth::default() },
            outcome,
            making: Duration::from_millis(1),
            running: Duration::from_millis(3),
        }
    }

    fn diverges(reason: &str, known: Option<&str>) -> Outcome {
        Outcome::Diverges { signature: Signature::of_failure("a", reason), known: known.map(str::to_owned) }
    }

    #[test]
    fn what_is_known_or_skipped_is_counted_apart() {
        let mut tally = Tally::new(3, ["lane".to_owned()]);
        let known = || diverges("known", Some("so"));
        let outcomes = [Outcome::Same, known(), diverges("new", None), known(), Outcome::Skipped];
        for outcome in outcomes.into_iter().chain([diverges("known", None)]) {
            tally.count(ran(outcome), Duration::from_secs(2));
        }
        let lane = &tally.lanes[0];
        assert_eq!((lane.programs, lane.skipped, lane.listed, lane.unlisted), (6, 1, 2, 2));
        assert_eq!(lane.unlisted_of_last, 2);
        assert_eq!((lane.succeeded, lane.completed_per_program, lane.making), (0.75, 2.0, 0.25));
        assert_eq!(lane.programs_per_second, 3.0);
        let groups: Vec<_> =
            lane.groups.iter().map(|group| (group.programs, group.known.is_some())).collect();
        assert_eq!(groups, [(2, true), (1, false), (1, false)]);
    }

    #[test]
    fn only_the_last_programs_tell_whether_all_has_been_found() {
        let mut tally = Tally::new(3, ["lane".to_owned()]);
        for place in 0..LAST + 2 {
            let outcome = if place < 3 { diverges("new", None) } else { Outcome::Same };
            tally.count(ran(outcome), Duration::from_secs(1));
        }
        let lane = &tally.lanes[0];
        assert_eq!((lane.unlisted, lane.last, lane.unlisted_of_last), (3, LAST, 1));
    }
}
