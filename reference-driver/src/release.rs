//! Closing and dying: what the driver does when a thread, or a process with all it has, goes away.

use crate::death::Stage;
use crate::driver::{Deferred, Driver};
use crate::node::Node;
use crate::process::Process;
use crate::rust_counting::{Counts, Notices};
use crate::table::Key;
use crate::thread::{Parked, Thread};
use crate::transaction::Transaction;
use crate::uapi::BR_DEAD_REPLY;
use crate::work::{Work, WorkQueue};

impl Driver {
    /// Does what closing descriptors has left to be done later, the last first.
    pub fn run_deferred_work(&mut self) {
        while let Some(process) = self.deferred.pop() {
            let Deferred { flush, release } = std::mem::take(&mut self.processes[process].deferred);
            if flush {
                self.flush_threads(process);
            }
            if release {
                self.release_process(process);
            }
        }
    }

    /// Makes every thread of a process return from its read, now or the next time.
    fn flush_threads(&mut self, process: Key<Process>) {
        for thread in self.threads_of(process) {
            let reads = matches!(self.threads[thread].parked, Some(Parked::Read(_)));
            if self.profile.flush_is_for_sleepers && !reads {
                continue;
            }
            self.threads[thread].need_return = true;
            if self.profile.flush_is_for_sleepers {
                self.wake_reader(thread);
            } else if reads {
                self.wake(thread);
            }
        }
    }

    /// The threads of a process, in the order of their ids.
    fn threads_of(&self, process: Key<Process>) -> impl Iterator<Item = Key<Thread>> + use<> {
        let threads = self.processes[process].threads.iter();
        let mut threads: Vec<(i32, Key<Thread>)> = threads.map(|(tid, thread)| (*tid, *thread)).collect();
        threads.sort_unstable_by_key(|(tid, _)| *tid);
        threads.into_iter().map(|(_, thread)| thread)
    }

    /// Forgets a process: its threads, its nodes, its references, its undelivered work, its mapping.
    fn release_process(&mut self, process: Key<Process>) {
        if let Some(manager) = self.context_manager(process)
            && self.nodes[manager].process == Some(process)
        {
            let context = self.processes[process].context;
            self.contexts[context].manager = None;
        }
        self.processes[process].is_dead = true;
        self.abandon_freezing(process);
        for thread in self.threads_of(process) {
            self.release_thread(thread);
        }
        let mut pointers: Vec<_> = self.processes[process].nodes.keys().copied().collect();
        pointers.sort_unstable();
        for pointer in pointers {
            // One at a time: what messages to this one hold of a later one can still be given up.
            if let Some(node) = self.processes[process].nodes.remove(&pointer) {
                self.release_node(process, node, true);
            }
        }
        self.release_lost_nodes(process);
        for reference in self.processes[process].handles.at_the_end() {
            self.forget_reference(reference);
        }
        self.release_work(WorkQueue::Process(process), true);
        self.release_work(WorkQueue::DeliveredDeaths(process), true);
        self.release_work(WorkQueue::DeliveredFreezes(process), true);
        let gone = self.processes.remove(process);
        self.close_poll_queue(&gone);
        self.processes_by_serial.remove(&gone.serial);
        self.statistics.processes.delete();
    }

    /// Forgets a thread: BINDER_THREAD_EXIT, or the end of its process. What it served is answered with
    /// BR_DEAD_REPLY; what it waited for will find nobody.
    pub(crate) fn release_thread(&mut self, thread: Key<Thread>) {
        self.unpark(thread);
        self.stop_polling(thread);
        let (process, tid) = (self.threads[thread].process, self.threads[thread].tid);
        self.processes[process].threads.remove(&tid);

        let mut next = self.threads[thread].transaction_stack;
        let served = next.filter(|call| self.transactions[*call].to_thread == Some(thread));
        while let Some(call) = next {
            next = self.leave_call(thread, call);
        }
        if let Some(call) = served {
            self.send_failed_reply(call, BR_DEAD_REPLY);
        }
        self.release_work(WorkQueue::Thread(thread), self.processes[process].is_dead);
        self.threads.remove(thread);
        self.statistics.threads.delete();
    }

    /// Takes a thread out of a call on its stack, and gives the call below.
    fn leave_call(&mut self, thread: Key<Thread>, call: Key<Transaction>) -> Option<Key<Transaction>> {
        let state = &mut self.transactions[call];
        if state.to_thread != Some(thread) {
            state.from = None;
            return state.from_parent;
        }
        state.to_thread = None;
        let (process, buffer, below) = (state.to_process.take(), state.buffer.take(), state.to_parent);
        let was_outstanding = std::mem::take(&mut state.is_outstanding);
        if let Some(process) = process {
            self.processes[process].outstanding_transactions -= u32::from(was_outstanding);
            self.detach_buffer(process, buffer);
        }
        below
    }

    /// The owner of a node dies: whoever asked is told, as a rule. The node stays for as long as it is referred to.
    pub(crate) fn release_node(&mut self, owner: Key<Process>, node: Key<Node>, is_told: bool) {
        self.hold_node(node);
        let Counts { strong, weak } = self.kept_by_buffers(owner, node);
        self.release_work(WorkQueue::Asynchronous(node), true);
        if let Some(place) = self.nodes[node].work {
            self.dequeue(place);
        }
        let state = &mut self.nodes[node];
        state.process = None;
        state.local_strong = strong;
        state.local_weak = weak;
        state.overdrawn = Counts::default();
        state.notices = Notices::default();
        if is_told {
            self.announce_death(node);
        }
        self.let_go_of_node(node);
    }

    /// Gives up all work of a queue. A process that dies gives up more than one of whose threads only one exits.
    fn release_work(&mut self, queue: WorkQueue, process_dies: bool) {
        while let Some(work) = self.dequeue_first(queue) {
            match work {
                // When it is the turn of the process' own queue, what its buffers refer to has been let go of already.
                Work::Transaction(transaction)
                    if self.profile.lost_transactions_are_given_back
                        && !matches!(queue, WorkQueue::Process(_)) =>
                {
                    self.give_back(transaction, BR_DEAD_REPLY);
                }
                Work::Transaction(transaction) => self.cancel_transaction(transaction, BR_DEAD_REPLY),
                Work::TransactionComplete(_) => self.statistics.completions.delete(),
                // Its handle is still there, and knows it.
                Work::Death(death) if self.deaths[death].stage == Stage::Dead => {}
                // Its reference has been forgotten before, and has left it only if it was cleared.
                Work::Death(death) => self.forget_death(death),
                Work::Freeze(listener) => self.forget_freeze_listener(listener),
                Work::Node(_) | Work::FirstStrong(_)
                    if self.profile.node_work_outlives_threads && !process_dies =>
                {
                    self.requeue_notice(work);
                }
                Work::Node(node) | Work::FirstStrong(node) => {
                    self.nodes[node].notices.first_strong_waits = false;
                    self.lose_notice(node);
                }
                Work::ReturnError | Work::ReplyError | Work::FreezeMessage(_) => {}
            }
        }
    }
}
