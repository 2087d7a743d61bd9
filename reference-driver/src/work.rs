//! Work: what waits to be told to a thread or to any thread of a process, and the queues that it waits in.

use crate::death::Death;
use crate::driver::Driver;
use crate::freeze_notification::FreezeListener;
use crate::node::Node;
use crate::process::Process;
use crate::queue::{Position, Queue};
use crate::table::Key;
use crate::thread::Thread;
use crate::transaction::Transaction;

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A transaction or reply to deliver.
    Transaction(Key<Transaction>),
    /// BR_TRANSACTION_COMPLETE, or what says more than that.
    TransactionComplete(Acceptance),
    /// Why the thread's own last command failed: its `return_error`.
    ReturnError,
    /// Why the call that the thread waits for failed: its `reply_error`.
    ReplyError,
    /// A node whose references from outside have changed.
    Node(Key<Node>),
    /// A node that has got its first strong reference while [`Work::Node`] of it waits in another queue.
    FirstStrong(Key<Node>),
    /// A death to tell of, or the answer to a request not to be told.
    Death(Key<Death>),
    /// A process frozen or thawed to tell of, or the answer to a request not to be told.
    Freeze(Key<FreezeListener>),
    /// There may be something to tell of the freeze notifications with this cookie.
    FreezeMessage(u64),
}

/// How a transaction has been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptance {
    Plain,
    /// It is a oneway message to a frozen process.
    PendingFrozen,
    /// It is a oneway message, and its sender is suspected of spam.
    SpamSuspect,
}

/// A queue of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkQueue {
    /// For this thread.
    Thread(Key<Thread>),
    /// For any thread of this process that has nothing else to do.
    Process(Key<Process>),
    /// Deaths that this process has been told of and has not answered.
    DeliveredDeaths(Key<Process>),
    /// What this process has been told of freezing, and has not answered.
    DeliveredFreezes(Key<Process>),
    /// Oneway messages to this node that wait for an earlier one to be done with.
    Asynchronous(Key<Node>),
}

/// Where a piece of work waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) queue: WorkQueue,
    pub(crate) position: Position,
}

impl Driver {
    pub(crate) fn queue(&self, queue: WorkQueue) -> &Queue<Work> {
        match queue {
            WorkQueue::Thread(thread) => &self.threads[thread].todo,
            WorkQueue::Process(process) => &self.processes[process].todo,
            WorkQueue::DeliveredDeaths(process) => &self.processes[process].delivered_deaths,
            WorkQueue::DeliveredFreezes(process) => &self.processes[process].delivered_freezes,
            WorkQueue::Asynchronous(node) => &self.nodes[node].async_todo,
        }
    }

    fn queue_mut(&mut self, queue: WorkQueue) -> &mut Queue<Work> {
        match queue {
            WorkQueue::Thread(thread) => &mut self.threads[thread].todo,
            WorkQueue::Process(process) => &mut self.processes[process].todo,
            WorkQueue::DeliveredDeaths(process) => &mut self.processes[process].delivered_deaths,
            WorkQueue::DeliveredFreezes(process) => &mut self.processes[process].delivered_freezes,
            WorkQueue::Asynchronous(node) => &mut self.nodes[node].async_todo,
        }
    }

    /// Puts work at the end of a queue. For a thread this is *deferred* work: a thread that has no other goes
    /// to sleep on it.
    pub(crate) fn enqueue(&mut self, queue: WorkQueue, work: Work) -> Place {
        let position = self.queue_mut(queue).push_last(work);
        let place = Place { queue, position };
        self.note_place(work, Some(place));
        place
    }

    /// Puts work at the end of a thread's queue and lets the thread take up its queue. Who is not the thread itself wakes
    /// it then.
    pub(crate) fn enqueue_thread_work(&mut self, thread: Key<Thread>, work: Work) {
        self.enqueue(WorkQueue::Thread(thread), work);
        if !std::mem::replace(&mut self.threads[thread].process_todo, true)
            && self.profile.own_work_calls_pollers
        {
            self.call_poller(thread);
        }
    }

    /// Puts work at the end of a process' queue and wakes a thread for it; or gives it straight to that thread.
    pub(crate) fn enqueue_process_work(&mut self, process: Key<Process>, work: Work) {
        if self.profile.process_work_is_handed_over
            && let Some(thread) = self.select_thread(process)
        {
            self.enqueue_thread_work(thread, work);
            self.wake(thread);
            return;
        }
        self.enqueue(WorkQueue::Process(process), work);
        self.wake_process(process);
    }

    /// Takes work out of the queue it is in.
    pub(crate) fn dequeue(&mut self, place: Place) -> Work {
        let work = self.queue_mut(place.queue).remove(place.position);
        self.note_place(work, None);
        work
    }

    /// Takes the first work out of a queue.
    pub(crate) fn dequeue_first(&mut self, queue: WorkQueue) -> Option<Work> {
        let work = self.queue_mut(queue).pop_first()?;
        self.note_place(work, None);
        Some(work)
    }

    /// Nodes, deaths and freezes must be found in their queues again, so they remember where they are.
    fn note_place(&mut self, work: Work, place: Option<Place>) {
        match work {
            Work::Node(node) => self.nodes[node].work = place,
            Work::Death(death) => self.deaths[death].work = place,
            Work::Freeze(listener) => self.freezes[listener].work = place,
            _ => {}
        }
    }
}
