//! Observation: what a thread of another process is doing, as the kernel tells.
//!
//! Whether a thread is parked is never guessed from how long it has been silent. The thread itself says, in a word of
//! its memory, that it is about to do an ioctl, and takes that back when it has returned; in between there is nothing
//! else that it could sleep in. `/proc` says whether it sleeps, and how often it has run: two looks with the same
//! call and the same count saw one and the same sleep.
//!
//! What `status` calls sleep begins a little too early: a thread that is about to sleep says so, and then looks once more
//! whether it has to. `wchan` names where a thread sleeps only from when it has left the processor for good.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

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

/// Where `/proc` tells of a thread. It stays open, so that a look is one system call for each of the two.
#[derive(Debug)]
pub struct Watch {
    status: File,
    /// Where it is told in what a thread sleeps, on a kernel that does tell.
    place: Option<File>,
}

impl Watch {
    /// Watches a thread; `None` if it is gone.
    pub fn of(pid: i32, tid: i32, are_places_told: bool) -> Option<Watch> {
        let open = |name: &str| File::open(format!("/proc/{pid}/task/{tid}/{name}")).ok();
        Some(Watch { status: open("status")?, place: are_places_told.then(|| open("wchan")).flatten() })
    }

    /// Looks at the thread, which has just said that it is in this ioctl; 0 is none.
    pub fn activity(&self, call: u64) -> Activity {
        let mut status = [0; 4096];
        let Ok(length) = self.status.read_at(&mut status, 0) else { return Activity::Gone };
        match sleep(&status[..length]) {
            Some(switches) if call != 0 && self.place.as_ref().is_none_or(is_place) => {
                Activity::Parked { call, switches }
            }
            _ => Activity::Busy,
        }
    }
}

/// Whether a file names a place in which a thread sleeps.
fn is_place(file: &File) -> bool {
    let mut name = [0; 1];
    file.read_at(&mut name, 0).is_ok_and(|length| length == 1 && name != *b"0")
}

/// Whether this kernel tells in what threads sleep: whether it does of a process that has nothing to do.
pub fn are_places_told(idle: i32) -> bool {
    let Ok(file) = File::open(format!("/proc/{idle}/wchan")) else { return false };
    let is_told = |_| {
        is_place(&file) || {
            std::thread::sleep(Duration::from_millis(1));
            false
        }
    };
    (0..200).any(is_told)
}

/// How often a thread that sleeps has been given the processor; `None` if it does not sleep.
fn sleep(status: &[u8]) -> Option<u64> {
    let mut sleeps = false;
    let mut switches = 0;
    let mut counts = 0;
    for line in status.split(|byte| *byte == b'\n') {
        if let Some(state) = line.strip_prefix(b"State:") {
            sleeps = state.trim_ascii_start().starts_with(b"S");
            if !sleeps {
                return None;
            }
        } else if let Some(count) = line
            .strip_prefix(b"voluntary_ctxt_switches:")
            .or_else(|| line.strip_prefix(b"nonvoluntary_ctxt_switches:"))
        {
            switches += std::str::from_utf8(count).ok()?.trim().parse::<u64>().ok()?;
            counts += 1;
        }
    }
    (sleeps && counts == 2).then_some(switches)
}

/// Whether a process still exists, be it as a zombie.
pub fn exists(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_is_told_from_who_runs() {
        let status = |state: &str| {
            format!(
                "Name:\tx\nState:\t{state}\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t2\n"
            )
        };
        assert_eq!(sleep(status("S (sleeping)").as_bytes()), Some(9));
        assert_eq!(sleep(status("R (running)").as_bytes()), None);
        assert_eq!(sleep(status("D (disk sleep)").as_bytes()), None);
        assert_eq!(sleep(b"State:\tS (sleeping)\nvoluntary_ctxt_switches:\t7\n"), None, "half of it");
        assert_eq!(sleep(b""), None);
    }

    #[test]
    fn what_looks_at_itself_is_busy() {
        let (pid, tid) = (std::process::id() as i32, nix::unistd::gettid().as_raw());
        assert_eq!(Watch::of(pid, tid, true).unwrap().activity(1), Activity::Busy);
        assert!(Watch::of(i32::MAX, i32::MAX, true).is_none());
    }
}
