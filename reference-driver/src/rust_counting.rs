//! How the driver in Rust counts references to a node, and tells its owner of them.
//!
//! Strong and weak references are counted apart, those of processes and the driver's own together. The owner is told
//! when a count of which it knows nothing rises, or one that it knows of falls to 0, but as long as it has not answered
//! all that it was asked to keep, it is not told to let go.

use crate::driver::Driver;
use crate::memory::Fault;
use crate::node::{Node, Strength};
use crate::process::Process;
use crate::profile::Counting;
use crate::read::ReturnStream;
use crate::table::Key;
use crate::uapi::*;
use crate::work::{Work, WorkQueue};

/// What is under way to the owner of a node.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// [`Work::FirstStrong`] of the node waits.
    pub(crate) first_strong_waits: bool,
    /// Something waits that was queued for a first weak reference.
    first_weak: bool,
    /// Something waits that was queued for a first strong reference.
    first_strong: bool,
    /// BR_INCREFS and BR_ACQUIRE that have not been answered.
    pub(crate) unanswered: u8,
}

/// So many references to a node.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) strong: u32,
    pub(crate) weak: u32,
}

impl Driver {
    pub(crate) fn counts_as_rust_does(&self) -> bool {
        self.profile.counting == Counting::OfRust
    }

    /// A count of a node has grown by one. With a queue, the node's own process made the reference: then the owner must
    /// learn of it through that queue, before what comes next in it.
    pub(crate) fn announce_more(&mut self, node: Key<Node>, strength: Strength, queue: Option<WorkQueue>) {
        let state = &mut self.nodes[node];
        if state.process.is_none() || state.is_known(strength) {
            return;
        }
        let Some(queue) = queue else {
            self.queue_notice(node);
            return;
        };
        let notices = &mut state.notices;
        let work = match strength {
            Strength::Weak if notices.first_weak || notices.first_strong => return,
            Strength::Weak => {
                notices.first_weak = true;
                Work::Node(node)
            }
            Strength::Strong if notices.first_strong => return,
            Strength::Strong => {
                notices.first_strong = true;
                notices.first_strong_waits = state.work.is_some();
                if state.work.is_some() { Work::FirstStrong(node) } else { Work::Node(node) }
            }
        };
        self.enqueue(queue, work);
    }

    /// A context manager asks for a weak reference of its own object. It has got one by the time that it is refused, and
    /// loses it: if that was the last one, its process is to look whether there is something to tell, which there is not.
    pub(crate) fn refuse_own_reference(&mut self, node: Key<Node>) {
        if self.counts_as_rust_does() {
            self.announce_less(node, Strength::Weak);
        }
    }

    /// A reference to a node has been given up. One that was not counted had been given up before in the name of another: it
    /// changes nothing.
    pub(crate) fn count_less(&mut self, node: Key<Node>, strength: Strength, was_counted: bool) {
        if was_counted {
            self.announce_less(node, strength);
            return;
        }
        let overdrawn = &mut self.nodes[node].overdrawn;
        match strength {
            Strength::Strong => overdrawn.strong -= 1,
            Strength::Weak => overdrawn.weak -= 1,
        }
        self.forget_unused(node);
    }

    /// A count of a node has become smaller.
    pub(crate) fn announce_less(&mut self, node: Key<Node>, strength: Strength) {
        let state = &self.nodes[node];
        if state.process.is_some() && state.count(strength) == 0 && state.is_known(strength) {
            self.queue_notice(node);
        }
        self.forget_unused(node);
    }

    /// BC_INCREFS_DONE and BC_ACQUIRE_DONE, which are not told apart.
    pub(crate) fn answer_notice(&mut self, process: Key<Process>, object: PointerCookie) {
        let Some(node) = self.node_at(process, object.pointer) else { return };
        let state = &mut self.nodes[node];
        if state.cookie != object.cookie || state.notices.unanswered == 0 {
            return;
        }
        state.notices.unanswered -= 1;
        let (strong, weak) = state.wanted();
        if state.notices.unanswered == 0 && (!weak && state.has_weak || !strong && state.has_strong) {
            self.queue_notice(node);
        }
    }

    /// Delivers [`Work::Node`].
    pub(crate) fn deliver_notice(
        &mut self,
        node: Key<Node>,
        returns: &mut ReturnStream<'_>,
    ) -> Result<(), Fault> {
        let notices = &mut self.nodes[node].notices;
        notices.first_weak = false;
        if notices.first_strong_waits {
            // That tells all there is to tell.
            return Ok(());
        }
        notices.first_strong = false;
        self.tell_owner(node, returns)
    }

    /// Delivers [`Work::FirstStrong`].
    pub(crate) fn deliver_first_strong(
        &mut self,
        node: Key<Node>,
        returns: &mut ReturnStream<'_>,
    ) -> Result<(), Fault> {
        let notices = &mut self.nodes[node].notices;
        notices.first_strong_waits = false;
        notices.first_strong = false;
        self.tell_owner(node, returns)
    }

    /// The thread in whose queue work of a node was has exited: it goes to the process.
    pub(crate) fn requeue_notice(&mut self, work: Work) {
        match work {
            Work::Node(node) => {
                let owner = self.nodes[node].process;
                owner.into_iter().for_each(|owner| self.enqueue_process_work(owner, work));
            }
            Work::FirstStrong(node) => {
                let notices = &mut self.nodes[node].notices;
                notices.first_strong_waits = false;
                notices.first_weak = false;
                self.queue_notice(node);
            }
            _ => {}
        }
    }

    /// Nobody is left to take what there was for the owner of a node. If that has forgotten the node, this was all that
    /// kept it.
    pub(crate) fn lose_notice(&mut self, node: Key<Node>) {
        if self.nodes[node].is_forgotten {
            self.nodes[node].process = None;
            self.forget_unused(node);
        }
    }

    fn queue_notice(&mut self, node: Key<Node>) {
        let state = &self.nodes[node];
        if let Some(owner) = state.process
            && state.work.is_none()
            && !state.notices.first_strong_waits
        {
            self.enqueue_process_work(owner, Work::Node(node));
        }
    }

    fn tell_owner(&mut self, node: Key<Node>, returns: &mut ReturnStream<'_>) -> Result<(), Fault> {
        let state = &mut self.nodes[node];
        let object = PointerCookie { pointer: state.pointer, cookie: state.cookie };
        let (strong, weak) = state.wanted();
        let (increfs, acquire) = (weak && !state.has_weak, strong && !state.has_strong);
        state.has_weak |= weak;
        state.has_strong |= strong;
        state.notices.unanswered += u8::from(increfs) + u8::from(acquire);
        let all_answered = state.notices.unanswered == 0;
        let release = all_answered && !strong && std::mem::take(&mut state.has_strong);
        let decrefs = all_answered && !weak && std::mem::take(&mut state.has_weak);
        if all_answered && !weak {
            state.is_forgotten = true;
            if let Some(owner) = state.process {
                self.forget_pointer(owner, node, object.pointer);
            }
            self.forget_unused(node);
        }
        let told =
            [(BR_INCREFS, increfs), (BR_ACQUIRE, acquire), (BR_RELEASE, release), (BR_DECREFS, decrefs)];
        for (code, _) in told.into_iter().filter(|(_, is_told)| *is_told) {
            returns.put(&code)?;
            returns.put(&object)?;
        }
        Ok(())
    }

    /// Forgets which node a pointer stands for, be it this one or one that was made since this one was forgotten.
    fn forget_pointer(&mut self, owner: Key<Process>, node: Key<Node>, pointer: u64) {
        let owner = &mut self.processes[owner];
        if let Some(found) = owner.nodes.remove(&pointer)
            && found != node
        {
            owner.lost_nodes.push(found);
            owner.has_lost_nodes = true;
            self.nodes[found].is_lost = true;
        }
    }

    /// The owner of nodes that were lost is gone. Nobody is told of their deaths.
    pub(crate) fn release_lost_nodes(&mut self, owner: Key<Process>) {
        for node in std::mem::take(&mut self.processes[owner].lost_nodes) {
            self.nodes[node].is_lost = false;
            self.release_node(owner, node, false);
        }
    }

    /// What the buffers of a node's owner hold of it. If the owner dies this is never given up: by the time that the
    /// buffers are freed, their pointers to the node lead nowhere.
    pub(crate) fn kept_by_buffers(&self, owner: Key<Process>, node: Key<Node>) -> Counts {
        let mut kept = Counts::default();
        let state = &self.nodes[node];
        if !self.counts_as_rust_does() || state.local_strong + state.local_weak == 0 {
            return kept;
        }
        let buffers = self.processes[owner].allocator.buffers.iter();
        for (buffer, _) in buffers.filter(|(_, buffer)| buffer.content.is_some()) {
            for (pointer, strength) in self.local_objects_in_buffer(owner, buffer) {
                match strength {
                    _ if pointer != state.pointer => {}
                    Strength::Strong => kept.strong += 1,
                    Strength::Weak => kept.weak += 1,
                }
            }
        }
        kept
    }

    /// Removes a node that its owner has forgotten, or whose owner is gone, once nothing refers to it.
    pub(crate) fn forget_unused(&mut self, node: Key<Node>) {
        let state = &self.nodes[node];
        // By then all that is counted are references.
        let is_used =
            !state.references.is_empty() || state.work.is_some() || state.notices.first_strong_waits;
        if !is_used && (state.is_forgotten || state.process.is_none()) {
            if state.is_lost
                && let Some(owner) = state.process
            {
                self.processes[owner].lost_nodes.retain(|lost| *lost != node);
            }
            self.nodes.remove(node);
            self.statistics.nodes.delete();
        }
    }
}

impl Node {
    /// How many references there are.
    pub(crate) fn count(&self, strength: Strength) -> u32 {
        match strength {
            Strength::Strong => self.internal_strong + self.local_strong - self.overdrawn.strong,
            Strength::Weak => self.internal_weak + self.local_weak - self.overdrawn.weak,
        }
    }

    /// Whether the owner knows that there are references.
    fn is_known(&self, strength: Strength) -> bool {
        match strength {
            Strength::Strong => self.has_strong,
            Strength::Weak => self.has_weak,
        }
    }

    /// Whether the owner should keep a strong, and a weak reference.
    fn wanted(&self) -> (bool, bool) {
        let strong = self.count(Strength::Strong) > 0;
        (strong, strong || self.count(Strength::Weak) > 0)
    }
}
