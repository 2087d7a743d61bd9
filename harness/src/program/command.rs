//! Commands: what a write buffer holds.

use reference_driver::uapi::*;

use super::{Address, Handle, Node, Payload, Token};

/// A command for the driver, named as the protocol names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `BC_TRANSACTION { handle h, code 7, data [ … ] }`
    Transaction {
        /// The handle that is called.
        target: Handle,
        /// What is sent.
        transaction: Transaction,
    },
    /// `BC_REPLY { data [ … ] }`
    Reply(Transaction),
    /// `BC_TRANSACTION_SG { …, buffers_size 64 }`
    TransactionSg {
        /// The handle that is called.
        target: Handle,
        /// What is sent.
        transaction: Transaction,
        /// `buffers_size`, in place of what the scatter-gather buffers take, in bytes.
        buffers_size: Option<u64>,
    },
    /// `BC_REPLY_SG { …, buffers_size 64 }`
    ReplySg {
        /// What is sent.
        transaction: Transaction,
        /// `buffers_size`, in place of what the scatter-gather buffers take, in bytes.
        buffers_size: Option<u64>,
    },
    /// `BC_ACQUIRE_RESULT 0`
    AcquireResult(i32),
    /// `BC_FREE_BUFFER call`
    FreeBuffer(Address),
    /// `BC_INCREFS h`
    Increfs(Handle),
    /// `BC_ACQUIRE h`
    Acquire(Handle),
    /// `BC_RELEASE h`
    Release(Handle),
    /// `BC_DECREFS h`
    Decrefs(Handle),
    /// `BC_INCREFS_DONE foo`
    IncrefsDone(Node),
    /// `BC_ACQUIRE_DONE foo`
    AcquireDone(Node),
    /// `BC_ATTEMPT_ACQUIRE h`
    AttemptAcquire(Handle),
    /// `BC_REGISTER_LOOPER`
    RegisterLooper,
    /// `BC_ENTER_LOOPER`
    EnterLooper,
    /// `BC_EXIT_LOOPER`
    ExitLooper,
    /// `BC_REQUEST_DEATH_NOTIFICATION h grave`
    RequestDeathNotification(Handle, Token),
    /// `BC_CLEAR_DEATH_NOTIFICATION h grave`
    ClearDeathNotification(Handle, Token),
    /// `BC_DEAD_BINDER_DONE grave`
    DeadBinderDone(Token),
    /// `BC_REQUEST_FREEZE_NOTIFICATION h frost`
    RequestFreezeNotification(Handle, Token),
    /// `BC_CLEAR_FREEZE_NOTIFICATION h frost`
    ClearFreezeNotification(Handle, Token),
    /// `BC_FREEZE_NOTIFICATION_DONE frost`
    FreezeNotificationDone(Token),
    /// `bytes 0c 63 00 00`: these very bytes in the write buffer.
    Bytes(Vec<u8>),
}

impl Command {
    /// The code that it begins with; `None` of plain bytes, which may begin with any.
    pub fn code(&self) -> Option<u32> {
        Some(match self {
            Command::Transaction { .. } => BC_TRANSACTION,
            Command::Reply(_) => BC_REPLY,
            Command::TransactionSg { .. } => BC_TRANSACTION_SG,
            Command::ReplySg { .. } => BC_REPLY_SG,
            Command::AcquireResult(_) => BC_ACQUIRE_RESULT,
            Command::FreeBuffer(_) => BC_FREE_BUFFER,
            Command::Increfs(_) => BC_INCREFS,
            Command::Acquire(_) => BC_ACQUIRE,
            Command::Release(_) => BC_RELEASE,
            Command::Decrefs(_) => BC_DECREFS,
            Command::IncrefsDone(_) => BC_INCREFS_DONE,
            Command::AcquireDone(_) => BC_ACQUIRE_DONE,
            Command::AttemptAcquire(_) => BC_ATTEMPT_ACQUIRE,
            Command::RegisterLooper => BC_REGISTER_LOOPER,
            Command::EnterLooper => BC_ENTER_LOOPER,
            Command::ExitLooper => BC_EXIT_LOOPER,
            Command::RequestDeathNotification(..) => BC_REQUEST_DEATH_NOTIFICATION,
            Command::ClearDeathNotification(..) => BC_CLEAR_DEATH_NOTIFICATION,
            Command::DeadBinderDone(_) => BC_DEAD_BINDER_DONE,
            Command::RequestFreezeNotification(..) => BC_REQUEST_FREEZE_NOTIFICATION,
            Command::ClearFreezeNotification(..) => BC_CLEAR_FREEZE_NOTIFICATION,
            Command::FreezeNotificationDone(_) => BC_FREEZE_NOTIFICATION_DONE,
            Command::Bytes(_) => return None,
        })
    }

    /// What it sends, and the handle that it calls if it is no reply; `None` if it sends nothing.
    pub fn sent(&self) -> Option<(&Transaction, Option<&Handle>)> {
        match self {
            Command::Transaction { target, transaction }
            | Command::TransactionSg { target, transaction, .. } => Some((transaction, Some(target))),
            Command::Reply(transaction) | Command::ReplySg { transaction, .. } => Some((transaction, None)),
            _ => None,
        }
    }

    /// Whether it is a call, whose sender is to get a reply.
    pub fn awaits_reply(&self) -> bool {
        self.sent()
            .is_some_and(|(transaction, target)| target.is_some() && transaction.flags & TF_ONE_WAY == 0)
    }
}

/// What is sent in a call, a oneway message or a reply (`struct binder_transaction_data`).
///
/// A field that is `None` has the value that a well-behaved process would give it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// `code 7`
    pub code: u32,
    /// `flags TF_ONE_WAY | TF_ACCEPT_FDS`
    pub flags: u32,
    /// `data [ … ]`
    pub data: Payload,
    /// `offsets [ 3, 64 ]`, in place of where the objects are, in bytes.
    pub offsets: Option<Vec<u64>>,
    /// `data_size N`, in place of the length of the data, in bytes.
    pub data_size: Option<u64>,
    /// `offsets_size N`, in place of the length of the table of offsets, in bytes.
    pub offsets_size: Option<u64>,
    /// `buffer unmapped`, `buffer call + 8`: in place of the address of the data.
    pub buffer: Option<Address>,
    /// `offsets_buffer unmapped`: in place of the address of the table of offsets.
    pub offsets_buffer: Option<Address>,
    /// `cookie 0x17`: what the sender writes where the driver will put the node's cookie. Without it, 0.
    pub cookie: Option<u64>,
    /// `sender_pid 1`: what the sender claims. Without it, 0.
    pub sender_pid: Option<i32>,
    /// `sender_euid 0`: what the sender claims. Without it, 0.
    pub sender_euid: Option<u32>,
}
