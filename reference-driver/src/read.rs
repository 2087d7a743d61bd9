//! Reading: work becomes returns in a read buffer, or the thread falls asleep for want of it.

use crate::death::Stage;
use crate::driver::{Completion, Driver};
use crate::freeze_notification::FreezeListener;
use crate::memory::{Fault, UserMemory};
use crate::node::Node;
use crate::process::Process;
use crate::profile::Profile;
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
    /// Bytes of returns written so far, be it by an earlier read.
    pub(crate) written: u64,
    /// As many as there were when nothing but the BR_NOOP had been written by this read.
    pub(crate) written_at_first: u64,
    /// The thread was free for work of its process when it began to wait, or to read.
    pub(crate) takes_process_work: bool,
}

/// Whether a return leaves room for another in the same read.
#[derive(PartialEq, Eq)]
enum Next {
    More,
    Stop,
}

impl ParkedRead {
    /// The room left in the read buffer, in bytes. For a driver that does not keep to sizes there is room without end
    /// where more is written than fits.
    fn room(&self, profile: &Profile) -> u64 {
        if profile.keeps_to_sizes {
            self.request.read_size.saturating_sub(self.written)
        } else {
            self.request.read_size.wrapping_sub(self.written)
        }
    }
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
            let is_too_short =
                self.profile.keeps_to_sizes && request.read_size < size_of_val(&BR_NOOP) as u64;
            if is_too_short || memory.put(request.read_buffer, &BR_NOOP).is_err() {
                return self.finish_read(thread, argument, request, Err(Errno::EFAULT), memory);
            }
            written = size_of::<u32>() as u64;
        }
        let takes_process_work = self.is_free_for_process_work(thread);
        // Elsewhere what an earlier read has left does not count as written.
        let written_at_first =
            if self.profile.keeps_to_sizes { written } else { size_of_val(&BR_NOOP) as u64 };
        let read = ParkedRead { argument, request, written, written_at_first, takes_process_work };
        if self.profile.keeps_to_sizes && read.room(&self.profile) < LARGEST_RETURN {
            return self.end_reading(thread, read, Ok(()), memory);
        }
        self.wait(thread, read, memory)
    }

    /// Waits for work. What there is for its process concerns a thread only if it has nothing of its own.
    fn wait(&mut self, thread: Key<Thread>, read: ParkedRead, memory: &mut dyn UserMemory) -> Completion {
        if read.takes_process_work {
            self.be_ready_for_any_work(thread);
        }
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
            let queue = if self.first_work(thread).is_some() {
                WorkQueue::Thread(thread)
            } else if read.takes_process_work && !self.processes[process].todo.is_empty() {
                WorkQueue::Process(process)
            } else if read.written == read.written_at_first && !self.threads[thread].need_return {
                if !self.profile.readers_stay_as_they_began {
                    read.takes_process_work = self.is_free_for_process_work(thread);
                }
                return self.wait(thread, read, memory);
            } else {
                break Ok(());
            };
            if read.room(&self.profile) < LARGEST_RETURN {
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
        self.end_reading(thread, read, read_result, memory)
    }

    /// Ends a read that has found nothing more, or could not write what it found.
    fn end_reading(
        &mut self,
        thread: Key<Thread>,
        mut read: ParkedRead,
        result: Result<(), Errno>,
        memory: &mut dyn UserMemory,
    ) -> Completion {
        let may_ask = read.request.read_consumed == 0 || self.profile.continued_reads_ask_for_loopers;
        let result = result.and_then(|()| {
            read.request.read_consumed = read.written;
            if !may_ask {
                return Ok(());
            }
            self.ask_for_looper(thread, read.request.read_buffer, memory).map_err(|Fault| Errno::EFAULT)
        });
        self.finish_read(thread, read.argument, read.request, result, memory)
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
        // What is handed over is not there for somebody else.
        if !self.profile.process_work_is_handed_over && !self.processes[process].todo.is_empty() {
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
                return self.deliver_transaction(thread, transaction, returns);
            }
            Work::TransactionComplete(acceptance) => {
                self.statistics.completions.delete();
                let is_told =
                    self.profile.spam_detection.heeds_switch_when_sent || self.detects_oneway_spam(thread);
                returns.put(&match acceptance {
                    Acceptance::PendingFrozen => BR_TRANSACTION_PENDING_FROZEN,
                    Acceptance::SpamSuspect if is_told => BR_ONEWAY_SPAM_SUSPECT,
                    Acceptance::Plain | Acceptance::SpamSuspect => BR_TRANSACTION_COMPLETE,
                })?;
            }
            Work::ReturnError => {
                let error = self.threads[thread].return_error;
                if self.profile.untold_errors_are_lost {
                    self.threads[thread].return_error = None;
                }
                error.map_or(Ok(()), |error| returns.put(&error))?;
                self.threads[thread].return_error = None;
            }
            Work::ReplyError => {
                let error = self.threads[thread].reply_error;
                if self.profile.untold_errors_are_lost {
                    self.threads[thread].reply_error = None;
                }
                error.map_or(Ok(()), |error| returns.put(&error))?;
                self.threads[thread].reply_error = None;
            }
            Work::Node(node) if self.counts_as_rust_does() => self.deliver_notice(node, returns)?,
            Work::FirstStrong(node) => self.deliver_first_strong(node, returns)?,
            Work::Node(node) => self.deliver_node(node, returns)?,
            Work::Death(death) => {
                let cookie = self.deaths[death].cookie;
                if self.deaths[death].stage == Stage::Abandoned {
                    self.forget_death(death);
                } else if self.deaths[death].stage == Stage::Cleared {
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
            Work::FreezeMessage(cookie) => {
                let process = self.threads[thread].process;
                if self.deliver_freeze_message(process, cookie, returns)? {
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
    ) -> Result<Next, Fault> {
        let receiver = self.threads[thread].process;
        if let Some(node) = self.target_of(transaction) {
            self.take_on_priority(thread, transaction, self.nodes[node].least_nice);
        }
        let Ok(descriptors) = self.install_descriptors(transaction, returns.memory) else {
            return self.fail_to_deliver(receiver, transaction, returns);
        };
        if self.tell(thread, transaction, returns).is_err() {
            if self.profile.lost_transactions_are_given_back {
                descriptors.into_iter().for_each(|number| returns.memory.close(number));
                self.give_back(transaction, BR_FAILED_REPLY);
            } else {
                // Its buffer stays in use for good: the process was never told of it.
                self.cancel_transaction(transaction, BR_FAILED_REPLY);
            }
            return Err(Fault);
        }
        let expects_reply = self.expects_reply(transaction);
        let state = &mut self.transactions[transaction];
        let buffer = state.buffer;
        if expects_reply {
            state.to_parent = self.threads[thread].transaction_stack.replace(transaction);
            state.to_thread = Some(thread);
            if self.profile.freezing_waits_for_readers_only {
                self.end_outstanding(transaction);
            }
        } else {
            self.forget_transaction(transaction);
        }
        let allocator = &mut self.processes[receiver].allocator;
        if let Some(content) = buffer.and_then(|buffer| allocator.buffers[buffer].content.as_mut()) {
            content.allow_user_free = true;
        }
        Ok(Next::Stop)
    }

    /// Gives up a transaction whose descriptors its receiver cannot have. Who waits for an answer is told; the thread
    /// that reads only learns of it if it was an answer itself, and not from every driver.
    fn fail_to_deliver(
        &mut self,
        receiver: Key<Process>,
        transaction: Key<Transaction>,
        returns: &mut ReturnStream<'_>,
    ) -> Result<Next, Fault> {
        let buffer = self.transactions[transaction].buffer;
        let content = buffer.and_then(|buffer| self.processes[receiver].allocator.buffers[buffer].content);
        let is_reply = content.is_none_or(|content| content.target.is_none());
        self.cancel_transaction(transaction, BR_FAILED_REPLY);
        buffer.into_iter().for_each(|buffer| self.free_buffer(receiver, buffer));
        if !is_reply || self.profile.replies_without_descriptors_vanish {
            return Ok(Next::More);
        }
        returns.put(&BR_FAILED_REPLY)?;
        Ok(Next::Stop)
    }

    /// Which process makes a call that waits for an answer; 0 if there is none.
    fn sender_pid(&self, transaction: Key<Transaction>) -> i32 {
        let state = &self.transactions[transaction];
        let is_told = if self.profile.callers_outlive_threads {
            self.expects_reply(transaction) && !self.ended_pids.contains(&state.sender.pid)
        } else {
            state.from.is_some() && !self.ended_pids.contains(&state.sender.pid)
        };
        if is_told { state.sender.pid } else { 0 }
    }

    /// Tells a receiver of a transaction. Who sent it is the driver's word.
    fn tell(
        &self,
        thread: Key<Thread>,
        transaction: Key<Transaction>,
        returns: &mut ReturnStream<'_>,
    ) -> Result<(), Fault> {
        let state = &self.transactions[transaction];
        let reader = &self.threads[thread];
        let allocator = &self.processes[reader.process].allocator;
        let buffer =
            state.buffer.map(|buffer| (allocator.address_of(buffer), &allocator.buffers[buffer].content));
        let (address, content) = match buffer {
            Some((address, Some(content))) => (address, *content),
            // A buffer cannot be freed before its transaction has been delivered.
            _ => unreachable!("an undelivered transaction has its buffer"),
        };
        let target = content.target.map(|node| &self.nodes[node]);
        let transaction = TransactionData {
            target: target.map_or(0, |node| node.pointer),
            cookie: target.map_or(0, |node| node.cookie),
            code: state.code,
            flags: state.flags,
            sender_pid: self.sender_pid(transaction),
            sender_euid: self.user_as_known_to(reader.tid, state.sender_euid),
            data_size: content.data_size,
            offsets_size: content.offsets_size,
            buffer: address,
            offsets: match content.offsets_size {
                0 if self.profile.empty_tables_have_no_address => 0,
                _ => address + content.offsets_start(),
            },
        };
        if let Some(start) = content.security_context {
            returns.put(&BR_TRANSACTION_SEC_CTX)?;
            return returns.put(&TransactionDataSecctx { transaction, secctx: address + start });
        }
        returns.put(if target.is_some() { &BR_TRANSACTION } else { &BR_REPLY })?;
        returns.put(&transaction)
    }
}

/// A read buffer that is being filled. Its end is not looked at here: see [`LARGEST_RETURN`].
pub(crate) struct ReturnStream<'a> {
    memory: &'a mut dyn UserMemory,
    base: u64,
    written: &'a mut u64,
}

impl ReturnStream<'_> {
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result<(), Fault> {
        self.memory.put(self.base.wrapping_add(*self.written), value)?;
        *self.written += size_of::<T>() as u64;
        Ok(())
    }
}
