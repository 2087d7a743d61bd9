//! Decoding: a stream of returns as the driver wrote it, as typed values. Nothing in it is trusted.

use std::collections::BTreeMap;

use reference_driver::uapi::*;
use zerocopy::FromBytes;

use crate::target::DescriptorState;

/// A return as it came, with its payload where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Return {
    Error(i32),
    Ok,
    Transaction(Received),
    TransactionSecCtx {
        received: Received,
        /// Address of the security context.
        address: u64,
        /// The security context without its NUL; `None` where there is no such string in memory.
        secctx: Option<Vec<u8>>,
    },
    Reply(Received),
    AcquireResult(i32),
    DeadReply,
    TransactionComplete,
    Increfs(PointerCookie),
    Acquire(PointerCookie),
    Release(PointerCookie),
    Decrefs(PointerCookie),
    Noop,
    SpawnLooper,
    Finished,
    DeadBinder(u64),
    ClearDeathNotificationDone(u64),
    FailedReply,
    FrozenReply,
    OnewaySpamSuspect,
    TransactionPendingFrozen,
    FrozenBinder(FrozenStateInfo),
    ClearFreezeNotificationDone(u64),
}

/// A call, oneway message or reply as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) header: TransactionData,
    /// The payload; `None` where the receiver has no such memory.
    pub(super) data: Option<Vec<u8>>,
    /// The table of offsets as bytes; `None` where the receiver has no such memory.
    pub(super) offsets: Option<Vec<u8>>,
    /// What is in its scatter-gather buffers, as far as there is such memory, by the offsets of their objects.
    pub(super) buffers: BTreeMap<u64, Vec<u8>>,
    /// What the descriptors are that it brought, by their numbers.
    pub(super) descriptors: BTreeMap<u32, DescriptorState>,
}

/// Why a stream of returns cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// It ends within a code or its argument.
    #[error("the returns are cut off at byte {at}: {left} bytes are left where {what} takes {needed}")]
    CutOff {
        /// Bytes from the start of the read buffer.
        at: usize,
        /// What should have been there.
        what: &'static str,
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// Something that is no return.
    #[error("the returns hold 0x{code:x} at byte {at}, which is no code of the protocol")]
    UnknownCode {
        /// Bytes from the start of the read buffer.
        at: usize,
        /// What is there.
        code: u32,
    },
    /// A return that the protocol has, and no driver sends.
    #[error("the returns hold {name} at byte {at}, which no driver sends")]
    NeverSent {
        /// Bytes from the start of the read buffer.
        at: usize,
        /// Its name.
        name: &'static str,
    },
}

/// Decodes a stream that begins so many bytes from the start of the read buffer. What precedes an error is kept.
pub(super) fn decode(stream: &[u8], start: usize) -> (Vec<Return>, Option<DecodeError>) {
    let mut returns = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        match decode_one(rest, start + stream.len() - rest.len()) {
            Ok((decoded, behind)) => {
                returns.push(decoded);
                rest = behind;
            }
            Err(error) => return (returns, Some(error)),
        }
    }
    (returns, None)
}

fn decode_one(bytes: &[u8], at: usize) -> Result<(Return, &[u8]), DecodeError> {
    let cut_off = |what, needed| DecodeError::CutOff { at, what, needed, left: bytes.len() };
    let (code, argument) = bytes.split_first_chunk::<4>().ok_or(cut_off("the code of a return", 4))?;
    let code = u32::from_le_bytes(*code);
    let name = return_name(code).ok_or(DecodeError::UnknownCode { at, code })?;
    let length = argument_size(code);
    let (argument, rest) = argument.split_at_checked(length).ok_or(cut_off(name, 4 + length))?;
    let decoded = match code {
        BR_ERROR => Return::Error(read(argument)),
        BR_OK => Return::Ok,
        BR_TRANSACTION => Return::Transaction(Received::bare(read(argument))),
        BR_TRANSACTION_SEC_CTX => {
            let TransactionDataSecctx { transaction, secctx } = read(argument);
            let received = Received::bare(transaction);
            Return::TransactionSecCtx { received, address: secctx, secctx: None }
        }
        BR_REPLY => Return::Reply(Received::bare(read(argument))),
        BR_ACQUIRE_RESULT => Return::AcquireResult(read(argument)),
        BR_DEAD_REPLY => Return::DeadReply,
        BR_TRANSACTION_COMPLETE => Return::TransactionComplete,
        BR_INCREFS => Return::Increfs(read(argument)),
        BR_ACQUIRE => Return::Acquire(read(argument)),
        BR_RELEASE => Return::Release(read(argument)),
        BR_DECREFS => Return::Decrefs(read(argument)),
        BR_NOOP => Return::Noop,
        BR_SPAWN_LOOPER => Return::SpawnLooper,
        BR_FINISHED => Return::Finished,
        BR_DEAD_BINDER => Return::DeadBinder(read(argument)),
        BR_CLEAR_DEATH_NOTIFICATION_DONE => Return::ClearDeathNotificationDone(read(argument)),
        BR_FAILED_REPLY => Return::FailedReply,
        BR_FROZEN_REPLY => Return::FrozenReply,
        BR_ONEWAY_SPAM_SUSPECT => Return::OnewaySpamSuspect,
        BR_TRANSACTION_PENDING_FROZEN => Return::TransactionPendingFrozen,
        BR_FROZEN_BINDER => Return::FrozenBinder(read(argument)),
        BR_CLEAR_FREEZE_NOTIFICATION_DONE => Return::ClearFreezeNotificationDone(read(argument)),
        _ => return Err(DecodeError::NeverSent { at, name }),
    };
    Ok((decoded, rest))
}

/// The argument of a return, whose length its code gives.
fn read<T: FromBytes>(argument: &[u8]) -> T {
    T::read_from_bytes(argument).expect("a code holds the size of its own argument")
}

impl Received {
    /// One whose payload has not been read yet.
    pub(super) fn bare(header: TransactionData) -> Received {
        Received { header, data: None, offsets: None, buffers: BTreeMap::new(), descriptors: BTreeMap::new() }
    }
}

impl Return {
    /// What arrived, if this is the arrival of something.
    pub(super) fn received(&self) -> Option<&Received> {
        match self {
            Return::Transaction(received)
            | Return::TransactionSecCtx { received, .. }
            | Return::Reply(received) => Some(received),
            _ => None,
        }
    }

    /// What arrived, to have its payload filled in.
    pub(super) fn received_mut(&mut self) -> Option<&mut Received> {
        match self {
            Return::Transaction(received)
            | Return::TransactionSecCtx { received, .. }
            | Return::Reply(received) => Some(received),
            _ => None,
        }
    }
}
