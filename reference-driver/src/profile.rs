//! Profiles: which driver is being modelled, where drivers differ.

/// The driver that the model behaves as. Each difference between drivers is a field here, so that the rest of
/// the model asks for the difference and never for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people call it.
    pub name: &'static str,
    /// A oneway message to a frozen process is answered with BR_TRANSACTION_PENDING_FROZEN.
    pub has_pending_frozen: bool,
    /// BC_REQUEST_FREEZE_NOTIFICATION and what goes with it.
    pub has_freeze_notifications: bool,
    /// The sender of a oneway message is judged as a spammer with that very message counted.
    pub counts_message_as_spam: bool,
}

impl Profile {
    /// The C driver of Linux 6.1.
    pub const C_6_1: Profile = Profile {
        name: "c-6.1",
        has_pending_frozen: false,
        has_freeze_notifications: false,
        counts_message_as_spam: true,
    };

    /// The C driver of Linux 6.12.
    pub const C_6_12: Profile = Profile {
        name: "c-6.12",
        has_pending_frozen: true,
        has_freeze_notifications: true,
        counts_message_as_spam: false,
        ..Profile::C_6_1
    };

    /// The C driver of Linux 7, the newest. In all that is modelled, it does the same as that of 6.12.
    pub const C: Profile = Profile { name: "c", ..Profile::C_6_12 };
}

impl Default for Profile {
    fn default() -> Self {
        Profile::C
    }
}
