//! The contexts: each has a device, a context manager and handles of its own.

/// A context. The words are the names of its device, as Android has them.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum Context {
    /// What applications and the framework use. A target's own device, whatever that is called.
    #[default]
    Binder,
    /// What the parts of a vendor offer to the framework.
    Hwbinder,
    /// What the parts of a vendor offer to each other.
    Vndbinder,
}
