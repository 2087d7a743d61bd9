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

/// What has been looked into, of all benches of a lane.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<BTreeMap<Signature, Looked>>);

/// What has become of the looks into one kind of divergence.
#[derive(Debug, Default, Clone, Copy)]
struct Looked {
    times: u32,
    has_shown: bool,
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
        let Looked { times, has_shown } = self.of(&signature);
        // What has turned out to be steady is no longer what the list is about.
        let known = reason.filter(|_| !has_shown);
        if has_shown || times > MOST_LOOKS {
            return Ok(Look { known, reduced: None });
        }
        let is_first = times == 1;
        if known.is_some() {
            let seen = seen_again(bench, program, first.clone())?;
            if !seen.steadiness.is_steady() {
                return Ok(Look { known, reduced: is_first.then_some(seen) });
            }
        }
        let reduced = reduce(bench, program, first, is_stopped)?;
        let shows = reduced.steadiness.shown > 0;
        if shows {
            self.has_shown(&signature);
        }
        Ok(Look { known: None, reduced: (is_first || shows).then_some(reduced) })
    }

    /// The looks so far, with one that is about to be taken if there is one to take.
    fn of(&self, signature: &Signature) -> Looked {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = looks.entry(signature.clone()).or_default();
        looked.times = looked.times.saturating_add(1);
        *looked
    }

    fn has_shown(&self, signature: &Signature) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.entry(signature.clone()).or_default().has_shown = true;
    }
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
    /// There was no time to make it as small as it can be.
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
