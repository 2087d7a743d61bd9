//! Observation: what a thread of another process is doing, as the kernel tells.
//!
//! Whether a thread is parked is never guessed from how long it has been silent. `/proc` says whether it sleeps
//! inside an ioctl, and how often it has run: two looks with the same count saw one and the same sleep.

use std::fs;

/// What a thread does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It sleeps in an ioctl, interruptibly; it had been given the processor so many times.
    Parked {
        /// Context switches so far.
        switches: u64,
    },
    /// It runs, or is about to, or sleeps somewhere else.
    Busy,
    /// It is gone.
    Gone,
}

/// Looks at a thread.
pub fn activity(pid: i32, tid: i32) -> Activity {
    let task = format!("/proc/{pid}/task/{tid}");
    let Ok(before) = switches(&task) else { return Activity::Gone };
    let Ok(system_call) = fs::read_to_string(format!("{task}/syscall")) else { return Activity::Gone };
    let number = system_call.split_ascii_whitespace().next().and_then(|number| number.parse::<i64>().ok());
    let (Some(number), Some((State::Sleeping, switches_before))) = (number, before) else {
        return Activity::Busy;
    };
    if number != nix::libc::SYS_ioctl {
        return Activity::Busy;
    }
    match switches(&task) {
        Ok(Some((State::Sleeping, switches))) if switches == switches_before => Activity::Parked { switches },
        Ok(_) => Activity::Busy,
        Err(_) => Activity::Gone,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sleeping,
    Other,
}

/// A thread's state, and how often it has been switched to and from.
fn switches(task: &str) -> std::io::Result<Option<(State, u64)>> {
    let status = fs::read_to_string(format!("{task}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.strip_prefix(':').map(str::trim)
    };
    let count = |name| field(name).and_then(|text| text.parse::<u64>().ok());
    let state = match field("State") {
        Some(state) if state.starts_with('S') => State::Sleeping,
        _ => State::Other,
    };
    let (voluntary, involuntary) = (count("voluntary_ctxt_switches"), count("nonvoluntary_ctxt_switches"));
    Ok(voluntary.zip(involuntary).map(|(voluntary, involuntary)| (state, voluntary + involuntary)))
}

/// Whether a process still exists, be it as a zombie.
pub fn exists(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}
