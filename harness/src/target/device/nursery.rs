//! The nursery: a small process that agents are forked from.
//!
//! Forking is safe only where there is one thread. The harness may have several; so it starts itself once more,
//! with a hidden command, as a process that does nothing but fork on request. When the harness ends, however it
//! ends, so do the nursery and every agent.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use nix::unistd::{ForkResult, Uid};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::agent;
use super::observation::are_places_told;
use super::process::nice_value;
use super::scheduling::set_precedence;
use super::shared_memory::SharedMemory;

/// The hidden command that makes this program a nursery.
pub const COMMAND: &str = "nursery";
/// The descriptor on which it is asked for agents: its standard input.
const CONTROL: RawFd = 0;

/// A request for an agent. Its line and the memory that it shares come with it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Order {
    /// The user it shall be, or -1.
    uid: i64,
    /// How many threads it shall have.
    threads: u64,
    /// Which process of its world it shall be.
    place: u64,
}

/// The nursery, as the harness sees it.
pub struct Nursery {
    process: Child,
    control: OwnedFd,
    /// Whether the kernel tells in what processes sleep.
    are_places_told: bool,
    /// That of its agents, before anybody changes it.
    nice_value: Option<i64>,
}

impl Nursery {
    /// Starts a nursery for agents that open this device.
    pub fn start(device: &Path) -> std::io::Result<Nursery> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        let process = Command::new("/proc/self/exe")
            .arg(COMMAND)
            .arg(device)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            // What the terminal interrupts is the harness: that ends what it is at, and the nursery then.
            .process_group(0)
            .spawn()?;
        let are_places_told = are_places_told(process.id() as i32);
        let nice_value = nice_value(process.id() as i32);
        Ok(Nursery { process, control: ours, are_places_told, nice_value })
    }

    /// Whether the kernel tells in what processes sleep, such as this one, which does most of the time.
    pub fn are_places_told(&self) -> bool {
        self.are_places_told
    }

    /// The nice value of its agents, before anybody changes it.
    pub fn nice_value(&self) -> Option<i64> {
        self.nice_value
    }

    /// Whether agents that are forked from now on have [precedence](set_precedence), if they are to have it.
    pub fn give_precedence(&self, to_agents: bool) -> bool {
        set_precedence(self.process.id() as i32, to_agents).is_ok() && to_agents
    }

    /// Has an agent forked with this line, which shares this memory. Gives its process id.
    pub fn agent(
        &self,
        uid: Option<u32>,
        line: BorrowedFd<'_>,
        memory: &SharedMemory,
    ) -> std::io::Result<i32> {
        let order = Order {
            uid: uid.map_or(-1, i64::from),
            threads: memory.threads() as u64,
            place: memory.place() as u64,
        };
        // The agent keeps the first one, and so this one has the lowest number.
        let raw = [line.as_raw_fd(), memory.file().as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&raw)];
        sendmsg::<()>(
            self.control.as_raw_fd(),
            &[IoSlice::new(order.as_bytes())],
            &rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        let mut answer = 0i32;
        let read = nix::unistd::read(self.control.as_fd(), answer.as_mut_bytes())?;
        match answer {
            _ if read != size_of::<i32>() => Err(std::io::ErrorKind::UnexpectedEof.into()),
            pid if pid > 0 => Ok(pid),
            errno => Err(std::io::Error::from_raw_os_error(-errno)),
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // It has no state worth saving; its agents die with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says what is wrong, to whoever is left to hear it.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "binderdrill: {what}");
}

/// Lives as a nursery: forks an agent for each order, until the harness is gone.
pub fn live(device: PathBuf) -> ExitCode {
    ExitCode::from(serve(&device))
}

fn serve(device: &Path) -> u8 {
    if let Err(error) = end_with_parent().and_then(|()| reap_children()) {
        complain(&format!("the nursery of test processes cannot start: {error}"));
        return 2;
    }
    loop {
        let (order, line, memory) = match next_order() {
            Ok(Some(order)) => order,
            Ok(None) => return 0,
            Err(error) => {
                complain(&format!("the nursery of test processes cannot go on: {error}"));
                return 2;
            }
        };
        // SAFETY: this process has one thread, so the child's copy of it is whole.
        let answer = match unsafe { nix::unistd::fork() } {
            Ok(ForkResult::Parent { child }) => child.as_raw(),
            Ok(ForkResult::Child) => {
                let live = |()| {
                    agent::live(device.to_owned(), order.place as usize, order.threads as usize, line, memory)
                };
                let error = become_agent(order).map_err(Into::into).map_or_else(|error| error, live);
                complain(&format!("a test process cannot go on: {error}"));
                return 2;
            }
            Err(errno) => -(errno as i32),
        };
        // SAFETY: descriptor 0 is the control socket for as long as the process lives.
        let control = unsafe { BorrowedFd::borrow_raw(CONTROL) };
        if nix::unistd::write(control, answer.as_bytes()).is_err() {
            return 0;
        }
    }
}

/// The next order, with the line and the memory of the agent; `None` when the harness is gone.
fn next_order() -> std::io::Result<Option<(Order, OwnedFd, OwnedFd)>> {
    let mut order = Order::new_zeroed();
    Ok(receive(CONTROL, order.as_mut_bytes())?.map(|(line, memory)| (order, line, memory)))
}

/// A message with a line and memory, if there is one more.
pub fn receive(over: RawFd, bytes: &mut [u8]) -> std::io::Result<Option<(OwnedFd, OwnedFd)>> {
    let mut space = cmsg_space!([RawFd; 2]);
    let mut slices = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(over, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control
            && let [line, memory] = descriptors[..]
        {
            // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
            return Ok(Some(unsafe { (OwnedFd::from_raw_fd(line), OwnedFd::from_raw_fd(memory)) }));
        }
    }
    Err(std::io::ErrorKind::InvalidData.into())
}

/// What tells an agent from its nursery.
fn become_agent(order: Order) -> Result<(), Errno> {
    if let Ok(uid) = u32::try_from(order.uid) {
        let uid = Uid::from_raw(uid);
        nix::unistd::setgroups(&[])?;
        nix::unistd::setresuid(uid, uid, uid)?;
    }
    // A change of user takes this back, so it comes last.
    end_with_parent()
}

/// This process ends when the nursery does.
pub fn end_with_parent() -> Result<(), Errno> {
    prctl::set_pdeathsig(Signal::SIGKILL)
}

/// Lets the kernel reap agents that have ended.
fn reap_children() -> Result<(), Errno> {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, nix::sys::signal::SigHandler::SigIgn) }.map(|_| ())
}
