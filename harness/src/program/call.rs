//! Calls: every system call but BINDER_WRITE_READ.

use super::{
    BinderfsCall, Context, Errno, Handle, Name, Pages, PidPattern, Place, Protection, Scheduling, Token, Told,
};

/// A system call, or an ioctl other than BINDER_WRITE_READ, of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `open`, `open on hwbinder nonblock`: opens the device of a context. A process has at most one open device.
    Open {
        /// Of which context.
        context: Context,
        /// With O_NONBLOCK.
        nonblock: bool,
    },
    /// `close`: closes the device.
    Close,
    /// `flush`: closes a duplicate of the descriptor, which the driver sees as a flush.
    Flush,
    /// `mmap 1M`, `mmap 1M write shared at 0x300000000000`: maps the device, for reading, and for writing if so said.
    Mmap {
        /// Bytes.
        size: u64,
        /// With PROT_WRITE.
        write: bool,
        /// With MAP_SHARED, not MAP_PRIVATE.
        shared: bool,
        /// With MAP_FIXED, in place of what is there; else where the kernel likes.
        at: Option<Place>,
    },
    /// `munmap`: takes the last mapping back. `munmap 4K at 0x300000000000`: whatever is mapped there.
    Munmap(Option<Pages>),
    /// `mprotect 4K at 0x300000000000 none`: what the process may do there from here on.
    Mprotect {
        /// Where.
        pages: Pages,
        /// What it may.
        protection: Protection,
    },
    /// `poll`, `poll { timeout_ms 100 }`: asks whether there is something to read.
    Poll {
        /// How long to wait for it; 0 where the script says nothing.
        timeout_ms: u32,
    },
    /// `epoll`: has an epoll instance of the process watch the device. A process has at most one.
    Epoll,
    /// `epoll_wait`, `epoll_wait { timeout_ms 100 }`: asks that instance whether there is something to read.
    EpollWait {
        /// How long to wait for it; 0 where the script says nothing.
        timeout_ms: u32,
    },
    /// `epoll_close`: closes it.
    EpollClose,
    /// `listen`: has the process listen to what the driver reports of transactions.
    Listen,
    /// `report`: takes the next report, without waiting.
    Report,
    /// `exit`: the process of the thread ends, with all its threads.
    Exit,
    /// `fork child`: makes this process, a copy of that of the thread, with no other thread than the one that forks.
    Fork(Name),
    /// `unshare`: gives the process a user namespace of its own, whose root its user is, and a mount namespace.
    Unshare,
    /// `dup shared`: makes another descriptor of the device, and a file of the script of it.
    Dup(Name),
    /// `use shared`: from here on the process' calls to the device go by its descriptor for this file.
    Use(Name),
    /// `setpriority 5`: sets the nice value of the calling thread.
    SetPriority(i32),
    /// `getpriority`: the nice value of the calling thread.
    GetPriority,
    /// `sched_setscheduler { policy SCHED_FIFO, priority 5 }`: sets the scheduling policy of the calling thread.
    SetScheduler(Scheduling),
    /// `sched_getscheduler`: tells that.
    GetScheduler,
    /// `limit_nice 25`: sets the RLIMIT_NICE of the process, from outside: 20 minus the best nice value that its threads
    /// may have without a right to any.
    LimitNice(u32),
    /// `drop_caches`: has the kernel reclaim, from outside, the memory that it can do without.
    DropCaches,
    /// `await`: lets time pass until the call returns that the thread is parked in.
    Await,
    /// `memfd log`: makes a file in memory, and a descriptor for it.
    Memfd(Name),
    /// `pipe reading writing`: makes a pipe, and a descriptor for each of its ends.
    Pipe {
        /// The end to read from.
        reading: Name,
        /// The end to write to.
        writing: Name,
    },
    /// `close log`: closes the descriptor that the process has for a file.
    CloseDescriptor(Name),
    /// `poll reading`: as `poll`, of the descriptor that the process has for a file.
    PollDescriptor(Name),
    /// `signal client`: sends a signal to this thread, which handles it by doing nothing.
    Signal(Name),
    /// `limit_descriptors 1`: lets the process have so many descriptors more than it has now.
    LimitDescriptors(u32),
    /// An ioctl.
    Ioctl(Ioctl),
    /// What is done with an instance of binderfs.
    Binderfs {
        /// The instance.
        instance: Name,
        /// What is done with it.
        call: BinderfsCall,
    },
    /// `count payload_copies`: reads a counter of the target.
    Count(Counter),
}

impl Call {
    /// Whether a thread can sleep in it until a time of its own choice has passed.
    pub fn may_sleep(&self) -> bool {
        matches!(
            self,
            Call::Await
                | Call::Poll { timeout_ms: 1.. }
                | Call::EpollWait { timeout_ms: 1.. }
                | Call::Ioctl(Ioctl::Freeze(_))
        )
    }
}

/// An ioctl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ioctl {
    /// `BINDER_WRITE_READ unmapped`: with no memory where its argument should be.
    WriteReadUnmapped,
    /// `BINDER_SET_IDLE_TIMEOUT 0`
    SetIdleTimeout(Argument<i64>),
    /// `BINDER_SET_MAX_THREADS 4`
    SetMaxThreads(Argument<u32>),
    /// `BINDER_SET_IDLE_PRIORITY 0`
    SetIdlePriority(Argument<i32>),
    /// `BINDER_SET_CONTEXT_MGR`
    SetContextMgr,
    /// `BINDER_SET_CONTEXT_MGR_EXT foo`, `BINDER_SET_CONTEXT_MGR_EXT foo flags 0x100`
    SetContextMgrExt(Argument<ContextManagerObject>),
    /// `BINDER_THREAD_EXIT`
    ThreadExit,
    /// `BINDER_VERSION`
    Version(Argument<()>),
    /// `BINDER_GET_NODE_DEBUG_INFO { ptr foo }`: where to begin, as a number or an object's pointer.
    GetNodeDebugInfo(Argument<Token>),
    /// `BINDER_GET_NODE_INFO_FOR_REF { handle h }`
    GetNodeInfoForRef(Argument<NodeInfoRequest>),
    /// `BINDER_FREEZE { pid app, enable 1, timeout_ms 100 }`
    Freeze(Argument<FreezeRequest>),
    /// `BINDER_GET_FROZEN_INFO { pid app }`
    GetFrozenInfo(Argument<PidPattern>),
    /// `BINDER_ENABLE_ONEWAY_SPAM_DETECTION 1`
    EnableOnewaySpamDetection(Argument<u32>),
    /// `BINDER_GET_EXTENDED_ERROR`
    GetExtendedError(Argument<()>),
    /// `ioctl 0xc0046263 0x10`: any request with any argument.
    Raw {
        /// The request.
        request: u32,
        /// The argument as a number.
        argument: u64,
    },
}

/// What an ioctl's argument points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument<T> {
    /// This value.
    Value(T),
    /// `unmapped`: no memory.
    Unmapped,
}

/// The object that a context manager makes known as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextManagerObject {
    /// The local object.
    pub object: Name,
    /// FLAT_BINDER_FLAG_ flags; 0 where the script says nothing.
    pub flags: u32,
}

/// Which process to freeze or thaw (`struct binder_freeze_info`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeRequest {
    /// `pid app`, `pid 17`
    pub pid: PidPattern,
    /// `enable 1` freezes, `enable 0` thaws.
    pub enable: u32,
    /// `timeout_ms 100`: how long to wait for running transactions. Without it, 0.
    pub timeout_ms: u32,
}

/// What BINDER_GET_NODE_INFO_FOR_REF is given. All but the handle is 0, unless the script says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfoRequest {
    /// `handle h`
    pub handle: Handle,
    /// `strong_count N`
    pub strong_count: u32,
    /// `weak_count N`
    pub weak_count: u32,
    /// `reserved1 N`
    pub reserved1: u32,
    /// `reserved2 N`
    pub reserved2: u32,
    /// `reserved3 N`
    pub reserved3: u32,
}

/// A figure that a target counts.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum Counter {
    /// How often payload bytes have been copied, over all transactions: one for each piece of a payload.
    PayloadCopies,
    /// How many payload bytes have been copied, over all transactions.
    PayloadBytes,
    /// Nodes that live, over all processes.
    Nodes,
    /// References that live, over all processes.
    References,
    /// Transactions that live.
    Transactions,
    /// Buffers of the calling process that are in use.
    Buffers,
    /// Threads that the driver knows, over all processes.
    Threads,
    /// Death notifications asked for, over all processes.
    Deaths,
    /// Descriptors that the calling process has for files of the script.
    Descriptors,
}

/// What must come of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallExpectation {
    /// Without `=`: it succeeds.
    Succeeds,
    /// `= 8`: it succeeds with this value: a version, a count, a nice value.
    Value(i64),
    /// `= { sync_recv 1, async_recv 0 }`: it succeeds and tells this.
    Tells(Told),
    /// `= parked`: it does not return; the thread sleeps.
    Parked,
    /// `= EBUSY`: it fails.
    Fails(Errno),
    /// `= POLLIN`, `= 0`: what a poll finds. Several are joined by `|`.
    Events(PollEvents),
    /// `= any of { EINVAL | EFAULT }`
    AnyOf(Vec<CallExpectation>),
}

impl CallExpectation {
    /// Whether the thread may be left sleeping in the call. Else, if it sleeps, time passes until it does not.
    pub fn may_park(&self) -> bool {
        match self {
            CallExpectation::Parked => true,
            CallExpectation::AnyOf(choices) => choices.iter().any(CallExpectation::may_park),
            _ => false,
        }
    }
}

/// What a poll finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PollEvents {
    /// POLLIN
    pub readable: bool,
    /// POLLERR
    pub error: bool,
    /// POLLHUP: nobody can write to this pipe any more.
    pub hangup: bool,
    /// POLLNVAL: the descriptor is closed.
    pub invalid: bool,
}

impl PollEvents {
    /// The names of what is found.
    pub fn names(self) -> Vec<&'static str> {
        let PollEvents { readable, error, hangup, invalid } = self;
        let all = [(readable, "POLLIN"), (error, "POLLERR"), (hangup, "POLLHUP"), (invalid, "POLLNVAL")];
        all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
    }
}
