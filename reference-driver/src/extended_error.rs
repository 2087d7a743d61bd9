//! Extended errors: why the last transaction of a thread failed, more exactly than a BR_ code says.

use crate::driver::Driver;
use crate::memory::UserMemory;
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::*;

/// Why a transaction is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The BR_ code that says so.
    pub(crate) command: u32,
    /// More exactly; not every one has that.
    pub(crate) reason: Option<Errno>,
}

impl Rejection {
    pub(crate) const fn failed(reason: Errno) -> Rejection {
        Rejection { command: BR_FAILED_REPLY, reason: Some(reason) }
    }

    pub(crate) const fn dead(reason: Errno) -> Rejection {
        Rejection { command: BR_DEAD_REPLY, reason: Some(reason) }
    }

    /// A BR_ code without anything more to say.
    pub(crate) const fn plain(command: u32) -> Rejection {
        Rejection { command, reason: None }
    }

    fn told(self, id: u32) -> ExtendedError {
        let param = self.reason.map_or(0, |reason| -reason.0);
        ExtendedError { id, command: self.command, param }
    }
}

/// What BINDER_GET_EXTENDED_ERROR tells when all has been told.
pub(crate) const NO_ERROR: ExtendedError = ExtendedError { id: 0, command: BR_OK, param: 0 };

impl Driver {
    /// What a thread has to tell before it has sent anything.
    pub(crate) fn first_error(&self) -> ExtendedError {
        // The number goes on from thread to thread, and no kernel has had none before.
        let next = self.statistics.threads.created as u32 + 1;
        ExtendedError { id: if self.profile.new_threads_have_errors { next } else { 0 }, ..NO_ERROR }
    }

    /// Notes that a thread begins a transaction; gives its number.
    pub(crate) fn begin_transaction(&mut self, thread: Key<Thread>) -> u32 {
        self.begun_transactions = self.begun_transactions.wrapping_add(1);
        let id = self.begun_transactions;
        self.threads[thread].extended_error = ExtendedError { id, ..NO_ERROR };
        id
    }

    /// Notes why a thread's own transaction failed.
    pub(crate) fn note_error(&mut self, thread: Key<Thread>, id: u32, rejection: Rejection) {
        if !self.profile.only_failures_are_explained || rejection.command == BR_FAILED_REPLY {
            self.threads[thread].extended_error = rejection.told(id);
        }
    }

    /// Notes why the call of a thread is not answered, unless it has an error already.
    pub(crate) fn note_error_of_reply(&mut self, caller: Key<Thread>, id: u32, rejection: Rejection) {
        let is_explained = !self.profile.only_failures_are_explained || rejection.command == BR_FAILED_REPLY;
        let rejection = if is_explained { rejection } else { Rejection::plain(rejection.command) };
        if self.threads[caller].extended_error.command == BR_OK {
            self.threads[caller].extended_error = rejection.told(id);
        }
    }

    /// BINDER_GET_EXTENDED_ERROR. The error is forgotten, even if it could not be told.
    pub(crate) fn tell_extended_error(
        &mut self,
        thread: Key<Thread>,
        argument: u64,
        memory: &mut dyn UserMemory,
    ) -> Result<(), Errno> {
        let error = std::mem::replace(&mut self.threads[thread].extended_error, NO_ERROR);
        memory.put(argument, &error)?;
        Ok(())
    }
}
