//! Polling: whoever polls waits in a queue of the driver's, which calls it when it may be worth to poll anew.
//!
//! A call says neither for whom there is something nor what. A sleeping `poll` waits for it; an epoll instance keeps to
//! the queue of the thread that had it watch the device, whichever thread asks it later.

use rustc_hash::FxHashMap;

use crate::driver::Driver;
use crate::process::Process;
use crate::table::Key;
use crate::thread::Thread;

/// A queue in which pollers wait: that of a thread, or of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PollQueue(u64);

/// What a thread has learnt by polling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polled {
    /// It would find something to read.
    pub is_readable: bool,
    /// Where it waits until there is more.
    pub queue: PollQueue,
}

/// All queues that there are, and how often each of them has been called.
#[derive(Debug, Default)]
pub(crate) struct PollQueues {
    calls: FxHashMap<PollQueue, u64>,
    made: u64,
}

impl PollQueues {
    fn make(&mut self) -> PollQueue {
        self.made += 1;
        let queue = PollQueue(self.made);
        self.calls.insert(queue, 0);
        queue
    }

    fn call(&mut self, queue: PollQueue) {
        *self.calls.entry(queue).or_default() += 1;
    }
}

impl Driver {
    /// How often the pollers in a queue have been called. `None` when the queue is gone, which was the last call.
    pub fn calls(&self, queue: PollQueue) -> Option<u64> {
        self.poll_queues.calls.get(&queue).copied()
    }

    /// Where a thread waits when it polls.
    pub(crate) fn poll_queue(&mut self, thread: Key<Thread>) -> PollQueue {
        if let Some(queue) = self.threads[thread].poll_queue {
            return queue;
        }
        let process = &mut self.processes[self.threads[thread].process];
        let queue = if self.profile.pollers_share_a_queue {
            *process.poll_queue.get_or_insert_with(|| self.poll_queues.make())
        } else {
            self.poll_queues.make()
        };
        process.pollers.push(thread);
        self.threads[thread].poll_queue = Some(queue);
        queue
    }

    /// There is something for a thread.
    pub(crate) fn call_poller(&mut self, thread: Key<Thread>) {
        if let Some(queue) = self.threads[thread].poll_queue {
            self.poll_queues.call(queue);
        }
    }

    /// There is something for any thread of a process that is free for it.
    pub(crate) fn call_pollers(&mut self, process: Key<Process>) {
        if let Some(queue) = self.processes[process].poll_queue {
            self.poll_queues.call(queue);
            return;
        }
        for index in 0..self.processes[process].pollers.len() {
            let thread = self.processes[process].pollers[index];
            if self.is_free_for_process_work(thread) {
                self.call_poller(thread);
            }
        }
    }

    /// A thread is going, and with it its queue.
    pub(crate) fn stop_polling(&mut self, thread: Key<Thread>) {
        let Some(queue) = self.threads[thread].poll_queue else { return };
        let process = &mut self.processes[self.threads[thread].process];
        process.pollers.retain(|poller| *poller != thread);
        if process.poll_queue.is_none() {
            self.poll_queues.calls.remove(&queue);
        }
    }

    /// A process is going, and with it the queue of its threads.
    pub(crate) fn close_poll_queue(&mut self, process: &Process) {
        if let Some(queue) = process.poll_queue {
            self.poll_queues.calls.remove(&queue);
        }
    }
}
