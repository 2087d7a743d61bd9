//! Transcripts: what the steps of a program did on a target, with symbols in place of addresses and process ids,
//! so that the transcripts of two targets can be compared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run of a program did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transcript {
    /// The steps that were done, in order. A run that deviates ends with the step that did.
    pub steps: Vec<StepRecord>,
    /// What the target complained of after all processes were gone, a line each.
    pub complaints: Vec<String>,
}

impl Transcript {
    /// The first steps, so many, and the rest, with the complaints where anything follows.
    pub fn split_at(&self, steps: usize) -> (Transcript, Transcript) {
        if steps >= self.steps.len() {
            return (self.clone(), Transcript::default());
        }
        let (first, rest) = self.steps.split_at(steps);
        let first = Transcript { steps: first.to_vec(), complaints: Vec::new() };
        (first, Transcript { steps: rest.to_vec(), complaints: self.complaints.clone() })
    }
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// The index of the step in its program, from 0.
    pub step: usize,
    /// The thread that did it, as the script calls it.
    pub thread: String,
    /// The step as the script writes it.
    pub script: String,
    /// What came of it.
    pub outcome: StepOutcome,
    /// Threads whose parked reads or calls it ended, as the script calls them.
    pub woke: Vec<String>,
    /// Whether it was one of several steps that began at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub races: bool,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum StepOutcome {
    /// The thread sleeps in the driver.
    Parked,
    /// A BINDER_WRITE_READ returned.
    WriteRead(WriteReadRecord),
    /// Another call succeeded.
    Succeeded {
        /// The number that it gave, if it gives one: a version, a count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<i64>,
    },
    /// A poll found these events, such as `POLLIN`, or none.
    Polled {
        /// The names of the events.
        events: Vec<String>,
    },
    /// Another call succeeded, and filled in a structure.
    Told {
        /// The structure as a script would write it.
        structure: String,
    },
    /// Another call failed.
    Failed {
        /// The name of the error.
        errno: String,
    },
    /// None of the threads of which one should have been woken was, or more than one.
    NotOneWoken,
}

/// What a BINDER_WRITE_READ came back with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WriteReadRecord {
    /// The name of the error, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// `write_consumed`, in bytes.
    pub write_consumed: u64,
    /// `read_consumed`, in bytes.
    pub read_consumed: u64,
    /// The returns, without the BR_NOOP that opens them.
    pub returns: Vec<ReturnRecord>,
    /// Why the rest of what was read is no list of returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
}

/// A return as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnRecord {
    /// Its name, such as `BR_REPLY`.
    pub name: String,
    /// The whole return as a script would write it.
    pub script: String,
    /// Its payload, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadRecord>,
}

/// A payload as its receiver found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadRecord {
    /// Its items as a script would write them.
    pub items: Vec<String>,
    /// Its bytes in hexadecimal, with dots for the numbers of descriptors and the addresses of buffers, which are the
    /// driver's choice; of more than 4 KiB only how many there are, and their 128 bits of XXH3, with zeroes for these.
    /// `None` where the receiver has no such memory.
    pub bytes: Option<String>,
    /// The table of offsets in hexadecimal, little-endian; `None` where the receiver has no such memory.
    pub offsets: Option<String>,
}
