//! Reports: what the driver tells of transactions that do not go the usual way, by generic netlink (the family `binder`), to
//! whoever listens, be it of the transaction or not.

use crate::context::ContextIndex;
use crate::driver::Driver;
use crate::sending::Direction;
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::{Errno, TransactionData};

/// One report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The BR_ code that its sender is told, or would be if it asked for that.
    pub error: u32,
    /// Of which device.
    pub context: ContextIndex,
    /// Who sent it.
    pub from_pid: i32,
    /// By which thread.
    pub from_tid: i32,
    /// For which process, if it had come to be known.
    pub to_pid: Option<i32>,
    /// For which thread, if it was for a certain one.
    pub to_tid: Option<i32>,
    /// It is a reply.
    pub is_reply: bool,
    /// As its sender has said.
    pub flags: u32,
    /// As its sender has said.
    pub code: u32,
    /// As its sender has said, in bytes.
    pub data_size: u32,
}

/// What has come to be known of the transaction that is being sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Findings {
    pub(crate) to_pid: Option<i32>,
    pub(crate) to_tid: Option<i32>,
    /// It makes its sender suspect of spam.
    pub(crate) is_suspect: bool,
    /// It waits for a frozen process.
    pub(crate) is_pending: bool,
}

impl Driver {
    /// Somebody listens to reports from here on. ENOENT if this driver makes none.
    pub fn listen(&mut self) -> Result<(), Errno> {
        if !self.profile.makes_reports {
            return Err(Errno::ENOENT);
        }
        self.reports.get_or_insert_default();
        Ok(())
    }

    /// The reports that have been made since this was last asked. Without listeners there are none.
    pub fn take_reports(&mut self) -> Vec<Report> {
        self.reports.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Reports a transaction that a thread has tried to send, as far as it is known.
    pub(crate) fn report(
        &mut self,
        thread: Key<Thread>,
        header: &TransactionData,
        direction: Direction,
        error: u32,
    ) {
        let Some(reports) = &mut self.reports else { return };
        let thread = &self.threads[thread];
        let process = &self.processes[thread.process];
        reports.push(Report {
            error,
            context: process.context,
            from_pid: process.pid,
            from_tid: thread.tid,
            to_pid: self.findings.to_pid,
            to_tid: self.findings.to_tid,
            is_reply: direction == Direction::Reply,
            flags: header.flags,
            code: header.code,
            data_size: header.data_size as u32,
        });
    }
}
