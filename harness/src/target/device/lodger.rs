//! Lodgers: agents that live in the address space of the harness.
//!
//! Each is a process of its own, as a driver sees it: it has its id, its descriptors, its user and its handlers of signals. But
//! when one goes on after the other, the machine has no address space to change, which on an emulated one takes longer than
//! most system calls. Programs that do nothing by which they could tell it apart are played by lodgers: each has addresses
//! that the others of its world do not use, and what a process looks for elsewhere is not put on tapes.
//!
//! A process that is not forked has no copy of a stack to go on with, nor of what its threads have for themselves. It is given
//! a [berth](Berth) for each of them.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::num::NonZeroUsize;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::agent::{Agent, Desks, close_from, handle_interruptions};
use super::nursery::end_with_parent;
use super::part::Lines;
use super::scheduling::set_precedence;
use super::shared_memory::SharedMemory;
use crate::target::FIRST_DESCRIPTOR;

/// A process in the address space of this one. It ends when this is dropped.
pub(super) struct Lodger {
    /// What the process knows. It is there until the process is gone.
    tenant: Arc<Tenant>,
    pid: Pid,
    /// The process is gone, and nobody else has its id yet.
    is_reaped: Cell<bool>,
}

/// What a lodger is to begin with.
struct Tenant {
    agent: Agent,
    /// One for each thread.
    berths: Vec<Berth>,
}

/// The first steps of a thread.
struct Birth {
    tenant: *const Tenant,
    thread: usize,
}

/// The descriptor where other agents have their line.
const LINE: i32 = FIRST_DESCRIPTOR as i32 - 1;

/// The flags by which a thread is made that belongs to the process of the calling one.
const THREAD: c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS;

impl Lodger {
    /// Whether this program has been made for a machine and a C library of which it is known where threads have their storage.
    pub(super) const ARE_POSSIBLE: bool = cfg!(all(target_arch = "x86_64", target_env = "gnu"));

    /// Starts a process that opens this device, with this memory, which is mapped here, and with so many of these berths as it
    /// has threads, or new ones. Its threads tell their ids when they are ready.
    pub(super) fn start(
        device: &Path,
        memory: &SharedMemory,
        mut berths: Vec<Berth>,
    ) -> std::io::Result<Lodger> {
        berths.truncate(memory.threads());
        while berths.len() < memory.threads() {
            berths.push(Berth::new()?);
        }
        let agent = Agent::new(device.to_owned(), memory.place(), Desks::of(memory), LINE).lodging();
        let tenant = Arc::new(Tenant { agent, berths });
        let pid = tenant.begin(0, libc::CLONE_VM | libc::CLONE_SETTLS | libc::SIGCHLD)?;
        Ok(Lodger { tenant, pid: Pid::from_raw(pid), is_reaped: Cell::new(false) })
    }

    /// The id of the process.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// It is going to play this.
    pub(super) fn learn(&self, lines: Lines) {
        self.tenant.agent.learn(lines);
    }

    /// Whether nothing is left of the process.
    pub(super) fn is_gone(&self) -> bool {
        self.has_been_reaped(WaitPidFlag::WNOHANG)
    }

    fn has_been_reaped(&self, how: WaitPidFlag) -> bool {
        while !self.is_reaped.get() {
            match waitpid(self.pid, Some(how)) {
                Ok(WaitStatus::StillAlive) => return false,
                Err(Errno::EINTR) => {}
                // It has ended; what cannot be waited for is not there.
                _ => self.is_reaped.set(true),
            }
        }
        true
    }

    /// Ends the process, if it lives, and waits until nothing is left of it: for ever, if its kernel does not let it go. Whoever
    /// watches over the guest sees that it says nothing.
    pub(super) fn end(&mut self) {
        if !self.is_gone() {
            // It may have ended by itself in the meantime.
            let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
            self.has_been_reaped(WaitPidFlag::empty());
        }
        // What cannot be unmapped keeps its device open, which is seen.
        let _ = self.tenant.agent.unmap_devices();
    }

    /// The same, and takes back its berths.
    pub(super) fn evict(mut self) -> Vec<Berth> {
        self.end();
        // Nobody but the process has known it.
        Arc::get_mut(&mut self.tenant).map(|tenant| std::mem::take(&mut tenant.berths)).unwrap_or_default()
    }
}

impl Drop for Lodger {
    fn drop(&mut self) {
        // Who has been evicted has no berths any more.
        if !self.tenant.berths.is_empty() {
            self.end();
        }
    }
}

impl Tenant {
    /// Starts a thread in its berth: in a process of its own, or in the calling one, as the flags say. Gives its id.
    fn begin(&self, thread: usize, flags: c_int) -> nix::Result<i32> {
        let Berth { stack, storage, .. } = self.berths.get(thread).ok_or(Errno::EINVAL)?;
        let birth = Box::into_raw(Box::new(Birth { tenant: self, thread }));
        let nobody = std::ptr::null_mut::<c_void>();
        // SAFETY: the new thread has a stack and a storage of its own, which nobody else uses before it has ended; what it refers
        // to lives until then, as [`Lodger`] sees to.
        let id = unsafe {
            libc::clone(be_born, stack.top(), flags, birth.cast(), nobody, *storage as *mut c_void, nobody)
        };
        Errno::result(id).inspect_err(|_| {
            // SAFETY: it comes from a box, and there is no thread that would have it.
            drop(unsafe { Box::from_raw(birth) });
        })
    }

    /// What tells a process from the harness; its other threads; and then whatever it is asked for. Returns only when
    /// something went wrong.
    fn live(&self) -> std::io::Error {
        match self.settle() {
            Ok(()) => self.agent.serve(0),
            Err(error) => error,
        }
    }

    fn settle(&self) -> std::io::Result<()> {
        set_precedence(0, true)?;
        end_with_parent()?;
        // It has what every agent has: its standard streams, and a descriptor in the place of a line.
        // SAFETY: the descriptors of this process are copies, which nobody here uses.
        Errno::result(unsafe { libc::dup2(0, LINE) })?;
        close_from(LINE + 1)?;
        handle_interruptions()?;
        (1..self.berths.len()).try_for_each(|thread| self.begin(thread, THREAD).map(drop))?;
        Ok(())
    }
}

/// Has the calling thread act as this user, but for its right to become its own user again, which it was in the beginning.
pub(super) fn act_as(uid: u32, own: u32) -> nix::Result<()> {
    // Whoever acts as one user cannot begin to act as another one.
    for uid in [own, uid] {
        // The function of the C library would have all threads of the harness do so, too.
        // SAFETY: it changes nothing but who this thread is, and reads no memory.
        Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, -1) })?;
    }
    // That has taken this back.
    end_with_parent()
}

extern "C" fn be_born(birth: *mut c_void) -> c_int {
    // SAFETY: it comes from a box, and nobody else has it.
    let Birth { tenant, thread } = *unsafe { Box::from_raw(birth.cast::<Birth>()) };
    // SAFETY: the harness keeps it until this process is gone.
    let tenant = unsafe { &*tenant };
    // Whatever went wrong, the harness misses an answer.
    drop(if thread == 0 { tenant.live() } else { tenant.agent.serve(thread) });
    1
}

/// What a thread needs before it begins: a stack, and the storage that the C library and the language keep for each. They have
/// no other way to make such a storage than to start a thread, which then sleeps for as long as it is lent.
pub(super) struct Berth {
    stack: Stack,
    /// The address of the storage.
    storage: usize,
    owner: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Berth {
    fn new() -> std::io::Result<Berth> {
        let stack = Stack::new()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let is_done = Arc::clone(&is_over);
        let lend = move || {
            // SAFETY: it only asks. On the machines that there are lodgers on it is where the storage is.
            let own = unsafe { libc::pthread_self() };
            if tell.send(own).is_ok() {
                while !is_done.load(Ordering::SeqCst) {
                    std::thread::park();
                }
            }
        };
        let owner = std::thread::Builder::new().stack_size(64 * 1024).spawn(lend)?;
        let storage = told.recv().map_err(std::io::Error::other)? as usize;
        Ok(Berth { stack, storage, owner: Some(owner), is_over })
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(owner) = self.owner.take() {
            owner.thread().unpark();
            // It does not panic.
            let _ = owner.join();
        }
    }
}

/// The stack of a thread, with a page below it that nothing is mapped at for anybody to use.
struct Stack {
    /// Its lowest address.
    start: usize,
}

const STACK_SIZE: NonZeroUsize = NonZeroUsize::new(0x4_0000).expect("it is not 0");
const PAGE: usize = 0x1000;

impl Stack {
    fn new() -> nix::Result<Stack> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_STACK;
        // SAFETY: the kernel chooses addresses at which nothing is mapped.
        let start = unsafe { mmap_anonymous(None, STACK_SIZE, protection, flags) }?;
        let stack = Stack { start: start.as_ptr().expose_provenance() };
        // SAFETY: it is the lowest page of what has just been mapped.
        unsafe { nix::sys::mman::mprotect(start, PAGE, ProtFlags::PROT_NONE) }?;
        Ok(stack)
    }

    /// Where it begins, as stacks do.
    fn top(&self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(self.start + STACK_SIZE.get())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some(start) = NonNull::new(std::ptr::with_exposed_provenance_mut(self.start)) {
            // SAFETY: nobody uses a stack whose berth is dropped. Nothing can be done if it fails.
            let _ = unsafe { munmap(start, STACK_SIZE.get()) };
        }
    }
}
