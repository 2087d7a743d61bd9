//! The target `uml:PATH`: a kernel built for User-mode Linux, which runs as an ordinary process.

use std::fs;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use object::{Object, ObjectSection, ReadCache};

use super::guest::{
    CONSOLE, GuestOptions, Initramfs, Launched, Launcher, Machine, Mailbox, channel, greet_by_terminal,
    inherited,
};
use crate::coverage::llvm::COUNTERS;
use crate::engine::SetUpError;

/// How long a kernel may take to boot, where time is not scaled.
const BOOT_PATIENCE: Duration = Duration::from_secs(30);

/// What a guest has, in bytes. What it does not use costs nothing.
const MEMORY: u64 = 512 << 20;

/// Where files are kept in memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// Starts kernels of User-mode Linux.
pub struct Uml {
    kernel: PathBuf,
    /// Where the file is that a guest has for its memory.
    memory_folder: PathBuf,
    initramfs: Initramfs,
    append: String,
    cpus: u32,
    /// On which of this machine's processors a guest stays that has one.
    place: Option<CpuSet>,
    /// Where the kernel counts which lines of its driver in Rust run, if it does.
    counters: Option<Range<u64>>,
    scale: f64,
}

impl Uml {
    /// Prepares to boot a kernel.
    pub fn new(options: &GuestOptions) -> Result<Uml, SetUpError> {
        check_image(&options.kernel).map_err(SetUpError)?;
        Ok(Uml {
            // A name without a folder would be looked for among the installed programs.
            kernel: options
                .kernel
                .canonicalize()
                .map_err(|error| SetUpError(format!("{}: {error}", options.kernel.display())))?,
            memory_folder: memory_folder()?,
            initramfs: options.initramfs()?,
            append: options.command_line(),
            cpus: options.cpus,
            place: if options.cpus == 1 { next_processor() } else { None },
            counters: counters_in(&options.kernel),
            scale: options.scale(),
        })
    }
}

impl Launcher for Uml {
    fn launch(&mut self) -> Result<Launched, SetUpError> {
        let mailbox = Mailbox::within(&self.memory_folder);
        let started = channel().and_then(|(ours, guests_end)| {
            let guests = inherited(&guests_end);
            let mut command = Command::new(&self.kernel);
            command
                // The guest's memory is a file that the kernel makes there and unlinks at once.
                .env("TMPDIR", &self.memory_folder)
                .arg(format!("mem={MEMORY}"))
                .arg(format!("ncpus={}", self.cpus))
                // Without it, what runs in the guest is traced, which is slower and goes with one processor only.
                .arg(if self.cpus > 1 { "seccomp=on" } else { "seccomp=auto" })
                .arg(format!("initrd={}", self.initramfs.path().display()))
                // Where nothing can be written, the kernel does without files of its own, and so leaves none behind.
                .arg("uml_dir=/proc/")
                .args(["con=null", "con0=null,fd:1", CONSOLE, "panic=-1", "oops=panic"])
                .args(["ssl=null".to_owned(), format!("ssl0=fd:{guests},fd:{guests}")])
                .arg("binderdrill.channel=/dev/ttyS0")
                .args(mailbox.as_ref().map(Mailbox::word))
                .args(self.append.split_ascii_whitespace());
            if let Some(place) = self.place {
                // SAFETY: one system call between fork and exec, which reads what the closure holds.
                unsafe { command.pre_exec(move || Ok(sched_setaffinity(Pid::from_raw(0), &place)?)) };
            }
            Machine::start(command, ours, vec![guests, self.initramfs.descriptor()])
        });
        let machine = started.map_err(|silence| SetUpError(silence.to_string()))?;
        greet_by_terminal(machine, BOOT_PATIENCE.mul_f64(self.scale))
            .map(|launched| launched.with_mailbox(mailbox))
            .map_err(|reason| reason.of(&self.kernel))
    }

    fn counters(&self) -> Option<Range<u64>> {
        self.counters.clone()
    }
}

/// The addresses between which a kernel has the counters that LLVM has put into it, if it has.
fn counters_in(image: &Path) -> Option<Range<u64>> {
    // Of an image, however large, only the list of its sections is read. One that has none counts nothing.
    let image = ReadCache::new(fs::File::open(image).ok()?);
    let image = object::File::parse(&image).ok()?;
    let section = image.section_by_name(COUNTERS)?;
    Some(section.address()..section.address() + section.size())
}

/// The processor for the next guest, each of those that this process may use in turn; `None` where nothing tells of them.
///
/// The kernel and the processes of a guest are processes of this machine, and only one of them has something to do at a
/// time: to wake another one on the same processor is much quicker.
fn next_processor() -> Option<CpuSet> {
    static GUESTS: AtomicUsize = AtomicUsize::new(0);
    static FIRST: OnceLock<usize> = OnceLock::new();
    let usable = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let usable: Vec<usize> =
        (0..CpuSet::count()).filter(|processor| usable.is_set(*processor).unwrap_or(false)).collect();
    // The first guest of all goes where this process is, which has been put where the least is going on.
    let here = || usable.iter().position(|processor| sched_getcpu() == Ok(*processor)).unwrap_or(0);
    let next = FIRST.get_or_init(here) + GUESTS.fetch_add(1, Ordering::Relaxed);
    let mut place = CpuSet::new();
    place.set(*usable.get(next % usable.len().max(1))?).ok()?;
    Some(place)
}

/// A folder in which the kernel can keep a guest's memory: it has room for it, and lets it be executed.
fn memory_folder() -> Result<PathBuf, SetUpError> {
    let candidates = [PathBuf::from(SHARED_MEMORY), std::env::temp_dir()];
    let mut wrong = Vec::new();
    for folder in candidates {
        match lacks(&folder) {
            None => return Ok(folder),
            Some(lack) => wrong.push(format!("{} {lack}", folder.display())),
        }
    }
    Err(SetUpError(format!(
        "there is no place for the memory of a guest, which takes {} MiB: {} (TMPDIR names another)",
        MEMORY >> 20,
        wrong.join(", ")
    )))
}

/// Why a folder will not do for a guest's memory.
fn lacks(folder: &Path) -> Option<String> {
    use nix::sys::statvfs::FsFlags;
    let system = match nix::sys::statvfs::statvfs(folder) {
        Ok(system) => system,
        Err(errno) => return Some(format!("cannot be used: {}", errno.desc())),
    };
    if system.flags().contains(FsFlags::ST_RDONLY) {
        return Some("cannot be written".to_owned());
    }
    if system.flags().contains(FsFlags::ST_NOEXEC) {
        return Some("lets nothing be executed (noexec)".to_owned());
    }
    let free = system.blocks_available() * system.fragment_size();
    (free < MEMORY).then(|| format!("has {} MiB free", free >> 20))
}

/// Whether a file is a program that may be started. Gives what is wrong with it.
fn check_image(path: &Path) -> Result<(), String> {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    const GIVE: &str = "give the file `linux` of a build with ARCH=um";
    let mut file = std::fs::File::open(path).map_err(|error| format!("{shown}: {error}; {GIVE}"))?;
    let mut start = [0; 20];
    if file.read_exact(&mut start).is_err() || start[..4] != *b"\x7fELF" {
        return Err(format!("{shown} is no kernel of User-mode Linux: {GIVE}"));
    }
    // 64 bits, least significant byte first, of this version; a program, or one that can be anywhere; for x86-64.
    let [class, order, version] = [start[4], start[5], start[6]];
    let [kind, machine] = [16, 18].map(|at| u16::from_le_bytes([start[at], start[at + 1]]));
    if [class, order, version] != [2, 1, 1] || ![2, 3].contains(&kind) || machine != 62 {
        return Err(format!("{shown} is no program for this machine, which is an x86-64: {GIVE}"));
    }
    let mode = file.metadata().map_err(|error| format!("{shown}: {error}"))?.permissions().mode();
    if mode & 0o111 == 0 {
        return Err(format!("{shown} may not be executed: chmod +x {shown}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("linux");
        let missing = check_image(&path).unwrap_err();
        assert!(missing.contains("ARCH=um"), "{missing}");
        let header = |machine: u8| {
            let mut header = b"\x7fELF\x02\x01\x01".to_vec();
            header.resize(16, 0);
            header.extend([3, 0, machine, 0]);
            header
        };
        for (content, mode, said) in [
            (b"\x7fELF\n touch executed\n# a script".to_vec(), 0o755, "no program for this machine"),
            (b"#!/bin/sh\n# 20 letters and more".to_vec(), 0o755, "no kernel of User-mode Linux"),
            (header(183), 0o755, "no program for this machine"),
            (header(62), 0o644, "chmod +x"),
        ] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = check_image(&path).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(check_image(&path), Ok(()));
    }

    #[test]
    fn a_folder_for_memory_has_what_it_takes() {
        assert_eq!(lacks(Path::new("/proc/1/nowhere")).unwrap(), "cannot be used: No such file or directory");
        assert!(lacks(Path::new("/proc")).is_some(), "nothing can be kept there");
    }
}
