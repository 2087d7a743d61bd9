//! Observation: what a thread of another process is doing, as the kernel tells.
//!
//! Whether a thread is parked is never guessed from how long it has been silent. The thread itself says, in a word of
//! its memory, that it is about to do an ioctl or to poll, and takes that back when it has returned; in between there is nothing
//! else that it could sleep in. `/proc` says whether it sleeps, and how often it has run: two looks with the same count saw
//! one and the same sleep, and the word that was read between them is about that one.
//!
//! What `status` calls sleep begins a little too early: a thread that is about to sleep says so, and then looks once more
//! whether it has to. `wchan` names where a thread sleeps only once it has left the processor; so it is asked between the
//! two looks.
//!
//! On a machine with one processor there is a shorter way, which [scheduling](super::scheduling) provides.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What a thread does, as far as one look can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// It sleeps interruptibly, or is about to.
    SeemsToSleep {
        /// How often it has been given the processor.
        switches: u64,
    },
    /// It runs, or is about to, or sleeps otherwise.
    Runs,
    /// It is gone.
    Gone,
}

/// A thread that sleeps in an ioctl or a poll, if a second look shows that it has [slept on](Watch::has_slept_since).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// Which call of its process it is.
    pub call: u64,
    /// How often it has been given the processor.
    pub switches: u64,
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

    /// Looks at the thread.
    pub fn glance(&self) -> Glance {
        let mut status = [0; 4096];
        let Ok(length) = self.status.read_at(&mut status, 0) else { return Glance::Gone };
        sleep(&status[..length]).map_or(Glance::Runs, |switches| Glance::SeemsToSleep { switches })
    }

    /// Whether the thread has slept from when it had been given the processor so often until now.
    pub fn has_slept_since(&self, switches: u64) -> bool {
        self.place.as_ref().is_none_or(is_place) && self.glance() == Glance::SeemsToSleep { switches }
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
    (0..200).any(|_| {
        let is_told = is_place(&file);
        if !is_told {
            std::thread::sleep(Duration::from_millis(1));
        }
        is_told
    })
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
        let watch = Watch::of(pid, tid, true).unwrap();
        assert_eq!(watch.glance(), Glance::Runs);
        assert!((0..9).all(|switches| !watch.has_slept_since(switches)));
        assert!(Watch::of(i32::MAX, i32::MAX, true).is_none());
    }
}
