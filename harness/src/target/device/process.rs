//! A process of a world on a device: an agent, seen from the harness.

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::os::fd::AsRawFd;
use zerocopy::{FromZeros, IntoBytes};

use super::message::{Reply, Request};
use super::nursery::{MOST_THREADS, Nursery};
use super::observation::{Activity, activity, exists};
use crate::target::mappings::Mappings;
use crate::target::{CALL_WORDS, ProcessSpecification, TargetError};

/// An agent and its threads.
pub struct Process {
    pub(super) name: String,
    pub(super) pid: i32,
    pub(super) alive: bool,
    pub(super) threads: Vec<Thread>,
    /// The opening that its calls go to.
    pub(super) device: Option<OpeningIndex>,
    /// The openings that it has made and not closed.
    pub(super) held: Vec<OpeningIndex>,
    /// What it has mapped.
    pub(super) mapped: Mappings<OpeningIndex>,
}

/// Which of the openings of a world, in the order in which they were asked for.
pub type OpeningIndex = usize;

/// An opened device: it lasts as long as a descriptor, a mapping, a call or a transaction on its way uses it.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// The id of the process that opened it, by which the driver tells of it.
    pub(super) opener: i32,
    /// Other descriptors of it than the one of its opener may be there.
    pub(super) is_shared: bool,
}

/// A thread of an agent.
pub struct Thread {
    pub(super) name: String,
    pub(super) tid: i32,
    socket: File,
    pub(super) state: State,
}

/// What the harness knows of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for a request.
    Idle,
    /// It has been given a request, and has not replied.
    Calling {
        /// The opening that the call is on.
        device: Option<OpeningIndex>,
    },
    /// It has replied.
    Returned(i64),
}

impl Process {
    /// Has an agent forked, and waits until its threads are ready.
    pub(super) fn start(
        nursery: &Nursery,
        specification: &ProcessSpecification,
        patience: Duration,
    ) -> Result<Process, TargetError> {
        let name = specification.name.clone();
        let broken = |what: &str, error| broken(&name, what, error);
        if specification.forked {
            return Ok(Process::of_threads(name, 0, Vec::new()));
        }
        if specification.threads.len() > MOST_THREADS {
            return Err(TargetError::Unsupported(format!("{name} has more than {MOST_THREADS} threads")));
        }
        let mut ours = Vec::new();
        let mut theirs: Vec<OwnedFd> = Vec::new();
        for _ in &specification.threads {
            let (our, their) =
                socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
                    .map_err(|errno| broken("no socket", errno.into()))?;
            ours.push(our);
            theirs.push(their);
        }
        let pid = nursery.agent(specification.uid, &theirs).map_err(|error| broken("no process", error))?;
        drop(theirs);
        let mut threads = Vec::new();
        for (socket, name) in ours.into_iter().zip(&specification.threads) {
            let mut thread = Thread {
                name: name.clone(),
                tid: 0,
                socket: socket.into(),
                state: State::Calling { device: None },
            };
            let ready = thread.await_reply(Instant::now() + patience).map_err(|error| {
                if specification.uid.is_some() && !nix::unistd::geteuid().is_root() {
                    return TargetError::Unsupported("acting as another user takes root".to_owned());
                }
                match error.kind() {
                    ErrorKind::UnexpectedEof => TargetError::Broken(format!("the process {name} has died")),
                    _ => broken("its process does not get ready", error),
                }
            })?;
            thread.tid = ready as i32;
            thread.state = State::Idle;
            threads.push(thread);
        }
        Ok(Process { alive: true, ..Process::of_threads(name, pid, threads) })
    }

    /// One that is not there, or not yet.
    fn of_threads(name: String, pid: i32, threads: Vec<Thread>) -> Process {
        Process {
            name,
            pid,
            alive: false,
            threads,
            device: None,
            held: Vec::new(),
            mapped: Mappings::default(),
        }
    }

    /// It has been forked: it has this id, and its thread serves this socket.
    pub(super) fn come_to_life(
        &mut self,
        pid: i32,
        socket: OwnedFd,
        patience: Duration,
    ) -> Result<(), TargetError> {
        let mut thread = Thread {
            name: self.name.clone(),
            tid: 0,
            socket: socket.into(),
            state: State::Calling { device: None },
        };
        let ready = thread
            .await_reply(Instant::now() + patience)
            .map_err(|error| broken(&self.name, "its process does not get ready", error))?;
        thread.tid = ready as i32;
        thread.state = State::Idle;
        self.threads = vec![thread];
        self.pid = pid;
        self.alive = true;
        Ok(())
    }

    /// Copies into the process' memory.
    pub(super) fn write_memory(&self, address: u64, bytes: &[u8]) -> Result<(), TargetError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let remote = [RemoteIoVec { base: address as usize, len: bytes.len() }];
        match process_vm_writev(Pid::from_raw(self.pid), &[IoSlice::new(bytes)], &remote) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) | Err(Errno::EFAULT) => Err(TargetError::Broken(format!(
                "{}: {} bytes at {address:#x} lie outside of the thread's arena",
                self.name,
                bytes.len()
            ))),
            Err(errno) => Err(self.unreachable(errno)),
        }
    }

    /// Copies from the process' memory; `None` where it has none.
    pub(super) fn read_memory(&self, address: u64, length: usize) -> Result<Option<Vec<u8>>, TargetError> {
        let mut bytes = vec![0; length];
        if length == 0 {
            return Ok(Some(bytes));
        }
        let remote = [RemoteIoVec { base: address as usize, len: length }];
        match process_vm_readv(Pid::from_raw(self.pid), &mut [IoSliceMut::new(&mut bytes)], &remote) {
            Ok(read) if read == length => Ok(Some(bytes)),
            Ok(_) | Err(Errno::EFAULT) => Ok(None),
            Err(_) if !self.alive => Ok(None),
            Err(errno) => Err(self.unreachable(errno)),
        }
    }

    fn unreachable(&self, errno: Errno) -> TargetError {
        match errno {
            Errno::EPERM => TargetError::SetUp(format!(
                "the memory of the process {} may not be looked at: run as root, or allow it (ptrace_scope)",
                self.name
            )),
            Errno::ESRCH => TargetError::Broken(format!("the process {} has died", self.name)),
            errno => TargetError::Broken(format!("the memory of {} cannot be reached: {errno}", self.name)),
        }
    }

    /// Whether one of its threads is in a call on an opening.
    pub(super) fn is_in_call(&self, device: OpeningIndex) -> bool {
        self.threads.iter().any(|thread| thread.state == State::Calling { device: Some(device) })
    }

    /// Kills the process, if it lives.
    pub(super) fn kill(&mut self) {
        if self.alive {
            // It may have ended by itself in the meantime.
            let _ = nix::sys::signal::kill(Pid::from_raw(self.pid), nix::sys::signal::Signal::SIGKILL);
            self.forget();
        }
    }

    /// The process has ended, or is about to.
    pub(super) fn forget(&mut self) {
        self.alive = false;
        self.device = None;
        self.held.clear();
        self.mapped.clear();
        self.threads.iter_mut().for_each(|thread| thread.state = State::Idle);
    }

    /// Whether nothing is left of a process that has ended.
    pub(super) fn is_gone(&self) -> bool {
        !exists(self.pid)
    }

    /// What one of its threads does, for a call that it has not returned from.
    pub(super) fn activity(&self, thread: usize) -> Activity {
        let word = CALL_WORDS + (thread * size_of::<u64>()) as u64;
        let word = self.read_memory(word, size_of::<u64>()).ok().flatten();
        match word.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => activity(self.pid, self.threads[thread].tid, u64::from_ne_bytes(bytes)),
            None => Activity::Gone,
        }
    }
}

fn broken(name: &str, what: &str, error: std::io::Error) -> TargetError {
    TargetError::Broken(format!("{name}: {what}: {error}"))
}

impl Thread {
    /// Sends a descriptor to the thread, which has just been asked to take one.
    pub(super) fn send_descriptor(&self, descriptor: &OwnedFd) -> std::io::Result<()> {
        let raw = [descriptor.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&raw)];
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(&[0])], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// Gives the thread a request.
    pub(super) fn send(&mut self, request: Request, device: Option<usize>) -> std::io::Result<()> {
        self.socket.write_all(request.as_bytes())?;
        self.state = State::Calling { device };
        Ok(())
    }

    /// Takes note of a reply, if there is one. An end of file means that the process has died.
    pub(super) fn note_reply(&mut self) -> std::io::Result<()> {
        let mut reply = Reply::new_zeroed();
        let received =
            nix::sys::socket::recv(self.socket.as_raw_fd(), reply.as_mut_bytes(), MsgFlags::MSG_DONTWAIT);
        match received {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                // The rest of a reply is on its way, as the agent writes it in one go.
                self.socket.read_exact(&mut reply.as_mut_bytes()[length..])?;
                self.state = State::Returned(reply.result);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Waits until there is a reply, or something happens to the socket, but no longer than this.
    pub(super) fn wait_for_reply(&self, most: Duration) {
        use nix::poll::{PollFd, PollFlags, ppoll};
        use std::os::fd::AsFd;
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // Whatever it says, the caller looks for a reply next.
        let _ = ppoll(&mut polled, Some(nix::sys::time::TimeSpec::from_duration(most)), None);
    }

    fn await_reply(&mut self, deadline: Instant) -> std::io::Result<i64> {
        loop {
            self.note_reply()?;
            if let State::Returned(result) = self.state {
                return Ok(result);
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.wait_for_reply(rest);
        }
    }
}
