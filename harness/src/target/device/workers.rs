//! The kernel's workers: threads of its own that do the work which a driver has put off.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// The threads of the kernel are the children of this process.
const KTHREADD: i32 = 2;

/// The threads of the kernel that are known.
#[derive(Debug, Default)]
pub struct Workers {
    /// Where each is told of that is a worker; `None` for all other threads. What stays open is never about another thread
    /// that has the same id later.
    known: BTreeMap<i32, Option<File>>,
}

impl Workers {
    /// Whether no worker of the kernel has anything to do at this moment. Work that has been put off is taken up by a worker
    /// that is awake from then on until it is done.
    pub fn are_idle(&mut self) -> bool {
        let Some(threads) = threads() else { return true };
        self.known.retain(|thread, _| threads.contains(thread));
        threads.into_iter().all(|thread| {
            let told = match self.known.entry(thread) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => match told(thread) {
                    Told::Worker(file) => unknown.insert(Some(file)),
                    Told::Other => unknown.insert(None),
                    Told::Nothing => return false,
                },
            };
            let Some(file) = told else { return true };
            let mut stat = [0; 1024];
            match file.read_at(&mut stat, 0) {
                Ok(length) => !is_busy_worker(&String::from_utf8_lossy(&stat[..length])),
                // It has ended, and there may be another one of this id.
                Err(_) => {
                    self.known.remove(&thread);
                    false
                }
            }
        })
    }
}

/// The ids of the kernel's threads; `None` if they cannot be told.
fn threads() -> Option<Vec<i32>> {
    let children = fs::read_to_string(format!("/proc/{KTHREADD}/task/{KTHREADD}/children"));
    if let Ok(children) = children {
        return Some(children.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect());
    }
    // Not every kernel tells of children.
    let processes = fs::read_dir("/proc").ok()?;
    Some(processes.flatten().filter_map(|process| process.file_name().to_str()?.parse().ok()).collect())
}

/// What is told of a thread that has not been seen before.
enum Told {
    Worker(File),
    Other,
    /// It has no name of its own yet, or has ended.
    Nothing,
}

fn told(thread: i32) -> Told {
    let path = format!("/proc/{thread}/stat");
    match fs::read_to_string(&path) {
        Ok(stat) if thread != KTHREADD && stat.contains("(kthreadd)") => Told::Nothing,
        Ok(stat) if stat.contains("(kworker/") => File::open(path).map_or(Told::Nothing, Told::Worker),
        Ok(_) => Told::Other,
        Err(_) => Told::Nothing,
    }
}

/// Whether a line of `/proc/PID/stat` is of a worker that is not asleep for want of work.
fn is_busy_worker(stat: &str) -> bool {
    // Some names of workers hold blanks and brackets, but what follows the last bracket is the state.
    let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
        return false;
    };
    name.starts_with("kworker/") && !rest.trim_start().starts_with('I')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_idle_or_busy() {
        assert!(!is_busy_worker("12 (kworker/0:1-events) I 2 0 0"));
        assert!(is_busy_worker("12 (kworker/0:1+events (x)) R 2 0 0"));
        assert!(is_busy_worker("12 (kworker/u4:0) D 2 0 0"));
        assert!(!is_busy_worker("12 (init) R 2 0 0"));
        assert!(!is_busy_worker(""));
    }
}
