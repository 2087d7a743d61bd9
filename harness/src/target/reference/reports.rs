//! Who listens to the driver's reports, and what they have not taken yet.

use std::collections::VecDeque;

use reference_driver::ContextIndex;
use reference_driver::uapi::Errno;
use strum::VariantArray;

use super::{Answer, PIDS, ReferenceWorld};
use crate::program::Context;
use crate::target::{Report, ThreadIndex};

/// Where a listener is in the list of all of them. A process that has been forked has that of its parent.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListenerId(usize);

impl ReferenceWorld {
    pub(super) fn listen(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let process = &mut self.processes[at.process];
        if process.listening.is_some() {
            return Err(Errno::EEXIST);
        }
        self.driver.listen()?;
        process.listening = Some(ListenerId(self.listeners.len()));
        self.listeners.push(VecDeque::new());
        Ok(Answer::Success)
    }

    pub(super) fn next_report(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let ListenerId(id) = self.processes[at.process].listening.ok_or(Errno::EBADF)?;
        self.listeners[id].pop_front().map(Answer::Report).ok_or(Errno::EAGAIN)
    }

    /// Gives everybody who listens what the driver has reported.
    pub(super) fn pass_reports_on(&mut self) {
        for report in self.driver.take_reports() {
            let report = Report {
                error: report.error,
                context: self.context_told(report.context),
                from_pid: report.from_pid,
                from: thread_of(report.from_tid),
                to_pid: report.to_pid,
                to: report.to_tid.map(thread_of),
                is_reply: report.is_reply,
                flags: report.flags,
                code: report.code,
                data_size: report.data_size,
            };
            self.listeners.iter_mut().for_each(|listener| listener.push_back(report));
        }
    }

    /// The context that a report names: it says no more of a device than what that is called.
    fn context_told(&self, context: ContextIndex) -> Option<Context> {
        let called_so = || std::str::from_utf8(self.driver.device_name(context)?).ok()?.parse().ok();
        Context::VARIANTS.get(context).copied().or_else(called_so)
    }
}

/// The thread that has an id.
fn thread_of(tid: i32) -> ThreadIndex {
    ThreadIndex { process: (tid / PIDS - 1) as usize, thread: (tid % PIDS) as usize }
}
