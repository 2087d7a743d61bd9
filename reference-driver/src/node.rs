//! Nodes: the driver's side of a process' local objects, and the counts that keep them.

use crate::driver::Driver;
use crate::process::Process;
use crate::queue::Queue;
use crate::reference::Reference;
use crate::rust_counting::{Counts, Notices};
use crate::table::Key;
use crate::uapi::{
    FLAT_BINDER_FLAG_ACCEPTS_FDS, FLAT_BINDER_FLAG_PRIORITY_MASK, FLAT_BINDER_FLAG_TXN_SECURITY_CTX,
    FlatObject,
};
use crate::work::{Place, Work, WorkQueue};

/// A local object of a process, as the driver knows it (`struct binder_node`).
///
/// *Internal* strong references are those of other processes' references. *Local* ones are the driver's own on
/// behalf of the owning process: a buffer that is on its way, a BR_ACQUIRE that has not been answered.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// No other has had this number before, nor will have.
    pub(crate) serial: u64,
    /// The owner; `None` once it is dead.
    pub(crate) process: Option<Key<Process>>,
    /// The pid of the owner, be it dead or not.
    pub(crate) owner_pid: i32,
    /// The serial number of the owner.
    pub(crate) owner_serial: u64,
    pub(crate) pointer: u64,
    pub(crate) cookie: u64,
    /// Whether calls and messages to it can bring descriptors.
    pub(crate) takes_descriptors: bool,
    /// Whether its owner wants to be told the security context of callers.
    pub(crate) wants_security_context: bool,
    /// Calls to it are served with no higher nice value.
    pub(crate) least_nice: i32,

    /// References of other processes that are strong.
    pub(crate) internal_strong: u32,
    /// References of other processes that are weak, be they strong besides or not.
    pub(crate) internal_weak: u32,
    pub(crate) local_strong: u32,
    pub(crate) local_weak: u32,
    /// How many of these count no more, as buffers have given them up that had taken others: of the node that had this pointer
    /// before. Only as the driver in Rust counts.
    pub(crate) overdrawn: Counts,
    /// Held while the driver works on the node.
    pub(crate) temporary: u32,
    /// The owner has been told to keep a strong reference, and has not been told to let it go.
    pub(crate) has_strong: bool,
    /// The same for a weak one.
    pub(crate) has_weak: bool,
    /// BR_ACQUIRE has not been answered.
    pub(crate) pending_strong: bool,
    /// BR_INCREFS has not been answered.
    pub(crate) pending_weak: bool,

    /// References of other processes, the newest first.
    pub(crate) references: Queue<Key<Reference>>,
    /// A oneway message is being delivered or waits for its buffer to be freed.
    pub(crate) has_async_transaction: bool,
    /// Oneway messages behind it.
    pub(crate) async_todo: Queue<Work>,
    /// Where [`Work::Node`] of this node waits.
    pub(crate) work: Option<Place>,
    /// What is under way to the owner, where that is counted as the driver in Rust does.
    pub(crate) notices: Notices,
    /// The owner has been told to let go of it, and knows it no longer.
    pub(crate) is_forgotten: bool,
    /// Its pointer was forgotten over another node that had it before.
    pub(crate) is_lost: bool,
}

/// Whether a count is of strong or of weak references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    Weak,
    Strong,
}

/// That a node cannot take a reference at this point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeRefused;

impl Driver {
    /// The node of a process at a pointer.
    pub(crate) fn node_at(&self, process: Key<Process>, pointer: u64) -> Option<Key<Node>> {
        self.processes[process].nodes.get(&pointer).copied()
    }

    /// Makes the node that an object stands for, or finds the one that has its pointer already.
    /// Comes with a temporary reference.
    pub(crate) fn node_for(&mut self, process: Key<Process>, object: &FlatObject) -> Key<Node> {
        let node = self.node_at(process, object.binder).unwrap_or_else(|| {
            self.statistics.nodes.create();
            let node = self.nodes.insert(Node {
                owner_pid: self.processes[process].pid,
                owner_serial: self.processes[process].serial,
                serial: self.statistics.nodes.created,
                process: Some(process),
                pointer: object.binder,
                cookie: object.cookie,
                takes_descriptors: object.flags & FLAT_BINDER_FLAG_ACCEPTS_FDS != 0,
                wants_security_context: object.flags & FLAT_BINDER_FLAG_TXN_SECURITY_CTX != 0,
                least_nice: (object.flags & FLAT_BINDER_FLAG_PRIORITY_MASK) as i32,
                ..Node::default()
            });
            self.processes[process].nodes.insert(object.binder, node);
            node
        });
        self.nodes[node].temporary += 1;
        node
    }

    pub(crate) fn hold_node(&mut self, node: Key<Node>) {
        self.nodes[node].temporary += 1;
    }

    /// Gives up a temporary reference, which may be the node's last.
    pub(crate) fn let_go_of_node(&mut self, node: Key<Node>) {
        self.nodes[node].temporary -= 1;
        self.settle_weak(node);
    }

    /// One more strong reference of a process, or one more process with a weak one. The owner learns of a
    /// first one through `queue`, the queue of the thread that sends the object.
    pub(crate) fn take_internal(
        &mut self,
        node: Key<Node>,
        strength: Strength,
        queue: Option<WorkQueue>,
    ) -> Result<(), NodeRefused> {
        if self.counts_as_rust_does() {
            match strength {
                Strength::Strong => self.nodes[node].internal_strong += 1,
                Strength::Weak => self.nodes[node].internal_weak += 1,
            }
            self.announce_more(node, strength, queue);
            return Ok(());
        }
        match strength {
            Strength::Strong => {
                let is_managers = self.is_context_manager_node(node);
                let state = &mut self.nodes[node];
                if queue.is_none() && state.internal_strong == 0 && !(is_managers && state.has_strong) {
                    return Err(NodeRefused);
                }
                state.internal_strong += 1;
                if let Some(queue) = queue.filter(|_| !state.has_strong) {
                    if let Some(place) = state.work {
                        self.dequeue(place);
                    }
                    self.enqueue(queue, Work::Node(node));
                }
            }
            Strength::Weak => {
                let state = &mut self.nodes[node];
                state.internal_weak += 1;
                if let Some(queue) = queue.filter(|_| !state.has_weak && state.work.is_none()) {
                    self.enqueue(queue, Work::Node(node));
                }
            }
        }
        Ok(())
    }

    /// One more reference of the driver's own.
    pub(crate) fn take_local(&mut self, node: Key<Node>, strength: Strength) {
        let state = &mut self.nodes[node];
        match strength {
            Strength::Strong => state.local_strong += 1,
            Strength::Weak => state.local_weak += 1,
        }
        if self.counts_as_rust_does() {
            self.announce_more(node, strength, None);
        }
    }

    /// One strong, or weak, reference of a process less.
    pub(crate) fn drop_internal(&mut self, node: Key<Node>, strength: Strength) {
        let state = &mut self.nodes[node];
        let was_counted = state.count(strength) > 0;
        match strength {
            Strength::Strong => state.internal_strong -= 1,
            Strength::Weak => state.internal_weak -= 1,
        }
        if self.counts_as_rust_does() {
            self.count_less(node, strength, was_counted);
        } else if strength == Strength::Strong {
            self.settle_strong(node);
        }
    }

    /// One reference of the driver's own less.
    pub(crate) fn drop_local(&mut self, node: Key<Node>, strength: Strength) {
        let by_rust = self.counts_as_rust_does();
        let state = &mut self.nodes[node];
        let was_counted = state.count(strength) > 0;
        let (local, overdrawn) = match strength {
            Strength::Strong => (&mut state.local_strong, &mut state.overdrawn.strong),
            Strength::Weak => (&mut state.local_weak, &mut state.overdrawn.weak),
        };
        if by_rust {
            match local.checked_sub(1) {
                Some(less) => *local = less,
                None => *overdrawn += 1,
            }
            self.count_less(node, strength, was_counted);
            return;
        }
        *local -= 1;
        match strength {
            Strength::Strong => self.settle_strong(node),
            Strength::Weak => self.settle_weak(node),
        }
    }

    fn settle_strong(&mut self, node: Key<Node>) {
        let state = &self.nodes[node];
        if state.local_strong == 0 && state.internal_strong == 0 {
            self.tell_owner_or_forget(node);
        }
    }

    /// What follows when a weak reference has gone: one of the driver's own, a temporary one, or a process'.
    pub(crate) fn settle_weak(&mut self, node: Key<Node>) {
        if self.counts_as_rust_does() {
            self.forget_unused(node);
            return;
        }
        let state = &self.nodes[node];
        if state.local_weak == 0 && state.temporary == 0 && state.references.is_empty() {
            self.tell_owner_or_forget(node);
        }
    }

    fn tell_owner_or_forget(&mut self, node: Key<Node>) {
        let state = &self.nodes[node];
        match state.process {
            Some(process) if state.has_strong || state.has_weak => {
                if state.work.is_none() {
                    self.enqueue_process_work(process, Work::Node(node));
                }
            }
            owner => {
                let unused = state.references.is_empty()
                    && state.local_strong == 0
                    && state.local_weak == 0
                    && state.temporary == 0;
                if unused {
                    if let Some(place) = state.work {
                        self.dequeue(place);
                    }
                    self.forget_node(node, owner);
                }
            }
        }
    }

    /// Removes a node that nothing refers to.
    pub(crate) fn forget_node(&mut self, node: Key<Node>, owner: Option<Key<Process>>) {
        let gone = self.nodes.remove(node);
        if let Some(owner) = owner {
            self.processes[owner].nodes.remove(&gone.pointer);
        }
        self.statistics.nodes.delete();
    }
}
