//! Returns: what a read buffer must hold.

use super::{Name, Node, PayloadPattern, Token};

/// One place in the list of returns that a read must give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnItem {
    /// This one.
    One(ReturnPattern),
    /// `in any order { BR_… | BR_… }`: all of these, in whichever order.
    InAnyOrder(Vec<ReturnPattern>),
    /// `any of { BR_…, BR_… | BR_… }`: one of these lists.
    AnyOf(Vec<Vec<ReturnPattern>>),
}

/// A return as it must come, named as the protocol names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnPattern {
    /// `BR_ERROR -12`
    Error(i32),
    /// `BR_OK`
    Ok,
    /// `BR_TRANSACTION { code 7, pid client, data [ … ] } as call`
    Transaction(TransactionPattern),
    /// `BR_TRANSACTION_SEC_CTX { …, secctx client } as call`
    TransactionSecCtx {
        /// What arrives.
        transaction: TransactionPattern,
        /// The caller's security context; `None` is unchecked.
        secctx: Option<SecurityContextPattern>,
    },
    /// `BR_REPLY { data [ … ] } as reply`
    Reply(TransactionPattern),
    /// `BR_ACQUIRE_RESULT 0`
    AcquireResult(i32),
    /// `BR_DEAD_REPLY`
    DeadReply,
    /// `BR_TRANSACTION_COMPLETE`
    TransactionComplete,
    /// `BR_INCREFS foo`
    Increfs(Node),
    /// `BR_ACQUIRE foo`
    Acquire(Node),
    /// `BR_RELEASE foo`
    Release(Node),
    /// `BR_DECREFS foo`
    Decrefs(Node),
    /// `BR_NOOP`: one besides that which opens the read.
    Noop,
    /// `BR_SPAWN_LOOPER`: it takes the place of the BR_NOOP that opens the read.
    SpawnLooper,
    /// `BR_FINISHED`
    Finished,
    /// `BR_DEAD_BINDER grave`
    DeadBinder(Token),
    /// `BR_CLEAR_DEATH_NOTIFICATION_DONE grave`
    ClearDeathNotificationDone(Token),
    /// `BR_FAILED_REPLY`
    FailedReply,
    /// `BR_FROZEN_REPLY`
    FrozenReply,
    /// `BR_ONEWAY_SPAM_SUSPECT`
    OnewaySpamSuspect,
    /// `BR_TRANSACTION_PENDING_FROZEN`
    TransactionPendingFrozen,
    /// `BR_FROZEN_BINDER { cookie frost, is_frozen 1 }`
    FrozenBinder {
        /// The cookie of the request.
        cookie: Token,
        /// 1 when frozen.
        is_frozen: u32,
    },
    /// `BR_CLEAR_FREEZE_NOTIFICATION_DONE frost`
    ClearFreezeNotificationDone(Token),
}

impl ReturnPattern {
    /// The call, message or reply that it brings, if it does.
    pub fn arrival(&self) -> Option<&TransactionPattern> {
        match self {
            ReturnPattern::Transaction(arrival)
            | ReturnPattern::TransactionSecCtx { transaction: arrival, .. }
            | ReturnPattern::Reply(arrival) => Some(arrival),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn arrival_mut(&mut self) -> Option<&mut TransactionPattern> {
        match self {
            ReturnPattern::Transaction(arrival)
            | ReturnPattern::TransactionSecCtx { transaction: arrival, .. }
            | ReturnPattern::Reply(arrival) => Some(arrival),
            _ => None,
        }
    }
}

/// A security context as it must arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityContextPattern {
    /// `client`: that which the target's security module has given to this process.
    Process(Name),
    /// `"kernel"`: this very one.
    Text(String),
}

/// A call, oneway message or reply as it must arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionPattern {
    /// `target foo`: the object that is called; `None` is unchecked.
    pub target: Option<Node>,
    /// `code 7`; without it, 0.
    pub code: u32,
    /// `flags TF_ONE_WAY`; without it, 0.
    pub flags: u32,
    /// `pid client`, `pid 0`; `None` is unchecked.
    pub pid: Option<PidPattern>,
    /// `euid 10123`; `None` is unchecked.
    pub euid: Option<u32>,
    /// `data [ … ]`: all of the payload; without it, an empty one. Its table of offsets must hold the places
    /// of the objects named here, unless `offsets` says otherwise.
    pub data: PayloadPattern,
    /// `offsets [ 0, 24 ]`: the table of offsets.
    pub offsets: Option<Vec<u64>>,
    /// `as call`: the name under which the program frees the buffer.
    pub capture: Option<Name>,
}

/// Which process a transaction must say that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PidPattern {
    /// `pid client`: this process.
    Process(Name),
    /// `pid 0`: this very number. The driver says 0 where nobody waits for an answer.
    Number(i32),
}
