//! Priorities: the nice values of threads, and how calls hand them on.
//!
//! A thread that serves a call is to do it with the priority of the caller. Nice values are the scheduler's, so a thread
//! has one whatever devices it uses; lower ones are better.

use crate::caller::Caller;
use crate::driver::Driver;
use crate::table::Key;
use crate::thread::Thread;
use crate::transaction::Transaction;
use crate::uapi::*;

/// What the scheduler knows of a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scheduling {
    nice: i32,
    /// It may have any nice value.
    is_privileged: bool,
}

impl Driver {
    /// A thread sets its own nice value: one that is out of bounds becomes the nearest one that is not. EACCES if it may
    /// have no lower one.
    pub fn set_priority(&mut self, caller: Caller, nice: i32) -> Result<(), Errno> {
        self.admit_to_scheduler(caller);
        let nice = nice.clamp(-20, 19);
        if nice < self.priority(caller.tid) && caller.euid != 0 {
            return Err(Errno::EACCES);
        }
        self.scheduling.entry(caller.tid).or_default().nice = nice;
        Ok(())
    }

    /// The nice value of a thread.
    pub fn priority(&self, tid: i32) -> i32 {
        self.scheduling.get(&tid).map_or(0, |scheduling| scheduling.nice)
    }

    /// A thread has been made by another one, and begins with its nice value.
    pub fn inherit_priority(&mut self, maker: i32, made: i32) {
        let inherited = self.scheduling.get(&maker).copied().unwrap_or_default();
        self.scheduling.insert(made, inherited);
    }

    /// Takes note of what a thread may do to its nice value.
    pub(crate) fn admit_to_scheduler(&mut self, caller: Caller) {
        self.scheduling.entry(caller.tid).or_default().is_privileged = caller.euid == 0;
    }

    /// A thread that is ready for whatever work its process has begins with the nice value that the device was opened with.
    pub(crate) fn be_ready_for_any_work(&mut self, thread: Key<Thread>) {
        let opened_at = self.processes[self.threads[thread].process].opened_at;
        self.set_nice(thread, opened_at);
    }

    /// A thread serves a call with the caller's nice value, but for what the node wants at least. A message only makes
    /// it better.
    pub(crate) fn take_on_priority(
        &mut self,
        thread: Key<Thread>,
        transaction: Key<Transaction>,
        least: i32,
    ) {
        let own = self.priority(self.threads[thread].tid);
        let state = &mut self.transactions[transaction];
        state.nice_before = own;
        let of_caller = state.nice;
        if state.flags & TF_ONE_WAY == 0 {
            self.set_nice(thread, of_caller.min(least));
        } else if own > least {
            self.set_nice(thread, least);
        }
    }

    /// A thread has served a call, and is what it was before.
    pub(crate) fn give_priority_back(&mut self, thread: Key<Thread>, call: Key<Transaction>) {
        self.set_nice(thread, self.transactions[call].nice_before);
    }

    /// The driver has no more rights than the thread for which it acts.
    fn set_nice(&mut self, thread: Key<Thread>, nice: i32) {
        let tid = self.threads[thread].tid;
        if self.profile.hands_priorities_on
            && let Some(scheduling) = self.scheduling.get_mut(&tid).filter(|thread| thread.is_privileged)
        {
            scheduling.nice = nice;
        }
    }
}
