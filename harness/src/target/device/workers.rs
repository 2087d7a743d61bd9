//! The kernel's workers: threads of its own that do the work which a driver has put off.

use std::fs;

/// Whether no worker of the kernel has anything to do at this moment. Work that has been put off is taken up by a
/// worker that is awake from then on until it is done.
pub fn are_idle() -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    processes.flatten().all(|process| {
        let is_numbered =
            process.file_name().to_str().is_some_and(|name| name.starts_with(|c: char| c.is_ascii_digit()));
        !is_numbered
            || fs::read_to_string(process.path().join("stat")).is_ok_and(|stat| !is_busy_worker(&stat))
    })
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
