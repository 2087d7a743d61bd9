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
    /// The id of its process.
    pid: i32,
}

impl Driver {
    /// A thread sets its own nice value: one that is out of bounds becomes the nearest one that is not. EACCES if it may
    /// have no lower one.
    pub fn set_priority(&mut self, caller: Caller, nice: i32) -> Result<(), Errno> {
        self.admit_to_scheduler(caller);
        let nice = nice.clamp(-20, 19);
        if nice < self.priority(caller.tid) && !self.may_have_priority(caller, nice) {
            return Err(Errno::EACCES);
        }
        self.scheduling.entry(caller.tid).or_default().nice = nice;
        Ok(())
    }

    /// The nice value of a thread.
    pub fn priority(&self, tid: i32) -> i32 {
        self.scheduling.get(&tid).map_or(0, |scheduling| scheduling.nice)
    }

    /// Whether a thread may have a nice value that is lower than its own, or could not be lower.
    pub fn may_have_priority(&self, caller: Caller, nice: i32) -> bool {
        self.may_schedule(caller) || self.best_nice(caller.pid) <= i64::from(nice)
    }

    /// Whether a thread has the right to any nice value, and to run in real time. The root of a user namespace of its own
    /// does not.
    pub fn may_schedule(&self, caller: Caller) -> bool {
        caller.euid == 0 && !self.namespace_roots.contains_key(&caller.pid)
    }

    /// Sets the RLIMIT_NICE of a process.
    pub fn limit_nice(&mut self, pid: i32, limit: u32) {
        self.nice_limits.insert(pid, limit);
    }

    /// The lowest nice value that the RLIMIT_NICE of a process gives its threads; above all of them if it gives none.
    fn best_nice(&self, pid: i32) -> i64 {
        20 - i64::from(self.nice_limits.get(&pid).copied().unwrap_or(0))
    }

    /// A thread has been made by another one, the first of a new process. It begins with its nice value, and the process
    /// with the limit of the other. What it may do is noted when it first calls the driver.
    pub fn inherit_priority(&mut self, maker: Caller, made: i32) {
        let inherited = self.scheduling.get(&maker.tid).copied().unwrap_or_default();
        self.scheduling.insert(made, inherited);
        if let Some(limit) = self.nice_limits.get(&maker.pid).copied() {
            self.nice_limits.insert(made, limit);
        }
    }

    /// The process of a thread that has called the driver.
    pub(crate) fn process_of(&self, tid: i32) -> Option<i32> {
        self.scheduling.get(&tid).map(|scheduling| scheduling.pid)
    }

    /// Takes note of what a thread may do to its nice value.
    pub(crate) fn admit_to_scheduler(&mut self, caller: Caller) {
        let is_privileged = self.may_schedule(caller);
        let scheduling = self.scheduling.entry(caller.tid).or_default();
        scheduling.is_privileged = is_privileged;
        scheduling.pid = caller.pid;
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

    /// The driver has no more rights than the thread for which it acts. Where that may not have this nice value, it gets
    /// the lowest one that its process has a limit for, if there is one.
    fn set_nice(&mut self, thread: Key<Thread>, nice: i32) {
        let tid = self.threads[thread].tid;
        let Some(scheduling) = self.scheduling.get(&tid).filter(|_| self.profile.hands_priorities_on) else {
            return;
        };
        let best = self.best_nice(scheduling.pid);
        let nice = match i64::from(nice) {
            nice if scheduling.is_privileged || best <= nice => nice,
            _ => best,
        };
        let possible = i32::try_from(nice).ok().filter(|nice| (-20..20).contains(nice));
        if let (Some(nice), Some(scheduling)) = (possible, self.scheduling.get_mut(&tid)) {
            scheduling.nice = nice;
        }
    }
}
