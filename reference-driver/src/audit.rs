//! Audits: every invariant of the driver's whole state, checked.
//!
//! Tests and fuzzers audit after every step. An audit walks all there is, so nothing else should.

use crate::buffer::Buffer;
use crate::driver::Driver;
use crate::node::{Node, Strength};
use crate::process::Process;
use crate::table::{Key, Notes};
use crate::thread::{Parked, Thread};
use crate::transaction::Transaction;
use crate::work::{Work, WorkQueue};

/// What the counts of nodes should be, added up from what holds them.
#[derive(Default, Clone, Copy)]
struct Holders {
    strong_references: u32,
    weak_references: u32,
    local_strong: u32,
    local_weak: u32,
}

/// Where a transaction is.
#[derive(Default, Clone, Copy)]
struct Whereabouts {
    queues: u32,
    stacks: u32,
    /// On the stack of the thread that has made it.
    with_caller: bool,
    /// On the stack of the thread that serves it.
    with_server: bool,
    /// Another was made in its course.
    is_parent: bool,
}

impl Driver {
    /// Says what is wrong with the driver's state, a sentence each. Anything at all is a bug of the reference
    /// driver, whatever processes have done to it.
    pub fn audit(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let complain = &mut |complaint: String| complaints.push(complaint);
        self.audit_census(complain);
        self.audit_references(complain);
        self.audit_nodes(complain);
        self.audit_threads(complain);
        self.audit_transactions(complain);
        self.audit_queues(complain);
        self.audit_freezes(complain);
        for (key, process) in self.processes.iter() {
            let mut prefixed = |complaint| complain(format!("process {key:?}: {complaint}"));
            process.allocator.audit(&mut prefixed);
        }
        complaints
    }

    /// What has been made and not unmade is what there is.
    fn audit_census(&self, complain: &mut dyn FnMut(String)) {
        let completions = self.all_queues().flat_map(|queue| self.queue(queue).iter().copied());
        let completions = completions.filter(|work| matches!(work, Work::TransactionComplete(_))).count();
        let statistics = &self.statistics;
        for (what, counted, there_are) in [
            ("processes", statistics.processes, self.processes.len()),
            ("threads", statistics.threads, self.threads.len()),
            ("nodes", statistics.nodes, self.nodes.len()),
            ("references", statistics.references, self.references.len()),
            ("deaths", statistics.deaths, self.deaths.len()),
            ("freezes", statistics.freezes, self.freezes.len()),
            ("transactions", statistics.transactions, self.transactions.len()),
            ("completions", statistics.completions, completions),
        ] {
            if counted.alive() != there_are as u64 {
                complain(format!("{} {what} should be alive, but {there_are} are", counted.alive()));
            }
        }
        let empty = self.nodes.len()
            + self.references.len()
            + self.transactions.len()
            + self.deaths.len()
            + self.freezes.len()
            == 0;
        if self.processes.len() == 0 && !empty {
            complain("something is left though every process is gone".to_owned());
        }
    }

    /// Each reference is found by its handle, by its node and from its node, and counts something.
    fn audit_references(&self, complain: &mut dyn FnMut(String)) {
        for (key, reference) in self.references.iter() {
            let Some(process) = self.processes.get(reference.process) else {
                complain(format!("reference {key:?} belongs to a process that is gone"));
                continue;
            };
            if process.handles.reference(reference.handle) != Some(key)
                || process.references_by_node.get(&reference.node) != Some(&key)
            {
                complain(format!("reference {key:?} cannot be found by its handle or its node"));
            }
            let listed =
                self.nodes.get(reference.node).and_then(|node| node.references.entry(reference.listed));
            if listed != Some(&key) {
                complain(format!("reference {key:?} is not listed by its node"));
            }
            if reference.strong == 0 && reference.weak == 0 {
                complain(format!("reference {key:?} counts nothing"));
            }
            if reference.death.is_some_and(|death| self.deaths.get(death).is_none()) {
                complain(format!("reference {key:?} waits for a death that is gone"));
            }
        }
        for (key, process) in self.processes.iter() {
            if process.handles.iter().count() != process.references_by_node.len() {
                complain(format!("process {key:?} has more handles than references, or fewer"));
            }
        }
    }

    /// Each node's counts are the sum of what holds it, and its owner knows it.
    fn audit_nodes(&self, complain: &mut dyn FnMut(String)) {
        let holders = self.holders();
        for (key, node) in self.nodes.iter() {
            let expected = holders.on(key);
            let mut compare = |what, counted, held| {
                if counted != held {
                    complain(format!("node {key:?} counts {counted} {what}, but {held} are held"));
                }
            };
            compare("strong references of processes", node.internal_strong, expected.strong_references);
            compare("weak references of processes", node.internal_weak, expected.weak_references);
            compare("temporary references", node.temporary, 0);
            if node.process.is_some_and(|owner| !self.processes[owner].has_lost_nodes) {
                compare("local strong references", node.local_strong, expected.local_strong);
                compare("local weak references", node.local_weak, expected.local_weak);
            }
            if node.pending_strong && !node.has_strong && node.work.is_none() && node.process.is_some() {
                complain(format!("node {key:?} awaits an answer for a reference that its owner has let go"));
            }
            match node.process {
                Some(process)
                    if !node.is_forgotten
                        && !node.is_lost
                        && self.node_at(process, node.pointer) != Some(key) =>
                {
                    complain(format!("node {key:?} cannot be found by its pointer"));
                }
                None if node.references.is_empty() => {
                    complain(format!("dead node {key:?} is kept though nothing refers to it"));
                }
                _ => {}
            }
            if !node.async_todo.is_empty() && !node.has_async_transaction {
                complain(format!("node {key:?} holds oneway messages back behind none"));
            }
        }
    }

    /// Adds up, for each node, what holds it.
    fn holders(&self) -> Notes<Node, Holders> {
        let mut holders: Notes<Node, Holders> = Notes::about(&self.nodes);
        for (_, reference) in self.references.iter() {
            let entry = holders.on_mut(reference.node);
            entry.strong_references += u32::from(reference.strong > 0);
            entry.weak_references += u32::from(reference.weak > 0);
        }
        for (key, node) in self.nodes.iter() {
            let entry = holders.on_mut(key);
            let manages = u32::from(self.is_context_manager_node(key));
            entry.local_strong += manages + u32::from(node.pending_strong);
            entry.local_weak += u32::from(node.pending_weak);
            entry.local_weak += if self.counts_as_rust_does() { 0 } else { manages };
        }
        for (process, buffer) in self.buffers_in_use_everywhere() {
            let content = self.processes[process].allocator.buffers[buffer].content;
            if let Some(node) = content.and_then(|content| content.target) {
                holders.on_mut(node).local_strong += 1;
            }
            for (pointer, strength) in self.local_objects_in_buffer(process, buffer) {
                let Some(node) = self.node_at(process, pointer) else { continue };
                let entry = holders.on_mut(node);
                match strength {
                    Strength::Strong => entry.local_strong += 1,
                    Strength::Weak => entry.local_weak += 1,
                }
            }
        }
        holders
    }

    fn buffers_in_use_everywhere(&self) -> impl Iterator<Item = (Key<Process>, Key<Buffer>)> {
        self.processes.iter().flat_map(|(process, state)| {
            let used = state.allocator.buffers.iter().filter(|(_, buffer)| buffer.content.is_some());
            used.map(move |(buffer, _)| (process, buffer))
        })
    }

    /// Each thread is known to its process, sleeps only if it is listed so, and has a stack that ends.
    fn audit_threads(&self, complain: &mut dyn FnMut(String)) {
        for (key, thread) in self.threads.iter() {
            let process = &self.processes[thread.process];
            if process.threads.get(&thread.tid) != Some(&key) {
                complain(format!("thread {key:?} is not known to its process"));
            }
            let waits = thread.waiting.is_some();
            if waits && process.waiting_threads.positions().all(|place| Some(place) != thread.waiting) {
                complain(format!("thread {key:?} is not listed as waiting"));
            }
            let takes_process_work =
                matches!(&thread.parked, Some(Parked::Read(read)) if read.takes_process_work);
            if waits && !takes_process_work || thread.woken && thread.parked.is_none() {
                complain(format!("thread {key:?} waits without sleeping"));
            }
            if thread.process_todo && thread.todo.is_empty() {
                complain(format!("thread {key:?} is to take up a queue that is empty"));
            }
            let errors = [(Work::ReturnError, thread.return_error), (Work::ReplyError, thread.reply_error)];
            for (work, error) in errors {
                if thread.todo.iter().filter(|queued| **queued == work).count() > usize::from(error.is_some())
                {
                    complain(format!("thread {key:?} is to be told of an error that it has not made"));
                }
            }
            if self.stack(key).count() > self.transactions.len() {
                complain(format!("the transaction stack of thread {key:?} goes round"));
            }
        }
        for (key, process) in self.processes.iter() {
            let of_it = |poller: &Key<Thread>| {
                self.threads
                    .get(*poller)
                    .is_some_and(|thread| thread.process == key && thread.poll_queue.is_some())
            };
            if !process.pollers.iter().all(of_it) {
                complain(format!("process {key:?} has a poller that is not of its threads"));
            }
            if process.requested_threads > 1 {
                complain(format!("process {key:?} has been asked for {} threads", process.requested_threads));
            }
        }
    }

    /// The calls on a thread's stack, the last first; one more than there are calls if it goes round.
    fn stack(&self, thread: Key<Thread>) -> impl Iterator<Item = Key<Transaction>> {
        let below = move |call: &Key<Transaction>| {
            let state = self.transactions.get(*call)?;
            if state.to_thread == Some(thread) { state.to_parent } else { state.from_parent }
        };
        std::iter::successors(self.threads[thread].transaction_stack, below).take(self.transactions.len() + 1)
    }

    /// Each transaction waits in at most one queue. A call is on the stacks of the threads that made it and that
    /// serve it; when both are gone, what was called in its course still knows that there was one.
    fn audit_transactions(&self, complain: &mut dyn FnMut(String)) {
        let whereabouts = self.whereabouts(complain);
        for (key, transaction) in self.transactions.iter() {
            let Whereabouts { queues, stacks, with_caller, with_server, is_parent } = whereabouts.on(key);
            if queues > 1 || queues == 0 && stacks == 0 && !is_parent {
                complain(format!("transaction {key:?} is in {queues} queues and on {stacks} stacks"));
            }
            if transaction.from.is_some() && !with_caller {
                complain(format!("call {key:?} is not on the stack of its caller"));
            }
            let is_served = queues == 0 && transaction.to_process.is_some();
            if is_served && transaction.to_thread.is_some() && !with_server {
                complain(format!("call {key:?} is not on the stack of the thread that serves it"));
            }
            if !transaction.files.is_empty() && queues == 0 {
                complain(format!("transaction {key:?} has been delivered, and still holds files"));
            }
            if let Some((process, buffer)) = transaction.to_process.zip(transaction.buffer) {
                let allocator = self.processes.get(process).map(|process| &process.allocator);
                let size = allocator.and_then(|allocator| Some(allocator.buffers.get(buffer)?.size));
                if transaction.files.iter().any(|file| Some(file.place + 4) > size) {
                    complain(format!("transaction {key:?} has a descriptor that lies outside of its buffer"));
                }
                let buffer = allocator.and_then(|allocator| allocator.buffers.get(buffer)?.content);
                if buffer.and_then(|content| content.transaction) != Some(key) {
                    complain(format!("transaction {key:?} and its buffer do not know each other"));
                }
            }
        }
        for (key, process) in self.processes.iter() {
            let outstanding = self
                .transactions
                .iter()
                .filter(|(_, call)| call.is_outstanding && call.to_process == Some(key))
                .count();
            if process.outstanding_transactions as usize != outstanding {
                let counted = process.outstanding_transactions;
                complain(format!(
                    "process {key:?} counts {counted} transactions sent to it, not {outstanding}"
                ));
            }
        }
    }

    /// Where each transaction is.
    fn whereabouts(&self, complain: &mut dyn FnMut(String)) -> Notes<Transaction, Whereabouts> {
        let mut whereabouts: Notes<Transaction, Whereabouts> = Notes::about(&self.transactions);
        let gone = |transaction: Key<Transaction>| {
            format!("transaction {transaction:?} is gone, but still queued or on a stack")
        };
        for work in self.all_queues().flat_map(|queue| self.queue(queue).iter()) {
            let Work::Transaction(transaction) = *work else { continue };
            match self.transactions.get(transaction) {
                Some(_) => whereabouts.on_mut(transaction).queues += 1,
                None => complain(gone(transaction)),
            }
        }
        for (thread, _) in self.threads.iter() {
            for call in self.stack(thread) {
                let Some(state) = self.transactions.get(call) else {
                    complain(gone(call));
                    continue;
                };
                let note = whereabouts.on_mut(call);
                note.stacks += 1;
                note.with_caller |= state.from == Some(thread);
                note.with_server |= state.to_thread == Some(thread);
            }
        }
        for parent in self.transactions.iter().filter_map(|(_, call)| call.from_parent) {
            if self.transactions.get(parent).is_some() {
                whereabouts.on_mut(parent).is_parent = true;
            }
        }
        whereabouts
    }

    /// Nodes, deaths and freezes in queues know where they are, and are of the process whose queue it is.
    fn audit_queues(&self, complain: &mut dyn FnMut(String)) {
        for queue in self.all_queues() {
            for position in self.queue(queue).positions() {
                let place = match self.queue(queue).entry(position) {
                    Some(Work::Node(node)) => self.nodes.get(*node).and_then(|node| node.work),
                    Some(Work::Freeze(listener)) => {
                        self.freezes.get(*listener).and_then(|freeze| freeze.work)
                    }
                    Some(Work::Death(death)) => self.deaths.get(*death).and_then(|death| death.work),
                    _ => continue,
                };
                if place.map(|place| (place.queue, place.position)) != Some((queue, position)) {
                    complain(format!("work in {queue:?} does not know that it is there"));
                }
            }
        }
        let waiting = self.nodes.iter().filter_map(|(_, node)| node.work);
        let deaths = self.deaths.iter().filter_map(|(_, death)| death.work);
        let freezes = self.freezes.iter().filter_map(|(_, freeze)| freeze.work);
        for place in waiting.chain(deaths).chain(freezes) {
            if self.queue(place.queue).entry(place.position).is_none() {
                complain(format!("work believes to be in {:?}, and is not", place.queue));
            }
        }
    }

    /// A freeze notification is asked for by one reference, or has been cleared and waits to be told so; and whoever
    /// waits to freeze a process sleeps in BINDER_FREEZE.
    fn audit_freezes(&self, complain: &mut dyn FnMut(String)) {
        let asked: Vec<_> = self.references.iter().filter_map(|(_, reference)| reference.freeze).collect();
        for (key, listener) in self.freezes.iter() {
            let references = asked.iter().filter(|asked| **asked == key).count();
            if references != usize::from(!listener.is_cleared) {
                complain(format!("{references} references ask for freeze notification {key:?}"));
            }
            if listener.is_cleared && listener.work.is_none() {
                complain(format!("nobody will be told that freeze notification {key:?} is cleared"));
            }
        }
        if let Some(gone) = asked.iter().find(|asked| self.freezes.get(**asked).is_none()) {
            complain(format!("a reference asks for freeze notification {gone:?}, which is gone"));
        }
        for (key, reference) in self.references.iter() {
            let Some(cookie) = reference.freeze_cookie else { continue };
            let requests = self.processes[reference.process].requests_by_cookie.get(&cookie);
            if requests.is_none_or(|requests| requests.is_cleared || requests.reference != key) {
                complain(format!("reference {key:?} is not known to ask for freeze notifications"));
            }
        }
        for (key, process) in self.processes.iter() {
            for requests in process.requests_by_cookie.values().filter(|requests| !requests.is_cleared) {
                if self.references.get(requests.reference).is_none_or(|reference| reference.process != key) {
                    complain(format!(
                        "process {key:?} asks for freeze notifications of what it does not have"
                    ));
                }
            }
            let sleeps = |thread: &Key<Thread>| {
                let thread = self.threads.get(*thread);
                thread.is_some_and(|thread| matches!(thread.parked, Some(Parked::Freeze(_))))
            };
            if !process.freezer.waiting().iter().all(sleeps) {
                complain(format!("process {key:?} is waited for by a thread that does not sleep for that"));
            }
        }
    }

    fn all_queues(&self) -> impl Iterator<Item = WorkQueue> {
        let threads = self.threads.iter().map(|(thread, _)| WorkQueue::Thread(thread));
        let nodes = self.nodes.iter().map(|(node, _)| WorkQueue::Asynchronous(node));
        let processes = self.processes.iter().flat_map(|(process, _)| {
            [
                WorkQueue::Process(process),
                WorkQueue::DeliveredDeaths(process),
                WorkQueue::DeliveredFreezes(process),
            ]
        });
        threads.chain(nodes).chain(processes)
    }
}
