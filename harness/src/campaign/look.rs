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
pub const MOST_LOOKS: u32 = 20;

/// How often programs are run, at most, to make one smaller.
const MOST_RUNS: u32 = 1500;

/// How often a program is run to see whether it diverges always.
pub const REPETITIONS: u32 = 5;

/// What has been looked into, of all benches of a lane.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<BTreeMap<Signature, Looked>>);

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
}

impl Looks {
    /// Looks into a divergence, unless it has been seen what there is to see of its kind.
    pub(super) fn look(
        &self,
        bench: &mut Bench,
        program: &Program,
        first: Difference,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Look, SetUpError> {
        let signature = first.signature.clone();
        let reason = bench.known(&signature).map(str::to_owned);
        let (is_listed, is_over) = (reason.is_some(), is_stopped());
        let turn = self.turn(&signature, |looked| {
            !(is_over && (is_listed || looked.times > 0)) && looked.times < MOST_LOOKS
        });
        let is_first = match turn {
            Turn::HasShown => return Ok(Look { known: None, reduced: None }),
            Turn::NotOurs => return Ok(Look { known: reason, reduced: None }),
            Turn::Ours { is_first } => is_first,
        };
        let look = look_into(bench, program, first, reason, is_stopped);
        let has_shown = look.as_ref().is_ok_and(|look| look.known.is_none() && look.has_shown());
        self.end(&signature, has_shown);
        let Look { known, reduced } = look?;
        let is_told = |reduced: &Reduced| is_first || known.is_none() && reduced.steadiness.shown > 0;
        Ok(Look { reduced: reduced.filter(is_told), known })
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

impl Look {
    fn has_shown(&self) -> bool {
        self.reduced.as_ref().is_some_and(|reduced| reduced.steadiness.shown > 0)
    }
}

/// Sees whether a divergence that is listed, if there is a reason for it, is what the list is about; and makes the program
/// smaller if not.
fn look_into(
    bench: &mut Bench,
    program: &Program,
    first: Difference,
    reason: Option<String>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Look, SetUpError> {
    if reason.is_some() {
        let seen = seen_again(bench, program, first.clone())?;
        if !seen.steadiness.is_steady() {
            return Ok(Look { known: reason, reduced: Some(seen) });
        }
    }
    Ok(Look { known: None, reduced: Some(reduce(bench, program, first, is_stopped)?) })
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

/// Makes a settled program smaller that shows this difference, and sees how often it does. One that does not again is left
/// as it is: what is tried then would tell nothing. Once somebody wants an end, it is left as it is by then.
pub fn reduce(
    bench: &mut Bench,
    program: &Program,
    first: Difference,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Reduced, SetUpError> {
    let (steadiness, last) = repeat(bench, program, &first.signature)?;
    if steadiness.shown == 0 {
        return Ok(as_it_is(program, last.unwrap_or(first), steadiness));
    }
    let repetitions = if steadiness.is_steady() { 1 } else { REPETITIONS };
    let mut trial = bench.trial(&first.signature, repetitions, MOST_RUNS, is_stopped);
    let minimised = minimise(program, &mut trial);
    if let Some(error) = trial.error {
        return Err(error);
    }
    let (steadiness, last) = repeat(bench, &minimised.program, &first.signature)?;
    let difference = last.unwrap_or(first);
    let is_cut_short = !minimised.is_minimal;
    Ok(Reduced { program: minimised.program, difference, steadiness, is_cut_short })
}

/// A program that nothing is gained by making smaller.
fn as_it_is(program: &Program, difference: Difference, steadiness: Steadiness) -> Reduced {
    Reduced { program: program.clone(), difference, steadiness, is_cut_short: false }
}

/// Sees how often a program shows a difference. Where that is always, a guest may have come to be so: then once more in a
/// fresh one.
fn seen_again(bench: &mut Bench, program: &Program, first: Difference) -> Result<Reduced, SetUpError> {
    let (mut steadiness, mut last) = repeat(bench, program, &first.signature)?;
    if steadiness.is_steady() {
        bench.renew();
        (steadiness, last) = repeat(bench, program, &first.signature)?;
    }
    Ok(as_it_is(program, last.unwrap_or(first), steadiness))
}

/// How often a program shows a difference, and what was done the last time that it did.
fn repeat(
    bench: &mut Bench,
    program: &Program,
    signature: &Signature,
) -> Result<(Steadiness, Option<Difference>), SetUpError> {
    let mut steadiness = Steadiness { shown: 0, of: REPETITIONS };
    let mut last = None;
    for _ in 0..REPETITIONS {
        if let Some(difference) = bench.difference(program)?.filter(|found| found.signature == *signature) {
            steadiness.shown += 1;
            last = Some(difference);
        }
    }
    Ok((steadiness, last))
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
