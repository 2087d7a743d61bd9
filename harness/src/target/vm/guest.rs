//! The guest: what this program does as the first process of a kernel.
//!
//! It mounts what it needs, loads the modules that the initramfs brought, finds the channel to the harness and
//! the binder device, and then runs the scripts that it is sent, one after the other, on that device.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use super::initramfs::MODULES;
use super::message::{Reply, Request, receive, send};
use crate::engine::{Run, Verdict};
use crate::script;
use crate::target::Target;
use crate::target::device::DeviceTarget;

/// What the channel is called on both sides.
pub const CHANNEL: &str = "binderdrill";

/// How long the kernel may take to find its own devices.
const DISCOVERY: Duration = Duration::from_secs(20);

/// Whether this process is the first of a kernel, and so the guest.
pub fn is_guest() -> bool {
    std::process::id() == 1 && Path::new("/").join(MODULES).is_dir()
}

/// Lives as the guest. Never returns: the machine is switched off at the end.
pub fn live() -> ! {
    if let Err(reason) = serve() {
        eprintln!("binderdrill: the guest ends: {reason}");
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
    let prepared = modules
        .and_then(|()| find_device())
        .and_then(|device| DeviceTarget::new(&device, patience).map_err(|error| error.to_string()));
    let mut target = match prepared {
        Ok(target) => target,
        Err(reason) => {
            let reason = format!("{kernel}: {reason}");
            return send(&mut channel, &Reply::Unusable { reason }).map_err(|error| error.to_string());
        }
    };
    let mut tell = |reply: &Reply| send(&mut channel, reply).map_err(|error| format!("the channel: {error}"));
    tell(&Reply::Ready { kernel })?;
    loop {
        let request = receive(&mut channel).map_err(|error| format!("the channel: {error}"))?;
        match request {
            Request::Run { script } => {
                let run = run(&script, &mut target);
                send(&mut channel, &Reply::Ran(run)).map_err(|error| format!("the channel: {error}"))?;
            }
            Request::Crash => {
                fs::write("/proc/sysrq-trigger", "c").map_err(|error| format!("sysrq: {error}"))?;
            }
        }
    }
}

fn run(text: &str, target: &mut DeviceTarget) -> Run {
    let broken = |reason| Run { verdict: Verdict::Broken { reason }, transcript: Default::default() };
    match script::parse(text.as_bytes()) {
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

/// Loads the modules of the initramfs, in the order of their names.
fn load_modules() -> Result<(), String> {
    let mut modules: Vec<PathBuf> = fs::read_dir(Path::new("/").join(MODULES))
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>())
        .map_err(|error| format!("/{MODULES}: {error}"))?;
    modules.sort();
    for path in modules {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::open(&path).map_err(|error| format!("{name}: {error}"))?;
        let loaded = nix::kmod::finit_module(file.as_fd(), c"", nix::kmod::ModuleInitFlags::empty());
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
    Ok(())
}

fn open_channel() -> Result<File, String> {
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

/// The binder device: of the module, or in a binderfs.
fn find_device() -> Result<PathBuf, String> {
    let plain = PathBuf::from("/dev/binder");
    let device = if plain.exists() {
        plain
    } else {
        let place = "/dev/binderfs";
        fs::create_dir_all(place).map_err(|error| format!("{place}: {error}"))?;
        mount(Some("binder"), place, Some("binder"), MsFlags::empty(), None::<&str>).map_err(|errno| {
            format!("this kernel has neither /dev/binder nor a binderfs ({errno}): is the driver in it, or given with --module?")
        })?;
        Path::new(place).join("binder")
    };
    fs::set_permissions(&device, Permissions::from_mode(0o666))
        .map_err(|error| format!("{}: {error}", device.display()))?;
    Ok(device)
}

/// What the harness gives on the kernel's command line, or what a device has by itself.
fn patience() -> Duration {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let given = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("binderdrill.patience="));
    let seconds = given.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(crate::target::device::PATIENCE, Duration::from_secs)
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
