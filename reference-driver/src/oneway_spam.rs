//! Oneway spam: who floods a process with oneway messages is told so, once, when room for them runs out.

use crate::buffer::{Allocator, Buffer};
use crate::driver::Driver;
use crate::table::Key;
use crate::thread::Thread;

/// How spam is detected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpamDetection {
    /// A new message is among those by which its sender is judged.
    pub(crate) counts_message: bool,
    /// A suspicion is told once, until there has been room again.
    pub(crate) tells_once: bool,
    /// What counts is whether detection was switched on when the message was sent, not when the suspicion is read.
    pub(crate) heeds_switch_when_sent: bool,
}

impl Driver {
    /// Whether the process of a thread has switched detection on.
    pub(crate) fn detects_oneway_spam(&self, thread: Key<Thread>) -> bool {
        self.processes[self.threads[thread].process].detects_oneway_spam
    }
}

/// A sender of more oneway messages than this is a suspect, whatever their size.
const MOST_BUFFERS: usize = 50;

impl Allocator {
    /// Whether the sender of the oneway message in a new buffer is a suspect: less than a fifth of the room for such
    /// messages is left, nobody has been told since there was more, and most of what takes the room is this sender's.
    /// It walks over the buffers in use, as the kernel does, but only while room is low.
    pub(crate) fn suspects_spam(&mut self, sender_pid: i32) -> bool {
        if self.free_async_space() >= self.size() / 10 {
            self.spam_detected = false;
            return false;
        }
        let is_senders = |buffer: &Buffer| {
            buffer.sender_pid == sender_pid && buffer.content.is_some_and(|content| content.is_async)
        };
        let sizes =
            self.buffers.iter().filter(|(_, buffer)| is_senders(buffer)).map(|(_, buffer)| buffer.size);
        let (count, total) = sizes.fold((0, 0), |(count, total), size| (count + 1, total + size));
        let suspect = count > MOST_BUFFERS || total > self.size() / 4;
        suspect && !(std::mem::replace(&mut self.spam_detected, true) && self.spam_detection.tells_once)
    }

    /// Notes who sent the message in a buffer. Free buffers keep that of the message that they held last.
    pub(crate) fn note_sender(&mut self, buffer: Key<Buffer>, sender_pid: i32) {
        self.buffers[buffer].sender_pid = sender_pid;
    }
}
