//! The messages between the harness and the threads of the processes that it drives.
//!
//! Requests say which system call to do, with plain numbers, and lie on the [`Desk`](super::desk::Desk) of the thread. What
//! comes of it is one number: what the system call returned, or a negative errno.

use crate::program::Protection;
use crate::target::SystemCall;

/// What a thread is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// One of the `OP_` numbers.
    pub operation: u32,
    /// Of an ioctl, the request; of an open, whether O_NONBLOCK, and in the other bits the number that the opening is
    /// known by; of an mmap, the bits of `MMAP_`; of an mprotect, the protection; of scheduling, the policy; of the poll of a
    /// descriptor, how often before it is over, or 0 if it does not wait; of a fork, which process of its world the new one
    /// is; of who acts as a user, its id.
    pub detail: u32,
    /// Of an ioctl, the argument; of a poll, for how many milliseconds; of a fork, how many threads the process has; of what
    /// concerns a mapping, the size in bytes; of what concerns a descriptor, its number; of a new file in memory, its position;
    /// of a limit, how many descriptors more there can be; of a priority, the nice value; of scheduling, the priority; of a
    /// part, where it begins; of who acts as a user, the own one.
    pub argument: u64,
    /// Of what concerns a mapping, the address; of an mmap, 0 leaves the choice to the kernel.
    pub address: u64,
    /// When to begin, in nanoseconds of CLOCK_MONOTONIC; at once, if that is past.
    pub begin: u64,
}

/// What stands for a system call that is asked for in the same way in every world: the operation, its detail and its
/// argument.
pub fn plain(call: &SystemCall) -> Option<(u32, u32, u64)> {
    Some(match call {
        SystemCall::Close => (OP_CLOSE, 0, 0),
        SystemCall::Flush => (OP_FLUSH, 0, 0),
        SystemCall::Mprotect { pages, protection } => {
            let protection = match protection {
                Protection::None => nix::libc::PROT_NONE,
                Protection::Read => nix::libc::PROT_READ,
                Protection::Write => nix::libc::PROT_READ | nix::libc::PROT_WRITE,
            };
            (OP_MPROTECT, protection as u32, pages.size())
        }
        SystemCall::Poll { timeout_ms } => (OP_POLL, 0, (*timeout_ms).into()),
        SystemCall::Epoll => (OP_EPOLL, 0, 0),
        SystemCall::EpollWait { timeout_ms } => (OP_EPOLL_WAIT, 0, (*timeout_ms).into()),
        SystemCall::EpollClose => (OP_EPOLL_CLOSE, 0, 0),
        SystemCall::Exit => (OP_EXIT, 0, 0),
        SystemCall::Memfd { file } => (OP_MEMFD, 0, file.0.into()),
        SystemCall::Pipe { .. } => (OP_PIPE, 0, 0),
        SystemCall::CloseDescriptor(number) => (OP_CLOSE_DESCRIPTOR, 0, (*number).into()),
        SystemCall::LimitDescriptors(more) => (OP_LIMIT_DESCRIPTORS, 0, (*more).into()),
        SystemCall::SetPriority(nice) => (OP_SET_PRIORITY, 0, *nice as u64),
        SystemCall::GetPriority => (OP_GET_PRIORITY, 0, 0),
        SystemCall::Ioctl { request, argument, .. } => (OP_IOCTL, *request, *argument),
        _ => return None,
    })
}

/// The bits of `MMAP_` by which a device is mapped so.
pub fn mapping_bits(write: bool, shared: bool) -> u32 {
    let write = if write { MMAP_WRITE } else { 0 };
    write | if shared { MMAP_SHARED } else { 0 }
}

/// Opens the device of the context that has this place among [`crate::program::Context`]: the result is the descriptor.
pub const OP_OPEN: u32 = 1;
/// Closes it.
pub const OP_CLOSE: u32 = 2;
/// Closes a duplicate of the descriptor.
pub const OP_FLUSH: u32 = 3;
/// Maps it: the result is the address.
pub const OP_MMAP: u32 = 4;
/// Takes a mapping away.
pub const OP_MUNMAP: u32 = 5;
/// Polls it: the result is the `revents`.
pub const OP_POLL: u32 = 6;
/// Does an ioctl on it.
pub const OP_IOCTL: u32 = 7;
/// Ends the process. There is no reply.
pub const OP_EXIT: u32 = 8;
/// Makes a file in memory: the result is a descriptor.
pub const OP_MEMFD: u32 = 9;
/// Makes a pipe: the result is a descriptor to read from, and in the upper half one to write to.
pub const OP_PIPE: u32 = 10;
/// Closes a descriptor.
pub const OP_CLOSE_DESCRIPTOR: u32 = 11;
/// Polls a descriptor: the result is the `revents`.
pub const OP_POLL_DESCRIPTOR: u32 = 12;
/// Has an epoll instance watch the device.
pub const OP_EPOLL: u32 = 14;
/// Asks that instance: the result is the events.
pub const OP_EPOLL_WAIT: u32 = 15;
/// Closes it.
pub const OP_EPOLL_CLOSE: u32 = 16;
/// Listens to the driver's reports, which go to the group with this number.
pub const OP_LISTEN: u32 = 32;
/// Takes the next one, puts it where the thread's payloads are: the result is its length.
pub const OP_REPORT: u32 = 33;
/// Limits how many descriptors the process can have.
pub const OP_LIMIT_DESCRIPTORS: u32 = 13;
/// Makes a further descriptor of the device: the result is its number.
pub const OP_DUP: u32 = 17;
/// Has this descriptor be the one of the device.
pub const OP_USE: u32 = 18;
/// Makes a process that is a copy of this one, with one thread: the result is its id. Its line and the memory that it shares
/// come over the line of this one.
pub const OP_FORK: u32 = 19;
/// Gives the process a user namespace, whose root its user is, and a mount namespace.
pub const OP_UNSHARE: u32 = 34;
/// Sets the nice value of the thread.
pub const OP_SET_PRIORITY: u32 = 20;
/// Asks for the nice value of the thread: the result is 20 minus that, as the system call has it.
pub const OP_GET_PRIORITY: u32 = 21;
/// Mounts a binderfs. At `argument`, in the thread's arena, stand its path and its options, with a 0 behind each.
pub const OP_MOUNT: u32 = 22;
/// Takes it away. At `argument` stands its path, with a 0 behind it.
pub const OP_UNMOUNT: u32 = 23;
/// Does BINDER_CTL_ADD. At `argument` stand the path of the device that does it, and the name of the new one, with a 0
/// behind each; with a `detail` of 1 the ioctl has no memory where its argument should be.
pub const OP_ADD_DEVICE: u32 = 24;
/// As [`OP_OPEN`], of the device whose path stands at `argument`, with a 0 behind it.
pub const OP_OPEN_PATH: u32 = 25;
/// Takes the file away whose path stands at `argument`, with a 0 behind it.
pub const OP_UNLINK: u32 = 26;
/// Reads the file whose path stands at `argument`, with a 0 behind it: the result is the number that it holds.
pub const OP_READ_NUMBER: u32 = 27;
/// Says what the process may do with the pages of a mapping.
pub const OP_MPROTECT: u32 = 28;
/// Sets the scheduling policy of the thread.
pub const OP_SET_SCHEDULER: u32 = 29;
/// Asks for it: the result is the policy, and in the upper half the priority.
pub const OP_GET_SCHEDULER: u32 = 30;

/// Of an mmap: with PROT_WRITE.
pub const MMAP_WRITE: u32 = 1;
/// Of an mmap: with MAP_SHARED, not MAP_PRIVATE.
pub const MMAP_SHARED: u32 = 2;
/// Of an mmap: only if nothing is mapped at the address.
pub const MMAP_FREE: u32 = 4;
/// Of an open: the number of what need not be known by a number.
pub const NUMBERLESS: u32 = u32::MAX >> 1;
/// Gives up the mapping at these addresses, with 1 for `detail` what is mapped at places of scripts too, and all else that it
/// has open but for its line: the result is 0. Nothing else of it may have changed but priorities.
pub const OP_RENEW: u32 = 31;
/// Plays the part that begins at `argument` in the process' parts: the result is 0 if all came as it must.
pub const OP_PLAY: u32 = 35;
/// Has the thread act as the user `detail`, with the right to become `argument` again, which it was in the beginning.
pub const OP_ACT_AS: u32 = 36;
