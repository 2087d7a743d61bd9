//! Transactions: calls, oneway messages and replies, once they are on their way, and what becomes of their buffers.

use crate::buffer::Buffer;
use crate::descriptor::FileOnItsWay;
use crate::driver::Driver;
use crate::node::{Node, Strength};
use crate::process::Process;
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::*;
use crate::work::{Work, WorkQueue};

/// A call, message or reply (`struct binder_transaction`).
///
/// A call stays until it is answered, on the stacks of two threads: of its caller from the start, of its callee
/// once delivered. The stack goes on below it at `from_parent` for the one, at `to_parent` for the other.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The thread that waits for an answer; `None` for a message or reply, or if that thread is gone.
    pub(crate) from: Option<Key<Thread>>,
    pub(crate) from_parent: Option<Key<Transaction>>,
    /// Where it goes; `None` once that thread is gone.
    pub(crate) to_process: Option<Key<Process>>,
    /// The thread that serves it, or that it is meant for.
    pub(crate) to_thread: Option<Key<Thread>>,
    pub(crate) to_parent: Option<Key<Transaction>>,
    /// What it carries, in the receiver's mapping; `None` once the receiver has freed it.
    pub(crate) buffer: Option<Key<Buffer>>,
    pub(crate) code: u32,
    pub(crate) flags: u32,
    pub(crate) sender_euid: u32,
    /// The nice value of the thread that sent it.
    pub(crate) nice: i32,
    /// That of the thread that serves it, before it did.
    pub(crate) nice_before: i32,
    /// The files that it brings, until it is delivered.
    pub(crate) files: Vec<FileOnItsWay>,
    /// Who sent it, be it gone or not.
    pub(crate) sender: Sender,
    /// Whoever freezes its receiver waits for it.
    pub(crate) is_outstanding: bool,
}

/// A process that has sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    /// Its serial number.
    pub(crate) serial: u64,
    pub(crate) pid: i32,
    /// The thread that did.
    pub(crate) tid: i32,
}

impl Driver {
    /// Takes the call on top of its caller's stack off it.
    pub(crate) fn pop_transaction(&mut self, caller: Key<Thread>, call: Key<Transaction>) {
        self.threads[caller].transaction_stack = self.transactions[call].from_parent;
        self.transactions[call].from = None;
    }

    /// Tells whoever waits for a call that there will be no answer. If that thread is gone, whoever waits for
    /// *that* thread is told, and so on down the stack.
    pub(crate) fn send_failed_reply(&mut self, call: Key<Transaction>, error: u32) {
        let mut next = Some(call);
        while let Some(call) = next {
            next = self.transactions[call].from_parent;
            if let Some(caller) = self.transactions[call].from {
                self.pop_transaction(caller, call);
                if self.threads[caller].reply_error.is_none() {
                    self.threads[caller].reply_error = Some(error);
                    self.enqueue_thread_work(caller, Work::ReplyError);
                    self.wake(caller);
                }
                next = None;
            }
            self.forget_transaction(call);
        }
    }

    /// Gives up a transaction that was queued and will not be delivered.
    pub(crate) fn cancel_transaction(&mut self, transaction: Key<Transaction>, error: u32) {
        if self.expects_reply(transaction) {
            self.send_failed_reply(transaction, error);
        } else {
            self.forget_transaction(transaction);
        }
    }

    /// As [`Driver::cancel_transaction`], and what it carries is given back.
    pub(crate) fn give_back(&mut self, transaction: Key<Transaction>, error: u32) {
        let expects_reply = self.expects_reply(transaction);
        let state = &self.transactions[transaction];
        if let Some((process, buffer)) = state.to_process.zip(state.buffer) {
            self.free_buffer(process, buffer);
        }
        if expects_reply {
            self.send_failed_reply(transaction, error);
        } else {
            self.forget_transaction(transaction);
        }
    }

    /// Whether a transaction is a call, neither a oneway message nor itself a reply.
    pub(crate) fn expects_reply(&self, transaction: Key<Transaction>) -> bool {
        self.target_of(transaction).is_some() && self.transactions[transaction].flags & TF_ONE_WAY == 0
    }

    /// The node that a transaction is for; `None` for a reply.
    pub(crate) fn target_of(&self, transaction: Key<Transaction>) -> Option<Key<Node>> {
        let state = &self.transactions[transaction];
        let (buffer, process) = state.buffer.zip(state.to_process)?;
        self.processes[process].allocator.buffers[buffer].content?.target
    }

    /// Removes a transaction that is on no stack and in no queue. Its buffer stays.
    pub(crate) fn forget_transaction(&mut self, transaction: Key<Transaction>) {
        self.end_outstanding(transaction);
        let gone = self.transactions.remove(transaction);
        if let Some(process) = gone.to_process {
            self.detach_buffer(process, gone.buffer);
        }
        self.statistics.transactions.delete();
    }

    /// Makes a buffer forget the transaction that it came with.
    pub(crate) fn detach_buffer(&mut self, process: Key<Process>, buffer: Option<Key<Buffer>>) {
        let Some(buffer) = buffer else { return };
        if let Some(content) = &mut self.processes[process].allocator.buffers[buffer].content {
            content.transaction = None;
        }
    }

    /// BC_FREE_BUFFER: gives up what a buffer holds, and lets the next oneway message to its node through.
    pub(crate) fn free_buffer(&mut self, process: Key<Process>, buffer: Key<Buffer>) {
        let Some(content) = self.processes[process].allocator.buffers[buffer].content else { return };
        if let Some(transaction) = content.transaction {
            self.transactions[transaction].buffer = None;
            self.detach_buffer(process, Some(buffer));
        }
        let is_dead = self.processes[process].is_dead;
        if let Some(node) = content.target.filter(|_| content.is_async && !is_dead) {
            match self.dequeue_first(WorkQueue::Asynchronous(node)) {
                Some(next) => self.enqueue_process_work(process, next),
                None => self.nodes[node].has_async_transaction = false,
            }
        }
        self.release_buffer(process, buffer, u64::MAX);
    }

    /// Gives up the references that a buffer holds, those of its first `objects` objects, and frees it.
    pub(crate) fn release_buffer(&mut self, process: Key<Process>, buffer: Key<Buffer>, objects: u64) {
        let content = self.processes[process].allocator.buffers[buffer].content;
        if let Some(node) = content.and_then(|content| content.target) {
            self.drop_local(node, Strength::Strong);
        }
        self.release_objects(process, buffer, objects);
        self.processes[process].allocator.release(buffer);
    }
}
