//! A running guest: a child process that is the machine, the channel to the program inside, and the console.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::message::{self, Reply, Request, Way};

/// The last lines of a console that are kept.
const CONSOLE_LINES: usize = 400;

/// How long a machine that is about to end may take to do so, and how often it is looked at meanwhile.
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// A guest that has booted, or is about to.
pub struct Machine {
    process: Child,
    /// The program that is the machine, for messages.
    program: String,
    channel: UnixStream,
    console: Console,
    /// How the guest is asked.
    way: Way,
}

/// Why a guest does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// The machine cannot be started at all.
    #[error("{program} cannot be started: {error}")]
    NoMachine {
        /// The program that should be the machine.
        program: String,
        /// Why not.
        error: io::Error,
    },
    /// The guest is gone: its kernel panicked, or the machine gave up.
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
    /// Starts a machine, whose standard output is the guest's console. `channel` is this side's end of the channel;
    /// the other end is among the descriptors that the machine inherits.
    pub fn start(
        mut command: Command,
        channel: UnixStream,
        inherited: Vec<RawFd>,
    ) -> Result<Machine, Silence> {
        let program = command.get_program().to_string_lossy().into_owned();
        // Who interrupts a campaign at the terminal means that, and not its guests.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: only system calls between fork and exec, on descriptors that stay open until after it.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
                for descriptor in &inherited {
                    let descriptor = BorrowedFd::borrow_raw(*descriptor);
                    nix::fcntl::fcntl(
                        descriptor,
                        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
                    )?;
                }
                Ok(())
            });
        }
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => return Err(Silence::NoMachine { program, error }),
        };
        let console = Console::default();
        let streams: [Option<Box<dyn io::Read + Send>>; 2] = [
            process.stdout.take().map(|stream| Box::new(stream) as _),
            process.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        streams.into_iter().flatten().for_each(|stream| console.follow(stream));
        Ok(Machine { process, program, channel, console, way: Way::Pieces })
    }

    /// The guest is asked in this way from here on.
    pub fn ask_by(&mut self, way: Way) {
        self.way = way;
    }

    /// The process that is the machine.
    pub fn process(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    /// Waits for what the guest says next.
    pub fn receive(&mut self, patience: Duration) -> Result<Reply, Silence> {
        let timed = self.channel.set_read_timeout(Some(patience));
        let received = timed.and_then(|()| message::receive(&mut self.channel));
        received.map_err(|error| self.silence(error, patience))
    }

    /// Asks the guest something. Where that is sent in pieces, it has heard all but the last when this returns.
    pub fn ask(&mut self, request: &Request, patience: Duration) -> Result<(), Silence> {
        self.ask_with(request, &[], patience)
    }

    /// The same, with bytes that go with it.
    pub fn ask_with(&mut self, request: &Request, bytes: &[u8], patience: Duration) -> Result<(), Silence> {
        let timed = self.channel.set_read_timeout(Some(patience));
        let timed = timed.and_then(|()| self.channel.set_write_timeout(Some(patience)));
        let asked = timed.and_then(|()| message::ask(&mut self.channel, &mut self.way, request, bytes));
        asked.map_err(|error| self.silence(error, patience))
    }

    fn silence(&mut self, error: io::Error, patience: Duration) -> Silence {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::Hung(patience.as_secs()),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                let status = self.status().filter(|status| !status.success());
                Silence::Ended(
                    status.map_or_else(String::new, |status| format!(" ({}: {status})", self.program)),
                )
            }
            _ => Silence::Garbled(error),
        }
    }

    /// How a machine ended whose channel has; `None` if it is still there a moment later.
    fn status(&mut self) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(None) if start.elapsed() < GRACE => std::thread::sleep(POLL),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// The last lines that came over the guest's console, and what the machine said.
    pub fn console(&mut self) -> Vec<String> {
        // What is still on its way is of most interest; once the machine is gone, there is an end to it.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.console.finish()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A guest has nothing that is worth saving.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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

    /// All that has come, once the streams have ended. If somebody whom the machine has left behind keeps them open,
    /// what comes later is lost.
    fn finish(&self) -> Vec<String> {
        let followers = std::mem::take(&mut *self.followers.lock().unwrap_or_else(PoisonError::into_inner));
        let start = Instant::now();
        while followers.iter().any(|follower| !follower.is_finished()) && start.elapsed() < GRACE {
            std::thread::sleep(POLL);
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// The two ends of a channel to a machine that is about to be started, the second one for the machine.
pub fn channel() -> Result<(UnixStream, UnixStream), Silence> {
    UnixStream::pair().map_err(|error| Silence::NoMachine { program: "a channel".to_owned(), error })
}

/// The number by which a machine knows a descriptor that it inherits.
pub fn inherited(end: &UnixStream) -> RawFd {
    end.as_raw_fd()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a program that is taken for a machine.
    fn silence(script: &str) -> (Silence, Vec<String>) {
        let (ours, theirs) = channel().unwrap();
        let mut shell = Command::new("sh");
        let channel = inherited(&theirs);
        shell.args(["-c", &script.replace("CHANNEL", &channel.to_string())]);
        let mut machine = Machine::start(shell, ours, vec![channel]).unwrap();
        drop(theirs);
        let silence = machine.receive(Duration::from_secs(60)).unwrap_err();
        (silence, machine.console())
    }

    #[test]
    fn a_machine_that_ends_is_told_with_its_status() {
        let (silence, console) = silence("echo hello; exit 3");
        assert_eq!(silence.to_string(), "the guest ended (sh: exit status: 3)");
        assert_eq!(console, ["hello"]);
    }

    #[test]
    fn a_machine_that_closes_its_channel_and_stays_is_not_waited_for() {
        let (silence, _) = silence("exec 0<&- 1>&- 2>&- CHANNEL>&-; exec sleep 600");
        assert_eq!(silence.to_string(), "the guest ended");
    }

    #[test]
    fn what_a_machine_leaves_behind_with_its_console_is_not_waited_for() {
        let (silence, console) = silence("echo hello; sleep 15 CHANNEL>&- & exit 3");
        assert_eq!(silence.to_string(), "the guest ended (sh: exit status: 3)");
        assert_eq!(console, ["hello"]);
    }
}
