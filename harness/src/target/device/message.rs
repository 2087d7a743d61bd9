//! The messages between the harness and the threads of the processes that it drives.
//!
//! Requests say which system call to do, with plain numbers; memory is read and written from outside, and never
//! passes through here. Both are of fixed size and travel over one socket for each thread.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a thread is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// One of the `OP_` numbers.
    pub operation: u32,
    /// Of an ioctl, the request; of an open, whether O_NONBLOCK; of an mmap, whether PROT_WRITE.
    pub detail: u32,
    /// Of an ioctl, the argument; of an mmap, the size in bytes.
    pub argument: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reply {
    /// What the system call returned, or a negative errno. When a thread reports that it is ready, its id.
    pub result: i64,
}

/// Opens the device.
pub const OP_OPEN: u32 = 1;
/// Closes it.
pub const OP_CLOSE: u32 = 2;
/// Closes a duplicate of the descriptor.
pub const OP_FLUSH: u32 = 3;
/// Maps it.
pub const OP_MMAP: u32 = 4;
/// Unmaps it.
pub const OP_MUNMAP: u32 = 5;
/// Polls it: the result is the `revents`.
pub const OP_POLL: u32 = 6;
/// Does an ioctl on it.
pub const OP_IOCTL: u32 = 7;
/// Ends the process. There is no reply.
pub const OP_EXIT: u32 = 8;
