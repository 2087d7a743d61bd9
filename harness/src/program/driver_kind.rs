//! The two implementations of the driver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which implementation of the driver something is about. The words are those of the `driver:` line.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::Display,
    strum::EnumIter,
    strum::IntoStaticStr,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DriverKind {
    /// `drivers/android/binder.c`.
    C,
    /// `drivers/android/binder/`, since Linux 6.18.
    Rust,
}

impl DriverKind {
    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            DriverKind::C => "C",
            DriverKind::Rust => "Rust",
        }
    }
}
