//! What a driver tells of itself: how many objects it has, in debugfs or in a binderfs.
//!
//! The driver in C counts them. The one in Rust does not, but describes all that it has, which is counted here.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::program::DriverKind;
use crate::target::left_after_all;

/// Where a driver tells of itself, if it does.
#[derive(Debug)]
pub struct Counters {
    folder: PathBuf,
    kind: DriverKind,
    table: OnceCell<Option<File>>,
}

/// The room for what it tells, to begin with, in bytes.
const ROOM: usize = 32 << 10;

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
    /// Death notifications; `None` where the driver does not tell.
    pub deaths: Option<u64>,
    /// Transactions.
    pub transactions: u64,
    /// BR_TRANSACTION_COMPLETE to be delivered; 0 where the driver does not tell.
    pub completions: u64,
    /// Requests to be told of freezes; 0 where the driver does not tell.
    pub freezes: u64,
}

impl Counters {
    /// The counters of the driver behind a device that has been open before, if they can be read.
    pub fn of(device: &Path) -> Option<Counters> {
        let beside = device.parent().map(|folder| folder.join("binder_logs"));
        let mut candidates = beside.into_iter().chain([PathBuf::from("/sys/kernel/debug/binder")]);
        candidates.find_map(|folder| {
            let statistics = fs::read_to_string(folder.join("stats")).ok()?;
            let statistics = statistics.strip_prefix("binder stats:\n")?;
            // Only the one in C says how many devices there have been.
            let counts = statistics.lines().any(|line| line.starts_with("proc: active "));
            let kind = if counts { DriverKind::C } else { DriverKind::Rust };
            Some(Counters { folder, kind, table: OnceCell::new() })
        })
    }

    /// Which driver tells.
    pub fn kind(&self) -> DriverKind {
        self.kind
    }

    /// What is alive now; `None` if it cannot be told.
    pub fn read(&self) -> Option<Alive> {
        match self.kind {
            DriverKind::C => Some(Alive::counted(&self.table("stats")?)),
            DriverKind::Rust => Some(Alive::described(&self.table("state")?)),
        }
    }

    /// What is in the file that is asked most often, which stays open.
    fn table(&self, name: &str) -> Option<String> {
        read_whole(self.table.get_or_init(|| File::open(self.folder.join(name)).ok()).as_ref()?)
    }

    /// How many buffers of a process are in use.
    pub fn buffers_of(&self, pid: i32) -> Option<u64> {
        let (file, in_section): (_, fn(&str) -> Option<u64>) = match self.kind {
            DriverKind::C => ("stats", |section| {
                let line = section.lines().find_map(|line| line.trim().strip_prefix("buffers: "))?;
                line.trim().parse().ok()
            }),
            DriverKind::Rust => ("state", |section| {
                Some(section.lines().filter(|line| line.starts_with("  buffer")).count() as u64)
            }),
        };
        let text = self.file(file)?;
        let sections = text
            .split("\nproc ")
            .skip(1)
            .filter(|section| section.lines().next().and_then(|line| line.trim().parse().ok()) == Some(pid));
        sections.map(in_section).try_fold(0, |sum, buffers| Some(sum + buffers?))
    }

    fn file(&self, name: &str) -> Option<String> {
        read_whole(&File::open(self.folder.join(name)).ok()?)
    }
}

/// What a driver tells in a file, which does not say how long it is. It tells all at once, anew each time that it is asked: so
/// it is asked again only if there may have been too little room.
fn read_whole(file: &File) -> Option<String> {
    let mut text = vec![0; ROOM];
    loop {
        let length = file.read_at(&mut text, 0).ok()?;
        if length < text.len() {
            text.truncate(length);
            return String::from_utf8(text).ok();
        }
        text = vec![0; 2 * length];
    }
}

impl Alive {
    /// Reads the lines `node: active 3 total 17` that come before the first process. A kind of object that has
    /// never been made has no line.
    fn counted(text: &str) -> Alive {
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
            deaths: Some(active("death")),
            transactions: active("transaction"),
            completions: active("transaction_complete"),
            freezes: active("freeze"),
        }
    }

    /// Counts the lines that describe processes, threads, nodes and so on.
    fn described(text: &str) -> Alive {
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count() as u64;
        // One that has been sent and not yet delivered is described on both ends.
        let transactions: HashSet<&str> = text
            .lines()
            .filter_map(|line| line.split_once("transaction ")?.1.split_once(": from "))
            .map(|(number, _)| number)
            .collect();
        // One whose owner is dead is only found in what refers to it. Linux 7.3 ends no line behind a reference.
        let number = |rest: &str| rest.split([' ', ':']).next().and_then(|word| word.parse().ok());
        let owned = text.lines().filter_map(|line| number(line.strip_prefix("  node ")?));
        let references = text.split("  ref ").skip(1);
        let referred_to = references.clone().filter_map(|rest| number(rest.split_once("node ")?.1));
        let nodes: HashSet<u64> = owned.chain(referred_to).collect();
        Alive {
            processes: lines("proc "),
            threads: lines("  thread "),
            nodes: nodes.len() as u64,
            references: references.count() as u64,
            deaths: None,
            transactions: transactions.len() as u64,
            completions: 0,
            freezes: 0,
        }
    }

    /// What of this was not there before, in words.
    pub fn leaked_since(&self, before: &Alive) -> Vec<String> {
        let kinds = [
            (("process", "processes"), self.processes, before.processes),
            (("thread", "threads"), self.threads, before.threads),
            (("node", "nodes"), self.nodes, before.nodes),
            (("reference", "references"), self.references, before.references),
            (("death", "deaths"), self.deaths.unwrap_or(0), before.deaths.unwrap_or(0)),
            (("transaction", "transactions"), self.transactions, before.transactions),
            (("completion", "completions"), self.completions, before.completions),
            (("request for freezes", "requests for freezes"), self.freezes, before.freezes),
        ];
        let more = kinds.into_iter().filter(|(_, now, before)| now > before);
        more.map(|(kind, now, before)| left_after_all(now - before, kind)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATISTICS: &str = "binder stats:\nBC_TRANSACTION: 2\nproc: active 2 total 9\nthread: active 3 total 12\n\
        node: active 1 total 1\ntransaction_complete: active 0 total 5\nfreeze: active 4 total 5\nproc 77\ncontext binder\n  threads: 1\n\
        \x20 buffers: 4\nproc 78\n  buffers: 0\n";

    const STATE: &str = "binder state:\nproc 77\ncontext binder\n  thread 77: l 02 need_return false\n    \
        incoming transaction 9: from 78:78 to 77 code 1 flags 0 elapsed 0ms node 3 size 8:0\n  node 3: u0 c0 hs true hw \
        true cs 2 cw 0 proc 78\n  buffer 0: 0 size 8 pid 78 oneway false allocated\n\nproc 78\ncontext binder\n  \
        thread 78: l 02 need_return true\n    outgoing transaction 9: from 78:78 to 77 code 1 flags 0 elapsed 0ms node 3 \
        size 8:0\n  ref 5: desc 0 node 3 s 1 w 0  ref 6: desc 1 dead node 4 s 1 w 0  node work 7: u0 c0\n";

    fn counters(files: &[(&str, &str)]) -> (tempfile::TempDir, Counters) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("binder_logs")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join("binder_logs").join(name), text).unwrap();
        }
        let counters = Counters::of(&folder.path().join("binder")).unwrap();
        (folder, counters)
    }

    #[test]
    fn the_table_of_the_driver_in_c_is_read() {
        let alive = Alive::counted(STATISTICS);
        let expected =
            Alive { processes: 2, threads: 3, nodes: 1, deaths: Some(0), freezes: 4, ..Alive::default() };
        assert_eq!(alive, expected);
        let before = Alive { processes: 2, threads: 1, freezes: 4, ..Alive::default() };
        assert_eq!(
            alive.leaked_since(&before),
            ["2 threads are left after all is closed", "1 node is left after all is closed"]
        );
    }

    #[test]
    fn what_the_driver_in_rust_describes_is_counted() {
        let (_folder, counters) = counters(&[("stats", "binder stats:\nBC_REPLY: 1\n"), ("state", STATE)]);
        assert_eq!(counters.kind(), DriverKind::Rust);
        let expected =
            Alive { processes: 2, threads: 2, nodes: 2, references: 2, transactions: 1, ..Alive::default() };
        assert_eq!(counters.read(), Some(expected));
        assert_eq!(counters.buffers_of(77), Some(1));
        assert_eq!(counters.buffers_of(78), Some(0));
    }

    #[test]
    fn processes_are_told_apart() {
        let (_folder, counters) = counters(&[("stats", STATISTICS)]);
        assert_eq!(counters.kind(), DriverKind::C);
        assert_eq!(counters.buffers_of(77), Some(4));
        assert_eq!(counters.buffers_of(78), Some(0));
    }
}
