//! Changes: what is otherwise than in the report before.

use std::collections::BTreeSet;

use super::past::{Summary, TargetSummary};

/// All that is otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Cases that came to another verdict, those that became worse first.
    pub changes: Vec<Change>,
    /// How many cases there were not before.
    pub new_cases: usize,
    /// How many cases there were only before.
    pub gone_cases: usize,
    /// How many cases have another script than before.
    pub other_scripts: usize,
    /// What ran it before, and now, if that is another binderdrill.
    pub binderdrill: Option<(String, String)>,
    /// Targets with another driver than before: the target, its driver then, and now.
    pub drivers: Vec<(String, String, String)>,
    /// Targets that were not there before.
    pub new_targets: Vec<String>,
    /// Targets that were there only before; but for those that cannot be used, of which more is said.
    pub gone_targets: Vec<String>,
    /// With how many programs that nobody wrote targets part ways, and are not known to. Each report has programs of
    /// its own, so that these are all new.
    pub found: u64,
    /// How many inputs that were replayed are not as they must be, and were before, or were not there.
    pub replays_worse: usize,
    /// How many are as they must be, and were not before.
    pub replays_better: usize,
}

/// A case that came to another verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The case.
    pub case: String,
    /// On which targets.
    pub targets: Vec<String>,
    /// What became of it before.
    pub was: String,
    /// What became of it now.
    pub is: String,
    /// Whether that is better.
    pub direction: Direction,
    /// What else is otherwise that it may come from.
    pub causes: BTreeSet<Cause>,
}

/// What a change may come from, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The script is another than before.
    Script,
    /// The target's driver is.
    Driver,
    /// What ran it is.
    Binderdrill,
}

impl Cause {
    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Script => "script changed",
            Cause::Driver => "other driver",
            Cause::Binderdrill => "other binderdrill",
        }
    }
}

/// Whether something has become better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// It is worse.
    Worse,
    /// It is better.
    Better,
    /// It is only otherwise.
    Other,
}

impl Changes {
    /// What is otherwise than it was.
    pub fn between(before: &Summary, now: &Summary) -> Changes {
        let binderdrill = before.binderdrill.clone().zip(now.binderdrill.clone());
        let scripts = now.scripts.iter();
        let mut changes = Changes {
            binderdrill: binderdrill.filter(|(then, now)| then != now),
            other_scripts: scripts
                .filter(|(case, digest)| before.scripts.get(*case).is_some_and(|was| was != *digest))
                .count(),
            ..Changes::default()
        };
        let find = |summary: &'_ Summary, target: &str| {
            summary.targets.iter().position(|other| other.target == target)
        };
        for target in &now.targets {
            match find(before, &target.target) {
                Some(place) => changes.compare((before, &before.targets[place]), (now, target)),
                None => changes.new_targets.push(target.target.clone()),
            }
        }
        let gone = before
            .targets
            .iter()
            .filter(|target| find(now, &target.target).is_none() && !now.unusable.contains(&target.target));
        changes.gone_targets = gone.map(|target| target.target.clone()).collect();
        changes.found = now.campaign.map_or(0, |(_, unlisted)| unlisted);
        for (target, is) in &now.deviating {
            // What a campaign has found deviates when it is replayed, which is no news.
            let was: BTreeSet<&String> = [&before.deviating, &before.found]
                .into_iter()
                .filter_map(|by| by.get(target))
                .flatten()
                .collect();
            changes.replays_worse += is.iter().filter(|input| !was.contains(input)).count();
            changes.replays_better += was.iter().filter(|input| !is.contains(**input)).count();
        }
        changes.changes.sort_by(|one, other| (one.direction, &one.case).cmp(&(other.direction, &other.case)));
        changes
    }

    fn compare(&mut self, before: (&Summary, &TargetSummary), now: (&Summary, &TargetSummary)) {
        let ((all_before, before), (all_now, now)) = (before, now);
        let mut causes = BTreeSet::new();
        if let (Some(then), Some(driver)) = (&before.driver, &now.driver)
            && then != driver
        {
            self.drivers.push((now.target.clone(), then.clone(), driver.clone()));
            causes.insert(Cause::Driver);
        }
        causes.extend(self.binderdrill.is_some().then_some(Cause::Binderdrill));
        let (mut new, gone) = (0, before.cases.keys().filter(|case| !now.cases.contains_key(*case)).count());
        for (case, is) in &now.cases {
            match before.cases.get(case) {
                Some(was) if was != is => {
                    let mut causes = causes.clone();
                    if all_now.has_other_script(all_before, &now.target, case) {
                        causes.insert(Cause::Script);
                    }
                    self.note(case, &now.target, was, is, causes);
                }
                Some(_) => {}
                // A new case that fails is news, one that passes is only counted.
                None => {
                    new += 1;
                    if severity(is) > 1 {
                        self.note(case, &now.target, "not there", is, causes.clone());
                    }
                }
            }
        }
        self.new_cases = self.new_cases.max(new);
        self.gone_cases = self.gone_cases.max(gone);
    }

    fn note(&mut self, case: &str, target: &str, was: &str, is: &str, causes: BTreeSet<Cause>) {
        let same = |change: &&mut Change| change.case == case && change.was == was && change.is == is;
        if let Some(change) = self.changes.iter_mut().find(same) {
            // What only one of them has is not why both changed.
            change.causes.retain(|cause| causes.contains(cause));
            change.targets.push(target.to_owned());
            return;
        }
        let direction = match severity(is).cmp(&severity(was)) {
            std::cmp::Ordering::Greater => Direction::Worse,
            std::cmp::Ordering::Less => Direction::Better,
            std::cmp::Ordering::Equal => Direction::Other,
        };
        self.changes.push(Change {
            case: case.to_owned(),
            targets: vec![target.to_owned()],
            was: was.to_owned(),
            is: is.to_owned(),
            direction,
            causes,
        });
    }

    /// How many cases that came to another verdict may have done so from this, and from nothing that is nearer.
    pub fn caused_by(&self, cause: Cause) -> usize {
        self.changes.iter().filter(|change| change.causes.first() == Some(&cause)).count()
    }

    /// Whether nothing is otherwise that anybody has to look at.
    pub fn is_nothing(&self) -> bool {
        let cases = self.changes.is_empty() && self.gone_targets.is_empty() && self.gone_cases == 0;
        cases && self.found == 0 && self.replays_worse + self.replays_better == 0
    }

    /// Whether anything else is otherwise that a change of a case may come from.
    pub(super) fn have_causes(&self) -> bool {
        self.changes.iter().any(|change| !change.causes.is_empty())
    }

    /// Whether there is more to say of what is otherwise than what became of cases.
    pub(super) fn has_circumstances(&self) -> bool {
        let targets = [&self.new_targets, &self.gone_targets].into_iter().any(|targets| !targets.is_empty());
        let cases = self.new_cases + self.gone_cases + self.other_scripts > 0;
        let inputs = self.replays_worse + self.replays_better > 0 || self.found > 0;
        targets || cases || inputs || !self.drivers.is_empty() || self.binderdrill.is_some()
    }

    /// How many cases have become worse.
    pub fn worse(&self) -> usize {
        self.changes.iter().filter(|change| change.direction == Direction::Worse).count()
    }

    /// How many cases have become better.
    pub fn better(&self) -> usize {
        self.changes.iter().filter(|change| change.direction == Direction::Better).count()
    }
}

/// How bad what became of a case is.
fn severity(word: &str) -> u8 {
    match word {
        "passed" | "not there" => 0,
        "skipped" => 1,
        "deviates as known" => 2,
        "passed unexpectedly" => 3,
        "broken" => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a target, its driver, and what each case came to.
    type Ran<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    fn summary(targets: &[Ran<'_>]) -> Summary {
        let target = |(target, driver, cases): &Ran<'_>| TargetSummary {
            target: (*target).to_owned(),
            driver: Some((*driver).to_owned()),
            counts: Default::default(),
            cases: cases.iter().map(|(case, word)| ((*case).to_owned(), (*word).to_owned())).collect(),
            scripts: Default::default(),
        };
        let mut summary = Summary::of(&crate::report::Results::of(Vec::new()));
        summary.targets = targets.iter().map(target).collect();
        summary
    }

    #[test]
    fn what_is_as_it_was_is_no_change() {
        let one = summary(&[("a", "linux-7.1", &[("x", "passed"), ("y", "failed: z")])]);
        assert!(Changes::between(&one, &one).is_nothing());
    }

    #[test]
    fn the_worse_comes_first_and_targets_stand_together() {
        let before = summary(&[
            ("a", "linux-7.1", &[("mended", "failed: it"), ("spoilt", "passed"), ("gone", "passed")]),
            ("b", "linux-7.1", &[("spoilt", "passed")]),
            ("c", "linux-7.1", &[]),
        ]);
        let now = summary(&[
            (
                "a",
                "linux-7.2",
                &[("mended", "passed"), ("spoilt", "failed: it"), ("new", "passed"), ("bad", "broken")],
            ),
            ("b", "linux-7.1", &[("spoilt", "failed: it")]),
            ("d", "linux-7.1", &[]),
        ]);
        let changes = Changes::between(&before, &now);
        let told: Vec<_> =
            changes.changes.iter().map(|change| (change.case.as_str(), change.direction)).collect();
        assert_eq!(
            told,
            [("bad", Direction::Worse), ("spoilt", Direction::Worse), ("mended", Direction::Better)]
        );
        assert_eq!(changes.changes[1].targets, ["a", "b"]);
        assert_eq!((changes.new_cases, changes.gone_cases), (2, 1));
        assert_eq!((changes.new_targets, changes.gone_targets), (vec!["d".to_owned()], vec!["c".to_owned()]));
        assert_eq!(changes.drivers.len(), 1);
    }

    #[test]
    fn another_script_or_another_binderdrill_is_told_apart_from_another_kernel() {
        let ran = |driver, verdict| {
            let mut summary = summary(&[("a", driver, &[("c", verdict)])]);
            summary.scripts.insert("c".to_owned(), "0".to_owned());
            summary.binderdrill = Some("0.1.0".to_owned());
            summary
        };
        let before = ran("linux-7.1", "passed");
        let causes = |now: &Summary| -> Vec<Cause> {
            Changes::between(&before, now).changes.iter().flat_map(|change| change.causes.clone()).collect()
        };
        assert_eq!(causes(&ran("linux-7.1", "failed: it")), []);
        let mut now = ran("linux-7.2", "failed: it");
        assert_eq!(causes(&now), [Cause::Driver]);
        now.scripts.insert("c".to_owned(), "1".to_owned());
        now.binderdrill = Some("0.1.0, commit 012".to_owned());
        assert_eq!(causes(&now), [Cause::Script, Cause::Driver, Cause::Binderdrill]);
        // One target may have a script of its own.
        now.targets[0].scripts.insert("c".to_owned(), "0".to_owned());
        assert_eq!(causes(&now), [Cause::Driver, Cause::Binderdrill]);
        assert_eq!(Changes::between(&before, &now).other_scripts, 1);
    }

    #[test]
    fn what_fuzzing_found_is_a_change() {
        let one = summary(&[]);
        let mut other = one.clone();
        other.campaign = Some((90, 3));
        let changes = Changes::between(&one, &other);
        assert_eq!((changes.found, changes.is_nothing()), (3, false));
        // The programs of the night before were others.
        assert!(!Changes::between(&other, &other).is_nothing());
    }

    #[test]
    fn an_input_that_deviates_again_is_no_change_and_another_is() {
        let night = |inputs: &[&str]| {
            let mut night = summary(&[]);
            let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
            night.deviating.insert("a".to_owned(), inputs);
            night
        };
        let worse_and_better = |before: &Summary, now: &Summary| {
            let changes = Changes::between(before, now);
            assert_eq!(changes.is_nothing(), changes.replays_worse + changes.replays_better == 0);
            (changes.replays_worse, changes.replays_better)
        };
        assert_eq!(worse_and_better(&night(&["x"]), &night(&["x"])), (0, 0));
        assert_eq!(worse_and_better(&night(&["x"]), &night(&["y"])), (1, 1));
        assert_eq!(worse_and_better(&summary(&[]), &night(&["x", "y"])), (2, 0));
    }

    #[test]
    fn what_a_campaign_found_is_no_news_when_it_is_replayed() {
        let (mut before, mut now) = (summary(&[]), summary(&[]));
        before.found.insert("a".to_owned(), ["x".to_owned()].into());
        now.deviating.insert("a".to_owned(), ["x".to_owned()].into());
        assert!(Changes::between(&before, &now).is_nothing());
        now.deviating.insert("a".to_owned(), BTreeSet::new());
        assert_eq!(Changes::between(&before, &now).replays_better, 1);
    }

    #[test]
    fn a_target_that_cannot_be_used_is_not_gone() {
        let before = summary(&[("a", "x", &[])]);
        let mut now = summary(&[]);
        now.unusable.insert("a".to_owned());
        assert!(Changes::between(&before, &now).gone_targets.is_empty());
    }

    #[test]
    fn another_way_of_failing_is_a_change() {
        let before = summary(&[("a", "x", &[("c", "failed: one")])]);
        let now = summary(&[("a", "x", &[("c", "failed: other")])]);
        assert_eq!(Changes::between(&before, &now).changes[0].direction, Direction::Other);
    }
}
