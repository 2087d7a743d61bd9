//! Sending: calls, oneway messages and replies, from the command of a thread into the queue of another.

use crate::buffer::{Buffer, Request};
use crate::driver::Driver;
use crate::extended_error::Rejection;
use crate::memory::UserMemory;
use crate::node::{Node, Strength};
use crate::object::{NotFilled, Passage};
use crate::process::Process;
use crate::report::Findings;
use crate::table::Key;
use crate::thread::Thread;
use crate::transaction::{Sender, Transaction};
use crate::uapi::*;
use crate::work::{Acceptance, Work, WorkQueue};

/// What a thread sends.
pub(crate) struct Sending<'a> {
    pub(crate) thread: Key<Thread>,
    /// The process of the system that sends: of a device that a child has inherited, the child.
    pub(crate) pid: i32,
    /// The user that its receiver is told.
    pub(crate) euid: u32,
    pub(crate) data: TransactionDataSg,
    pub(crate) direction: Direction,
    pub(crate) memory: &'a dyn UserMemory,
}

/// Whether a command asks for something or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Call,
    Reply,
}

/// Which thread of the callee's process a call goes to.
#[derive(Clone, Copy)]
enum Callee {
    /// Any that is free.
    Any,
    /// The one that waits, further down the stack, for the calling thread.
    Waiting(Key<Thread>),
    /// That one, which had this id, but has ended.
    Ended(i32),
}

/// Why a transaction does not go out.
enum Failure {
    /// The sender is told.
    ToSender(Rejection),
    /// A reply fails: who waits for it is told this BR_ code, and the sender that all is well.
    ToCaller(Key<Transaction>, u32, Rejection),
}

/// Where a transaction goes.
struct Destination {
    process: Key<Process>,
    thread: Option<Key<Thread>>,
    /// The node that is called; `None` for a reply.
    node: Option<Key<Node>>,
    /// Whether the node, or the call that is answered, takes descriptors.
    takes_descriptors: bool,
}

impl Driver {
    /// BC_TRANSACTION, BC_REPLY and what is like them with scatter-gather buffers. That a transaction fails is told by
    /// the next read, and is no error here.
    pub(crate) fn transact(&mut self, sending: &Sending<'_>) {
        let Sending { thread, ref data, direction, .. } = *sending;
        let id = self.begin_transaction(thread);
        self.findings = Findings::default();
        let sent = match direction {
            Direction::Call => self.call(sending),
            Direction::Reply => self.reply(sending),
        };
        if self.findings.is_suspect {
            self.report(thread, &data.transaction, direction, BR_ONEWAY_SPAM_SUSPECT);
        }
        let error = match &sent {
            Ok(()) => self.findings.is_pending.then_some(BR_TRANSACTION_PENDING_FROZEN),
            Err(Failure::ToSender(rejection)) => Some(rejection.command),
            Err(Failure::ToCaller(..)) if self.profile.replies_fail_alike => Some(BR_FAILED_REPLY),
            Err(Failure::ToCaller(_, _, rejection)) => Some(rejection.command),
        };
        if let Some(error) = error {
            self.report(thread, &data.transaction, direction, error);
        }
        match sent {
            Ok(()) => {}
            Err(Failure::ToSender(rejection)) => {
                self.note_error(thread, id, rejection);
                self.set_return_error(thread, rejection.command);
            }
            Err(Failure::ToCaller(call, answer, rejection)) => {
                if let Some(caller) = self.transactions[call].from {
                    self.note_error_of_reply(caller, id, rejection);
                }
                if self.profile.replies_fail_alike {
                    self.send_failed_reply(call, answer);
                    self.set_return_error(thread, BR_TRANSACTION_COMPLETE);
                } else {
                    self.set_return_error(thread, BR_TRANSACTION_COMPLETE);
                    self.send_failed_reply(call, answer);
                }
            }
        }
    }

    fn set_return_error(&mut self, thread: Key<Thread>, error: u32) {
        self.threads[thread].return_error = Some(error);
        self.enqueue_thread_work(thread, Work::ReturnError);
    }

    fn call(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        let Sending { thread, ref data, .. } = *sending;
        let is_oneway = data.transaction.flags & TF_ONE_WAY != 0;
        let (node, process) = self.callee(thread, data).map_err(Failure::ToSender)?;
        if self.profile.reports_name_processes_first {
            self.findings.to_pid = Some(self.processes[process].pid);
        }
        let callee = match self.may_call(thread, process, is_oneway) {
            Ok(callee) => callee,
            Err(rejection) => {
                self.abandon_callee(node);
                return Err(Failure::ToSender(rejection));
            }
        };
        let (waiting, callee_tid) = match callee {
            Callee::Waiting(thread) => (Some(thread), Some(self.threads[thread].tid)),
            Callee::Any => (None, None),
            Callee::Ended(tid) => (None, Some(tid)),
        };
        self.findings.to_pid = Some(self.processes[process].pid);
        if !self.profile.reports_name_processes_first {
            self.findings.to_tid = callee_tid;
        }
        let takes_descriptors = self.nodes[node].takes_descriptors;
        let destination = Destination { process, thread: waiting, node: Some(node), takes_descriptors };
        let transaction = self.prepare(sending, &destination)?;
        self.findings.to_tid = callee_tid;
        if let Callee::Ended(_) = callee {
            let is_refused = self.refuses_as_frozen(process, is_oneway);
            if is_refused {
                // It has not got as far as that thread.
                self.findings.to_tid = None;
            }
            self.retract(transaction, node, process);
            let command = if is_refused { BR_FROZEN_REPLY } else { BR_DEAD_REPLY };
            return Err(Failure::ToSender(Rejection::plain(command)));
        }
        if is_oneway {
            match self.send(transaction, node, process, None) {
                Ok(acceptance) => {
                    self.findings.is_pending = acceptance == Acceptance::PendingFrozen;
                    if self.findings.is_pending && self.profile.pending_is_an_error {
                        self.set_return_error(thread, BR_TRANSACTION_PENDING_FROZEN);
                    } else {
                        self.complete(thread, acceptance);
                    }
                }
                Err(rejection) => {
                    self.retract(transaction, node, process);
                    return Err(Failure::ToSender(rejection));
                }
            }
        } else {
            let completion =
                self.enqueue(WorkQueue::Thread(thread), Work::TransactionComplete(Acceptance::Plain));
            self.statistics.completions.create();
            self.transactions[transaction].from_parent = self.threads[thread].transaction_stack;
            self.threads[thread].transaction_stack = Some(transaction);
            if let Err(rejection) = self.send(transaction, node, process, destination.thread) {
                // It has not got as far as that thread.
                if self.profile.reports_name_processes_first && rejection.command == BR_FROZEN_REPLY {
                    self.findings.to_tid = None;
                }
                self.pop_transaction(thread, transaction);
                self.dequeue(completion);
                self.statistics.completions.delete();
                self.retract(transaction, node, process);
                return Err(Failure::ToSender(rejection));
            }
        }
        self.let_go_of_node(node);
        Ok(())
    }

    /// The node that a handle calls and its owner; or why there is none. The node comes with a strong and a
    /// temporary reference.
    fn callee(
        &mut self,
        thread: Key<Thread>,
        data: &TransactionDataSg,
    ) -> Result<(Key<Node>, Key<Process>), Rejection> {
        const DEAD: Rejection = Rejection::dead(Errno::EINVAL);
        const FAILED: Rejection = Rejection::failed(Errno::EINVAL);
        let caller = self.threads[thread].process;
        let handle = data.transaction.target as u32;
        let node = if handle == 0 {
            self.context_manager(caller).ok_or(DEAD)?
        } else {
            let reference = self.strong_reference(caller, handle).map_err(Rejection::failed)?;
            self.references[reference].node
        };
        if self.profile.reports_name_processes_first && handle != 0 {
            self.findings.to_pid = Some(self.nodes[node].owner_pid);
        }
        let owner = self.nodes[node].process.ok_or_else(|| {
            let is_oneway = data.transaction.flags & TF_ONE_WAY != 0;
            if self.profile.stack_is_looked_at_first && !is_oneway && self.waits_for_answer(thread) {
                return self.stack_forbids();
            }
            let TransactionData { data_size, offsets_size, .. } = data.transaction;
            let request = Request {
                data_size,
                offsets_size,
                buffers_size: data.buffers_size,
                is_async: false,
                sender_pid: 0,
            };
            let is_impossible = self.profile.sizes_are_looked_at_first && request.check_sizes().is_err();
            if is_impossible { FAILED } else { DEAD }
        })?;
        let is_own_manager = handle == 0
            && self.profile.manager_is_known_by_pid
            && self.processes[owner].pid == self.processes[caller].pid;
        if owner == caller || is_own_manager {
            return Err(FAILED);
        }
        self.take_local(node, Strength::Strong);
        self.hold_node(node);
        Ok((node, owner))
    }

    fn abandon_callee(&mut self, node: Key<Node>) {
        self.drop_local(node, Strength::Strong);
        self.let_go_of_node(node);
    }

    fn stack_forbids(&self) -> Rejection {
        Rejection::failed(self.profile.stack_error)
    }

    /// Whether the last thing that a thread has done was to call.
    fn waits_for_answer(&self, thread: Key<Thread>) -> bool {
        let top = self.threads[thread].transaction_stack;
        top.is_some_and(|top| self.transactions[top].to_thread != Some(thread))
    }

    /// Whether a thread may call now, and whom the call must go to. Oneway messages may always go, to any thread.
    fn may_call(
        &self,
        thread: Key<Thread>,
        callee: Key<Process>,
        is_oneway: bool,
    ) -> Result<Callee, Rejection> {
        if is_oneway {
            return Ok(Callee::Any);
        }
        let state = &self.threads[thread];
        let has_unread = self.profile.unread_transactions_forbid_calls
            && matches!(state.todo.first(), Some(Work::Transaction(_)));
        if has_unread || self.waits_for_answer(thread) {
            return Err(self.stack_forbids());
        }
        let stack =
            std::iter::successors(state.transaction_stack, |call| self.transactions[*call].from_parent);
        if self.profile.callers_outlive_threads {
            let serial = self.processes[callee].serial;
            let call = stack.map(|call| &self.transactions[call]).find(|call| call.sender.serial == serial);
            return Ok(call.map_or(Callee::Any, |call| {
                call.from.map_or(Callee::Ended(call.sender.tid), Callee::Waiting)
            }));
        }
        let mut callers = stack.filter_map(|call| self.transactions[call].from);
        let waiting = callers.find(|from| self.threads[*from].process == callee);
        Ok(waiting.map_or(Callee::Any, Callee::Waiting))
    }

    fn reply(&mut self, sending: &Sending<'_>) -> Result<(), Failure> {
        let thread = sending.thread;
        let call = self.threads[thread].transaction_stack;
        let served = call.filter(|call| self.transactions[*call].to_thread == Some(thread));
        let call = served.ok_or(Failure::ToSender(self.stack_forbids()))?;
        self.threads[thread].transaction_stack = self.transactions[call].to_parent;
        self.give_priority_back(thread, call);

        let Some(caller) = self.transactions[call].from else {
            return self.reply_to_nobody(sending, call);
        };
        if self.threads[caller].transaction_stack != Some(call) {
            return Err(Failure::ToSender(self.stack_forbids()));
        }
        let process = self.threads[caller].process;
        self.findings.to_pid = Some(self.processes[process].pid);
        self.findings.to_tid = Some(self.threads[caller].tid);
        let takes_descriptors = self.transactions[call].flags & TF_ACCEPT_FDS != 0;
        let destination = Destination { process, thread: Some(caller), node: None, takes_descriptors };
        let transaction = match self.prepare(sending, &destination) {
            Ok(transaction) => transaction,
            Err(Failure::ToSender(rejection)) if self.profile.replies_fail_alike => {
                return Err(Failure::ToCaller(call, BR_FAILED_REPLY, rejection));
            }
            Err(Failure::ToSender(rejection)) => {
                return Err(Failure::ToCaller(call, rejection.command, rejection));
            }
            Err(other) => return Err(other),
        };
        self.complete(thread, Acceptance::Plain);
        self.pop_transaction(caller, call);
        self.enqueue_thread_work(caller, Work::Transaction(transaction));
        self.begin_outstanding(transaction, process);
        self.wake(caller);
        self.forget_transaction(call);
        Ok(())
    }

    /// The reply to a call whose caller has ended. Whoever waits for *that* thread learns that there will be no answer.
    fn reply_to_nobody(&mut self, sending: &Sending<'_>, call: Key<Transaction>) -> Result<(), Failure> {
        let undeliverable = Failure::ToCaller(call, BR_DEAD_REPLY, Rejection::plain(BR_DEAD_REPLY));
        if !self.profile.callers_outlive_threads {
            return Err(undeliverable);
        }
        let Sender { pid, tid, .. } = self.transactions[call].sender;
        self.findings = Findings { to_pid: Some(pid), to_tid: Some(tid), ..self.findings };
        let process = self.processes_by_serial.get(&self.transactions[call].sender.serial);
        let process = process.copied().filter(|process| !self.processes[*process].is_dead);
        let Some(process) = process else { return Err(undeliverable) };
        let takes_descriptors = self.transactions[call].flags & TF_ACCEPT_FDS != 0;
        let destination = Destination { process, thread: None, node: None, takes_descriptors };
        match self.prepare(sending, &destination) {
            Ok(reply) => {
                self.complete(sending.thread, Acceptance::Plain);
                self.unmake(reply, process, u64::MAX);
                self.send_failed_reply(call, BR_DEAD_REPLY);
                Ok(())
            }
            Err(Failure::ToSender(_)) => Err(undeliverable),
            Err(other) => Err(other),
        }
    }

    /// Tells a thread that its message or reply is on its way.
    fn complete(&mut self, thread: Key<Thread>, acceptance: Acceptance) {
        self.statistics.completions.create();
        let is_untold = acceptance == Acceptance::SpamSuspect
            && self.profile.spam_detection.heeds_switch_when_sent
            && !self.detects_oneway_spam(thread);
        let acceptance = if is_untold { Acceptance::Plain } else { acceptance };
        self.enqueue_thread_work(thread, Work::TransactionComplete(acceptance));
    }

    /// Makes a transaction, with its payload in the receiver's mapping. If that fails, nothing of it is left.
    fn prepare(
        &mut self,
        sending: &Sending<'_>,
        destination: &Destination,
    ) -> Result<Key<Transaction>, Failure> {
        let Sending { thread, euid, ref data, direction, memory, .. } = *sending;
        let header = &data.transaction;
        let is_call = direction == Direction::Call;
        let is_async = is_call && header.flags & TF_ONE_WAY != 0;
        let wants_context = destination.node.is_some_and(|node| self.nodes[node].wants_security_context);
        let context = self.security_context.clone().filter(|_| wants_context);
        let room = match &context {
            None if wants_context => Err(Errno::EOPNOTSUPP),
            context => {
                let length = context.as_ref().map_or(0, |context| context.len().next_multiple_of(8));
                self.take_room(sending, destination.process, length)
            }
        };
        let buffer = match room {
            Ok(buffer) => buffer,
            Err(errno) => {
                destination.node.into_iter().for_each(|node| self.abandon_callee(node));
                let takes_transactions = self.processes[destination.process].allocator.takes_transactions();
                return Err(Failure::ToSender(match errno {
                    Errno::ESRCH if !takes_transactions => Rejection::dead(errno),
                    _ => Rejection::failed(errno),
                }));
            }
        };
        let content = self.processes[destination.process].allocator.buffers[buffer].content;
        self.findings.is_suspect = content.is_some_and(|content| content.oneway_spam_suspect);
        let sender = &self.processes[self.threads[thread].process];
        let sender = Sender { serial: sender.serial, pid: sender.pid, tid: self.threads[thread].tid };
        let transaction = self.transactions.insert(Transaction {
            from: (is_call && !is_async).then_some(thread),
            from_parent: None,
            to_process: Some(destination.process),
            to_thread: destination.thread,
            to_parent: None,
            buffer: Some(buffer),
            code: header.code,
            flags: header.flags,
            sender_euid: euid,
            nice: self.priority(self.threads[thread].tid),
            nice_before: 0,
            files: Vec::new(),
            sender,
            is_outstanding: false,
        });
        self.statistics.transactions.create();
        let allocator = &mut self.processes[destination.process].allocator;
        if let Some(content) = &mut allocator.buffers[buffer].content {
            content.target = destination.node;
            content.transaction = Some(transaction);
            content.clear_on_free = header.flags & TF_CLEAR_BUF != 0;
        }
        if let Some(context) = context {
            allocator.append_security_context(buffer, &context);
        }
        let passage = Passage {
            sender: thread,
            receiver: destination.process,
            buffer,
            data,
            memory,
            takes_descriptors: destination.takes_descriptors,
        };
        match self.fill(&passage) {
            Ok(files) => {
                self.transactions[transaction].files = files;
                Ok(transaction)
            }
            Err(NotFilled { translated, reason }) => {
                self.findings.is_suspect &= self.profile.reports_name_processes_first;
                self.unmake(transaction, destination.process, translated);
                destination.node.into_iter().for_each(|node| self.let_go_of_node(node));
                Err(Failure::ToSender(Rejection::failed(reason)))
            }
        }
    }

    /// Takes room in the receiver's mapping for what is sent, and behind that for a security context of so many bytes.
    fn take_room(
        &mut self,
        sending: &Sending<'_>,
        receiver: Key<Process>,
        context: usize,
    ) -> Result<Key<Buffer>, Errno> {
        let TransactionData { data_size, offsets_size, flags, .. } = sending.data.transaction;
        let request = |buffers_size| Request {
            data_size,
            offsets_size,
            buffers_size,
            is_async: flags & TF_ONE_WAY != 0
                && (sending.direction == Direction::Call
                    || self.profile.oneway_replies_take_room_for_messages),
            sender_pid: sending.pid,
        };
        let looks_first = self.profile.sizes_are_looked_at_first;
        let buffers_size = sending.data.buffers_size;
        let request = match buffers_size.checked_add(context as u64) {
            Some(with_context) => request(with_context),
            None if looks_first => return request(buffers_size).check_sizes().and(Err(Errno::ENOMEM)),
            None => return Err(Errno::EINVAL),
        };
        if looks_first {
            request.check_sizes()?;
        }
        self.processes[receiver].allocator.allocate(request)
    }

    /// Queues a call or message. It is rejected if its process is frozen and it is a call, or if the process is dead,
    /// which a node's owner can be only while it is being released.
    fn send(
        &mut self,
        transaction: Key<Transaction>,
        node: Key<Node>,
        process: Key<Process>,
        thread: Option<Key<Thread>>,
    ) -> Result<Acceptance, Rejection> {
        let is_oneway = self.transactions[transaction].flags & TF_ONE_WAY != 0;
        let waits_for_earlier =
            is_oneway && std::mem::replace(&mut self.nodes[node].has_async_transaction, true);
        if self.refuses_as_frozen(process, is_oneway) {
            return Err(Rejection::plain(BR_FROZEN_REPLY));
        }
        if self.processes[process].is_dead {
            return Err(Rejection::plain(BR_DEAD_REPLY));
        }
        let thread = match thread {
            None if !waits_for_earlier => self.select_thread(process),
            thread => thread,
        };
        let work = Work::Transaction(transaction);
        if let Some(thread) = thread {
            self.enqueue_thread_work(thread, work);
            self.wake(thread);
        } else if waits_for_earlier {
            self.supersede(transaction, node, process);
            self.enqueue(WorkQueue::Asynchronous(node), work);
        } else {
            self.enqueue(WorkQueue::Process(process), work);
            self.call_pollers(process);
        }
        self.begin_outstanding(transaction, process);
        Ok(self.acceptance_of(transaction, process, is_oneway))
    }

    /// Undoes what [`Driver::prepare`] did for a call or message that could not be queued.
    fn retract(&mut self, transaction: Key<Transaction>, node: Key<Node>, process: Key<Process>) {
        self.unmake(transaction, process, u64::MAX);
        self.let_go_of_node(node);
    }

    /// Leaves nothing of a transaction that is in no queue and on no stack, and of whose objects so many have been
    /// translated.
    fn unmake(&mut self, transaction: Key<Transaction>, receiver: Key<Process>, objects: u64) {
        if let Some(buffer) = self.transactions[transaction].buffer {
            self.release_buffer(receiver, buffer, objects);
        }
        self.transactions.remove(transaction);
        self.statistics.transactions.delete();
    }

    fn acceptance_of(
        &self,
        transaction: Key<Transaction>,
        process: Key<Process>,
        is_oneway: bool,
    ) -> Acceptance {
        let state = &self.processes[process];
        if is_oneway && state.freezer.is_frozen && self.profile.has_pending_frozen {
            return Acceptance::PendingFrozen;
        }
        let content =
            self.transactions[transaction].buffer.and_then(|buffer| state.allocator.buffers[buffer].content);
        match content {
            Some(content) if content.oneway_spam_suspect => Acceptance::SpamSuspect,
            _ => Acceptance::Plain,
        }
    }
}
