//! Profiles: which driver is being modelled, where drivers differ.

/// The driver that the model behaves as. Each difference between drivers is a field here, so that the rest of
/// the model asks for the difference and never for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people call it.
    pub name: &'static str,
    /// What a oneway message takes of the asynchronous space beyond its size, in bytes.
    pub async_overhead: u64,
}

impl Profile {
    /// The C driver of Linux 6.12.
    pub const LINUX_6_12: Profile = Profile { name: "linux-6.12", async_overhead: 0 };
}

impl Default for Profile {
    fn default() -> Self {
        Profile::LINUX_6_12
    }
}
