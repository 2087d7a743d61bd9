//! The target `uml:PATH`: a kernel built for User-mode Linux, which runs as an ordinary process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::guest::{
    CONSOLE, GuestOptions, Initramfs, Launched, Launcher, Machine, NoGreeting, channel, greet_by_terminal,
    inherited,
};
use crate::engine::SetUpError;

/// How long a kernel may take to boot, where time is not scaled.
const BOOT_PATIENCE: Duration = Duration::from_secs(30);

/// Where files are kept in memory.
const SHARED_MEMORY: &str = "/dev/shm";

/// Starts kernels of User-mode Linux.
pub struct Uml {
    kernel: PathBuf,
    initramfs: Initramfs,
    append: String,
    cpus: u32,
    scale: f64,
}

impl Uml {
    /// Prepares to boot a kernel.
    pub fn new(options: &GuestOptions) -> Result<Uml, SetUpError> {
        check_image(&options.kernel).map_err(SetUpError)?;
        Ok(Uml {
            kernel: options.kernel.clone(),
            initramfs: options.initramfs()?,
            append: options.command_line(),
            cpus: options.cpus,
            scale: options.scale(),
        })
    }
}

impl Launcher for Uml {
    fn launch(&mut self) -> Result<Launched, SetUpError> {
        let started = channel().and_then(|(ours, guests_end)| {
            let guests = inherited(&guests_end);
            let mut command = Command::new(&self.kernel);
            command
                // The guest's memory is a file that the kernel makes there and unlinks at once.
                .env("TMPDIR", if Path::new(SHARED_MEMORY).is_dir() { SHARED_MEMORY } else { "/tmp" })
                .arg("mem=512M")
                .arg(format!("ncpus={}", self.cpus))
                // Without it, what runs in the guest is traced, which is slower and goes with one processor only.
                .arg(if self.cpus > 1 { "seccomp=on" } else { "seccomp=auto" })
                .arg(format!("initrd={}", self.initramfs.path().display()))
                // Where nothing can be written, the kernel does without files of its own, and so leaves none behind.
                .arg("uml_dir=/proc/")
                .args(["con=null", "con0=null,fd:1", CONSOLE, "panic=-1", "oops=panic"])
                .args(["ssl=null".to_owned(), format!("ssl0=fd:{guests},fd:{guests}")])
                .arg("binderdrill.channel=/dev/ttyS0")
                .args(self.append.split_ascii_whitespace());
            Machine::start(command, ours, vec![guests, self.initramfs.descriptor()])
        });
        let machine = started.map_err(|silence| SetUpError(silence.to_string()))?;
        greet_by_terminal(machine, BOOT_PATIENCE.mul_f64(self.scale)).map_err(|reason| {
            SetUpError(match reason {
                NoGreeting::Unusable(reason) => reason,
                NoGreeting::Silent(reason) => format!("{} does not boot: {reason}", self.kernel.display()),
            })
        })
    }
}

/// Whether a file is a program that may be started. Gives what is wrong with it.
fn check_image(path: &Path) -> Result<(), String> {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let mut file = std::fs::File::open(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut start = [0; 4];
    if file.read_exact(&mut start).is_err() || &start != b"\x7fELF" {
        return Err(format!(
            "{shown} is no kernel of User-mode Linux: give the file `linux` of a build with ARCH=um"
        ));
    }
    let mode = file.metadata().map_err(|error| format!("{shown}: {error}"))?.permissions().mode();
    if mode & 0o111 == 0 {
        return Err(format!("{shown} may not be executed: chmod +x {shown}"));
    }
    Ok(())
}
