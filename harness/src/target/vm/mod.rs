//! The target `vm:KERNEL`: a real kernel, booted in QEMU, with this very program inside.

mod accelerator;
pub mod guest;
mod initramfs;
mod machine;
mod message;
mod module;
mod snapshot;

use std::path::PathBuf;
use std::time::Duration;

use super::Target;
use crate::engine::{Run, SetUpError, Verdict};
use crate::program::Program;
use crate::script;
pub use machine::Accelerator;
use machine::{Boot, Machine, Silence};
use message::{Reply, Request};
pub use module::{Module, ModuleError, with_needs};
use snapshot::Snapshot;

/// How long a kernel may take to boot, where time is not scaled.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// How long one may take that is emulated by the processor itself.
const KVM_PATIENCE: Duration = Duration::from_secs(20);
/// How long a guest may take to come back from a snapshot.
const RESTORE_PATIENCE: Duration = Duration::from_secs(20);

/// The modules that a guest needs, where they are not built into its kernel.
pub const GUEST_MODULES: &[&str] = &["virtio_pci", "virtio_console", "binder_linux"];

/// A kernel in a virtual machine. It is booted for the first program, and again whenever it has died.
pub struct VmTarget {
    name: String,
    boot: Boot,
    snapshot: Option<Snapshot>,
    may_try_kvm: bool,
    patience: Duration,
    machine: Option<Machine>,
    /// The release of the kernel, once it has booted.
    kernel: Option<String>,
    /// Where the initramfs is; removed with the target.
    _folder: tempfile::TempDir,
}

/// What a virtual machine is made of.
#[derive(Debug, Clone)]
pub struct VmOptions {
    /// The image of the kernel.
    pub kernel: PathBuf,
    /// Modules, in the order in which they are loaded.
    pub modules: Vec<Module>,
    /// More words for its command line.
    pub append: Vec<String>,
    /// How to emulate; `None` tries what is quickest.
    pub accelerator: Option<Accelerator>,
    /// How long nothing may happen in the guest before something is said to hang.
    pub patience: Duration,
}

impl VmTarget {
    /// Prepares to boot a kernel.
    pub fn new(name: &str, options: &VmOptions) -> Result<VmTarget, SetUpError> {
        machine::check_image(&options.kernel).map_err(SetUpError)?;
        let folder = tempfile::Builder::new()
            .prefix("binderdrill-")
            .tempdir()
            .map_err(|error| SetUpError(format!("no temporary folder for the initramfs: {error}")))?;
        let initramfs = folder.path().join("initramfs.cpio");
        initramfs::write(&initramfs, &options.modules).map_err(|error| SetUpError(error.to_string()))?;
        let patience = format!("binderdrill.patience={}", options.patience.as_secs());
        let boot = Boot {
            kernel: options.kernel.clone(),
            initramfs,
            append: options.append.iter().cloned().chain([patience]).collect(),
            accelerator: options.accelerator.unwrap_or(Accelerator::Tcg),
            processors: 1,
            memory: 512,
        };
        Ok(VmTarget {
            name: name.to_owned(),
            // Odd guests come and go, and must not push those of every day out of the cache.
            snapshot: if options.append.is_empty() { Snapshot::of(name, &boot) } else { None },
            may_try_kvm: options.accelerator.is_none() && accelerator::is_kvm_worth_trying(),
            boot,
            patience: options.patience,
            machine: None,
            kernel: None,
            _folder: folder,
        })
    }

    /// A guest that waits for a script.
    fn machine(&mut self) -> Result<&mut Machine, SetUpError> {
        if self.machine.is_none() {
            let machine = match self.restored() {
                Some(machine) => machine,
                None => self.booted()?,
            };
            self.machine = Some(machine);
        }
        Ok(self.machine.as_mut().expect("it has been started above"))
    }

    /// A guest that goes on from a snapshot. One that does not answer is of no more use.
    fn restored(&mut self) -> Option<Machine> {
        let snapshot = self.snapshot.as_ref()?;
        let path = snapshot.taken()?;
        let machine = Machine::start(&self.boot, Some(&path)).ok()?;
        match greet(machine, RESTORE_PATIENCE.mul_f64(self.scale())) {
            Ok((machine, kernel)) => {
                self.kernel = Some(kernel);
                Some(machine)
            }
            Err(_) => {
                snapshot.remove(&path);
                None
            }
        }
    }

    /// A guest that has booted. Where nobody said how to emulate, the processor itself is tried first.
    fn booted(&mut self) -> Result<Machine, SetUpError> {
        if std::mem::take(&mut self.may_try_kvm) {
            let boot = Boot { accelerator: Accelerator::Kvm, ..self.boot.clone() };
            let tried = Machine::start(&boot, None).ok();
            let answered = tried.and_then(|machine| greet(machine, KVM_PATIENCE.mul_f64(self.scale())).ok());
            if let Some((machine, kernel)) = answered {
                self.boot = boot;
                self.kernel = Some(kernel);
                return Ok(machine);
            }
            accelerator::note_kvm_fails();
        }
        let machine = Machine::start(&self.boot, None).map_err(|silence| SetUpError(silence.to_string()))?;
        let (mut machine, kernel) =
            greet(machine, BOOT_PATIENCE.mul_f64(self.scale())).map_err(|reason| {
                SetUpError(match reason {
                    NoGreeting::Unusable(reason) => reason,
                    NoGreeting::Silent(reason) => {
                        format!("{} does not boot: {reason}", self.boot.kernel.display())
                    }
                })
            })?;
        self.kernel = Some(kernel);
        if let Some(snapshot) = &self.snapshot
            && snapshot.take(&mut machine).is_err()
        {
            // Without a snapshot guests take longer to start, and that is all. But this one may not have come
            // through the attempt.
            self.snapshot = None;
            return self.booted();
        }
        Ok(machine)
    }

    /// How much longer than usual everything may take.
    fn scale(&self) -> f64 {
        (self.patience.as_secs_f64() / super::device::PATIENCE.as_secs_f64()).max(1.0)
    }

    /// Asks the guest to run a script. If it dies over it, the next one gets a fresh guest.
    fn ask(&mut self, request: &Request) -> Result<Run, SetUpError> {
        // The guest guards against hanging itself, so it takes its time only if it cannot.
        let patience = self.patience * 6;
        let machine = self.machine()?;
        let answer = machine.send(request).and_then(|()| machine.receive(patience));
        let silence = match answer {
            Ok(Reply::Ran(run)) => return Ok(run),
            Ok(other) => Silence::Garbled(std::io::Error::other(format!("{other:?}"))),
            Err(silence) => silence,
        };
        let console = self.machine.take().map(|mut machine| machine.console()).unwrap_or_default();
        let reason = format!("{silence}{}", last_lines(&console));
        Ok(Run { verdict: Verdict::Broken { reason }, transcript: Default::default() })
    }
}

impl Target for VmTarget {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, program: &Program) -> Result<Run, SetUpError> {
        self.ask(&Request::Run { script: script::print(program) })
    }

    fn driver(&self) -> Option<String> {
        self.kernel.as_ref().map(|release| format!("linux-{release}"))
    }
}

/// Why a guest that has been started does not say that it is ready.
enum NoGreeting {
    /// It says why.
    Unusable(String),
    /// It does not.
    Silent(String),
}

/// Waits until a guest that has been started is there. Gives the release of its kernel, too.
fn greet(mut machine: Machine, patience: Duration) -> Result<(Machine, String), NoGreeting> {
    let answer = machine.send(&Request::Hello).and_then(|()| machine.receive(patience));
    match answer {
        Ok(Reply::Ready { kernel }) => Ok((machine, kernel)),
        Ok(Reply::Unusable { reason }) => Err(NoGreeting::Unusable(reason)),
        Ok(Reply::Ran(_)) => Err(NoGreeting::Silent("the guest answers before it is asked".to_owned())),
        Err(silence) => {
            let console = machine.console();
            Err(NoGreeting::Silent(format!("{silence}{}", last_lines(&console))))
        }
    }
}

/// The end of a console, for a message.
fn last_lines(console: &[String]) -> String {
    const SHOWN: usize = 40;
    if console.is_empty() {
        return "; its console stayed empty".to_owned();
    }
    let lines = &console[console.len().saturating_sub(SHOWN)..];
    format!("; the last lines of its console:\n  {}", lines.join("\n  "))
}
