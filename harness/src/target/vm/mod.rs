//! The target `vm:KERNEL`: a real kernel, booted in QEMU, with this very program inside.

pub mod guest;
mod initramfs;
mod machine;
mod message;
mod module;

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

/// How long a kernel may take to boot, where time is not scaled.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);

/// The modules that a guest needs, where they are not built into its kernel.
pub const GUEST_MODULES: &[&str] = &["virtio_pci", "virtio_console", "binder_linux"];

/// A kernel in a virtual machine. It is booted for the first program, and again whenever it has died.
pub struct VmTarget {
    name: String,
    boot: Boot,
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
    /// How to emulate.
    pub accelerator: Accelerator,
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
            accelerator: options.accelerator,
            processors: 1,
            memory: 512,
        };
        Ok(VmTarget {
            name: name.to_owned(),
            boot,
            patience: options.patience,
            machine: None,
            kernel: None,
            _folder: folder,
        })
    }

    /// A guest that has booted.
    fn machine(&mut self) -> Result<&mut Machine, SetUpError> {
        if self.machine.is_none() {
            let mut machine =
                Machine::start(&self.boot).map_err(|silence| SetUpError(silence.to_string()))?;
            let scale = self.patience.as_secs_f64() / super::device::PATIENCE.as_secs_f64();
            match machine.receive(BOOT_PATIENCE.mul_f64(scale.max(1.0))) {
                Ok(Reply::Ready { kernel }) => self.kernel = Some(kernel),
                Ok(Reply::Unusable { reason }) => return Err(SetUpError(reason)),
                Ok(Reply::Ran(_)) => {
                    return Err(SetUpError("the guest answers before it is asked".to_owned()));
                }
                Err(silence) => {
                    let console = machine.console();
                    return Err(SetUpError(format!(
                        "{} does not boot: {silence}{}",
                        self.boot.kernel.display(),
                        last_lines(&console)
                    )));
                }
            }
            self.machine = Some(machine);
        }
        Ok(self.machine.as_mut().expect("it has been started above"))
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
