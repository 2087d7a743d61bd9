//! A running guest: QEMU as a child process, the channel to the program inside, and the console.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use qapi::qmp;

use super::guest::CHANNEL;
use super::message::{self, Reply, Request};

/// The emulator.
pub const QEMU: &str = "qemu-system-x86_64";

/// How long saving a guest may take.
const SAVE_PATIENCE: Duration = Duration::from_secs(60);

/// The last lines of a console that are kept.
const CONSOLE_LINES: usize = 400;

/// What a guest is booted from.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// How the machine is emulated.
    pub accelerator: Accelerator,
    /// How many processors it has.
    pub processors: u32,
    /// How much memory, in MiB.
    pub memory: u32,
}

/// How a machine is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Accelerator {
    /// By the processor itself.
    Kvm,
    /// In software.
    Tcg,
}

/// A guest that has booted, or is about to.
pub struct Machine {
    emulator: Child,
    channel: UnixStream,
    /// Where the emulator itself takes commands.
    control: UnixStream,
    console: Console,
}

/// Why a guest does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// The emulator cannot be started at all.
    #[error("{0}")]
    NoEmulator(String),
    /// The guest is gone: its kernel panicked, or the emulator gave up.
    #[error("the guest ended{0}")]
    Ended(String),
    /// The guest says nothing.
    #[error("the guest said nothing for {0} s")]
    Hung(u64),
    /// The guest talks nonsense.
    #[error("the guest cannot be understood: {0}")]
    Garbled(io::Error),
}

impl Machine {
    /// Starts a guest, from its kernel or from a snapshot. It answers when it is there.
    pub fn start(boot: &Boot, snapshot: Option<&Path>) -> Result<Machine, Silence> {
        let no_emulator = |error: io::Error| {
            Silence::NoEmulator(match error.kind() {
                ErrorKind::NotFound => {
                    format!(
                        "{QEMU} is not installed: install it (on Debian: apt-get install qemu-system-x86)"
                    )
                }
                _ => format!("{QEMU} cannot be started: {error}"),
            })
        };
        let (channel, guests_end) = UnixStream::pair().map_err(no_emulator)?;
        let (control, emulators_end) = UnixStream::pair().map_err(no_emulator)?;
        let inherited = [guests_end.as_raw_fd(), emulators_end.as_raw_fd()];
        let mut command = command(boot, snapshot, inherited);
        // SAFETY: only system calls between fork and exec, on descriptors that stay open until after it.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                for descriptor in inherited {
                    let descriptor = BorrowedFd::borrow_raw(descriptor);
                    nix::fcntl::fcntl(
                        descriptor,
                        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
                    )?;
                }
                Ok(())
            });
        }
        let mut emulator = command.spawn().map_err(no_emulator)?;
        let console = Console::default();
        let streams: [Option<Box<dyn io::Read + Send>>; 2] = [
            emulator.stdout.take().map(|stream| Box::new(stream) as _),
            emulator.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        streams.into_iter().flatten().for_each(|stream| console.follow(stream));
        Ok(Machine { emulator, channel, control, console })
    }

    /// Waits for what the guest says next.
    pub fn receive(&mut self, patience: Duration) -> Result<Reply, Silence> {
        let timed = self.channel.set_read_timeout(Some(patience));
        match timed.and_then(|()| message::receive(&mut self.channel)) {
            Ok(reply) => Ok(reply),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Silence::Hung(patience.as_secs()))
            }
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                let status = self.emulator.wait().ok().filter(|status| !status.success());
                Err(Silence::Ended(status.map_or_else(String::new, |status| format!(" ({QEMU}: {status})"))))
            }
            Err(error) => Err(Silence::Garbled(error)),
        }
    }

    /// Tells the guest something.
    pub fn send(&mut self, request: &Request) -> Result<(), Silence> {
        message::send(&mut self.channel, request).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Silence::Ended(String::new()),
            _ => Silence::Garbled(error),
        })
    }

    /// Saves the whole guest to a file, and lets it go on.
    pub fn save(&mut self, path: &Path) -> io::Result<()> {
        self.control.set_read_timeout(Some(SAVE_PATIENCE))?;
        let mut greeting = String::new();
        let mut reader = BufReader::new(self.control.try_clone()?);
        reader.read_line(&mut greeting)?;
        let mut control = qapi::Qmp::new(qapi::Stream::new(reader, &self.control));
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

    /// The last lines that came over the guest's console, and what the emulator said.
    pub fn console(&mut self) -> Vec<String> {
        // What is still on its way is of most interest; once the emulator is gone, there is an end to it.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
        self.console.finish()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A guest has nothing that is worth saving.
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

fn command(boot: &Boot, snapshot: Option<&Path>, [channel, control]: [RawFd; 2]) -> Command {
    let mut command = Command::new(QEMU);
    let (accelerator, processor) = match boot.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", "max"),
    };
    let mut append = String::from("console=ttyS0 loglevel=4 panic=-1 oops=panic");
    for word in &boot.append {
        append.push(' ');
        append.push_str(word);
    }
    command
        .args(["-M", "pc", "-accel", accelerator, "-cpu", processor])
        .args(["-m", &boot.memory.to_string(), "-smp", &boot.processors.to_string()])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-net", "none", "-no-reboot"])
        .args(["-serial", "stdio"])
        .args(["-chardev", &format!("socket,id=channel,fd={channel}")])
        .args([
            "-chardev",
            &format!("socket,id=control,fd={control}"),
            "-mon",
            "chardev=control,mode=control",
        ])
        .args(["-device", "virtio-serial-pci"])
        .args(["-device", &format!("virtserialport,chardev=channel,name={CHANNEL}")])
        .arg("-kernel")
        .arg(&boot.kernel)
        .arg("-initrd")
        .arg(&boot.initramfs)
        .args(["-append", &append])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(snapshot) = snapshot {
        command.args(["-incoming", &format!("exec:cat {}", quoted(snapshot))]);
    }
    command
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// What the emulator says of its version; nothing if it is not there.
pub fn emulator_version() -> String {
    let output = Command::new(QEMU).arg("--version").output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// The console of a guest, followed by threads of its own.
#[derive(Clone, Default)]
struct Console {
    lines: Arc<Mutex<VecDeque<String>>>,
    followers: Arc<Mutex<Vec<std::thread::JoinHandle<()>>>>,
}

impl Console {
    fn follow(&self, stream: Box<dyn io::Read + Send>) {
        let lines = Arc::clone(&self.lines);
        let follower = std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == CONSOLE_LINES {
                    lines.pop_front();
                }
                lines.push_back(text);
            }
        });
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).push(follower);
    }

    /// All that has come, once the streams have ended.
    fn finish(&self) -> Vec<String> {
        let followers = std::mem::take(&mut *self.followers.lock().unwrap_or_else(PoisonError::into_inner));
        for follower in followers {
            // A follower that panicked has followed up to then.
            let _ = follower.join();
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Whether a file looks like a kernel that the emulator can boot. Gives what is wrong with it.
pub fn check_image(path: &Path) -> Result<(), String> {
    use std::io::Read;
    let shown = path.display();
    let mut file = std::fs::File::open(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut start = [0; 0x206];
    let is_image = file.read_exact(&mut start).is_ok() && &start[0x202..0x206] == b"HdrS";
    if is_image {
        return Ok(());
    }
    Err(format!(
        "{shown} is no Linux kernel for x86-64: give a bzImage or vmlinuz, not a vmlinux or a package"
    ))
}
