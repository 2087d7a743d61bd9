//! Judging: whether what a step came to is what it must come to, and if not, how it differs.

use reference_driver::uapi::{Errno, WriteRead};

use super::bindings::{Bindings, Bound};
use super::call::{self, CallResult};
use super::matching::{Reader, Refusal, match_returns};
use super::symbols::Symbols;
use super::wording;
use super::write_read::Finished;
use crate::program::{CallExpectation, ReadExpectation, WriteExpectation};
use crate::script::fragment;

/// A BINDER_WRITE_READ that has not been looked at to its end.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// The argument that it was given.
    pub(super) given: WriteRead,
    /// How its writing must end; that shows only when the read ends.
    pub(super) written: WriteExpectation,
}

/// What a step that reads or writes came to.
#[derive(Debug)]
pub(super) enum WriteReadResult {
    Parked,
    Finished(Finished),
}

/// How a step is not as expected: as scripts write it, and in words.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) expected: String,
    pub(super) came: String,
    pub(super) difference: String,
}

impl From<Difference> for Refusal<Difference> {
    fn from(difference: Difference) -> Refusal<Difference> {
        Refusal::Differs(difference)
    }
}

/// Judges a call other than BINDER_WRITE_READ.
pub(super) fn judge_call(
    expected: &CallExpectation,
    result: &CallResult,
    symbols: &Symbols,
) -> Result<(), Difference> {
    if call::matches(expected, result, symbols) {
        return Ok(());
    }
    let words = wording::call_result_in_words(result);
    let expected = fragment::call_expectation(expected);
    let difference = format!("it {words}, where it must be {expected}");
    Err(Difference { expected, came: wording::call_result(result), difference })
}

/// Judges a BINDER_WRITE_READ that only writes.
pub(super) fn judge_write(pending: &Pending, result: &WriteReadResult) -> Result<(), Difference> {
    let finished = match result {
        WriteReadResult::Finished(finished) => finished,
        WriteReadResult::Parked => {
            return Err(Difference {
                expected: wording::written(&pending.written, &pending.given),
                came: "parked".to_owned(),
                difference: "it is parked, and a write must return".to_owned(),
            });
        }
    };
    judge_writing(pending, finished)?;
    match (pending.written.errno, finished.errno, &finished.malformed) {
        (None, Some(errno), _) => Err(failed(pending, finished.write_consumed, errno)),
        (_, _, Some(malformed)) => Err(Difference {
            expected: wording::written(&pending.written, &pending.given),
            came: malformed.clone(),
            difference: malformed.clone(),
        }),
        _ => Ok(()),
    }
}

/// Judges a BINDER_WRITE_READ that reads, and gives the bindings that are new. Without an expectation of what is
/// read, its writing must fail.
pub(super) fn judge_read(
    reader: Reader<'_>,
    pending: &Pending,
    expected: Option<&ReadExpectation>,
    result: &WriteReadResult,
    bindings: &Bindings,
) -> Result<Bound, Refusal<Difference>> {
    let expected_text = || {
        expected
            .map_or_else(|| wording::written(&pending.written, &pending.given), fragment::read_expectation)
    };
    let finished = match result {
        WriteReadResult::Parked if expected.is_some_and(ReadExpectation::may_park) => {
            return Ok(Bound::default());
        }
        WriteReadResult::Parked => {
            return Err(Refusal::Differs(Difference {
                expected: expected_text(),
                came: "parked".to_owned(),
                difference: format!("it is parked, where {} was expected", expected_text()),
            }));
        }
        WriteReadResult::Finished(finished) => finished,
    };
    judge_writing(pending, finished)?;
    let Some(expected) = expected else {
        return Ok(Bound::default());
    };
    judge_reading(reader, expected, finished, bindings).map_err(|refusal| match refusal {
        Refusal::Fault(fault) => Refusal::Fault(fault),
        Refusal::Differs(difference) => Refusal::Differs(Difference {
            expected: expected_text(),
            came: reader.came(finished, expected.patterns()),
            difference,
        }),
    })
}

/// Judges how the writing ended. An error that comes with everything written is that of the reading.
fn judge_writing(pending: &Pending, finished: &Finished) -> Result<(), Difference> {
    let Pending { given, written } = pending;
    let consumed = finished.write_consumed;
    let differs = |difference: String| {
        Err(Difference {
            expected: wording::written(written, given),
            came: wording::write_result(finished.errno, consumed, given),
            difference,
        })
    };
    let Some(errno) = written.errno else {
        let must = written.consumed.unwrap_or(given.write_size);
        return match finished.errno {
            _ if consumed == must => Ok(()),
            Some(errno) => Err(failed(pending, consumed, errno)),
            None => differs(format!("write_consumed is {consumed}, not {must}")),
        };
    };
    match finished.errno {
        None => return differs(format!("the write succeeded, where it must fail with {errno}")),
        Some(came) if came != errno => return differs(format!("the error is {came}, not {errno}")),
        Some(_) => {}
    }
    match (written.consumed, &finished.malformed) {
        (Some(must), _) if consumed != must => differs(format!("write_consumed is {consumed}, not {must}")),
        (_, Some(malformed)) => differs(malformed.clone()),
        _ => Ok(()),
    }
}

/// That a call failed which must not.
fn failed(pending: &Pending, consumed: u64, errno: Errno) -> Difference {
    let size = pending.given.write_size;
    Difference {
        expected: wording::written(&pending.written, &pending.given),
        came: wording::write_result(Some(errno), consumed, &pending.given),
        difference: format!("it failed with {errno}, with {consumed} of {size} bytes of commands consumed"),
    }
}

/// Judges what was read, and gives the bindings that are new.
fn judge_reading(
    reader: Reader<'_>,
    expected: &ReadExpectation,
    finished: &Finished,
    bindings: &Bindings,
) -> Result<Bound, Refusal> {
    let differs = |words: String| Err(Refusal::Differs(words));
    match (expected, finished.errno) {
        (ReadExpectation::AnyOf(choices), _) => {
            let mut first = None;
            for choice in choices {
                match judge_reading(reader, choice, finished, bindings) {
                    Err(Refusal::Differs(words)) => first = first.or(Some(words)),
                    decided => return decided,
                }
            }
            differs(match first {
                Some(words) => format!("none of the choices fits; of the first, {words}"),
                None => "there is nothing that could fit".to_owned(),
            })
        }
        (ReadExpectation::Parked, _) => differs("the read returned, where it must be parked".to_owned()),
        (ReadExpectation::Returns(_), Some(errno)) => differs(format!("the read failed with {errno}")),
        (ReadExpectation::Returns(items), None) => {
            let matched = match_returns(reader, items, &finished.returns, bindings);
            match (&finished.malformed, matched) {
                (Some(malformed), Ok(_)) => differs(malformed.clone()),
                (_, matched) => matched,
            }
        }
        (ReadExpectation::Failed { errno, .. }, None) => {
            differs(format!("the read succeeded, where it must fail with {errno}"))
        }
        (ReadExpectation::Failed { errno, consumed }, Some(came)) => {
            if *errno != came {
                return differs(format!("the error is {came}, not {errno}"));
            }
            match consumed {
                Some(consumed) if *consumed != finished.read_consumed => {
                    differs(format!("read_consumed is {}, not {consumed}", finished.read_consumed))
                }
                _ => Ok(Bound::default()),
            }
        }
    }
}
