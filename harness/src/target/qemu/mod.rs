//! The target `vm:KERNEL`: a real kernel, booted in QEMU.

mod accelerator;
mod snapshot;

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qapi::qmp;

use super::guest::{
    CHANNEL, CONSOLE, GuestOptions, Initramfs, Launched, Launcher, Machine, Silence, Way, channel, greet,
    inherited,
};
use crate::engine::SetUpError;
use snapshot::Snapshot;

pub use snapshot::forget as forget_snapshots;

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";

/// What a machine has, in MiB: kernels that check their memory take much of it. What is not used costs nothing.
const MEMORY: u32 = 1024;

/// An emulator that gets no time for a while keeps a kernel waiting for its timer, and one that does not know better takes
/// it for broken, and panics.
const TIMER: &str = "no_timer_check";

/// How long a kernel may take to boot, where time is not scaled.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// How long one may take that is emulated by the processor itself.
const KVM_PATIENCE: Duration = Duration::from_secs(20);
/// How long a guest may take to come back from a snapshot.
const RESTORE_PATIENCE: Duration = Duration::from_secs(20);
/// How long saving a guest may take.
const SAVE_PATIENCE: Duration = Duration::from_secs(60);

/// Starts kernels in QEMU.
pub struct Qemu {
    boot: Boot,
    snapshot: Option<Snapshot>,
    may_try_kvm: bool,
    /// How much longer than usual everything may take.
    scale: f64,
}

/// What a guest is booted from.
#[derive(Clone)]
struct Boot {
    kernel: PathBuf,
    initramfs: Arc<Initramfs>,
    /// The kernel's command line.
    append: String,
    accelerator: Accelerator,
    processors: u32,
    /// In MiB.
    memory: u32,
}

/// How a machine is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Accelerator {
    /// By the processor itself.
    Kvm,
    /// In software.
    Tcg,
}

/// A machine and where the emulator itself takes commands.
struct Emulated {
    machine: Machine,
    control: UnixStream,
}

impl Qemu {
    /// Prepares to boot a kernel. Without an accelerator, what is quickest is tried.
    pub fn new(
        target: &str,
        options: &GuestOptions,
        accelerator: Option<Accelerator>,
    ) -> Result<Qemu, SetUpError> {
        check_image(&options.kernel).map_err(SetUpError)?;
        let boot = Boot {
            kernel: options.kernel.clone(),
            initramfs: Arc::new(options.initramfs()?),
            append: format!("console=ttyS0 {CONSOLE} {TIMER} panic=-1 oops=panic {}", options.command_line()),
            accelerator: accelerator.unwrap_or(Accelerator::Tcg),
            processors: options.cpus,
            memory: MEMORY,
        };
        Ok(Qemu {
            // Odd guests come and go, and must not push those of every day out of the cache.
            snapshot: if options.append.is_empty() { Snapshot::of(target, &boot) } else { None },
            may_try_kvm: accelerator.is_none() && accelerator::is_kvm_worth_trying(),
            boot,
            scale: options.scale(),
        })
    }

    /// A guest that goes on from a snapshot. One that does not answer is of no more use.
    fn restored(&self) -> Option<Launched> {
        let snapshot = self.snapshot.as_ref()?;
        let path = snapshot.taken()?;
        let emulated = start(&self.boot, Some(&path)).ok()?;
        let launched = greet(emulated.machine, RESTORE_PATIENCE.mul_f64(self.scale)).ok();
        if launched.is_none() {
            snapshot.remove(&path);
        }
        launched
    }

    /// A guest that has booted. Where nobody said how to emulate, the processor itself is tried first.
    fn booted(&mut self) -> Result<Launched, SetUpError> {
        if std::mem::take(&mut self.may_try_kvm) {
            let boot = Boot { accelerator: Accelerator::Kvm, ..self.boot.clone() };
            let tried = start(&boot, None).ok();
            let patience = KVM_PATIENCE.mul_f64(self.scale);
            if let Some(launched) = tried.and_then(|emulated| greet(emulated.machine, patience).ok()) {
                self.boot = boot;
                return Ok(launched);
            }
            accelerator::note_kvm_fails();
        }
        let Emulated { machine, mut control } = start(&self.boot, None).map_err(|silence| match silence {
            Silence::NoMachine { error, .. } if error.kind() == ErrorKind::NotFound => SetUpError(format!(
                "{QEMU} is not installed: install it (on Debian: apt-get install qemu-system-x86)"
            )),
            silence => SetUpError(silence.to_string()),
        })?;
        let launched = greet(machine, BOOT_PATIENCE.mul_f64(self.scale))
            .map_err(|reason| reason.of(&self.boot.kernel))?;
        if let Some(snapshot) = &self.snapshot
            && snapshot.take(|path| save(&mut control, path)).is_err()
        {
            // Without a snapshot guests take longer to start, and that is all. But this one may not have come
            // through the attempt.
            self.snapshot = None;
            return self.booted();
        }
        Ok(launched)
    }
}

impl Launcher for Qemu {
    fn launch(&mut self) -> Result<Launched, SetUpError> {
        match self.restored() {
            Some(launched) => Ok(launched),
            None => self.booted(),
        }
    }
}

/// Starts a guest, from its kernel or from a snapshot.
fn start(boot: &Boot, snapshot: Option<&Path>) -> Result<Emulated, Silence> {
    let (ours, guests_end) = channel()?;
    let (control, emulators_end) = channel()?;
    let (guests, emulators) = (inherited(&guests_end), inherited(&emulators_end));
    let (accelerator, processor) = match boot.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        // What the emulator does byte by byte is left out: it is ten times as slow there as what stands in for it.
        Accelerator::Tcg => ("tcg,thread=multi", "max,-erms"),
    };
    let mut command = Command::new(QEMU);
    command
        .args(["-M", "pc", "-accel", accelerator, "-cpu", processor])
        .args(["-m", &boot.memory.to_string(), "-smp", &boot.processors.to_string()])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-net", "none", "-no-reboot"])
        .args(["-serial", "stdio"])
        .args(["-chardev", &format!("socket,id=channel,fd={guests}")])
        .args([
            "-chardev",
            &format!("socket,id=control,fd={emulators}"),
            "-mon",
            "chardev=control,mode=control",
        ])
        .args(["-device", "virtio-serial-pci"])
        .args(["-device", &format!("virtserialport,chardev=channel,name={CHANNEL}")])
        .arg("-kernel")
        .arg(&boot.kernel)
        .arg("-initrd")
        .arg(boot.initramfs.path())
        .args(["-append", &boot.append]);
    if let Some(snapshot) = snapshot {
        command.args(["-incoming", &format!("exec:cat {}", quoted(snapshot))]);
    }
    let mut machine = Machine::start(command, ours, vec![guests, emulators, boot.initramfs.descriptor()])?;
    machine.ask_by(Way::Whole);
    Ok(Emulated { machine, control })
}

/// Saves a whole guest to a file, and lets it go on.
fn save(control: &mut UnixStream, path: &Path) -> io::Result<()> {
    control.set_read_timeout(Some(SAVE_PATIENCE))?;
    let mut greeting = String::new();
    let mut reader = BufReader::new(control.try_clone()?);
    reader.read_line(&mut greeting)?;
    let mut control = qapi::Qmp::new(qapi::Stream::new(reader, &*control));
    control.execute(&qmp::qmp_capabilities { enable: None })?;
    let uri = format!("exec:cat > {}", quoted(path));
    control.execute(&qmp::migrate { uri: Some(uri), channels: None, detach: None, resume: None })?;
    let start = Instant::now();
    loop {
        match control.execute(&qmp::query_migrate {})?.status {
            Some(qmp::MigrationStatus::completed) => break,
            Some(qmp::MigrationStatus::failed | qmp::MigrationStatus::cancelled) => {
                return Err(io::Error::other("the emulator could not save the guest"));
            }
            _ if start.elapsed() > SAVE_PATIENCE => return Err(ErrorKind::TimedOut.into()),
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    control.execute(&qmp::cont {})?;
    Ok(())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// What the emulator says of its version; nothing if it is not there.
fn emulator_version() -> String {
    let output = Command::new(QEMU).arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Whether a file looks like a kernel that the emulator can boot. Gives what is wrong with it.
fn check_image(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let mut file = File::open(path).map_err(|error| {
        format!("{shown}: {error}; give the path of a bzImage, or a name of `binderdrill kernel list`")
    })?;
    let mut start = [0; 0x206];
    let is_image = file.read_exact(&mut start).is_ok() && &start[0x202..0x206] == b"HdrS";
    if is_image {
        return Ok(());
    }
    Err(format!(
        "{shown} is no Linux kernel for x86-64: give a bzImage or vmlinuz, not a vmlinux or a package"
    ))
}
