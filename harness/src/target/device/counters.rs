//! The driver's own counters, as debugfs or a binderfs tells them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a driver tells what it counts, if it does.
#[derive(Debug, Clone)]
pub struct Counters {
    folder: PathBuf,
}

/// How many objects of each kind are alive, over the whole driver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alive {
    /// Open devices.
    pub processes: u64,
    /// Threads.
    pub threads: u64,
    /// Nodes.
    pub nodes: u64,
    /// References.
    pub references: u64,
    /// Death notifications.
    pub deaths: u64,
    /// Transactions.
    pub transactions: u64,
    /// BR_TRANSACTION_COMPLETE to be delivered.
    pub completions: u64,
}

impl Counters {
    /// The counters of the driver behind a device, if they can be read.
    pub fn of(device: &Path) -> Option<Counters> {
        let beside = device.parent().map(|folder| folder.join("binder_logs"));
        let candidates = beside.into_iter().chain([PathBuf::from("/sys/kernel/debug/binder")]);
        candidates.map(|folder| Counters { folder }).find(|counters| counters.read().is_some())
    }

    /// What is alive now; `None` if it cannot be told.
    pub fn read(&self) -> Option<Alive> {
        let text = fs::read_to_string(self.folder.join("stats")).ok()?;
        text.starts_with("binder stats").then(|| Alive::parse(&text))
    }

    /// How many buffers of a process are in use.
    pub fn buffers_of(&self, pid: i32) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join("stats")).ok()?;
        let sections = text
            .split("\nproc ")
            .skip(1)
            .filter(|section| section.lines().next().and_then(|line| line.trim().parse().ok()) == Some(pid));
        let mut buffers = sections.map(|section| {
            let line = section.lines().find_map(|line| line.trim().strip_prefix("buffers: "))?;
            line.trim().parse::<u64>().ok()
        });
        buffers.try_fold(0, |sum, buffers| Some(sum + buffers?))
    }

    /// The threads that the driver knows of a process, and whether each will return from its next read at once.
    pub fn threads_of(&self, pid: i32) -> Vec<(i32, bool)> {
        let text = fs::read_to_string(self.folder.join(format!("proc/{pid}"))).unwrap_or_default();
        let threads = text.lines().filter_map(|line| line.trim().strip_prefix("thread "));
        threads
            .filter_map(|line| {
                let (tid, rest) = line.split_once(':')?;
                let (_, need_return) = rest.split_once("need_return ")?;
                Some((tid.parse().ok()?, need_return.starts_with('1')))
            })
            .collect()
    }
}

impl Alive {
    /// Reads the lines `node: active 3 total 17` that come before the first process. A kind of object that has
    /// never been made has no line.
    fn parse(text: &str) -> Alive {
        let whole_driver = text.split("\nproc ").next().unwrap_or(text);
        let active = |kind: &str| {
            let line =
                whole_driver.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(": active "));
            line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Alive {
            processes: active("proc"),
            threads: active("thread"),
            nodes: active("node"),
            references: active("ref"),
            deaths: active("death"),
            transactions: active("transaction"),
            completions: active("transaction_complete"),
        }
    }

    /// What of this was not there before, in words.
    pub fn leaked_since(&self, before: &Alive) -> Vec<String> {
        let kinds = [
            ("processes", self.processes, before.processes),
            ("threads", self.threads, before.threads),
            ("nodes", self.nodes, before.nodes),
            ("references", self.references, before.references),
            ("deaths", self.deaths, before.deaths),
            ("transactions", self.transactions, before.transactions),
            ("completions", self.completions, before.completions),
        ];
        let more = kinds.into_iter().filter(|(_, now, before)| now > before);
        more.map(|(kind, now, before)| format!("{} {kind} are left after all is closed", now - before))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATISTICS: &str = "binder stats:\nBC_TRANSACTION: 2\nproc: active 2 total 9\nthread: active 3 total 12\n\
        node: active 1 total 1\ntransaction_complete: active 0 total 5\nproc 77\ncontext binder\n  threads: 1\n\
        \x20 buffers: 4\nproc 78\n  buffers: 0\n";

    #[test]
    fn the_kernels_table_is_read() {
        let alive = Alive::parse(STATISTICS);
        assert_eq!(alive, Alive { processes: 2, threads: 3, nodes: 1, ..Alive::default() });
        let before = Alive { processes: 2, threads: 1, ..Alive::default() };
        assert_eq!(
            alive.leaked_since(&before),
            ["2 threads are left after all is closed", "1 nodes are left after all is closed"]
        );
    }

    #[test]
    fn processes_are_told_apart() {
        let folder = std::env::temp_dir().join(format!("binderdrill-counters-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("stats"), STATISTICS).unwrap();
        fs::create_dir_all(folder.join("proc")).unwrap();
        let threads = "proc 77\n  thread 77: l 02 need_return 1 tr 0\n  thread 78: l 11 need_return 0 tr 0\n";
        fs::write(folder.join("proc/77"), threads).unwrap();
        let counters = Counters { folder: folder.clone() };
        assert_eq!(counters.threads_of(77), [(77, true), (78, false)]);
        assert_eq!(counters.threads_of(79), []);
        assert_eq!(counters.buffers_of(77), Some(4));
        assert_eq!(counters.buffers_of(78), Some(0));
        fs::remove_dir_all(folder).unwrap();
    }
}
