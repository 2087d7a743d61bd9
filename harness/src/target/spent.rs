//! Where the time of programs goes on a target.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use strum::VariantArray;

/// A part of what it takes to run a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Part {
    /// Reading the script.
    Reading,
    /// Having processes ready.
    Starting,
    /// Encoding calls, and decoding and judging what came of them.
    Working,
    /// Handing system calls to threads of other processes.
    Calling,
    /// Seeing that all has come to rest.
    Resting,
    /// Ending the processes, or making them as good as new.
    Ending,
    /// Waiting until the driver has forgotten them.
    Forgetting,
    /// Comparing what came of it with what should have.
    Comparing,
}

/// How long the parts of some programs took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// How many programs.
    pub programs: u64,
    /// For each [`Part`], in their order.
    parts: [Duration; Part::VARIANTS.len()],
}

impl Spent {
    /// How long a part took.
    pub fn on(&self, part: Part) -> Duration {
        self.parts[part as usize]
    }

    /// How long all of them took.
    pub fn total(&self) -> Duration {
        self.parts.iter().sum()
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.programs += other.programs;
        for (part, more) in self.parts.iter_mut().zip(other.parts) {
            *part += more;
        }
    }
}

/// A clock that tells how long parts of a program take, if it runs. In some guests it takes as long to look at a clock as
/// to do what is measured; so it only runs for some of the programs.
#[derive(Debug, Default)]
pub struct Stopwatch {
    since: Option<Instant>,
    spent: Spent,
}

impl Stopwatch {
    /// Begins to measure a program.
    pub fn start(&mut self) {
        *self = Stopwatch { since: Some(Instant::now()), spent: Spent { programs: 1, ..Spent::default() } };
    }

    /// What has been done since the last time was this, if it runs.
    pub fn lap(&mut self, part: Part) {
        if let Some(since) = &mut self.since {
            let now = Instant::now();
            self.spent.parts[part as usize] += now - *since;
            *since = now;
        }
    }

    /// Ends the measurement, and gives what has been measured.
    pub fn stop(&mut self) -> Spent {
        std::mem::take(self).spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_runs_measures() {
        let mut watch = Stopwatch::default();
        watch.lap(Part::Reading);
        assert_eq!(watch.stop(), Spent::default());
        watch.start();
        std::thread::sleep(Duration::from_millis(2));
        watch.lap(Part::Resting);
        let mut spent = watch.stop();
        assert_eq!(spent.programs, 1);
        assert!(spent.on(Part::Resting) >= Duration::from_millis(2) && spent.on(Part::Reading).is_zero());
        spent += spent;
        assert_eq!(spent.programs, 2);
        assert_eq!(spent.total(), spent.on(Part::Resting));
    }
}
