//! What calls tell that is more than a number: ioctls in the structure that their argument points at.

use super::{Context, Name, Node, PidPattern, Scheduling};

/// What a call tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// `{ sync_recv 1, async_recv 0 }`, of BINDER_GET_FROZEN_INFO.
    FrozenInfo {
        /// Bit 0: the process was called while frozen. Bit 1: it is in a call, or calls are on their way to it.
        sync_recv: u32,
        /// It was sent oneway messages while frozen.
        async_recv: u32,
    },
    /// `{ id nonzero, command BR_FAILED_REPLY, param EINVAL }`, of BINDER_GET_EXTENDED_ERROR.
    ExtendedError {
        /// The driver's number of the transaction; `None` is unchecked.
        id: Option<TransactionId>,
        /// The BR_ code.
        command: u32,
        /// Why: a negative errno, or 0.
        param: i32,
    },
    /// `{ node foo, has_strong_ref 1, has_weak_ref 1 }`, of BINDER_GET_NODE_DEBUG_INFO.
    NodeDebugInfo {
        /// The node; where there is none, pointer and cookie are 0.
        node: Node,
        /// Whether its process holds a strong reference for others.
        has_strong_ref: u32,
        /// Whether its process holds a weak reference for others.
        has_weak_ref: u32,
    },
    /// `{ strong_count 1, weak_count 1 }`, of BINDER_GET_NODE_INFO_FOR_REF.
    NodeInfoForRef {
        /// Strong references on the node.
        strong_count: u32,
        /// Weak references on the node.
        weak_count: u32,
    },
    /// `{ policy SCHED_FIFO, priority 5 }`, of `sched_getscheduler`.
    Scheduling(Scheduling),
    /// `{ error BR_DEAD_REPLY, from_pid client, to_pid server, code 7 }`, of `report`.
    Report(Box<Report>),
}

/// What the driver reports of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The BR_ code.
    pub error: u32,
    /// Of which context; `None` is unchecked, and what comes of a device that a script has made.
    pub context: Option<Context>,
    /// The process that sent it; `None` is unchecked.
    pub from_pid: Option<PidPattern>,
    /// The thread that sent it; `None` is unchecked.
    pub from_tid: Option<Name>,
    /// The process that it was for, if that is told.
    pub to_pid: Option<PidPattern>,
    /// The thread that it was for, if that is told.
    pub to_tid: Option<Name>,
    /// Whether it is a reply.
    pub is_reply: bool,
    /// Its flags.
    pub flags: u32,
    /// Its code.
    pub code: u32,
    /// The length of its payload in bytes, as far as 32 bits hold it.
    pub data_size: u32,
}

/// A driver's number of a transaction. Which number it is means nothing, but that there is one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionId {
    /// `0`: of none.
    Zero,
    /// `nonzero`: of some transaction.
    NonZero,
}
