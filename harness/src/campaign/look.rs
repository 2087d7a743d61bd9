//! Looks into divergences: whether a program shows one again, how small it can be made, and whether one that is listed is
//! what the list is about.
//!
//! What is listed are races, as a rule, and their signatures are short. So each of the first that are seen of a kind is run
//! again, and one that shows each time, in a fresh guest too, is a finding like any other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::bench::{Bench, Difference};
use super::finding::Steadiness;
use super::signature::Signature;
use crate::engine::SetUpError;
use crate::minimise::minimise;
use crate::program::Program;

/// How often a kind of divergence is looked into, at most, that is listed, or of which no program shows it again.
const MOST_LOOKS: u32 = 20;

/// How often programs are run, at most, to make one smaller.
const MOST_RUNS: u32 = 1500;

/// How often a program is run to see whether it diverges always.
pub const REPETITIONS: u32 = 5;

/// What has been looked into, of all benches of a lane, or of the one on which inputs are replayed.
#[derive(Debug, Default)]
pub struct Looks(Mutex<BTreeMap<Signature, Looked>>);

/// What has become of the looks into one kind of divergence.
#[derive(Debug, Default, Clone, Copy)]
struct Looked {
    times: u32,
    has_shown: bool,
    /// A bench looks into it now; one is enough.
    is_at_it: bool,
}

/// What a look into a divergence has come to.
#[derive(Debug)]
pub(super) struct Look {
    /// Why targets part ways so, if it is listed and not steady.
    pub(super) known: Option<String>,
    /// The program that was looked into, if one was that is to be told of.
    pub(super) reduced: Option<Reduced>,
    /// Why nothing can be run any more, if that ended it.
    pub(super) error: Option<SetUpError>,
}

impl Looks {
    /// Looks into a divergence, unless it has been seen what there is to see of its kind.
    pub(super) fn look(
        &self,
        bench: &mut Bench,
        program: &Program,
        first: Difference,
        is_stopped: &dyn Fn() -> bool,
    ) -> Look {
        let signature = first.signature.clone();
        let reason = bench.known(&signature).map(str::to_owned);
        let (is_listed, is_over) = (reason.is_some(), is_stopped());
        let turn = self.turn(&signature, |looked| {
            !(is_over && (is_listed || looked.times > 0)) && looked.times < MOST_LOOKS
        });
        let is_first = match turn {
            Turn::HasShown => return Look { known: None, reduced: None, error: None },
            Turn::NotOurs => return Look { known: reason, reduced: None, error: None },
            Turn::Ours { is_first } => is_first,
        };
        let (known, reduced) = look_into(bench, program, first, reason, is_stopped);
        let Reduction { reduced, error } = reduced;
        let has_shown = known.is_none() && reduced.steadiness.shown > 0;
        self.end(&signature, has_shown);
        Look { reduced: Some(reduced).filter(|_| is_first || has_shown), known, error }
    }

    /// Why targets part ways so, if that is listed, and it is what the list is about as far as that is looked into.
    pub fn listed(
        &self,
        bench: &mut Bench,
        program: &Program,
        first: &Difference,
    ) -> Result<Option<String>, SetUpError> {
        let Some(reason) = bench.known(&first.signature).map(str::to_owned) else { return Ok(None) };
        match self.turn(&first.signature, |looked| looked.times < MOST_LOOKS) {
            Turn::HasShown => Ok(None),
            Turn::NotOurs => Ok(Some(reason)),
            Turn::Ours { .. } => {
                let Reduction { reduced, error } = seen_again(bench, program, first.clone());
                let is_steady = reduced.steadiness.is_steady();
                self.end(&first.signature, is_steady);
                error.map_or(Ok((!is_steady).then_some(reason)), Err)
            }
        }
    }

    /// Whose turn it is to look into a kind of divergence.
    fn turn(&self, signature: &Signature, is_wanted: impl Fn(&Looked) -> bool) -> Turn {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = looks.entry(signature.clone()).or_default();
        if looked.has_shown {
            return Turn::HasShown;
        }
        if looked.is_at_it || !is_wanted(looked) {
            return Turn::NotOurs;
        }
        looked.is_at_it = true;
        looked.times += 1;
        Turn::Ours { is_first: looked.times == 1 }
    }

    fn end(&self, signature: &Signature, has_shown: bool) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = looks.entry(signature.clone()).or_default();
        looked.is_at_it = false;
        looked.has_shown = has_shown;
    }
}

/// Whether to look into a divergence.
enum Turn {
    /// One of its kind has shown what there is to see. It is not what a list is about.
    HasShown,
    /// Another bench does, or enough have.
    NotOurs,
    /// This is to be looked into.
    Ours {
        /// It is the first of its kind.
        is_first: bool,
    },
}

/// Sees whether a divergence that is listed, if there is a reason for it, is what the list is about; and makes the program
/// smaller if not. The reason, if it is.
fn look_into(
    bench: &mut Bench,
    program: &Program,
    first: Difference,
    reason: Option<String>,
    is_stopped: &dyn Fn() -> bool,
) -> (Option<String>, Reduction) {
    if reason.is_some() {
        let seen = seen_again(bench, program, first.clone());
        if seen.error.is_some() || !seen.reduced.steadiness.is_steady() {
            return (reason, seen);
        }
    }
    (None, reduce(bench, program, first, is_stopped))
}

/// What is left of a program on which targets part ways.
#[derive(Debug)]
pub struct Reduced {
    /// The program.
    pub program: Program,
    /// What targets do with it.
    pub difference: Difference,
    /// How often.
    pub steadiness: Steadiness,
    /// The search for less was ended before it was as small as it can be.
    pub is_cut_short: bool,
}

/// What has come of making a program smaller.
#[derive(Debug)]
pub struct Reduction {
    /// What is left of it.
    pub reduced: Reduced,
    /// Why nothing can be run any more, if that ended it.
    pub error: Option<SetUpError>,
}

/// Makes a settled program smaller that shows this difference, and sees how often it does. One that does not again is left
/// as it is: what is tried then would tell nothing. So is one of which what is left does not, as it may do now and then only,
/// and one with which nothing can be run any more. Once somebody wants an end, it is left as it is by then.
pub fn reduce(
    bench: &mut Bench,
    program: &Program,
    first: Difference,
    is_stopped: &dyn Fn() -> bool,
) -> Reduction {
    let before = repeat(bench, program, &first.signature);
    if before.last.is_none() || before.error.is_some() {
        return before.of(program, first);
    }
    let repetitions = if before.steadiness.is_steady() { 1 } else { REPETITIONS };
    let mut trial = bench.trial(&first.signature, repetitions, MOST_RUNS, is_stopped);
    let minimised = minimise(program, &mut trial);
    let error = trial.error.take();
    let after = match error {
        None => repeat(bench, &minimised.program, &first.signature),
        Some(error) => Repeated { error: Some(error), ..Repeated::default() },
    };
    match after {
        Repeated { steadiness, last: Some(difference), error: None } => {
            let is_cut_short = !minimised.is_minimal;
            let reduced = Reduced { program: minimised.program, difference, steadiness, is_cut_short };
            Reduction { reduced, error: None }
        }
        after => {
            let mut reduction = before.of(program, first);
            reduction.reduced.is_cut_short = true;
            Reduction { error: after.error, ..reduction }
        }
    }
}

/// Sees how often a program shows a difference. Where that is always, a guest may have come to be so: then once more in a
/// fresh one.
fn seen_again(bench: &mut Bench, program: &Program, first: Difference) -> Reduction {
    let mut seen = repeat(bench, program, &first.signature);
    if seen.error.is_none() && seen.steadiness.is_steady() {
        bench.renew();
        seen = repeat(bench, program, &first.signature);
    }
    seen.of(program, first)
}

/// What has come of running a program again and again.
#[derive(Default)]
struct Repeated {
    /// How often it has shown a difference.
    steadiness: Steadiness,
    /// What was done the last time that it did.
    last: Option<Difference>,
    /// Why it could not be run more often.
    error: Option<SetUpError>,
}

impl Repeated {
    /// What this says of the program, which was seen to show the difference before.
    fn of(self, program: &Program, first: Difference) -> Reduction {
        let Repeated { steadiness, last, error } = self;
        let difference = last.unwrap_or(first);
        let reduced = Reduced { program: program.clone(), difference, steadiness, is_cut_short: false };
        Reduction { reduced, error }
    }
}

/// Runs a program again and again, to see how often it shows a difference.
fn repeat(bench: &mut Bench, program: &Program, signature: &Signature) -> Repeated {
    let mut repeated = Repeated::default();
    for _ in 0..REPETITIONS {
        let found = match bench.difference(program) {
            Ok(found) => found,
            Err(error) => return Repeated { error: Some(error), ..repeated },
        };
        repeated.steadiness.of += 1;
        if let Some(difference) = found.filter(|found| found.signature == *signature) {
            repeated.steadiness.shown += 1;
            repeated.last = Some(difference);
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bench_at_a_time_looks_until_there_is_nothing_more_to_see() {
        let looks = Looks::default();
        let signature = Signature::of_failure("a", "b");
        let turn = || looks.turn(&signature, |_| true);
        assert!(matches!(turn(), Turn::Ours { is_first: true }));
        assert!(matches!(turn(), Turn::NotOurs));
        looks.end(&signature, false);
        assert!(matches!(turn(), Turn::Ours { is_first: false }));
        looks.end(&signature, true);
        assert!(matches!(turn(), Turn::HasShown));
    }
}
