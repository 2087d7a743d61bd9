//! Deaths: how a process is told that an object it refers to has died.

use crate::driver::Driver;
use crate::planted::Bug;
use crate::process::Process;
use crate::table::Key;
use crate::thread::Thread;
use crate::work::{Place, Work, WorkQueue};

/// A request to be told of a death (`struct binder_ref_death`).
#[derive(Debug)]
pub(crate) struct Death {
    pub(crate) cookie: u64,
    pub(crate) stage: Stage,
    /// Where [`Work::Death`] of it waits: to be told, or, once told, to be answered.
    pub(crate) work: Option<Place>,
}

/// What the next thing to be said about a death is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// BR_DEAD_BINDER, or nothing as long as the object lives.
    Dead,
    /// BR_DEAD_BINDER, and when that has been answered, that the request is cleared.
    DeadAndCleared,
    /// BR_CLEAR_DEATH_NOTIFICATION_DONE.
    Cleared,
    /// Nothing: it waits to be told of, but its handle is gone.
    Abandoned,
}

impl Driver {
    /// BC_REQUEST_DEATH_NOTIFICATION. A wrong handle, or a second request on one, changes nothing.
    pub(crate) fn request_death_notification(&mut self, process: Key<Process>, handle: u32, cookie: u64) {
        let Some(reference) = self.reference_at(process, handle, false) else { return };
        if self.references[reference].death.is_some() {
            return;
        }
        let death = self.deaths.insert(Death { cookie, stage: Stage::Dead, work: None });
        self.statistics.deaths.create();
        self.references[reference].death = Some(death);
        if self.nodes[self.references[reference].node].process.is_none() {
            self.enqueue_process_work(process, Work::Death(death));
        }
    }

    /// BC_CLEAR_DEATH_NOTIFICATION. A wrong handle or cookie, or no request, changes nothing.
    pub(crate) fn clear_death_notification(&mut self, thread: Key<Thread>, handle: u32, cookie: u64) {
        let process = self.threads[thread].process;
        let Some(reference) = self.reference_at(process, handle, false) else { return };
        let Some(death) = self.references[reference].death else { return };
        if self.deaths[death].cookie != cookie {
            return;
        }
        self.references[reference].death = None;
        if self.deaths[death].work.is_some() {
            self.deaths[death].stage = Stage::DeadAndCleared;
        } else {
            self.tell_cleared(thread, death);
        }
    }

    /// BC_DEAD_BINDER_DONE. A cookie that no unanswered BR_DEAD_BINDER had changes nothing.
    pub(crate) fn dead_binder_done(&mut self, thread: Key<Thread>, cookie: u64) {
        let process = self.threads[thread].process;
        let answered = self.processes[process].delivered_deaths.iter().find_map(|work| match work {
            Work::Death(death) if self.deaths[*death].cookie == cookie => Some(*death),
            _ => None,
        });
        let Some(death) = answered else { return };
        if let Some(place) = self.deaths[death].work {
            self.dequeue(place);
        }
        let is_unanswered =
            self.profile.planted.is(Bug::NoAnswerForNoLooper) && !self.threads[thread].looper.is_member();
        if self.deaths[death].stage == Stage::DeadAndCleared && !is_unanswered {
            self.tell_cleared(thread, death);
        }
    }

    /// Queues BR_CLEAR_DEATH_NOTIFICATION_DONE: for the thread that asked, if it is of the pool.
    fn tell_cleared(&mut self, thread: Key<Thread>, death: Key<Death>) {
        self.deaths[death].stage = Stage::Cleared;
        if self.threads[thread].looper.is_member() {
            self.enqueue_thread_work(thread, Work::Death(death));
        } else {
            self.enqueue_process_work(self.threads[thread].process, Work::Death(death));
        }
    }

    /// Tells all who asked that a node has died.
    pub(crate) fn announce_death(&mut self, node: Key<crate::node::Node>) {
        let asked: Vec<_> = self.nodes[node]
            .references
            .iter()
            .filter_map(|reference| {
                let state = &self.references[*reference];
                state.death.map(|death| (state.process, death))
            })
            .collect();
        for (process, death) in asked {
            self.deaths[death].stage = Stage::Dead;
            self.enqueue_process_work(process, Work::Death(death));
        }
    }

    /// Moves a death that is being told of to those that wait for an answer.
    pub(crate) fn await_answer(&mut self, process: Key<Process>, death: Key<Death>) {
        self.enqueue(WorkQueue::DeliveredDeaths(process), Work::Death(death));
    }

    /// The handle with a request is gone.
    pub(crate) fn abandon_death(&mut self, process: Key<Process>, death: Key<Death>) {
        let waits_to_be_told =
            self.deaths[death].work.is_some_and(|place| place.queue != WorkQueue::DeliveredDeaths(process));
        if waits_to_be_told && self.profile.deaths_outlive_handles && !self.processes[process].is_dead {
            self.deaths[death].stage = Stage::Abandoned;
        } else {
            self.forget_death(death);
        }
    }

    /// Removes a request, wherever it waits.
    pub(crate) fn forget_death(&mut self, death: Key<Death>) {
        if let Some(place) = self.deaths[death].work {
            self.dequeue(place);
        }
        self.deaths.remove(death);
        self.statistics.deaths.delete();
    }
}
