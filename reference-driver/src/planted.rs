//! Planted bugs: mistakes that real drivers once made and that can be made again here, one at a time, to see whether
//! the suite notices.
//!
//! Only a build with the feature `planted-bugs` can have one. In every other build [`Planted`] is empty, and the code
//! that makes the mistakes is not there.

/// A bug modelled on a published one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// CVE-2020-0041: whether a parent comes before its child is told from 8 times the place of the child.
    ParentBehindChild,
    /// CVE-2023-20938: a transaction whose table of offsets has no whole number of entries takes back references for all
    /// that the table leads to.
    MisalignedTableAllReleased,
    /// CVE-2023-21255: the same, by another way out before any object has been looked at: room for scatter-gather buffers
    /// that is no multiple of 8.
    MisalignedRoomAllReleased,
    /// CVE-2024-26926: objects are looked for at any offset.
    AnyAlignment,
    /// CVE-2024-46740: data before an object may reach beyond the data, and over the table of offsets.
    DataOverOffsets,
    /// CVE-2024-56554: a freeze notification that waits to be read stays there when its handle goes.
    QueuedFreezeOutlivesHandle,
    /// CVE-2026-23194: an array of no descriptors is refused.
    EmptyArrayRefused,
    /// CVE-2026-23400: when a thread that is no looper says that it is done with a death that has been cleared, no answer
    /// ever comes. (The real driver waits for itself there for ever. Nothing in this one can.)
    NoAnswerForNoLooper,
    /// CVE-2026-43435: the message that makes a sender a suspect is not counted.
    MessageUncounted,
    /// CVE-2026-68458: scatter-gather buffers may lie where the security context is.
    BuffersOverContext,
}

/// The bug that a driver has, if it has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Planted(#[cfg(feature = "planted-bugs")] Option<Bug>);

impl Planted {
    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) const NONE: Planted = Planted();
    #[cfg(feature = "planted-bugs")]
    pub(crate) const NONE: Planted = Planted(None);

    /// Whether the driver has this bug.
    #[cfg(not(feature = "planted-bugs"))]
    pub(crate) const fn is(self, _: Bug) -> bool {
        false
    }

    /// Whether the driver has this bug.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn is(self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
impl Bug {
    /// All there are.
    pub const ALL: [Bug; 10] = [
        Bug::ParentBehindChild,
        Bug::MisalignedTableAllReleased,
        Bug::MisalignedRoomAllReleased,
        Bug::AnyAlignment,
        Bug::DataOverOffsets,
        Bug::QueuedFreezeOutlivesHandle,
        Bug::EmptyArrayRefused,
        Bug::NoAnswerForNoLooper,
        Bug::MessageUncounted,
        Bug::BuffersOverContext,
    ];

    /// The name under which the bug that it is modelled on was published.
    pub fn published_as(self) -> &'static str {
        match self {
            Bug::ParentBehindChild => "CVE-2020-0041",
            Bug::MisalignedTableAllReleased => "CVE-2023-20938",
            Bug::MisalignedRoomAllReleased => "CVE-2023-21255",
            Bug::AnyAlignment => "CVE-2024-26926",
            Bug::DataOverOffsets => "CVE-2024-46740",
            Bug::QueuedFreezeOutlivesHandle => "CVE-2024-56554",
            Bug::EmptyArrayRefused => "CVE-2026-23194",
            Bug::NoAnswerForNoLooper => "CVE-2026-23400",
            Bug::MessageUncounted => "CVE-2026-43435",
            Bug::BuffersOverContext => "CVE-2026-68458",
        }
    }
}

#[cfg(feature = "planted-bugs")]
impl crate::Profile {
    /// The same driver, with a bug.
    pub fn with_bug(self, bug: Bug) -> Self {
        Self { planted: Planted(Some(bug)), ..self }
    }
}
