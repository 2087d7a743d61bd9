//! System calls as worlds do them, with concrete numbers, and what comes of them.

use reference_driver::uapi::Errno;
use serde::{Deserialize, Serialize};

use super::{Image, ThreadIndex};
use crate::program::{BinderfsCall, Context, PLACES, Pages, Place, PollEvents, Protection, Scheduling};

/// A system call with concrete numbers. Each process has at most one device that its calls go to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most calls are ioctls, and their images need no allocation")]
pub enum SystemCall {
    /// Opens a device. EEXIST if the process has one open already (said by the world, not by the kernel).
    Open {
        /// Of which context.
        context: Context,
        /// With O_NONBLOCK.
        nonblock: bool,
    },
    /// Closes the device; EBADF if it is not open.
    Close,
    /// Closes a duplicate of the descriptor.
    Flush,
    /// Maps so many bytes of the device, readable.
    Mmap {
        /// Bytes.
        size: u64,
        /// With PROT_WRITE.
        write: bool,
        /// With MAP_SHARED, not MAP_PRIVATE.
        shared: bool,
        /// With MAP_FIXED, in place of what is there; else at an address of the kernel's (or model's) choice. ENOMEM if
        /// it would go on behind [`PLACES`] (said by the world).
        at: Option<Place>,
    },
    /// Takes away what is mapped here, or, without pages, from the first to the last address of what is left of the last
    /// mapping; EINVAL if there is none.
    Munmap(Option<Pages>),
    /// Says what the process may do with these pages.
    Mprotect {
        /// Which.
        pages: Pages,
        /// What it may.
        protection: Protection,
    },
    /// Polls for POLLIN.
    Poll {
        /// For how long.
        timeout_ms: u32,
    },
    /// Makes an epoll instance that watches the device for POLLIN. EEXIST if the process has one (said by the world, not
    /// by the kernel).
    Epoll,
    /// Asks that instance what there is; EBADF if there is none.
    EpollWait {
        /// For how long.
        timeout_ms: u32,
    },
    /// Closes it; EBADF if there is none.
    EpollClose,
    /// Listens to what the driver reports. EEXIST if the process does already (said by the world); ENOENT if the driver
    /// reports nothing.
    Listen,
    /// Takes the next report that is about this world, without waiting: EAGAIN if there is none, EBADF if the process does
    /// not listen.
    Report,
    /// Makes a file in memory, and a descriptor for it that is not close-on-exec.
    Memfd {
        /// What it is known by from here on.
        file: FileId,
    },
    /// Makes a pipe, and a descriptor for each end that is not close-on-exec.
    Pipe {
        /// What the end to read from is known by.
        reading: FileId,
        /// What the end to write to is known by.
        writing: FileId,
    },
    /// Closes a descriptor.
    CloseDescriptor(u32),
    /// Polls a descriptor for POLLIN without waiting.
    PollDescriptor(u32),
    /// Lets the process have so many descriptors more than it has now.
    LimitDescriptors(u32),
    /// Writes to the process' memory (see [`Area`]), then does an ioctl.
    Ioctl {
        /// The request.
        request: u32,
        /// Its argument.
        argument: u64,
        /// What is to be in memory first. All of it lies in the arena of the calling thread.
        memory: Image,
    },
    /// The whole process ends, without cleaning up. Never fails; its other threads end too.
    Exit,
    /// Makes another process of the world, which has not been there before: a copy of this one, with its descriptors,
    /// and with no other thread than the calling one.
    Fork {
        /// Index of the new process.
        child: usize,
    },
    /// Gives the process a user namespace of its own, whose root its user is, and a mount namespace of its own. EINVAL if
    /// it has several threads.
    Unshare,
    /// Makes a further descriptor of the device. EEXIST if the device is known as a file already (said by the world,
    /// not by the kernel).
    Dup {
        /// What the open device is known by from here on.
        file: FileId,
    },
    /// Has this descriptor take the place of the one by which the process calls the device; that one stays open. EBADF if
    /// it is not for a device of this world (said by the world, not by the kernel).
    Use(u32),
    /// Sets the nice value of the calling thread.
    SetPriority(i32),
    /// The nice value of the calling thread.
    GetPriority,
    /// Sets the scheduling policy of the calling thread.
    SetScheduler(Scheduling),
    /// The scheduling policy of the calling thread.
    GetScheduler,
    /// Sets the RLIMIT_NICE of the process; it is the world that does it, with all rights.
    LimitNice(u32),
    /// The kernel reclaims the memory that it can do without; it is the world that tells it, with all rights.
    DropCaches,
    /// Does this with an instance of binderfs, which this world has to itself. Opening a device is EEXIST if the process
    /// has one open already (said by the world, not by the kernel).
    Binderfs {
        /// Which one.
        instance: InstanceId,
        /// What is to be done.
        call: BinderfsCall,
    },
}

impl SystemCall {
    /// Whether it is a poll that waits until there is something.
    pub(super) fn is_patient_poll(&self) -> bool {
        matches!(self, SystemCall::Poll { timeout_ms: 1.. } | SystemCall::EpollWait { timeout_ms: 1.. })
    }
}

/// What came of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this.
    Done(Result<Answer, Errno>),
    /// It sleeps. The thread can do nothing else until [`World::collect`] finds it done.
    Parked,
}

/// What a system call that succeeded returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A number that says nothing more (0).
    Success,
    /// What a poll found.
    Events(PollEvents),
    /// The number of a new descriptor.
    Descriptor(u32),
    /// A nice value.
    Nice(i32),
    /// How a thread is scheduled.
    Scheduling(Scheduling),
    /// What a file holds.
    Number(i64),
    /// A report of the driver.
    Report(Report),
    /// The numbers of those for the ends of a new pipe.
    Pipe {
        /// To read from.
        reading: u32,
        /// To write to.
        writing: u32,
    },
}

/// What the driver reports of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The BR_ code.
    pub error: u32,
    /// Of which context; `None` of a device that a script has made.
    pub context: Option<Context>,
    /// The id of the process that sent it.
    pub from_pid: i32,
    /// The thread that sent it.
    pub from: ThreadIndex,
    /// The id of the process that it was for, if told.
    pub to_pid: Option<i32>,
    /// The thread that it was for, if told.
    pub to: Option<ThreadIndex>,
    /// Whether it is a reply.
    pub is_reply: bool,
    /// Its flags.
    pub flags: u32,
    /// Its code.
    pub code: u32,
    /// The length of its payload in bytes.
    pub data_size: u32,
}

/// What a world knows a file by that a script has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// What a world knows an instance of binderfs by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// Whether a mapping would go on behind the addresses that scripts have.
pub(super) fn is_too_long(at: Option<Place>, size: u64) -> bool {
    at.is_some_and(|place| size > PLACES.end - place.address())
}
