//! Guests that end with who started them, and what is left of them: nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Test, binderdrill, holds, is};

pub(super) const IN_QEMU: &[Test] = &[
    ("a_guest_in_qemu_ends_with_its_parent", || ends_with_parent("vm:debian-6.12")),
    ("a_guest_in_qemu_leaves_nothing_behind", || leaves_nothing("vm:debian-6.12")),
];

pub(super) const IN_UML: &[Test] = &[
    ("a_guest_of_user_mode_linux_ends_with_its_parent", || ends_with_parent("built:uml-c")),
    ("a_guest_of_user_mode_linux_leaves_nothing_behind", || leaves_nothing("built:uml-c")),
];

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where User-mode Linux keeps its memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// A run with folders of its own, in which anything might be left.
struct Place {
    folder: TempDir,
    shared_before: BTreeSet<PathBuf>,
}

impl Place {
    fn new() -> Result<Place, Failed> {
        let folder = tempfile::tempdir()?;
        for name in ["home", "tmp"] {
            fs::create_dir(folder.path().join(name))?;
        }
        Ok(Place { folder, shared_before: listed(Path::new(SHARED_MEMORY)) })
    }

    /// Starts a run in which the guest falls silent or panics, or nothing happens to it.
    fn run(&self, target: &str, fault: &str) -> Result<Child, Failed> {
        let append = format!("binderdrill.fault={fault}@1");
        let mut command =
            binderdrill(&["run", "first.drill", "--target", target, "--append", &append, "--patience", "60"]);
        let directories = directories::ProjectDirs::from("", "", "binderdrill").ok_or("no home")?;
        let cache = directories.cache_dir().parent().ok_or("no cache")?.to_owned();
        command.env("XDG_CACHE_HOME", cache);
        command.env("HOME", self.folder.path().join("home")).env("TMPDIR", self.folder.path().join("tmp"));
        Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// Waits until nothing is left.
    fn is_as_before(&self) -> Result<(), Failed> {
        awaited("something is left", || {
            let left = ["home", "tmp"].map(|name| listed(&self.folder.path().join(name)));
            let mut left: Vec<PathBuf> = left.into_iter().flatten().collect();
            left.extend(listed(Path::new(SHARED_MEMORY)).difference(&self.shared_before).cloned());
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
    }
}

/// All that is in a folder, at any depth.
fn listed(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| listed(&path).into_iter().chain([path]).collect::<Vec<_>>()).collect()
}

fn ends_with_parent(target: &str) -> Result<(), Failed> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new()?;
        let mut run = place.run(target, "silence")?;
        // The guest is silent once it has been given its script, with all processes that it consists of.
        let own = run.id();
        let guest = awaited("no guest", || booted(own).ok_or_else(|| "none".to_owned()))?;
        kill(Pid::from_raw(own.cast_signed()), signal)?;
        run.wait()?;
        awaited("processes are left", || {
            let left: Vec<&u32> = guest.iter().filter(|pid| is_alive(**pid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?} after {signal}")) }
        })?;
        place.is_as_before()?;
    }
    Ok(())
}

fn leaves_nothing(target: &str) -> Result<(), Failed> {
    for (fault, status, told) in
        [("none", 0, "1 passed"), ("panic", 2, "BROKEN first.drill: the guest ended")]
    {
        let place = Place::new()?;
        let output = place.run(target, fault)?.wait_with_output()?;
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        is(output.status.code(), Some(status), &report)?;
        holds(&report, &[told])?;
        place.is_as_before()?;
    }
    Ok(())
}

/// The descendants of a process whose guest has booted: they no longer become more, and do next to nothing.
fn booted(parent: u32) -> Option<Vec<u32>> {
    let before = descendants(parent);
    let spent = |pids: &[u32]| pids.iter().map(|pid| processor_time(*pid)).sum::<u64>();
    let spent_before = spent(&before);
    sleep(Duration::from_millis(500));
    let after = descendants(parent);
    // In ticks, of which there are a hundred a second: a guest that boots takes them all.
    (!after.is_empty() && before == after && spent(&after) - spent_before < 10).then_some(after)
}

fn descendants(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children = tasks.flat_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
    });
    children.flat_map(|child| [child].into_iter().chain(descendants(child)).collect::<Vec<_>>()).collect()
}

/// The fields of a process after its name, which may hold anything.
fn fields(pid: u32) -> Vec<String> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = line.rsplit_once(") ").map_or("", |(_, fields)| fields);
    after.split(' ').map(str::to_owned).collect()
}

fn processor_time(pid: u32) -> u64 {
    let fields = fields(pid);
    let field = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    field(11) + field(12)
}

/// Whether a process is there, and not only waits for somebody to take note of its end.
fn is_alive(pid: u32) -> bool {
    fields(pid).first().is_some_and(|state| state != "Z")
}

fn awaited<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> Result<T, Failed> {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(reason) if start.elapsed() > PATIENCE => return Err(format!("{what}: {reason}").into()),
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}
