//! Reading: work becomes returns in a read buffer, or the thread falls asleep for want of it.

use crate::death::Stage;
use crate::driver::{Completion, Driver};
use crate::freeze_notification::FreezeListener;
use crate::memory::{Fault, UserMemory};
use crate::node::Node;
use crate::process::Process;
use crate::table::Key;
use crate::thread::Thread;
use crate::transaction::Transaction;
use crate::uapi::*;
use crate::work::{Acceptance, Work, WorkQueue};
use zerocopy::{Immutable, IntoBytes};

/// No work is taken up for which a read buffer has no more than this left: room for the longest return there is.
const LARGEST_RETURN: u64 = (size_of::<u32>() + size_of::<TransactionDataSecctx>()) as u64;

/// A BINDER_WRITE_READ in whose reading a thread sleeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParkedRead {
    /// Where the process keeps its `struct binder_write_read`.
    pub(crate) argument: u64,
    /// That structure, as far as it has come.
    pub(crate) request: WriteRead,
    /// Bytes of returns written so far.
    pub(crate) written: u64,
    /// The thread was free for work of its process when it began to wait.
    pub(crate) takes_process_work: bool,
}

/// Whether a return leaves room for another in the same read.
#[derive(PartialEq, Eq)]
enum Next {
    More,
    Stop,
}

impl Driver {
    /// Reads for a BINDER_WRITE_READ whose writing is done.
    pub(crate) fn read(
        &mut self,
        thread: Key<Thread>,
        argument: u64,
        request: WriteRead,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        let mut written = request.read_consumed;
        if written == 0 {
            if memory.put(request.read_buffer, &BR_NOOP).is_err() {
                return self.finish_read(thread, argument, request, Err(Errno::EFAULT), memory);
            }
            written = size_of::<u32>() as u64;
        }
        self.wait(thread, ParkedRead { argument, request, written, takes_process_work: false }, memory)
    }

    /// Waits for work. What there is for its process concerns a thread only if it has nothing of its own.
    fn wait(&mut self, thread: Key<Thread>, mut read: ParkedRead, memory: &mut dyn UserMemory) -> Completion {
        read.takes_process_work = self.is_free_for_process_work(thread);
        if self.has_work(thread, read.takes_process_work) {
            self.go_on_reading(thread, read, memory)
        } else if self.processes[self.threads[thread].process].nonblock {
            self.finish_read(thread, read.argument, read.request, Err(Errno::EAGAIN), memory)
        } else {
            self.park(thread, read);
            Completion::Parked
        }
    }

    /// Goes on with a read whose thread has been woken. It may have been for nothing.
    pub(crate) fn go_on_reading(
        &mut self,
        thread: Key<Thread>,
        mut read: ParkedRead,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        if !self.has_work(thread, read.takes_process_work) {
            self.park(thread, read);
            return Completion::Parked;
        }
        let read_result = loop {
            let process = self.threads[thread].process;
            let queue = if !self.threads[thread].todo.is_empty() {
                WorkQueue::Thread(thread)
            } else if read.takes_process_work && !self.processes[process].todo.is_empty() {
                WorkQueue::Process(process)
            } else if read.written == 4 && !self.threads[thread].need_return {
                return self.wait(thread, read, memory);
            } else {
                break Ok(());
            };
            // A read buffer shorter than the BR_NOOP that opens it makes this wrap, and so pass.
            if read.request.read_size.wrapping_sub(read.written) < LARGEST_RETURN {
                break Ok(());
            }
            let Some(work) = self.dequeue_first(queue) else { break Ok(()) };
            if self.threads[thread].todo.is_empty() {
                self.threads[thread].process_todo = false;
            }
            let mut returns = ReturnStream {
                memory: &mut *memory,
                base: read.request.read_buffer,
                written: &mut read.written,
            };
            match self.deliver(thread, work, &mut returns) {
                Ok(Next::More) => {}
                Ok(Next::Stop) => break Ok(()),
                Err(Fault) => break Err(Errno::EFAULT),
            }
        };
        let read_result = read_result.and_then(|()| {
            read.request.read_consumed = read.written;
            self.ask_for_looper(thread, read.request.read_buffer, memory).map_err(|Fault| Errno::EFAULT)
        });
        self.finish_read(thread, read.argument, read.request, read_result, memory)
    }

    /// Writes BR_SPAWN_LOOPER where the BR_NOOP is, if the pool has run out of idle threads and may grow.
    fn ask_for_looper(
        &mut self,
        thread: Key<Thread>,
        read_buffer: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Fault> {
        let state = &self.threads[thread];
        let process = &mut self.processes[state.process];
        let spawn = process.requested_threads == 0
            && process.waiting_threads.is_empty()
            && process.requested_threads_started < process.max_threads
            && state.looper.is_member();
        if spawn {
            process.requested_threads += 1;
            memory.put(read_buffer, &BR_SPAWN_LOOPER)?;
        }
        Ok(())
    }

    /// Ends a BINDER_WRITE_READ that has read, or tried to.
    pub(crate) fn finish_read(
        &mut self,
        thread: Key<Thread>,
        argument: u64,
        request: WriteRead,
        result: Result<(), Errno>,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        let process = self.threads[thread].process;
        if !self.processes[process].todo.is_empty() {
            self.wake_process(process);
        }
        let stored = memory.put(argument, &request).map_err(|Fault| Errno::EFAULT);
        self.threads[thread].need_return = false;
        Completion::Done(stored.and(result))
    }

    /// Turns a piece of work into returns.
    fn deliver(
        &mut self,
        thread: Key<Thread>,
        work: Work,
        returns: &mut ReturnStream<'_>,
    ) -> Result<Next, Fault> {
        match work {
            Work::Transaction(transaction) => {
                self.deliver_transaction(thread, transaction, returns)?;
                return Ok(Next::Stop);
            }
            Work::TransactionComplete(acceptance) => {
                self.statistics.completions.delete();
                let detects_spam = self.processes[self.threads[thread].process].detects_oneway_spam;
                returns.put(&match acceptance {
                    Acceptance::PendingFrozen => BR_TRANSACTION_PENDING_FROZEN,
                    Acceptance::SpamSuspect if detects_spam => BR_ONEWAY_SPAM_SUSPECT,
                    Acceptance::Plain | Acceptance::SpamSuspect => BR_TRANSACTION_COMPLETE,
                })?;
            }
            // The error is taken back only once it has been told.
            Work::ReturnError => {
                if let Some(error) = self.threads[thread].return_error {
                    returns.put(&error)?;
                    self.threads[thread].return_error = None;
                }
            }
            Work::ReplyError => {
                if let Some(error) = self.threads[thread].reply_error {
                    returns.put(&error)?;
                    self.threads[thread].reply_error = None;
                }
            }
            Work::Node(node) => self.deliver_node(node, returns)?,
            Work::Death(death) => {
                let cookie = self.deaths[death].cookie;
                if self.deaths[death].stage == Stage::Cleared {
                    self.forget_death(death);
                    returns.put(&BR_CLEAR_DEATH_NOTIFICATION_DONE)?;
                    returns.put(&cookie)?;
                } else {
                    self.await_answer(self.threads[thread].process, death);
                    returns.put(&BR_DEAD_BINDER)?;
                    returns.put(&cookie)?;
                    return Ok(Next::Stop);
                }
            }
            Work::Freeze(listener) => {
                let FreezeListener { cookie, is_frozen, is_cleared, .. } = self.freezes[listener];
                if is_cleared {
                    self.forget_freeze_listener(listener);
                    returns.put(&BR_CLEAR_FREEZE_NOTIFICATION_DONE)?;
                    returns.put(&cookie)?;
                } else {
                    self.await_freeze_answer(thread, listener);
                    returns.put(&BR_FROZEN_BINDER)?;
                    returns.put(&FrozenStateInfo { cookie, is_frozen: is_frozen.into(), reserved: 0 })?;
                    return Ok(Next::Stop);
                }
            }
        }
        Ok(Next::More)
    }

    /// Tells the owner of a node which references others hold now, as far as it does not know.
    fn deliver_node(&mut self, node: Key<Node>, returns: &mut ReturnStream<'_>) -> Result<(), Fault> {
        let state = &mut self.nodes[node];
        let object = PointerCookie { pointer: state.pointer, cookie: state.cookie };
        let strong = state.internal_strong > 0 || state.local_strong > 0;
        let weak = !state.references.is_empty() || state.local_weak > 0 || state.temporary > 0 || strong;
        let had_strong = std::mem::replace(&mut state.has_strong, strong);
        let had_weak = std::mem::replace(&mut state.has_weak, weak);
        if weak && !had_weak {
            state.pending_weak = true;
            state.local_weak += 1;
        }
        if strong && !had_strong {
            state.pending_strong = true;
            state.local_strong += 1;
        }
        if !weak && !strong {
            let owner = state.process;
            self.forget_node(node, owner);
        }
        let changes = [
            (BR_INCREFS, weak && !had_weak),
            (BR_ACQUIRE, strong && !had_strong),
            (BR_RELEASE, !strong && had_strong),
            (BR_DECREFS, !weak && had_weak),
        ];
        for (code, _) in changes.into_iter().filter(|(_, happened)| *happened) {
            returns.put(&code)?;
            returns.put(&object)?;
        }
        Ok(())
    }

    fn deliver_transaction(
        &mut self,
        thread: Key<Thread>,
        transaction: Key<Transaction>,
        returns: &mut ReturnStream<'_>,
    ) -> Result<(), Fault> {
        let receiver = self.threads[thread].process;
        let (code, data) = self.describe(receiver, transaction);
        if returns.put(&code).and_then(|()| returns.put(&data)).is_err() {
            // Its buffer stays in use for good: the process was never told of it.
            self.cancel_transaction(transaction, BR_FAILED_REPLY);
            return Err(Fault);
        }
        let expects_reply = self.expects_reply(transaction);
        let state = &mut self.transactions[transaction];
        let buffer = state.buffer;
        if expects_reply {
            state.to_parent = self.threads[thread].transaction_stack.replace(transaction);
            state.to_thread = Some(thread);
        } else {
            self.forget_transaction(transaction);
        }
        let allocator = &mut self.processes[receiver].allocator;
        if let Some(content) = buffer.and_then(|buffer| allocator.buffers[buffer].content.as_mut()) {
            content.allow_user_free = true;
        }
        Ok(())
    }

    /// A transaction as its receiver is told of it. Who sent it is the driver's word.
    fn describe(&self, receiver: Key<Process>, transaction: Key<Transaction>) -> (u32, TransactionData) {
        let state = &self.transactions[transaction];
        let allocator = &self.processes[receiver].allocator;
        let buffer =
            state.buffer.map(|buffer| (allocator.address_of(buffer), &allocator.buffers[buffer].content));
        let (address, content) = match buffer {
            Some((address, Some(content))) => (address, *content),
            // A buffer cannot be freed before its transaction has been delivered.
            _ => unreachable!("an undelivered transaction has its buffer"),
        };
        let target = content.target.map(|node| &self.nodes[node]);
        let code = if target.is_some() { BR_TRANSACTION } else { BR_REPLY };
        let data = TransactionData {
            target: target.map_or(0, |node| node.pointer),
            cookie: target.map_or(0, |node| node.cookie),
            code: state.code,
            flags: state.flags,
            sender_pid: state.from.map_or(0, |from| self.processes[self.threads[from].process].pid),
            sender_euid: state.sender_euid,
            data_size: content.data_size,
            offsets_size: content.offsets_size,
            buffer: address,
            offsets: address + content.offsets_start(),
        };
        (code, data)
    }
}

/// A read buffer that is being filled. Its end is not looked at here: see [`LARGEST_RETURN`].
struct ReturnStream<'a> {
    memory: &'a mut dyn UserMemory,
    base: u64,
    written: &'a mut u64,
}

impl ReturnStream<'_> {
    fn put<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result<(), Fault> {
        self.memory.put(self.base.wrapping_add(*self.written), value)?;
        *self.written += size_of::<T>() as u64;
        Ok(())
    }
}
