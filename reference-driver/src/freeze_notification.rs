//! Freeze notifications: how a process is told that the owner of an object it refers to is frozen or thawed.

use crate::driver::Driver;
use crate::node::Node;
use crate::planted::Bug;
use crate::process::Process;
use crate::profile::FreezeNotifications;
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::Errno;
use crate::work::{Place, Work, WorkQueue};

/// A request to be told (`struct binder_ref_freeze`).
#[derive(Debug)]
pub(crate) struct FreezeListener {
    pub(crate) cookie: u64,
    /// What there is to be told, or was told last.
    pub(crate) is_frozen: bool,
    /// The request has been taken back: what is left is to say so.
    pub(crate) is_cleared: bool,
    /// Once the process has answered what it was told, there is more to be told.
    tells_again: bool,
    /// Where [`Work::Freeze`] of it waits: to be told, or, once told, to be answered.
    pub(crate) work: Option<Place>,
}

const INVALID: Errno = Errno::EINVAL;

impl Driver {
    /// BC_REQUEST_FREEZE_NOTIFICATION. The answer is how things stand, at once, unless the node is dead. EINVAL for a
    /// wrong handle, or a second request on one.
    pub(crate) fn request_freeze_notification(
        &mut self,
        process: Key<Process>,
        handle: u32,
        cookie: u64,
    ) -> Result<(), Errno> {
        let reference = self.reference_at(process, handle, false).ok_or(INVALID)?;
        if self.references[reference].freeze.is_some() {
            return Err(INVALID);
        }
        let owner = self.nodes[self.references[reference].node].process;
        let is_frozen = owner.is_some_and(|owner| self.processes[owner].freezer.is_frozen);
        let listener =
            FreezeListener { cookie, is_frozen, is_cleared: false, tells_again: false, work: None };
        let listener = self.freezes.insert(listener);
        self.statistics.freezes.create();
        self.references[reference].freeze = Some(listener);
        if owner.is_some() {
            self.enqueue_process_work(process, Work::Freeze(listener));
        }
        Ok(())
    }

    /// BC_CLEAR_FREEZE_NOTIFICATION. EINVAL for a wrong handle or cookie, or without a request.
    pub(crate) fn clear_freeze_notification(
        &mut self,
        process: Key<Process>,
        handle: u32,
        cookie: u64,
    ) -> Result<(), Errno> {
        let reference = self.reference_at(process, handle, false).ok_or(INVALID)?;
        let listener = self.references[reference].freeze.ok_or(INVALID)?;
        if self.freezes[listener].cookie != cookie {
            return Err(INVALID);
        }
        self.references[reference].freeze = None;
        self.freezes[listener].is_cleared = true;
        self.tell_or_tell_again(process, listener, true);
        Ok(())
    }

    /// BC_FREEZE_NOTIFICATION_DONE. EINVAL for a cookie that no unanswered BR_FROZEN_BINDER had.
    pub(crate) fn freeze_notification_done(
        &mut self,
        process: Key<Process>,
        cookie: u64,
    ) -> Result<(), Errno> {
        let answered = self.processes[process].delivered_freezes.iter().find_map(|work| match work {
            Work::Freeze(listener) if self.freezes[*listener].cookie == cookie => Some(*listener),
            _ => None,
        });
        let listener = answered.ok_or(INVALID)?;
        if let Some(place) = self.freezes[listener].work {
            self.dequeue(place);
        }
        if std::mem::take(&mut self.freezes[listener].tells_again) {
            self.enqueue_process_work(process, Work::Freeze(listener));
        }
        Ok(())
    }

    /// Tells all who asked, of any node of a process, that the process is frozen or thawed.
    pub(crate) fn announce_freeze(&mut self, process: Key<Process>, is_frozen: bool) {
        match self.profile.freeze_notifications {
            FreezeNotifications::None => return,
            FreezeNotifications::OfRust => return self.announce_to_cookies(process),
            FreezeNotifications::OfC => {}
        }
        let mut nodes: Vec<_> =
            self.processes[process].nodes.iter().map(|(pointer, node)| (*pointer, *node)).collect();
        nodes.sort_unstable_by_key(|(pointer, _)| *pointer);
        for (_, node) in nodes {
            for (asking, listener) in self.freeze_listeners(node) {
                let changes =
                    std::mem::replace(&mut self.freezes[listener].is_frozen, is_frozen) != is_frozen;
                self.tell_or_tell_again(asking, listener, changes);
            }
            // To look at a node is to hold it meanwhile.
            self.hold_node(node);
            self.let_go_of_node(node);
        }
    }

    /// Who asked to be told of a node, the newest reference first.
    fn freeze_listeners(&self, node: Key<Node>) -> Vec<(Key<Process>, Key<FreezeListener>)> {
        let references = self.nodes[node].references.iter().map(|reference| &self.references[*reference]);
        references.filter_map(|reference| Some((reference.process, reference.freeze?))).collect()
    }

    /// Has a process told, unless that waits in its queue already. While it has not answered what it was told last,
    /// it is told what is new only after that.
    fn tell_or_tell_again(&mut self, process: Key<Process>, listener: Key<FreezeListener>, is_new: bool) {
        match self.freezes[listener].work {
            None => self.enqueue_process_work(process, Work::Freeze(listener)),
            Some(Place { queue: WorkQueue::DeliveredFreezes(_), .. }) => {
                self.freezes[listener].tells_again |= is_new;
            }
            Some(_) => {}
        }
    }

    /// Moves what is being told to what waits for an answer.
    pub(crate) fn await_freeze_answer(&mut self, thread: Key<Thread>, listener: Key<FreezeListener>) {
        let process = self.threads[thread].process;
        self.enqueue(WorkQueue::DeliveredFreezes(process), Work::Freeze(listener));
    }

    /// Removes a request, wherever it waits.
    pub(crate) fn forget_freeze_listener(&mut self, listener: Key<FreezeListener>) {
        let stays_queued = self.profile.planted.is(Bug::QueuedFreezeOutlivesHandle);
        if let Some(place) = self.freezes[listener].work.filter(|_| !stays_queued) {
            self.dequeue(place);
        }
        self.freezes.remove(listener);
        self.statistics.freezes.delete();
    }
}
