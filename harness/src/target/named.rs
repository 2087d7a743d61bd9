//! Targets by name: the one place where the words after `--target` become a target.

use super::{ReferenceTarget, Target};

/// The ways to name a target, each with what it is.
const KNOWN: &[(&str, &str)] = &[("reference", "the reference driver, in this process")];

/// That no target has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no target {name:?}; there is {}", known())]
pub struct UnknownTarget {
    name: String,
}

fn known() -> String {
    let known: Vec<String> = KNOWN.iter().map(|(name, what)| format!("`{name}` ({what})")).collect();
    known.join(", ")
}

/// The target of this name.
pub fn named(name: &str) -> Result<Box<dyn Target>, UnknownTarget> {
    match name {
        "reference" => Ok(Box::new(ReferenceTarget::default())),
        _ => Err(UnknownTarget { name: name.to_owned() }),
    }
}
