//! Wording: what was expected and what came, as the script language writes it.

use reference_driver::uapi::*;

use super::call::CallResult;
use super::decode::Return;
use super::describe;
use super::matching::Reader;
use super::transcript::{PayloadRecord, ReturnRecord, StepOutcome};
use super::write_read::Finished;
use crate::program::*;
use crate::script::fragment;

/// Who does a step, by the name that is new where there is one.
pub(super) fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Thread(name) | Actor::AnyOf { alias: name, .. } => name.to_string(),
    }
}

/// A handle that a script names, with its number.
pub(super) fn handle(handle: &Handle, number: u32) -> String {
    match handle {
        Handle::Number(_) => number.to_string(),
        Handle::Symbol(name) => format!("{name} ({number})"),
    }
}

/// How a writing must end.
pub(super) fn written(expected: &WriteExpectation, given: &WriteRead) -> String {
    match (expected.errno, expected.consumed) {
        (None, None) => format!("success, with {} bytes of commands consumed", given.write_size),
        (None, Some(consumed)) => format!("success, with {consumed} bytes of commands consumed"),
        (Some(errno), None) => errno.to_string(),
        (Some(errno), Some(consumed)) => format!("{errno}, with {consumed} bytes of commands consumed"),
    }
}

/// How a writing ended.
pub(super) fn write_result(errno: Option<Errno>, consumed: u64, given: &WriteRead) -> String {
    let how = errno.map_or_else(|| "success".to_owned(), |errno| errno.to_string());
    format!("{how}, with {consumed} of {} bytes of commands consumed", given.write_size)
}

/// What came of a call, after `=`.
pub(super) fn call_result(result: &CallResult) -> String {
    match result {
        CallResult::Told(told) => fragment::told(told),
        CallResult::Parked => "parked".to_owned(),
        CallResult::Failed(errno) => errno.to_string(),
        CallResult::Succeeded(None) => "success".to_owned(),
        CallResult::Succeeded(Some(value)) => value.to_string(),
        CallResult::Polled(found) => match &found.names()[..] {
            [] => "0".to_owned(),
            names => names.join(" | "),
        },
    }
}

/// What came of a call, after "it".
pub(super) fn call_result_in_words(result: &CallResult) -> String {
    match result {
        CallResult::Told(told) => format!("told {}", fragment::told(told)),
        CallResult::Parked => "did not return".to_owned(),
        CallResult::Failed(errno) => format!("failed with {errno}"),
        CallResult::Succeeded(None) => "succeeded".to_owned(),
        other => format!("gave {}", call_result(other)),
    }
}

/// What came of a call, for the transcript.
pub(super) fn call_outcome(result: &CallResult) -> StepOutcome {
    match result {
        CallResult::Told(told) => StepOutcome::Told { structure: fragment::told(told) },
        CallResult::Parked => StepOutcome::Parked,
        CallResult::Failed(errno) => StepOutcome::Failed { errno: errno.to_string() },
        CallResult::Succeeded(value) => StepOutcome::Succeeded { value: *value },
        CallResult::Polled(found) => {
            StepOutcome::Polled { events: found.names().into_iter().map(str::to_owned).collect() }
        }
    }
}

impl Reader<'_> {
    /// What a read gave, as a script would write it. Payloads are read as the patterns read theirs.
    pub(super) fn came(&self, finished: &Finished, like: Vec<&ReturnPattern>) -> String {
        let mut parts: Vec<String> =
            self.described(&finished.returns, like).iter().map(fragment::return_pattern).collect();
        if let Some(errno) = finished.errno {
            parts.push(format!("= {errno} consumed {}", finished.read_consumed));
        }
        match (&finished.malformed, parts.is_empty()) {
            (None, true) => "nothing".to_owned(),
            (None, false) => parts.join(", "),
            (Some(malformed), true) => malformed.clone(),
            (Some(malformed), false) => format!("{}, and then {malformed}", parts.join(", ")),
        }
    }

    /// Returns for the transcript.
    pub(super) fn records(&self, returns: &[Return], like: Vec<&ReturnPattern>) -> Vec<ReturnRecord> {
        let described = self.described(returns, like);
        let record = |(came, pattern): (&Return, &ReturnPattern)| ReturnRecord {
            name: describe::name(came).to_owned(),
            script: fragment::return_pattern(pattern),
            payload: came.received().map(|received| PayloadRecord {
                items: pattern
                    .arrival()
                    .iter()
                    .flat_map(|arrival| &arrival.data)
                    .map(fragment::data_item)
                    .collect(),
                bytes: received.masked(),
                offsets: received.offsets.as_deref().map(hex::encode),
            }),
        };
        returns.iter().zip(&described).map(record).collect()
    }

    /// Each return described like the first pattern of its name that no earlier return has taken.
    pub(super) fn described(&self, returns: &[Return], mut left: Vec<&ReturnPattern>) -> Vec<ReturnPattern> {
        let mut describe_one = |came: &Return| {
            let place =
                left.iter().position(|pattern| fragment::return_word(pattern) == describe::name(came));
            self.describe(came, place.map(|place| left.remove(place)))
        };
        returns.iter().map(&mut describe_one).collect()
    }
}
