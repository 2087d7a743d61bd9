//! Profiles: which driver is being modelled, where drivers differ.

/// The driver that the model behaves as. Each difference between drivers is a field here, so that the rest of
/// the model asks for the difference and never for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people call it.
    pub name: &'static str,
}

impl Profile {
    /// The C driver of Linux 6.1 to 7.3: in all that is modelled so far, these do the same.
    pub const C: Profile = Profile { name: "c" };

    /// The driver in Rust, as it is in Linux 7.3.
    pub const RUST: Profile = Profile { name: "rust" };
}

impl Default for Profile {
    fn default() -> Self {
        Profile::C
    }
}
