//! Observation: what a thread of another process is doing, as the kernel tells.
//!
//! Whether a thread is parked is never guessed from how long it has been silent. The thread itself says, in a word of
//! its memory, that it is about to do an ioctl, and takes that back when it has returned; in between there is nothing
//! else that it could sleep in. `/proc` says whether it sleeps, and how often it has run: two looks with the same
//! call and the same count saw one and the same sleep.

use std::fs;

/// What a thread does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It sleeps in an ioctl, interruptibly.
    Parked {
        /// Which ioctl of its process it is.
        call: u64,
        /// How often it has been given the processor.
        switches: u64,
    },
    /// It runs, or is about to, or sleeps somewhere else.
    Busy,
    /// It is gone.
    Gone,
}

/// Looks at a thread that has just said that it is in this ioctl; 0 is none.
pub fn activity(pid: i32, tid: i32, call: u64) -> Activity {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")) else {
        return Activity::Gone;
    };
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    };
    let count = |name| field(name).and_then(|text| text.parse::<u64>().ok());
    let sleeps = field("State").is_some_and(|state| state.starts_with('S'));
    match (count("voluntary_ctxt_switches"), count("nonvoluntary_ctxt_switches")) {
        (Some(voluntary), Some(involuntary)) if sleeps && call != 0 => {
            Activity::Parked { call, switches: voluntary + involuntary }
        }
        _ => Activity::Busy,
    }
}

/// Whether a process still exists, be it as a zombie.
pub fn exists(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}
