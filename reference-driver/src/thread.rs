//! Threads: what the driver keeps for each thread that calls it, and how they fall asleep and are woken.

use crate::driver::Driver;
use crate::freeze::ParkedFreeze;
use crate::polling::PollQueue;
use crate::process::Process;
use crate::queue::{Position, Queue};
use crate::read::ParkedRead;
use crate::table::Key;
use crate::transaction::Transaction;
use crate::uapi::ExtendedError;
use crate::work::Work;

/// A thread, as one open device knows it (`struct binder_thread`).
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) process: Key<Process>,
    pub(crate) tid: i32,
    pub(crate) looper: Looper,
    /// The next read returns at once, with or without work: set for a thread that is new to the driver, and by
    /// a flush.
    pub(crate) need_return: bool,
    /// The call that the thread made or serves last; earlier ones hang below it.
    pub(crate) transaction_stack: Option<Key<Transaction>>,
    pub(crate) todo: Queue<Work>,
    /// `todo` holds work to wake up for, not only what can wait for the next occasion.
    pub(crate) process_todo: bool,
    /// What [`Work::ReturnError`] will say, while it is in `todo`.
    pub(crate) return_error: Option<u32>,
    /// What [`Work::ReplyError`] will say, while it is in `todo`.
    pub(crate) reply_error: Option<u32>,
    /// What BINDER_GET_EXTENDED_ERROR will tell.
    pub(crate) extended_error: ExtendedError,
    /// The call in which the thread sleeps.
    pub(crate) parked: Option<Parked>,
    /// Where the process lists it as sleeping for want of work.
    pub(crate) waiting: Option<Position>,
    /// Where it waits when it polls, if it ever has.
    pub(crate) poll_queue: Option<PollQueue>,
    /// It sleeps no longer, but has not run yet.
    pub(crate) woken: bool,
}

/// A call in which a thread sleeps.
#[derive(Debug, Clone)]
pub(crate) enum Parked {
    /// A BINDER_WRITE_READ that reads.
    Read(ParkedRead),
    /// A BINDER_FREEZE.
    Freeze(ParkedFreeze),
}

/// What a thread has said about its place in the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Looper {
    /// BC_REGISTER_LOOPER
    pub(crate) registered: bool,
    /// BC_ENTER_LOOPER
    pub(crate) entered: bool,
}

impl Looper {
    /// Whether the thread is of the pool. BC_EXIT_LOOPER and wrong uses do not change it.
    pub(crate) fn is_member(self) -> bool {
        self.registered || self.entered
    }
}

impl Driver {
    /// The thread that calls, which the driver may see for the first time.
    pub(crate) fn calling_thread(&mut self, process: Key<Process>, tid: i32) -> Key<Thread> {
        if let Some(thread) = self.processes[process].threads.get(&tid) {
            return *thread;
        }
        let thread = self.threads.insert(Thread {
            process,
            tid,
            looper: Looper::default(),
            need_return: self.profile.first_read_returns,
            transaction_stack: None,
            todo: Queue::default(),
            process_todo: false,
            return_error: None,
            reply_error: None,
            extended_error: self.first_error(),
            parked: None,
            waiting: None,
            poll_queue: None,
            woken: false,
        });
        self.processes[process].threads.insert(tid, thread);
        self.statistics.threads.create();
        thread
    }

    /// Whether the thread could take work of its process: it is in no call and has nothing of its own to do.
    pub(crate) fn is_free_for_process_work(&self, thread: Key<Thread>) -> bool {
        let state = &self.threads[thread];
        state.transaction_stack.is_none()
            && self.first_work(thread).is_none()
            && (state.looper.is_member() || !self.profile.process_work_is_for_loopers)
    }

    /// The first work of the thread's own, if it may be taken up now.
    pub(crate) fn first_work(&self, thread: Key<Thread>) -> Option<Work> {
        let state = &self.threads[thread];
        let may_be_taken_up = state.process_todo || self.profile.deferred_work_comes_first;
        state.todo.first().filter(|_| may_be_taken_up).copied()
    }

    /// Whether a read by the thread has reason to return.
    pub(crate) fn has_work(&self, thread: Key<Thread>, takes_process_work: bool) -> bool {
        let thread = &self.threads[thread];
        thread.process_todo
            || thread.need_return
            || takes_process_work && !self.processes[thread.process].todo.is_empty()
    }

    /// The thread that shall take the process' next work, of those that sleep for want of it. It is then off
    /// the list, and must be woken.
    pub(crate) fn select_thread(&mut self, process: Key<Process>) -> Option<Key<Thread>> {
        let thread = self.processes[process].waiting_threads.pop_first()?;
        self.threads[thread].waiting = None;
        Some(thread)
    }

    /// Wakes a thread for work of the process, if one sleeps for want of it, or else those that poll.
    pub(crate) fn wake_process(&mut self, process: Key<Process>) {
        match self.select_thread(process) {
            Some(thread) => self.wake(thread),
            None => self.call_pollers(process),
        }
    }

    /// Wakes a thread, if it sleeps in a read or polls. It goes on reading when the adapter resumes it.
    pub(crate) fn wake(&mut self, thread: Key<Thread>) {
        self.call_poller(thread);
        self.wake_reader(thread);
    }

    /// Wakes a thread, if it sleeps in a read.
    pub(crate) fn wake_reader(&mut self, thread: Key<Thread>) {
        if matches!(self.threads[thread].parked, Some(Parked::Read(_))) {
            self.wake_parked(thread);
        }
    }

    /// Wakes a thread that sleeps.
    pub(crate) fn wake_parked(&mut self, thread: Key<Thread>) {
        let state = &mut self.threads[thread];
        if !state.woken {
            state.woken = true;
            let (process, tid) = (state.process, state.tid);
            self.woken.push((process, tid));
        }
    }

    /// Puts a thread to sleep in its read.
    pub(crate) fn park(&mut self, thread: Key<Thread>, read: ParkedRead) {
        if read.takes_process_work {
            let process = self.threads[thread].process;
            let position = self.processes[process].waiting_threads.push_first(thread);
            self.threads[thread].waiting = Some(position);
        }
        self.threads[thread].parked = Some(Parked::Read(read));
    }

    /// Ends the sleep of a thread, woken or not, and gives the call that it slept in.
    pub(crate) fn unpark(&mut self, thread: Key<Thread>) -> Option<Parked> {
        let state = &mut self.threads[thread];
        let parked = state.parked.take()?;
        state.woken = false;
        if let Some(position) = state.waiting.take() {
            let process = state.process;
            self.processes[process].waiting_threads.remove(position);
        }
        if let Parked::Freeze(freeze) = &parked {
            self.stop_waiting_to_freeze(thread, freeze);
        }
        Some(parked)
    }
}
