//! A process of a world on a device: an agent, seen from the harness.

use std::cell::OnceCell;
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

use super::agent::DISMISSAL;
use super::message::{OP_RENEW, Reply, Request};
use super::nursery::{MOST_THREADS, Nursery};
use super::observation::{Glance, Parked, Watch, exists};
use crate::target::mappings::Mappings;
use crate::target::{CALL_WORDS, ProcessSpecification, TargetError};

/// The most pieces of memory that one system call copies (IOV_MAX).
const MOST_PIECES: usize = 1024;

/// An agent and its threads.
pub struct Process {
    pub(super) name: String,
    pub(super) pid: i32,
    pub(super) alive: bool,
    /// The user that it has been made, if it is another than the harness'.
    uid: Option<u32>,
    /// It cannot be made as good as new.
    pub(super) is_spent: bool,
    /// Whether the kernel tells in what its threads sleep.
    are_places_told: bool,
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
    /// What it did when all was at rest the last time, if it was parked then.
    pub(super) rest: Option<Parked>,
    /// The opening that it has been asked to make.
    pub(super) opens: Option<OpeningIndex>,
    /// Made when it is first looked at.
    watch: OnceCell<Option<Watch>>,
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
            return Ok(Process::of_threads(nursery, name, 0, Vec::new()));
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
            let mut thread = Thread::new(name.clone(), socket);
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
        let uid = specification.uid;
        Ok(Process { alive: true, uid, is_spent: false, ..Process::of_threads(nursery, name, pid, threads) })
    }

    /// One that is not there, or not yet.
    fn of_threads(nursery: &Nursery, name: String, pid: i32, threads: Vec<Thread>) -> Process {
        Process {
            name,
            pid,
            alive: false,
            uid: None,
            is_spent: true,
            are_places_told: nursery.are_places_told(),
            threads,
            device: None,
            held: Vec::new(),
            mapped: Mappings::default(),
        }
    }

    /// Whether it can be what this asks for, if it is as good as new.
    pub(super) fn suits(&self, specification: &ProcessSpecification) -> bool {
        let ProcessSpecification { uid, threads, forked, .. } = specification;
        !forked && self.uid == *uid && self.threads.len() == threads.len()
    }

    /// Is this one from here on.
    pub(super) fn become_one(&mut self, specification: &ProcessSpecification) {
        self.name.clone_from(&specification.name);
        for (thread, name) in self.threads.iter_mut().zip(&specification.threads) {
            thread.name.clone_from(name);
        }
    }

    /// Asks for it to be made as good as new: to have nothing open, nothing mapped, and memory without a trace of what was
    /// there. Nobody may use it before [`Process::is_as_new`]. False if it cannot be.
    pub(super) fn ask_to_renew(&mut self, patience: Duration) -> bool {
        if !self.alive || self.is_spent {
            return false;
        }
        for thread in &mut self.threads {
            if matches!(thread.state, State::Calling { .. }) && !thread.dismiss(self.pid, patience) {
                return false;
            }
        }
        // What it has mapped beside the one mapping may lie anywhere among its own memory.
        let Ok(mapped) = self.mapped.at_most_one_piece() else { return false };
        let request = Request {
            operation: OP_RENEW,
            detail: 0,
            argument: mapped.end - mapped.start,
            address: mapped.start,
            begin: 0,
        };
        self.threads[0].send(request, None).is_ok()
    }

    /// Waits until it has done what [`Process::ask_to_renew`] asks for, and says whether it is of use again.
    pub(super) fn is_as_new(&mut self, patience: Duration) -> bool {
        let renewed = self.threads[0].await_reply(Instant::now() + patience).is_ok_and(|result| result == 0);
        self.forget();
        self.alive = true;
        // A driver that has lent a thread the priority of a caller may not have taken it back.
        let usual = nice_value(0);
        renewed && self.threads.iter().all(|thread| nice_value(thread.tid) == usual)
    }

    /// It has been forked: it has this id, and its thread serves this socket.
    pub(super) fn come_to_life(
        &mut self,
        pid: i32,
        socket: OwnedFd,
        patience: Duration,
    ) -> Result<(), TargetError> {
        let mut thread = Thread::new(self.name.clone(), socket);
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

    /// Whether a descriptor is one that it has had from the beginning: its standard streams and sockets.
    pub(super) fn is_own(&self, descriptor: u32) -> bool {
        descriptor as usize <= nix::libc::STDERR_FILENO as usize + self.threads.len()
    }

    /// Copies bytes into the process' memory, each to its address.
    pub(super) fn write_memory(&self, pieces: &[(u64, Vec<u8>)]) -> Result<(), TargetError> {
        let pieces = pieces.iter().filter(|(_, bytes)| !bytes.is_empty());
        let local: Vec<IoSlice> = pieces.clone().map(|(_, bytes)| IoSlice::new(bytes)).collect();
        let place =
            |(address, bytes): &(u64, Vec<u8>)| RemoteIoVec { base: *address as usize, len: bytes.len() };
        let remote: Vec<RemoteIoVec> = pieces.clone().map(place).collect();
        for (local, remote) in local.chunks(MOST_PIECES).zip(remote.chunks(MOST_PIECES)) {
            let length: usize = local.iter().map(|piece| piece.len()).sum();
            match process_vm_writev(Pid::from_raw(self.pid), local, remote) {
                Ok(written) if written == length => {}
                Ok(_) | Err(Errno::EFAULT) => {
                    let addresses: Vec<String> = remote
                        .iter()
                        .map(|place| format!("{} bytes at {:#x}", place.len, place.base))
                        .collect();
                    let addresses = addresses.join(", ");
                    return Err(TargetError::Broken(format!(
                        "{}: of {addresses} some lie outside of the thread's arena",
                        self.name
                    )));
                }
                Err(errno) => return Err(self.unreachable(errno)),
            }
        }
        Ok(())
    }

    /// Copies from the process' memory; `None` where it has none.
    pub(super) fn read_memory(&self, address: u64, length: usize) -> Result<Option<Vec<u8>>, TargetError> {
        self.read_pieces(&[(address, length)])
    }

    /// Copies several pieces of the process' memory, one behind the other; `None` where it has none.
    pub(super) fn read_pieces(&self, pieces: &[(u64, usize)]) -> Result<Option<Vec<u8>>, TargetError> {
        let length = pieces.iter().map(|(_, length)| length).sum();
        let mut bytes = vec![0; length];
        if length == 0 {
            return Ok(Some(bytes));
        }
        let place = |(address, length): &(u64, usize)| RemoteIoVec { base: *address as usize, len: *length };
        let remote: Vec<RemoteIoVec> = pieces.iter().map(place).collect();
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

    /// Takes the first look at one of its threads that has not returned from its call: `Ok(None)` if it is not parked. It
    /// is if it has [slept on](Process::has_slept_on). An error if it is gone.
    pub(super) fn parked(&self, thread: usize) -> Result<Option<Parked>, TargetError> {
        let watch = &self.threads[thread].watch;
        let watch = watch.get_or_init(|| Watch::of(self.pid, self.threads[thread].tid, self.are_places_told));
        let gone = || TargetError::Broken(format!("the process {} has died", self.name));
        let switches = match watch.as_ref().ok_or_else(gone)?.glance() {
            Glance::SeemsToSleep { switches } => switches,
            Glance::Runs => return Ok(None),
            Glance::Gone => return Err(gone()),
        };
        let word = CALL_WORDS + (thread * size_of::<u64>()) as u64;
        let word = self.read_memory(word, size_of::<u64>())?.ok_or_else(gone)?;
        let call = word.try_into().map_or(0, u64::from_ne_bytes);
        Ok((call != 0).then_some(Parked { call, switches }))
    }

    /// Whether one of its threads has slept on since this look at it. It is in the same call then.
    pub(super) fn has_slept_on(&self, thread: usize, since: Parked) -> bool {
        let watch = self.threads[thread].watch.get().and_then(Option::as_ref);
        watch.is_some_and(|watch| watch.has_slept_since(since.switches))
    }
}

/// The nice value of a thread, or of the calling one; `None` if it is gone.
fn nice_value(tid: i32) -> Option<i64> {
    // SAFETY: it only asks. The function of the C library would give -1, which could also be an error.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_getpriority, nix::libc::PRIO_PROCESS, tid) };
    Errno::result(result).ok()
}

fn broken(name: &str, what: &str, error: std::io::Error) -> TargetError {
    TargetError::Broken(format!("{name}: {what}: {error}"))
}

impl Thread {
    /// One that is about to say that it is ready.
    fn new(name: String, socket: OwnedFd) -> Thread {
        let state = State::Calling { device: None };
        let socket = socket.into();
        Thread { name, tid: 0, socket, state, rest: None, opens: None, watch: OnceCell::new() }
    }

    /// Has the thread, which is in a call of this process, come back from it. False if it does not.
    fn dismiss(&mut self, pid: i32, patience: Duration) -> bool {
        // SAFETY: agents handle the signal, and no other thread has both of these ids.
        let sent = unsafe {
            nix::libc::syscall(nix::libc::SYS_tgkill, pid, self.tid, DISMISSAL as nix::libc::c_int)
        };
        sent == 0 && self.await_reply(Instant::now() + patience).is_ok()
    }

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
