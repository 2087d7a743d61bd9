//! The kernel's log: what it said while a case ran, and whether it complained.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// What marks a line of the log as a complaint of the kernel about itself, not about its user.
const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "rust_kernel: panicked",
    "Oops",
    "KASAN:",
    "UBSAN:",
    "KCSAN:",
    "INFO: task",
    "INFO: rcu",
    "general protection fault",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "unable to handle",
    "unexpected work type",
    "Unexpected outstanding_txns",
];

/// What marks a complaint that is not about the driver: to say where a thread sleeps, which it is asked for here,
/// User-mode Linux reads that thread's stack, and KASAN takes that for a mistake.
const OF_OURSELVES: &str = "in __get_wchan+";

/// What is told in place of lines that nobody has read.
const LOST: &str = "(binderdrill: lines are missing here, which were overwritten before they could be read)";

/// An open `/dev/kmsg`, at the place to which it has been read.
///
/// The place only ever moves forward when somebody asks for complaints, so that none is lost between two cases, but for what
/// the kernel itself overwrites.
pub struct KernelLog {
    file: File,
    has_complained: bool,
}

impl KernelLog {
    /// Opens the log at its end; `None` where this user may not.
    pub fn at_end() -> Option<KernelLog> {
        let mut options = File::options();
        let mut file = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/kmsg").ok()?;
        file.seek(SeekFrom::End(0)).ok()?;
        Some(KernelLog { file, has_complained: false })
    }

    /// What of all that the kernel has said since it was booted, as far as it still knows, is a complaint.
    pub fn complaints_since_boot() -> Vec<String> {
        let Some(mut log) = KernelLog::at_end() else { return Vec::new() };
        match log.file.seek(SeekFrom::Start(0)) {
            Ok(_) => log.new_complaints(),
            Err(_) => Vec::new(),
        }
    }

    /// The complaints among the lines that have come since this was last asked.
    pub fn new_complaints(&mut self) -> Vec<String> {
        complaints(&self.new_lines())
    }

    /// Whether there has been a complaint among what has been read, of whatever, or may have been among what is lost: KASAN
    /// tells of the first mistake only.
    pub fn has_complained(&self) -> bool {
        self.has_complained
    }

    /// The lines that have come since this was last asked, without their time stamps.
    pub fn new_lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => break,
                Ok(length) => lines.extend(messages(&String::from_utf8_lossy(&record[..length]))),
                // The log has been overwritten faster than it was read: there may have been a complaint.
                Err(error) if error.raw_os_error() == Some(nix::libc::EPIPE) => {
                    lines.push(LOST.to_owned());
                    self.has_complained = true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.has_complained |= lines.iter().any(|line| is_complaint(line));
        lines
    }
}

/// Those of these lines in which the kernel complains.
pub fn complaints(lines: &[String]) -> Vec<String> {
    let is_of_driver = |line: &&String| is_complaint(line) && !line.contains(OF_OURSELVES);
    lines.iter().filter(is_of_driver).cloned().collect()
}

/// Whether the kernel complains in this line.
fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|mark| line.contains(mark))
}

/// The message of a record `priority,sequence,time,flags;message`. Lines after it that begin with a blank are
/// tags of the device, which nobody needs.
fn messages(record: &str) -> impl Iterator<Item = String> {
    record.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| {
        let (_, message) = line.split_once(';')?;
        Some(message.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_make_the_kernel_do_is_no_mistake_of_the_driver() {
        let lines = [
            "BUG: KASAN: stack-out-of-bounds in __get_wchan+0xfb/0x120",
            "BUG: KASAN: slab-use-after-free in binder_thread_read+0x1/0x2",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(complaints(&lines), lines[1..]);
        assert!(is_complaint(&lines[0]), "the guest is not to be used again");
    }

    #[test]
    fn a_record_is_taken_apart() {
        let record = "6,339,5140900,-;binder: 12:12 ioctl c0306201 7ff returned -14\n SUBSYSTEM=misc\n";
        let lines: Vec<String> = messages(record).collect();
        assert_eq!(lines, ["binder: 12:12 ioctl c0306201 7ff returned -14"]);
        assert!(!is_complaint(&lines[0]));
        assert!(is_complaint("WARNING: CPU: 0 PID: 77 at drivers/android/binder.c:3165"));
    }
}
