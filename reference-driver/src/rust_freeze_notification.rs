//! How the driver in Rust tells of freezing.
//!
//! What waits for a process is no state, but a message that there may be something to tell of a cookie. Only when it is
//! read is it looked at what that is, and nothing is told that the process has been told before. So a message may tell
//! nothing, and several may wait for one cookie.

use crate::driver::Driver;
use crate::memory::Fault;
use crate::process::Process;
use crate::read::ReturnStream;
use crate::reference::Reference;
use crate::table::Key;
use crate::uapi::*;
use crate::work::Work;

/// The requests of a process that have one cookie: the last one, and those before it that have been cleared.
#[derive(Debug)]
pub(crate) struct CookieRequests {
    /// The reference that the last one is for; it is gone for good once the request is cleared.
    pub(crate) reference: Key<Reference>,
    /// Which of all nodes ever made that refers to.
    node: u64,
    /// What was told last.
    told: Option<bool>,
    /// That has not been answered.
    awaits_answer: bool,
    pub(crate) is_cleared: bool,
    /// Earlier ones of which something was told that is not answered.
    unanswered_before: u32,
    /// Earlier ones of which only BR_CLEAR_FREEZE_NOTIFICATION_DONE is to be told.
    cleared_before: u32,
}

const INVALID: Errno = Errno::EINVAL;

impl Driver {
    /// BC_REQUEST_FREEZE_NOTIFICATION. EINVAL for a wrong handle, a second request on one, or a cookie that is in use,
    /// unless it was that of an earlier request for the same node.
    pub(crate) fn request_cookie(
        &mut self,
        process: Key<Process>,
        handle: u32,
        cookie: u64,
    ) -> Result<(), Errno> {
        let reference = self.reference_at(process, handle, false).ok_or(INVALID)?;
        if self.references[reference].freeze_cookie.is_some() {
            return Err(INVALID);
        }
        let node = self.nodes[self.references[reference].node].serial;
        let all = &mut self.processes[process].requests_by_cookie;
        if let Some(requests) = all.get_mut(&cookie) {
            if !requests.is_cleared || requests.node != node {
                return Err(INVALID);
            }
            match std::mem::take(&mut requests.awaits_answer) {
                true => requests.unanswered_before += 1,
                false => requests.cleared_before += 1,
            }
            requests.reference = reference;
            requests.told = None;
            requests.is_cleared = false;
        } else {
            let requests = CookieRequests {
                reference,
                node,
                told: None,
                awaits_answer: false,
                is_cleared: false,
                unanswered_before: 0,
                cleared_before: 0,
            };
            all.insert(cookie, requests);
        }
        self.references[reference].freeze_cookie = Some(cookie);
        self.enqueue_process_work(process, Work::FreezeMessage(cookie));
        Ok(())
    }

    /// BC_CLEAR_FREEZE_NOTIFICATION. EINVAL for a wrong handle or cookie, or without a request.
    pub(crate) fn clear_cookie(
        &mut self,
        process: Key<Process>,
        handle: u32,
        cookie: u64,
    ) -> Result<(), Errno> {
        let reference = self.reference_at(process, handle, false).ok_or(INVALID)?;
        if self.references[reference].freeze_cookie != Some(cookie) {
            return Err(INVALID);
        }
        self.references[reference].freeze_cookie = None;
        let requests = self.processes[process].requests_by_cookie.get_mut(&cookie).ok_or(INVALID)?;
        requests.is_cleared = true;
        if !requests.awaits_answer {
            self.enqueue_process_work(process, Work::FreezeMessage(cookie));
        }
        Ok(())
    }

    /// BC_FREEZE_NOTIFICATION_DONE. EINVAL for a cookie that no unanswered BR_FROZEN_BINDER had.
    pub(crate) fn answer_cookie(&mut self, process: Key<Process>, cookie: u64) -> Result<(), Errno> {
        let is_frozen = self.is_frozen_behind(process, cookie);
        let requests = self.processes[process].requests_by_cookie.get_mut(&cookie).ok_or(INVALID)?;
        let there_is_more = if requests.unanswered_before > 0 {
            requests.unanswered_before -= 1;
            requests.cleared_before += 1;
            true
        } else if std::mem::take(&mut requests.awaits_answer) {
            requests.is_cleared || requests.told != Some(is_frozen)
        } else {
            return Err(INVALID);
        };
        if there_is_more {
            self.enqueue_process_work(process, Work::FreezeMessage(cookie));
        }
        Ok(())
    }

    /// Delivers [`Work::FreezeMessage`]. Whether it told that something is frozen or thawed.
    pub(crate) fn deliver_freeze_message(
        &mut self,
        process: Key<Process>,
        cookie: u64,
        returns: &mut ReturnStream<'_>,
    ) -> Result<bool, Fault> {
        let is_frozen = self.is_frozen_behind(process, cookie);
        let all = &mut self.processes[process].requests_by_cookie;
        let Some(requests) = all.get_mut(&cookie) else { return Ok(false) };
        if requests.cleared_before > 0 {
            requests.cleared_before -= 1;
        } else if requests.awaits_answer {
            return Ok(false);
        } else if !requests.is_cleared {
            if requests.told == Some(is_frozen) {
                return Ok(false);
            }
            requests.told = Some(is_frozen);
            requests.awaits_answer = true;
            returns.put(&BR_FROZEN_BINDER)?;
            returns.put(&FrozenStateInfo { cookie, is_frozen: is_frozen.into(), reserved: 0 })?;
            return Ok(true);
        } else if requests.unanswered_before > 0 {
            requests.unanswered_before -= 1;
            requests.awaits_answer = true;
        } else {
            all.remove(&cookie);
        }
        returns.put(&BR_CLEAR_FREEZE_NOTIFICATION_DONE)?;
        returns.put(&cookie)?;
        Ok(false)
    }

    /// Has all look again who asked, of any node of a process, whether it is frozen.
    pub(crate) fn announce_to_cookies(&mut self, process: Key<Process>) {
        let mut nodes: Vec<_> =
            self.processes[process].nodes.iter().map(|(pointer, node)| (*pointer, *node)).collect();
        nodes.sort_unstable_by_key(|(pointer, _)| *pointer);
        for (_, node) in nodes {
            let references = self.nodes[node].references.iter().map(|reference| &self.references[*reference]);
            let asking: Vec<_> = references
                .filter_map(|reference| Some((reference.process, reference.freeze_cookie?)))
                .collect();
            for (process, cookie) in asking {
                self.enqueue_process_work(process, Work::FreezeMessage(cookie));
            }
        }
    }

    /// Whether the owner of the node that a cookie stands for is frozen, and nobody waits any more to freeze it.
    fn is_frozen_behind(&self, process: Key<Process>, cookie: u64) -> bool {
        let requests = self.processes[process].requests_by_cookie.get(&cookie);
        let Some(requests) = requests.filter(|requests| !requests.is_cleared) else { return false };
        let node = &self.nodes[self.references[requests.reference].node];
        match node.process {
            Some(owner) => self.processes[owner].freezer.has_settled,
            None => self.frozen_after_release.contains(&node.owner_serial),
        }
    }
}
