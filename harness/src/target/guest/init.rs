//! The guest: what this program does as the first process of a kernel.
//!
//! It mounts what it needs, loads the modules that the initramfs brought, finds the channel to the harness and
//! the binder device, and then runs the scripts that it is sent, one after the other, on that device.

use std::ffi::CStr;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use strum::VariantArray;

use super::counters::{Counting, Since};
use super::execute;
use super::initramfs::MODULES;
use super::mailbox;
use super::message::{Compared, Introduction, Reply, Request, digest, hear, say};
use super::packed::pack;
use crate::engine::{Run, Verdict};
use crate::program::Context;
use crate::script;
use crate::target::device::{DeviceTarget, KernelLog, device_of, kernel_log};
use crate::target::tape::Reel;
use crate::target::{Part, Spent, Target, Worlds};

/// What the channel is called on both sides.
pub const CHANNEL: &str = "binderdrill";

/// Of how many programs one is measured: in some guests each look at a clock costs as much as a step.
const MEASURED: usize = 64;

/// How much more patience there is with a program that is none of ours than with a single call.
const PATIENCE_WITH_PROGRAMS: u32 = 5;

/// How long the kernel may take to find its own devices.
const DISCOVERY: Duration = Duration::from_secs(20);

/// Whether this process is the first of a kernel, and so the guest.
pub fn is_guest() -> bool {
    std::process::id() == 1 && Path::new("/").join(MODULES).is_dir()
}

/// Lives as the guest. Never returns: the machine is switched off at the end.
pub fn live() -> ! {
    if let Err(reason) = serve() {
        let _ = writeln!(io::stderr(), "binderdrill: the guest ends: {reason}");
    }
    // Whatever happens, there is nothing better to do than to switch off.
    let _ = nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_POWER_OFF);
    std::process::exit(2)
}

fn serve() -> Result<(), String> {
    mount_file_systems()?;
    let modules = load_modules();
    let mut channel = open_channel()?;
    let kernel = nix::sys::utsname::uname().map_err(|errno| format!("uname: {errno}"))?;
    let kernel = kernel.release().to_string_lossy().into_owned();
    let patience = patience();
    let mut counting = Counting::of(modules.as_deref().unwrap_or_default())
        .map_err(|error| format!("the modules in the initramfs: {error}"))?;
    let prepared = modules
        .and_then(|_| find_device())
        .and_then(|device| DeviceTarget::new(&device, patience).map_err(|error| error.to_string()))
        .and_then(|target| nothing_to_complain_of().map(|()| target));
    let mut target = prepared.map_err(|reason| format!("{kernel}: {reason}"));
    // What booting ran is no program's doing.
    let at_boot = counting.take().map_err(|error| format!("the counters of the kernel: {error}"))?;
    let has_mailbox = command_line_word(mailbox::WORD).is_some_and(|folder| mailbox::open(&folder));
    let mut fault = Fault::asked_for();
    let mut sample = Sample::default();
    let_precedence_hold();
    go_last();
    loop {
        let (request, bytes) = hear(&mut channel).map_err(|error| format!("the channel: {error}"))?;
        let reply = match (request, &mut target) {
            (_, Err(reason)) => Reply::Unusable { reason: reason.clone() },
            (Request::Hello, Ok(target)) => Reply::Ready(Introduction {
                driver: Worlds::driver(target).unwrap_or_default(),
                profile: Worlds::profile(target).name.to_owned(),
                security_context: target.security_context(),
                has_mailbox,
            }),
            (Request::Run { script }, Ok(target)) => {
                fault.strike();
                target.keep_agents(false);
                let run = run(&script, target);
                let spoilt = is_spoilt_by(&run, target);
                Reply::Ran { run, spoilt }
            }
            (Request::Compare { scripts }, Ok(target)) => {
                compare(scripts, target, &mut fault, &mut sample, &mut channel)?;
                continue;
            }
            (Request::Play, Ok(target)) => play(&bytes, target, &mut fault, &mut sample)?,
            (Request::Count { since: Since::Boot }, Ok(_)) => Reply::Counted { counters: at_boot.clone() },
            (Request::Count { since: Since::Last }, Ok(_)) => match counting.take() {
                Ok(counters) => Reply::Counted { counters },
                Err(error) => {
                    Reply::Unusable { reason: format!("the counters of the kernel cannot be read: {error}") }
                }
            },
            (Request::Keep { program }, Ok(_)) => match execute::keep(&program) {
                Ok(()) => Reply::Kept,
                Err(error) => Reply::Unusable { reason: format!("a program cannot be kept: {error}") },
            },
            (Request::Execute { words }, Ok(target)) => {
                // What it starts is scheduled as it is itself.
                schedule(nix::libc::SCHED_OTHER);
                let patience = patience * PATIENCE_WITH_PROGRAMS;
                let status = execute::execute(target.device(), &words, patience, |bytes| {
                    say(&mut channel, &Reply::Wrote { bytes: pack(bytes)? })
                });
                go_last();
                let complaints = target.new_complaints();
                Reply::Executed { status, complaints, spoilt: target.has_complained() }
            }
        };
        say(&mut channel, &reply).map_err(|error| format!("the channel: {error}"))?;
    }
}

/// Runs scripts one after the other, and says of each what came of it.
fn compare(
    scripts: Vec<Compared>,
    target: &mut DeviceTarget,
    fault: &mut Fault,
    sample: &mut Sample,
    channel: &mut File,
) -> Result<(), String> {
    target.keep_agents(true);
    for Compared { script, digest: expected } in &scripts {
        if sample.has_next() {
            target.stopwatch().start();
        }
        fault.strike();
        let run = run(script, target);
        let spoilt = is_spoilt_by(&run, target);
        let run = (digest(&run) != *expected).then_some(run);
        target.stopwatch().lap(Part::Comparing);
        let spent = target.stopwatch().stop();
        say(channel, &Reply::Compared { run, spent, spoilt })
            .map_err(|error| format!("the channel: {error}"))?;
        if spoilt {
            break;
        }
    }
    Ok(())
}

/// Whether a kernel is of no more use behind a run: it has complained, or something hangs that others may come to wait for.
fn is_spoilt_by(run: &Run, target: &mut DeviceTarget) -> bool {
    target.has_complained() || matches!(run.verdict, Verdict::Broken { .. })
}

/// Plays tapes one after the other. If something is left of them, or the kernel complains, none is said to have done the same.
fn play(
    reel: &[u8],
    target: &mut DeviceTarget,
    fault: &mut Fault,
    sample: &mut Sample,
) -> Result<Reply, String> {
    let tapes = Reel::tapes(reel).map_err(|error| error.to_string())?;
    target.keep_agents(true);
    let mut same = Vec::with_capacity(tapes.len());
    let mut spent = Spent::default();
    let playable = if target.plays() { tapes.as_slice() } else { &[] };
    for tape in playable {
        if sample.has_next() {
            target.stopwatch().start();
        }
        fault.strike();
        // If something goes wrong with its processes, it is run from its script.
        same.push(target.play(tape).unwrap_or(false));
        spent += target.stopwatch().stop();
    }
    let left = target.left();
    let mut log = target.new_lines();
    let complaints = kernel_log::complaints(&log);
    if complaints.is_empty() {
        log.clear();
    }
    // Of one that did something else, it is no news.
    let is_news = same.iter().all(|same| *same);
    if left.is_some() || !complaints.is_empty() {
        same.fill(false);
    }
    let left = left.filter(|_| is_news).unwrap_or_default();
    Ok(Reply::Played { same, complaints, left, log, spent })
}

/// Chooses the programs that are measured.
#[derive(Default)]
struct Sample {
    /// How many there have been.
    programs: usize,
}

impl Sample {
    /// Whether the next program is one of them.
    fn has_next(&mut self) -> bool {
        self.programs += 1;
        // Not the first, with which agents are started for all.
        self.programs % MEASURED == MEASURED / 8
    }
}

/// Lets every other process of the guest go before this one, which has nothing to do while one of them has: so when it
/// looks whether all has come to rest, mostly all has. Where this cannot be had, it only looks more often.
fn go_last() {
    schedule(nix::libc::SCHED_IDLE);
}

/// Has this process be scheduled by a policy without priorities, if it may.
fn schedule(policy: nix::libc::c_int) {
    let parameter = nix::libc::sched_param { sched_priority: 0 };
    // SAFETY: it only changes how this thread is scheduled.
    unsafe { nix::libc::sched_setscheduler(0, policy, &parameter) };
}

/// Has no agent that precedes this process ever wait for it. Kernels give whoever is always preceded some time now and
/// then: which a guest that gets little of its own machine's time comes to sooner than its programs take. What a kernel
/// has no such setting for, it does not do.
fn let_precedence_hold() {
    let _ = fs::write("/proc/sys/kernel/sched_rt_runtime_us", "-1");
    let servers = fs::read_dir("/sys/kernel/debug/sched/fair_server").into_iter().flatten().flatten();
    for server in servers {
        let _ = fs::write(server.path().join("runtime"), "0");
    }
}

fn run(text: &str, target: &mut DeviceTarget) -> Run {
    let broken = |reason| Run::without_steps(Verdict::Broken { reason });
    let parsed = script::parse(text.as_bytes());
    target.stopwatch().lap(Part::Reading);
    match parsed {
        Ok(script) => target.run(&script.program).unwrap_or_else(|error| broken(error.to_string())),
        Err(diagnostics) => broken(diagnostics.render("script", false)),
    }
}

fn mount_file_systems() -> Result<(), String> {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")] {
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .map_err(|errno| format!("{kind} cannot be mounted on {place}: {errno}"))?;
    }
    // Without debugfs there are no counters, and so no check for leaks. Targets say so themselves.
    let _ = mount(Some("debugfs"), "/sys/kernel/debug", Some("debugfs"), MsFlags::empty(), None::<&str>);
    Ok(())
}

/// Loads the modules of the initramfs, in the order of their names. These are their files.
fn load_modules() -> Result<Vec<PathBuf>, String> {
    let mut modules: Vec<PathBuf> = fs::read_dir(Path::new("/").join(MODULES))
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>())
        .map_err(|error| format!("/{MODULES}: {error}"))?;
    modules.sort();
    for path in &modules {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
        let loaded =
            nix::kmod::finit_module(file.as_fd(), parameters(&name), nix::kmod::ModuleInitFlags::empty());
        match loaded {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(nix::errno::Errno::ENOEXEC) => {
                return Err(format!(
                    "the module {name} was built for another kernel than this one: give the one that was built with it"
                ));
            }
            Err(errno) => return Err(format!("the module {name} cannot be loaded: {errno}")),
        }
    }
    Ok(modules)
}

/// What a module is given: the driver is to have a device for each context.
fn parameters(module: &str) -> &'static CStr {
    if module.contains("binder_linux") { c"devices=binder,hwbinder,vndbinder" } else { c"" }
}

/// The channel to the harness: the terminal that the kernel's command line names, or else a virtio port.
fn open_channel() -> Result<File, String> {
    if let Some(path) = command_line_word("binderdrill.channel=") {
        let open = || File::options().read(true).write(true).open(&path).ok();
        let terminal = awaited(open).ok_or_else(|| format!("{path} cannot be opened"))?;
        make_raw(&terminal).map_err(|errno| format!("{path}: {errno}"))?;
        say(&mut &terminal, &Reply::Listening).map_err(|error| format!("{path}: {error}"))?;
        return Ok(terminal);
    }
    let ports = Path::new("/sys/class/virtio-ports");
    let found = awaited(|| {
        let mut entries = fs::read_dir(ports).ok()?.flatten();
        let port = entries.find(|entry| {
            fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == CHANNEL)
        })?;
        Some(Path::new("/dev").join(port.file_name()))
    });
    let path = found.ok_or("there is no virtio port to the harness (has this kernel virtio_console?)")?;
    File::options().read(true).write(true).open(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Has a terminal pass on what it is given, byte for byte.
fn make_raw(terminal: &File) -> nix::Result<()> {
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    let mut attributes = tcgetattr(terminal)?;
    cfmakeraw(&mut attributes);
    tcsetattr(terminal, SetArg::TCSANOW, &attributes)
}

/// The binder device: of the module, or in a binderfs.
fn find_device() -> Result<PathBuf, String> {
    let plain = PathBuf::from("/dev/binder");
    let device = if plain.exists() {
        plain
    } else {
        let place = "/dev/binderfs";
        fs::create_dir_all(place).map_err(|error| format!("{place}: {error}"))?;
        // Without that option the driver in Rust tells nothing of itself.
        let options = Some("stats=global");
        mount(Some("binder"), place, Some("binder"), MsFlags::empty(), options).map_err(|errno| {
            format!("this kernel has neither /dev/binder nor a binderfs ({errno}): is the driver in it, or given with --module?")
        })?;
        Path::new(place).join("binder")
    };
    for context in Context::VARIANTS {
        let device = device_of(*context, &device);
        match fs::set_permissions(&device, Permissions::from_mode(0o666)) {
            Err(error) if *context == Context::default() || error.kind() != ErrorKind::NotFound => {
                return Err(format!("{}: {error}", device.display()));
            }
            _ => {}
        }
    }
    Ok(device)
}

/// That the kernel has booted without a complaint. After one, some of its checks may be off.
fn nothing_to_complain_of() -> Result<(), String> {
    let mut complaints = KernelLog::complaints_since_boot();
    let locking = fs::read_to_string("/proc/lockdep_stats").unwrap_or_default();
    let is_off = |line: &str| line.trim().strip_prefix("debug_locks:").is_some_and(|on| on.trim() == "0");
    if locking.lines().any(is_off) {
        complaints.push("lockdep has switched itself off".to_owned());
    }
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!("the kernel complains while it boots:\n  {}", complaints.join("\n  ")))
}

/// What the harness gives on the kernel's command line, or what a device has by itself.
fn patience() -> Duration {
    let given = command_line_word("binderdrill.patience=");
    let seconds = given.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(crate::target::device::PATIENCE, Duration::from_secs)
}

/// What goes wrong in the guest, on purpose: so that it can be tested what the harness makes of it.
/// `binderdrill.fault=panic@2` on the kernel's command line is a panic at the second script.
struct Fault {
    kind: Option<FaultKind>,
    /// How many scripts are run before.
    scripts_before: u32,
}

#[derive(Clone, Copy)]
enum FaultKind {
    /// The kernel panics.
    Panic,
    /// The guest says nothing any more.
    Silence,
    /// A process of the script is killed.
    Kill,
    /// The kernel's log has a warning in the course of the script.
    Warning,
}

impl Fault {
    fn asked_for() -> Fault {
        let asked = command_line_word("binderdrill.fault=");
        let asked = asked.as_deref().and_then(|fault| fault.split_once('@'));
        let kind = match asked {
            Some(("panic", _)) => Some(FaultKind::Panic),
            Some(("silence", _)) => Some(FaultKind::Silence),
            Some(("kill", _)) => Some(FaultKind::Kill),
            Some(("warning", _)) => Some(FaultKind::Warning),
            _ => None,
        };
        let place = asked.and_then(|(_, place)| place.parse::<u32>().ok()).unwrap_or(1);
        Fault { kind, scripts_before: place.saturating_sub(1) }
    }

    /// A script begins.
    fn strike(&mut self) {
        if self.scripts_before > 0 {
            self.scripts_before -= 1;
            return;
        }
        match self.kind.take() {
            None => {}
            Some(FaultKind::Panic) => {
                let _ = fs::write("/proc/sysrq-trigger", "c");
            }
            Some(FaultKind::Silence) => loop {
                std::thread::sleep(DISCOVERY);
            },
            Some(FaultKind::Kill) => {
                std::thread::spawn(kill_an_agent);
            }
            Some(FaultKind::Warning) => {
                std::thread::spawn(|| {
                    let _ = awaited(two_agents);
                    let _ = fs::write("/dev/kmsg", "<4>WARNING: on purpose\n");
                });
            }
        }
    }
}

/// The processes that the nursery has forked, once there are two.
fn two_agents() -> Option<Vec<i32>> {
    // Process 1 is this one; of its children, only the nursery has any, which are the agents.
    let children = |pid: i32| {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok()).collect::<Vec<i32>>()
    };
    children(1).into_iter().map(children).find(|agents| agents.len() > 1)
}

/// Kills the first process that the nursery forks, when there is a second one.
fn kill_an_agent() {
    if let Some(agent) = awaited(two_agents).and_then(|agents| agents.first().copied()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(agent), nix::sys::signal::Signal::SIGKILL);
    }
}

/// The rest of the first word on the kernel's command line that begins so.
fn command_line_word(start: &str) -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").ok()?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(start)).map(str::to_owned)
}

/// Asks until there is an answer, or no longer.
fn awaited<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if start.elapsed() > DISCOVERY => return None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
