//! The target `device:PATH`: a binder device of this machine, with real processes and real threads.

mod agent;
mod binderfs;
mod counters;
mod desk;
mod files;
pub(super) mod kernel_log;
mod lodger;
pub(super) mod message;
mod netlink;
pub mod nursery;
mod observation;
mod part;
mod player;
mod probe;
mod process;
mod reclaim;
mod relay;
mod scheduling;
mod security;
mod shared_memory;
mod workers;
mod world;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use reference_driver::uapi::{BINDER_SET_CONTEXT_MGR, BINDER_VERSION, CURRENT_PROTOCOL_VERSION};
use strum::{IntoEnumIterator, VariantArray};

use super::{ProcessSpecification, Stopwatch, TargetError, World, Worlds};
use crate::program::{Context, Counter, DriverKind, Feature};
pub use agent::device_of;
use counters::{Alive, Counters};
pub use kernel_log::KernelLog;
use nursery::Nursery;
use process::{Condition, Process};
use workers::Workers;
use world::{DeviceWorld, Surroundings};

/// How long nothing may happen before something is said to hang, where the user has not said otherwise.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A binder device.
pub struct DeviceTarget {
    path: PathBuf,
    nursery: Nursery,
    kind: DriverKind,
    counters: Option<Counters>,
    log: Option<KernelLog>,
    /// Agents of earlier worlds that are as good as new, if they are kept.
    spares: Option<Vec<Process>>,
    /// Agents that play, each at the place of the process of a world that it can be.
    lodgers: Vec<Option<Process>>,
    /// How the driver has left those of them that have ended since it was last asked: the worst of it.
    condition: Condition,
    stopwatch: Stopwatch,
    workers: Workers,
    /// What is alive in the driver, if it is known.
    alive: Option<Alive>,
    /// Whether agents run before the harness, on a machine with one processor.
    agents_precede: bool,
    /// What the driver is known not to have, of the features that can be probed for.
    missing: Vec<Feature>,
    kernel: KernelVersion,
    /// Whether the devices of the other contexts are there too, and managed by nobody.
    has_all_contexts: bool,
    /// Whether calls can bring the security contexts of their callers.
    is_told_contexts: bool,
    patience: Duration,
}

impl DeviceTarget {
    /// Makes sure that a device is a binder device which a suite can be run on, and prepares to do so.
    pub fn new(path: &Path, patience: Duration) -> Result<DeviceTarget, TargetError> {
        let device = check(path)?;
        let missing = missing_features(&device);
        let counters = Counters::of(path);
        close(device, counters.as_ref(), patience);
        let mut has_all_contexts = true;
        for context in Context::VARIANTS.iter().filter(|context| **context != Context::default()) {
            match check(&agent::device_of(*context, path)) {
                Ok(device) => close(device, counters.as_ref(), patience),
                Err(_) => has_all_contexts = false,
            }
        }
        let nursery = Nursery::start(path).map_err(|error| {
            TargetError::SetUp(format!("the nursery of test processes cannot be started: {error}"))
        })?;
        let log = KernelLog::at_end();
        let mut target = DeviceTarget {
            path: path.to_owned(),
            nursery,
            kind: counters.as_ref().map_or_else(kind_by_symbols, Counters::kind),
            counters,
            log,
            spares: None,
            lodgers: Vec::new(),
            condition: Condition::AsItShould,
            stopwatch: Stopwatch::default(),
            workers: Workers::default(),
            alive: None,
            agents_precede: false,
            missing,
            has_all_contexts,
            kernel: KernelVersion::running(),
            is_told_contexts: false,
            patience,
        };
        target.is_told_contexts =
            security::is_told_to(&mut target).map_err(|error| TargetError::SetUp(error.to_string()))?;
        Ok(target)
    }
}

impl DeviceTarget {
    /// Whether the processes of a world are used again for the next ones, where they can be made as good as new. What a
    /// driver does when processes end is then only seen where programs end them. They run before all else then, where that
    /// tells at once that all is at rest.
    pub fn keep_agents(&mut self, are_kept: bool) {
        match are_kept {
            true => {
                self.spares.get_or_insert_default();
            }
            false => self.spares = None,
        }
        self.agents_precede = self.nursery.give_precedence(are_kept && scheduling::has_one_processor());
    }

    /// What the security module calls processes, if there is one that tells the driver.
    pub fn security_context(&self) -> Option<Vec<u8>> {
        self.is_told_contexts.then(|| security::context_of(std::process::id() as i32)).flatten()
    }

    /// What measures the parts of programs.
    pub fn stopwatch(&mut self) -> &mut Stopwatch {
        &mut self.stopwatch
    }

    /// The path of the device.
    pub fn device(&self) -> &Path {
        &self.path
    }

    /// What the kernel's log has had since it was last asked.
    pub fn new_lines(&mut self) -> Vec<String> {
        self.log.as_mut().map(KernelLog::new_lines).unwrap_or_default()
    }

    /// What the kernel has complained of since it was last asked.
    pub fn new_complaints(&mut self) -> Vec<String> {
        self.log.as_mut().map(KernelLog::new_complaints).unwrap_or_default()
    }

    /// Whether the kernel has complained of anything since the target was made. From then on it may not say all: some
    /// reports are given only once, and some checks end with the first.
    pub fn has_complained(&self) -> bool {
        self.log.as_ref().is_some_and(KernelLog::has_complained)
    }
}

impl Worlds for DeviceTarget {
    fn name(&self) -> String {
        format!("device:{}", self.path.display())
    }

    fn driver(&self) -> Option<String> {
        Some(match self.kind {
            DriverKind::C => format!("linux-c-{}", release()),
            DriverKind::Rust => format!("linux-rust-{}", release()),
        })
    }

    fn kind(&self) -> DriverKind {
        self.kind
    }

    fn lacks(&self, feature: Feature) -> Option<String> {
        let since = |major, minor| {
            (self.kernel < KernelVersion { major, minor })
                .then(|| format!("{feature} came with Linux {major}.{minor}; this is {}", self.kernel))
        };
        if self.missing.contains(&feature) {
            return Some(format!("the driver of Linux {} does not know {feature}", self.kernel));
        }
        match feature {
            Feature::CopyCounter => Some("only the reference driver counts copies".to_owned()),
            Feature::ObjectCounter => self.counters.is_none().then(|| {
                "the driver's counters cannot be read (debugfs is not mounted, or not for this user)"
                    .to_owned()
            }),
            Feature::ScatterGather => since(4, 11),
            Feature::Lsm => (!self.is_told_contexts).then(|| {
                "the kernel has no security module that gives the driver security contexts (on some, \
                 security=selinux on the kernel's command line switches one on)"
                    .to_owned()
            }),
            Feature::Contexts => (!self.has_all_contexts).then(|| {
                format!(
                    "beside {} there are no devices hwbinder and vndbinder that nobody manages",
                    self.path.display()
                )
            }),
            Feature::Binderfs => binderfs::lacks(),
            Feature::UserNamespaces => (!Path::new("/proc/self/ns/user").exists())
                .then(|| "the kernel has no user namespaces".to_owned()),
            Feature::Reports => netlink::group()
                .err()
                .map(|error| format!("the driver makes no reports (its family of generic netlink: {error})")),
            // It came after 6.12, and with 7.2 at the latest.
            Feature::CallersEuid => since(7, 0),
            Feature::SplitMappings if self.kind == DriverKind::Rust => {
                Some(format!("the driver in Rust has no {feature}"))
            }
            // As the one before.
            Feature::SplitMappings => since(7, 0),
            Feature::PendingFrozen => since(6, 2),
            // Whether the driver knows these has been probed.
            Feature::NodeInfo
            | Feature::Freeze
            | Feature::OnewaySpamDetection
            | Feature::ExtendedError
            | Feature::FreezeNotification
            | Feature::FdPassing => None,
        }
    }

    fn world(&mut self, processes: &[ProcessSpecification]) -> Result<Box<dyn World + '_>, TargetError> {
        let surroundings = Surroundings {
            nursery: &self.nursery,
            kind: self.kind,
            counters: self.counters.as_ref(),
            log: self.log.as_mut(),
            spares: self.spares.as_mut(),
            stopwatch: &mut self.stopwatch,
            workers: &mut self.workers,
            agents_precede: self.agents_precede,
            alive: &mut self.alive,
            patience: self.patience,
            path: &self.path,
        };
        let world = DeviceWorld::new(surroundings, processes)?;
        Ok(Box::new(world))
    }
}

/// Those features that the driver behind an open device does not know, of those that can be probed for.
fn missing_features(device: &File) -> Vec<Feature> {
    Feature::iter().filter(|feature| probe::knows(device, *feature) == Some(false)).collect()
}

/// Which driver it is, where it does not tell of itself: the one that the kernel has functions of. A kernel with both
/// is taken to use the one in C.
fn kind_by_symbols() -> DriverKind {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let has = |function: &str| {
        symbols.lines().any(|line| line.split_ascii_whitespace().nth(2).is_some_and(|name| name == function))
    };
    if has("rust_binder_ioctl") && !has("binder_ioctl") { DriverKind::Rust } else { DriverKind::C }
}

/// The release of the running kernel.
fn release() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// The version of the running kernel, as far as features depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct KernelVersion {
    major: u32,
    minor: u32,
}

impl KernelVersion {
    fn running() -> KernelVersion {
        KernelVersion::parse(&release())
    }

    /// Reads `6.12.117+deb12-amd64`. What is no number counts as 0.
    fn parse(release: &str) -> KernelVersion {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        KernelVersion { major: numbers.next().unwrap_or(0), minor: numbers.next().unwrap_or(0) }
    }
}

impl std::fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Opens the device, asks for its version, and becomes its context manager for a moment.
///
/// A device lets no other user become context manager than the first who did. This makes that user known, and
/// shows whether somebody else manages the device: then nothing that a suite does there would mean anything. Gives the
/// device, which is still open.
fn check(path: &Path) -> Result<File, TargetError> {
    let shown = path.display();
    let file = File::options().read(true).write(true).open(path).map_err(|error| {
        TargetError::SetUp(match error.raw_os_error() {
            Some(nix::libc::ENOENT | nix::libc::ENXIO | nix::libc::ENODEV) => format!(
                "there is no device {shown}: load the module (modprobe binder_linux devices=binder) or mount a \
                 binderfs (mount -t binder binder /dev/binderfs), or use a kernel in a virtual machine (vm:NAME)"
            ),
            Some(nix::libc::EACCES | nix::libc::EPERM) => {
                format!("{shown} may not be opened by this user: run as root, or chmod 0666 {shown}")
            }
            _ => format!("{shown} cannot be opened: {error}"),
        })
    })?;
    let mut version = 0i32;
    // SAFETY: BINDER_VERSION writes a 32-bit number to its argument.
    let asked =
        unsafe { nix::libc::ioctl(file.as_raw_fd(), BINDER_VERSION as nix::libc::Ioctl, &mut version) };
    if asked != 0 || version != CURRENT_PROTOCOL_VERSION {
        let answer = if asked == 0 { format!("version {version}") } else { Errno::last().to_string() };
        return Err(TargetError::SetUp(format!(
            "{shown} is no binder device of protocol version {CURRENT_PROTOCOL_VERSION}: BINDER_VERSION gives {answer}"
        )));
    }
    // SAFETY: BINDER_SET_CONTEXT_MGR does not look at its argument.
    let managed =
        unsafe { nix::libc::ioctl(file.as_raw_fd(), BINDER_SET_CONTEXT_MGR as nix::libc::Ioctl, 0) };
    match Errno::result(managed) {
        Ok(_) => Ok(file),
        Err(Errno::EBUSY) => Err(TargetError::SetUp(format!(
            "{shown} has a context manager already (on Android, the service manager): give binderdrill a device of \
             its own, in a binderfs"
        ))),
        Err(errno) => Err(TargetError::SetUp(format!(
            "{shown} lets this user not become its context manager ({errno}): the first user who did is the only \
             one who may, until the driver is loaded again"
        ))),
    }
}

/// Closes a device that is open. The driver forgets it a little later: until then it would be taken for somebody
/// else's, that stays.
fn close(device: File, counters: Option<&Counters>, patience: Duration) {
    let known = || counters.and_then(Counters::read).map(|alive| alive.processes);
    let open = known();
    drop(device);
    let start = Instant::now();
    while open.is_some() && known() >= open && start.elapsed() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a counter means among what a driver tells.
fn counted(counter: Counter, now: &counters::Alive, before: &counters::Alive) -> Option<u64> {
    let (now, before) = match counter {
        Counter::Nodes => (now.nodes, before.nodes),
        Counter::References => (now.references, before.references),
        Counter::Transactions => (now.transactions, before.transactions),
        Counter::Threads => (now.threads, before.threads),
        Counter::Deaths => (now.deaths?, before.deaths?),
        Counter::PayloadCopies | Counter::PayloadBytes | Counter::Buffers | Counter::Descriptors => {
            return None;
        }
    };
    Some(now.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read() {
        assert_eq!(KernelVersion::parse("6.12.117+deb12-amd64"), KernelVersion { major: 6, minor: 12 });
        assert_eq!(KernelVersion::parse("7.2-amd64"), KernelVersion { major: 7, minor: 2 });
        assert_eq!(KernelVersion::parse("odd"), KernelVersion { major: 0, minor: 0 });
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let missing = check(Path::new("/dev/there-is-none")).unwrap_err().to_string();
        assert!(missing.contains("modprobe"), "{missing}");
        let wrong = check(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(wrong.contains("no binder device"), "{wrong}");
    }
}
