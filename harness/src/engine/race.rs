//! Races: steps that begin at once. A run is one of many, each with other delays.

use std::time::Duration;

use super::Run;
use super::call::{self, Means};
use super::execution::{Execution, Stop};
use super::fault::ScriptFault;
use super::judge::{Difference, Pending, judge_call, judge_write};
use super::verdict::{Deviation, Verdict};
use super::wording;
use crate::program::{Action, Actor, Call, Race, ReadExpectation, Step, WriteExpectation};
use crate::target::{Outcome, Racer, SystemCall, ThreadIndex};

/// The longest delay, in nanoseconds. Most are much shorter: few calls take as long.
const LONGEST_DELAY: u64 = 1 << 19;

/// How long each of so many threads waits in one run of a program before it begins. In one run they begin within a
/// microsecond, in another one may be through before the next begins.
fn delays(seed: u64, repetition: u32, threads: usize) -> Vec<Duration> {
    // Runs that follow one another, and seeds that do, have nothing in common.
    let mut random = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(repetition) << 32));
    let longest = LONGEST_DELAY >> random.u32(0..12);
    (0..threads).map(|_| Duration::from_nanos(random.u64(0..longest))).collect()
}

/// What is told of all runs of a program with a race, of which this was the last. Where it went wrong, in which run.
/// Where it did not, what came of the race and later is not told: that may be different every time.
pub(super) fn told(mut run: Run, race: &Race, repetition: u32) -> Run {
    let Race { times, seed, .. } = race;
    run.runs = repetition;
    let which = format!("in run {repetition} of {times}, whose delays `--seed {seed}` repeats");
    match &mut run.verdict {
        Verdict::Pass => {
            let steps = &mut run.transcript.steps;
            let racing = steps.iter().position(|record| record.races);
            steps.truncate(racing.unwrap_or(steps.len()));
        }
        Verdict::Fail(deviation) => deviation.difference = format!("{} ({which})", deviation.difference),
        Verdict::Broken { reason } => *reason = format!("{reason} ({which})"),
        _ => {}
    }
    run
}

impl Execution<'_> {
    /// Has several threads begin at once, and judges each of them.
    pub(super) fn race(&mut self, index: usize, race: &Race) -> Result<(), Stop> {
        let mut racers = Vec::new();
        let mut pendings = Vec::new();
        for (step, delay) in race.steps.iter().zip(delays(race.seed, self.repetition, race.steps.len())) {
            let (thread, call, pending) = self.racer(index, step)?;
            racers.push(Racer { thread, call, delay });
            pendings.push((thread, pending));
        }
        let outcomes = self.world.race(racers)?;
        let before = self.transcript.steps.len();
        let mut first = None;
        for ((step, (thread, pending)), outcome) in race.steps.iter().zip(pendings).zip(outcomes) {
            let judged = self.came_in(index, step, thread, pending, outcome)?;
            if let (Err(difference), None) = (judged, &first) {
                first = Some((self.transcript.steps.len() - 1, difference));
            }
        }
        self.transcript.steps[before..].iter_mut().for_each(|record| record.races = true);
        let Some((record, Difference { expected, came, difference })) = first else { return Ok(()) };
        // The record of the step that deviates is the last one.
        let record = self.transcript.steps.remove(record);
        self.transcript.steps.push(record);
        Err(Stop::Deviation(Deviation { step: Some(index), expected, came, difference }))
    }

    /// What a thread is to do in a race.
    fn racer(&self, index: usize, step: &Step) -> Result<(ThreadIndex, SystemCall, Option<Pending>), Stop> {
        let (Actor::Thread(name) | Actor::AnyOf { alias: name, .. }) = &step.actor;
        let thread = self.cast.thread(name)?;
        self.idle(index, thread)?;
        let (call, pending) = match &step.action {
            Action::Call { call, .. } => {
                match call::means(call, thread, &self.cast, &self.symbols, &self.bindings)? {
                    Means::System(call) => return Ok((thread, call, None)),
                    Means::Await | Means::Count(_) | Means::Signal(_) => {
                        return Err(ScriptFault::CannotRace(name.clone()).into());
                    }
                }
            }
            Action::Write { options, commands, written } => {
                self.begin(thread, commands, options, 0, written)?
            }
            Action::Read { options, .. } => {
                self.begin(thread, &[], options, options.room(), &WriteExpectation::default())?
            }
            Action::WriteRead { options, commands, written, .. } => {
                self.begin(thread, commands, options, options.room(), written)?
            }
        };
        Ok((thread, call, Some(pending)))
    }

    /// Takes down and judges what came of what a thread did in a race.
    fn came_in(
        &mut self,
        index: usize,
        step: &Step,
        thread: ThreadIndex,
        pending: Option<Pending>,
        outcome: Outcome,
    ) -> Result<Result<(), Difference>, Stop> {
        let expected = match &step.action {
            Action::Call { call, expected } => {
                let result = self.end_of_call(thread, call, expected, outcome)?;
                if *call == Call::Exit {
                    self.end(thread.process);
                }
                self.note(index, step, wording::call_outcome(&result));
                self.wake(index, thread)?;
                return Ok(judge_call(expected, &result, &self.symbols));
            }
            Action::Write { .. } => None,
            Action::Read { expected, .. } => Some(expected),
            Action::WriteRead { expected, .. } => expected.as_ref(),
        };
        let pending = pending.expect("`racer` gives one for all that reads or writes");
        let result = self.ended_or_parked(thread, pending.clone(), outcome)?;
        let patterns = expected.map(ReadExpectation::patterns).unwrap_or_default();
        self.record(index, step, thread, &result, patterns)?;
        match &step.action {
            Action::Write { .. } => Ok(judge_write(&pending, &result)),
            _ => self.judge_and_bind(thread, &pending, expected, &result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_all_delays_and_runs_differ() {
        let runs: Vec<_> = (1..200).map(|repetition| delays(7, repetition, 2)).collect();
        assert_eq!(runs, (1..200).map(|repetition| delays(7, repetition, 2)).collect::<Vec<_>>());
        assert_ne!(runs[0], runs[1]);
        assert_ne!(runs[0], delays(8, 1, 2));
    }

    #[test]
    fn each_thread_is_first_in_many_runs_and_delays_are_of_all_lengths() {
        let runs: Vec<_> = (1..200).map(|repetition| delays(0, repetition, 2)).collect();
        let first = runs.iter().filter(|delays| delays[0] < delays[1]).count();
        assert!((60..140).contains(&first), "{first}");
        let apart = |delays: &[Duration]| delays[0].abs_diff(delays[1]);
        assert!(runs.iter().any(|delays| apart(delays) < Duration::from_nanos(500)));
        assert!(runs.iter().any(|delays| apart(delays) > Duration::from_micros(200)));
    }
}
