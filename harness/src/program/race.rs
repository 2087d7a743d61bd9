//! Races: steps of several threads that begin at once, in a program that is run again and again.

use super::{Program, Step};

/// What a program does at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// One thread does something.
    Step(Step),
    /// Several do, at once.
    Race(Race),
}

/// `race 200 times { client > … | server ! … }`: the whole program is run so many times, and each time these steps begin
/// at once, but for delays that are different every time. A program has one race at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Race {
    /// How often the program is run.
    pub times: u32,
    /// What the delays are made of. Without a word, 0.
    pub seed: u64,
    /// One of each thread; two or more.
    pub steps: Vec<Step>,
}

impl Moment {
    /// All that is done then.
    pub fn steps(&self) -> &[Step] {
        match self {
            Moment::Step(step) => std::slice::from_ref(step),
            Moment::Race(race) => &race.steps,
        }
    }

    /// The same, for themselves.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        match self {
            Moment::Step(step) => vec![step],
            Moment::Race(race) => race.steps,
        }
    }

    /// The same, to be changed.
    pub fn steps_mut(&mut self) -> &mut [Step] {
        match self {
            Moment::Step(step) => std::slice::from_mut(step),
            Moment::Race(race) => &mut race.steps,
        }
    }
}

impl Program {
    /// The race that it is about, if it is.
    pub fn race(&self) -> Option<&Race> {
        self.steps.iter().find_map(|noted| match &noted.value {
            Moment::Race(race) => Some(race),
            Moment::Step(_) => None,
        })
    }

    /// Has its race be run so many times less, with other delays than those had. `false` if none is left.
    pub fn leave_out(&mut self, runs: u32) -> bool {
        let race = self.steps.iter_mut().find_map(|noted| match &mut noted.value {
            Moment::Race(race) if race.times > runs => Some(race),
            _ => None,
        });
        let Some(race) = race else { return false };
        race.times -= runs;
        race.seed = race.seed.wrapping_add(u64::from(runs));
        true
    }

    /// Makes the delays of its race, if it has one, of this seed.
    pub fn seed(&mut self, seed: u64) {
        for noted in &mut self.steps {
            if let Moment::Race(race) = &mut noted.value {
                race.seed = seed;
            }
        }
    }
}
