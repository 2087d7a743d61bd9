//! Verdicts: what a run says of a target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::program::DriverKind;

/// What became of a case on a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verdict {
    /// All was as the program expects.
    Pass,
    /// The target did something else.
    Fail(Deviation),
    /// The target did something else, as it is known to do.
    KnownDeviation {
        /// What it did.
        deviation: Deviation,
        /// Why it does that.
        reason: String,
        /// Where that can be looked up.
        source: String,
    },
    /// All was as the program expects, though the target is known to do something else.
    UnexpectedPass {
        /// Why it should have deviated.
        reason: String,
    },
    /// The target lacks something that the program needs.
    Skip {
        /// What it lacks.
        reason: String,
    },
    /// The program is about the other implementation of the driver.
    OtherDriver {
        /// That one.
        driver: DriverKind,
    },
    /// The program could not be run to a verdict: it is wrong, or the target died. Never counted as a pass.
    Broken {
        /// Why.
        reason: String,
    },
}

/// Where a target did something other than what a program expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deviation {
    /// The index of the step in its program, from 0; `None` if it showed after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// What was expected, as the script writes it.
    pub expected: String,
    /// What came, as the script would write it.
    pub came: String,
    /// Where the two first differ, in words.
    pub difference: String,
}
