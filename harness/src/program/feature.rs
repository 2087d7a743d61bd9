//! Features: what a program may require of a target.

/// Something that not every target has. The words are those of the `requires` and the `without` line.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Feature {
    /// File descriptors in payloads.
    FdPassing,
    /// BC_TRANSACTION_SG and BC_REPLY_SG with PTR and FDA objects.
    ScatterGather,
    /// BINDER_FREEZE, BINDER_GET_FROZEN_INFO.
    Freeze,
    /// BR_TRANSACTION_PENDING_FROZEN, in place of BR_TRANSACTION_COMPLETE.
    PendingFrozen,
    /// BC_REQUEST_FREEZE_NOTIFICATION and what goes with it.
    FreezeNotification,
    /// BINDER_ENABLE_ONEWAY_SPAM_DETECTION.
    OnewaySpamDetection,
    /// BINDER_GET_EXTENDED_ERROR.
    ExtendedError,
    /// BINDER_GET_NODE_DEBUG_INFO, BINDER_GET_NODE_INFO_FOR_REF.
    NodeInfo,
    /// FLAT_BINDER_FLAG_TXN_SECURITY_CTX with a security module that gives contexts.
    Lsm,
    /// The devices of all three contexts.
    Contexts,
    /// Transactions bear the effective user of the thread that sends them, whoever has opened the device.
    CallersEuid,
    /// All parts of a mapping that differ in protection are given memory, and not only one of them.
    SplitMappings,
    /// Reports of transactions by generic netlink.
    Reports,
    /// Binderfs, and the right to mount it.
    Binderfs,
    /// User namespaces, which processes can make.
    UserNamespaces,
    /// Counters of payload copies, which only the reference driver keeps.
    CopyCounter,
    /// Counters of the driver's objects.
    ObjectCounter,
}
