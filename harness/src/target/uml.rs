//! The target `uml:PATH`: a kernel built for User-mode Linux, which runs as an ordinary process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::guest::{GuestOptions, Launched, Launcher, Machine, NoGreeting, channel, greet, inherited};
use crate::engine::SetUpError;

/// How long a kernel may take to boot, where time is not scaled.
const BOOT_PATIENCE: Duration = Duration::from_secs(30);

/// Starts kernels of User-mode Linux.
pub struct Uml {
    kernel: PathBuf,
    initramfs: PathBuf,
    append: String,
    scale: f64,
    /// Where the kernel keeps files of its own while it runs; removed with this value.
    folder: tempfile::TempDir,
}

impl Uml {
    /// Prepares to boot a kernel.
    pub fn new(options: &GuestOptions, initramfs: &Path) -> Result<Uml, SetUpError> {
        check_image(&options.kernel).map_err(SetUpError)?;
        // The guest's memory is a file that the kernel makes and unlinks; where that is on a disk, it is slow.
        let shared_memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("binderdrill-");
        let folder =
            if shared_memory.is_dir() { builder.tempdir_in(shared_memory) } else { builder.tempdir() };
        let folder =
            folder.map_err(|error| SetUpError(format!("no folder for the guest's memory: {error}")))?;
        Ok(Uml {
            kernel: options.kernel.clone(),
            initramfs: initramfs.to_owned(),
            append: options.command_line(),
            scale: options.scale(),
            folder,
        })
    }
}

impl Launcher for Uml {
    fn launch(&mut self) -> Result<Launched, SetUpError> {
        let started = channel().and_then(|(ours, guests_end)| {
            let guests = inherited(&guests_end);
            let mut command = Command::new(&self.kernel);
            command
                .env("TMPDIR", self.folder.path())
                .env("HOME", self.folder.path())
                .arg("mem=512M")
                .arg(format!("initrd={}", self.initramfs.display()))
                .args(["con=null", "con0=null,fd:1", "loglevel=4", "panic=-1", "oops=panic"])
                .args(["ssl=null".to_owned(), format!("ssl0=fd:{guests},fd:{guests}")])
                .arg("binderdrill.channel=/dev/ttyS0")
                .args(self.append.split_ascii_whitespace());
            Machine::start(command, ours, vec![guests])
        });
        let machine = started.map_err(|silence| SetUpError(silence.to_string()))?;
        greet(machine, BOOT_PATIENCE.mul_f64(self.scale)).map_err(|reason| {
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
