//! Processes: what the driver keeps for each open device.

use rustc_hash::FxHashMap;

use crate::buffer::Allocator;
use crate::context::ContextIndex;
use crate::driver::Deferred;
use crate::freeze::Freezer;
use crate::memory::UserMemory;
use crate::node::Node;
use crate::polling::PollQueue;
use crate::queue::Queue;
use crate::reference::{Handles, Reference};
use crate::rust_freeze_notification::CookieRequests;
use crate::table::Key;
use crate::thread::Thread;
use crate::work::Work;

/// An open device (`struct binder_proc`). A process that opens the device twice is two of these; several processes that
/// have descriptors of one opening, by inheritance or because they were sent them, are one.
#[derive(Debug, Default)]
pub struct Process {
    /// No other has had this number before, nor will have.
    pub(crate) serial: u64,
    /// The context of the device that was opened.
    pub(crate) context: ContextIndex,
    /// The process id of whoever opened it.
    pub(crate) pid: i32,
    /// The effective user of that process.
    pub(crate) euid: u32,
    /// The nice value of the thread that opened it, at that time.
    pub(crate) opened_at: i32,
    /// Opened with O_NONBLOCK.
    pub(crate) nonblock: bool,
    pub(crate) is_dead: bool,

    /// Threads that have called, by their thread id.
    pub(crate) threads: FxHashMap<i32, Key<Thread>>,
    /// Threads that sleep for want of work, the last to fall asleep first: it is the first to be woken.
    pub(crate) waiting_threads: Queue<Key<Thread>>,
    /// How many threads userspace lets the driver ask for.
    pub(crate) max_threads: u32,
    /// BR_SPAWN_LOOPERs that no BC_REGISTER_LOOPER has answered.
    pub(crate) requested_threads: u32,
    /// Those that have been answered.
    pub(crate) requested_threads_started: u32,

    /// Work for whichever thread is free.
    pub(crate) todo: Queue<Work>,
    /// Those of its threads that have polled.
    pub(crate) pollers: Vec<Key<Thread>>,
    /// Where all of them wait, if they do in one queue.
    pub(crate) poll_queue: Option<PollQueue>,
    /// Deaths that BC_DEAD_BINDER_DONE has not answered yet.
    pub(crate) delivered_deaths: Queue<Work>,
    /// What it was told of freezing that BC_FREEZE_NOTIFICATION_DONE has not answered yet.
    pub(crate) delivered_freezes: Queue<Work>,
    /// Its requests for freeze notifications in the driver in Rust.
    pub(crate) requests_by_cookie: FxHashMap<u64, CookieRequests>,

    /// Its local objects, by their pointers.
    pub(crate) nodes: FxHashMap<u64, Key<Node>>,
    /// Nodes that no pointer stands for any more, though they have not been forgotten.
    pub(crate) lost_nodes: Vec<Key<Node>>,
    /// It has had such nodes. Since then what its buffers hold may have been taken of another node than they will give it back to.
    pub(crate) has_lost_nodes: bool,
    pub(crate) handles: Handles,
    pub(crate) references_by_node: FxHashMap<Key<Node>, Key<Reference>>,
    pub(crate) allocator: Allocator,
    /// Transactions and replies that were sent here and are not done with.
    pub(crate) outstanding_transactions: u32,
    pub(crate) freezer: Freezer,
    /// It wants to be told when it is suspected of oneway spam.
    pub(crate) detects_oneway_spam: bool,
    /// What closed descriptors have left to be done.
    pub(crate) deferred: Deferred,
}

impl Process {
    /// Whether an address of a process that uses the device is in its mapping of it: only who opened it has one.
    pub(crate) fn sees_in_mapping(&self, memory: &dyn UserMemory, address: u64) -> bool {
        self.pid == memory.pid() && self.allocator.maps(address)
    }
}
