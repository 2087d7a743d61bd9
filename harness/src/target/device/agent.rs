//! Agents: the processes that do system calls on behalf of a script, and the threads in them.
//!
//! An agent is a fork of the nursery, or a [lodger](super::lodger) of the harness. Each of its threads waits at its desk for
//! requests, does one system call at a time, and tells what came of it; or it plays a [part](super::part), which is several of
//! them with what must come. It remembers its descriptors, what it is to play, and whether it has chosen places for memory.

use std::convert::Infallible;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag};
use nix::sched::CloneFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::MsgFlags;
use strum::VariantArray;

use super::desk::{Desk, Seat};
use super::message::*;
use super::netlink;
use super::nursery::end_with_parent;
use super::part::Lines;
use super::shared_memory::{self, SharedMemory};
use crate::program::{Context, PLACES};
use crate::target::{Area, DESKS, ThreadIndex, mappings_of};

/// An agent: what all threads of the process know.
pub(super) struct Agent {
    /// The target's own device.
    device: PathBuf,
    /// Which process of its world it is: where its threads have their arenas follows from that.
    place: usize,
    /// Where its threads are told what to do.
    desks: Desks,
    /// The socket over which it is given descriptors: the first one behind its standard streams, if it has not been forked by
    /// another agent.
    line: RawFd,
    holding: Mutex<Holding>,
    /// What it plays: of a box, or nothing. It changes only when nobody plays.
    lines: AtomicPtr<Lines>,
    /// Others live in its address space, who do not go when it does.
    is_lodger: bool,
    /// It has mapped devices at places that a script has chosen.
    has_places: AtomicBool,
}

/// The desks of the threads of an agent, which lie one behind the other.
pub(super) struct Desks {
    /// The address of the first one.
    address: usize,
    count: usize,
}

/// What an agent has of the device: descriptors of its process, which ends them when it ends.
#[derive(Default)]
struct Holding {
    descriptor: Option<RawFd>,
    /// That of an epoll instance, which watches the device.
    epoll: Option<RawFd>,
    /// What the driver's reports come by, if it listens.
    reports: Option<RawFd>,
}

/// The signal that scripts send. It interrupts the system call that its thread is in, and does nothing else.
pub const INTERRUPTION: Signal = Signal::SIGUSR1;

/// The signal that has a thread come back from the call that it is in, when nobody cares for that any more.
pub const DISMISSAL: Signal = Signal::SIGUSR2;

/// How long a pipe is polled each time, in milliseconds: what the kernel itself lets go of it closes with its next tick. In a
/// machine that stands still now and then a single long wait can be over before the kernel has done anything.
const LATE_CLOSING: i32 = 20;

/// Lives as an agent that is the process with this index of its world: maps the memory that it shares, starts its threads but
/// for the first, and serves as that one itself. Returns only when something the harness did not ask for went wrong; the
/// process then ends.
pub fn live(device: PathBuf, place: usize, threads: usize, line: OwnedFd, memory: OwnedFd) -> std::io::Error {
    // The descriptor is closed: it would be among those that scripts count.
    let mapped = shared_memory::map(&File::from(memory), place, threads);
    if let Err(errno) = mapped.and_then(|()| handle_interruptions()) {
        return errno.into();
    }
    let agent = Agent::new(device, place, Desks::shared(threads), line.into_raw_fd());
    // It is there for as long as the process.
    let agent: &'static Agent = Box::leak(Box::new(agent));
    for thread in 1..threads {
        let started = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || agent.serve(thread));
        if let Err(error) = started {
            return error;
        }
    }
    agent.serve(0)
}

/// Handles [`INTERRUPTION`] by going on. What the kernel can begin anew, it does, as for most handlers of Android; but not
/// after [`DISMISSAL`].
pub(super) fn handle_interruptions() -> nix::Result<()> {
    extern "C" fn go_on(_: nix::libc::c_int) {}
    for (signal, flags) in [(INTERRUPTION, SaFlags::SA_RESTART), (DISMISSAL, SaFlags::empty())] {
        let action = SigAction::new(SigHandler::Handler(go_on), flags, SigSet::empty());
        // SAFETY: a handler that does nothing can run at any time.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

impl Desks {
    /// So many that begin where the memory does that this process shares.
    fn shared(count: usize) -> Desks {
        Desks { address: DESKS as usize, count }
    }

    /// Those of memory that the harness has.
    pub(super) fn of(memory: &SharedMemory) -> Desks {
        Desks { address: std::ptr::from_ref(memory.desk(0)).expose_provenance(), count: memory.threads() }
    }

    /// The desk of a thread.
    fn of_thread(&self, thread: usize) -> &Desk {
        assert!(thread < self.count, "the harness asks for no more");
        let address = self.address + thread * size_of::<Desk>();
        // SAFETY: there are so many desks, one behind the other, which are mapped before there is an agent, for as long as it
        // lives; they are made of atomic numbers alone.
        unsafe { &*std::ptr::with_exposed_provenance(address) }
    }
}

/// Which of two processes this is.
enum Fork {
    Parent { child: i32 },
    Child { agent: &'static Agent },
}

impl Agent {
    pub(super) fn new(device: PathBuf, place: usize, desks: Desks, line: RawFd) -> Agent {
        Agent {
            device,
            place,
            desks,
            line,
            holding: Mutex::default(),
            lines: AtomicPtr::default(),
            is_lodger: false,
            has_places: AtomicBool::new(false),
        }
    }

    /// The same, one that shares its address space with others.
    pub(super) fn lodging(mut self) -> Agent {
        self.is_lodger = true;
        self
    }

    /// Is going to play this, now that none of its threads plays anything.
    pub(super) fn learn(&self, lines: Lines) {
        self.change_lines(Box::into_raw(Box::new(lines)));
    }

    fn change_lines(&self, lines: *mut Lines) {
        let before = self.lines.swap(lines, Ordering::SeqCst);
        if !before.is_null() {
            // SAFETY: it comes from a box, and nobody refers to it who does not play.
            drop(unsafe { Box::from_raw(before) });
        }
    }

    /// What it plays, if it has learnt anything. Threads that end while they play leave nothing behind.
    pub(super) fn lines(&self) -> Option<&Lines> {
        // SAFETY: it comes from a box, and stays for as long as anybody plays.
        unsafe { self.lines.load(Ordering::SeqCst).as_ref() }
    }

    /// The desk of a thread.
    pub(super) fn desk(&self, thread: usize) -> &Desk {
        self.desks.of_thread(thread)
    }

    /// One of its threads.
    pub(super) fn thread(&self, thread: usize) -> ThreadIndex {
        ThreadIndex { process: self.place, thread }
    }

    fn take_desk(&self, thread: usize) -> Seat<'_> {
        self.desk(thread).take(nix::unistd::gettid().as_raw())
    }

    /// Serves requests for as long as the process lives.
    pub(super) fn serve(&self, thread: usize) -> std::io::Error {
        let Err(error) = serve_until(self, thread);
        error
    }

    /// Makes a process like this one, which has so many threads, and becomes this one of the world. The outer error is about
    /// what the new one is to have, which comes over the line.
    fn fork(&self, threads: usize, place: usize) -> std::io::Result<nix::Result<Fork>> {
        let (own, memory) =
            super::nursery::receive(self.line, &mut [0])?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        // The nursery is its parent too, which reaps it, and outlives this process. No thread of this process but the
        // calling one holds a lock: all the others wait for requests, or are in a system call.
        let flags = nix::libc::CLONE_PARENT | nix::libc::SIGCHLD;
        // SAFETY: without CLONE_VM it is a fork; no stack is passed.
        let result = unsafe { nix::libc::syscall(nix::libc::SYS_clone, flags, 0, 0, 0, 0) };
        match Errno::result(result) {
            Ok(0) => {}
            Ok(child) => return Ok(Ok(Fork::Parent { child: child as i32 })),
            Err(errno) => return Ok(Err(errno)),
        }
        end_with_parent()?;
        // What the other process shares is not for this one, which has one thread.
        nix::unistd::close(self.line)?;
        shared_memory::unmap(self.place, threads)?;
        shared_memory::map(&File::from(memory), place, 1)?;
        let holding = std::mem::take(&mut *self.holding());
        let agent = Agent::new(self.device.clone(), place, Desks::shared(1), own.into_raw_fd());
        *agent.holding() = holding;
        Ok(Ok(Fork::Child { agent: Box::leak(Box::new(agent)) }))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.change_lines(std::ptr::null_mut());
    }
}

fn serve_until(mut agent: &Agent, mut thread: usize) -> std::io::Result<Infallible> {
    let mut seat = agent.take_desk(thread);
    loop {
        let request = seat.hear();
        // To ask for the time takes a while, too.
        while request.begin > 0 && now() < request.begin {
            std::hint::spin_loop();
        }
        let result = if request.operation == OP_FORK {
            match agent.fork(request.argument as usize, request.detail as usize)? {
                Ok(Fork::Parent { child }) => Ok(child.into()),
                Ok(Fork::Child { agent: child }) => {
                    agent = child;
                    thread = 0;
                    seat = agent.take_desk(thread);
                    continue;
                }
                Err(errno) => Err(errno),
            }
        } else {
            agent.carry_out(request, thread)
        };
        seat.tell(result.unwrap_or_else(|errno| -i64::from(errno as i32)));
    }
}

/// The nanoseconds of the clock by which requests say when to begin.
pub fn now() -> u64 {
    // It is there on every Linux.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

impl Agent {
    pub(super) fn carry_out(&self, request: Request, thread: usize) -> nix::Result<i64> {
        match request.operation {
            OP_OPEN => {
                let context = Context::VARIANTS.get(request.argument as usize).ok_or(Errno::ENOSYS)?;
                self.open(&device_of(*context, &self.device), request.detail & 1 != 0, request.detail >> 1)
            }
            OP_CLOSE => self.close(),
            OP_FLUSH => nix::unistd::close(nix::unistd::dup(borrowed(self.descriptor()?))?).map(|()| 0),
            OP_MMAP => self.map_device(request.address, request.argument, request.detail),
            OP_MUNMAP => unmap(request.address, request.argument),
            OP_MPROTECT => protect(request.address, request.argument, request.detail),
            // A descriptor that is closed is what POLLNVAL is about, so a number that is none goes to the kernel too.
            OP_POLL => {
                let descriptor = self.holding().descriptor.unwrap_or(i32::MAX);
                self.asleep(thread, || poll(descriptor, milliseconds(request.argument)))
            }
            OP_EPOLL => self.watch(),
            OP_EPOLL_WAIT => self.asleep(thread, || self.watched(milliseconds(request.argument))),
            OP_EPOLL_CLOSE => self.close_epoll(),
            OP_LISTEN => self.listen(request.argument as u32),
            OP_REPORT => self.next_report(thread),
            OP_MEMFD => make_memfd(request.argument),
            OP_PIPE => make_pipe(),
            OP_CLOSE_DESCRIPTOR => nix::unistd::close(request.argument as RawFd).map(|()| 0),
            OP_POLL_DESCRIPTOR if request.detail == 0 => poll(request.argument as RawFd, 0),
            OP_POLL_DESCRIPTOR => poll_patiently(request.argument as RawFd, request.detail),
            OP_LIMIT_DESCRIPTORS => limit_descriptors(request.argument),
            OP_DUP => Ok(nix::unistd::dup(borrowed(self.descriptor()?))?.into_raw_fd().into()),
            OP_UNSHARE => unshare(),
            OP_USE => {
                self.holding().descriptor = Some(request.argument as RawFd);
                Ok(0)
            }
            OP_SET_PRIORITY => set_priority(request.argument as i32),
            OP_GET_PRIORITY => priority(),
            OP_SET_SCHEDULER => set_scheduler(request.detail, request.argument),
            OP_GET_SCHEDULER => scheduler(),
            OP_OPEN_PATH => self.open(
                super::binderfs::path_at(request.argument),
                request.detail & 1 != 0,
                request.detail >> 1,
            ),
            OP_MOUNT | OP_UNMOUNT | OP_ADD_DEVICE | OP_UNLINK | OP_READ_NUMBER => {
                super::binderfs::carry_out(&request)
            }
            OP_IOCTL => self.ioctl(request.detail, request.argument, thread),
            OP_RENEW => self.renew(request.address, request.argument, request.detail != 0),
            OP_ACT_AS => super::lodger::act_as(request.detail, request.argument as u32).map(|()| 0),
            OP_PLAY => super::part::play(self, request.argument, thread),
            OP_EXIT => self.exit(),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn holding(&self) -> std::sync::MutexGuard<'_, Holding> {
        lock(&self.holding)
    }

    fn descriptor(&self) -> nix::Result<RawFd> {
        self.holding().descriptor.ok_or(Errno::EBADF)
    }

    /// Opens the device. What is opened can be known by its number from any descriptor of it, in any process: it locks the
    /// byte at that place, which means nothing to a driver, and [`Files`](super::files::Files) sees it.
    fn open(&self, device: &Path, nonblock: bool, number: u32) -> nix::Result<i64> {
        if self.holding().descriptor.is_some() {
            return Err(Errno::EEXIST);
        }
        let nonblock = if nonblock { OFlag::O_NONBLOCK } else { OFlag::empty() };
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | nonblock;
        let file = nix::fcntl::open(device, flags, nix::sys::stat::Mode::empty())?;
        if number != NUMBERLESS {
            lock_byte(&file, number)?;
        }
        let descriptor = file.into_raw_fd();
        self.holding().descriptor = Some(descriptor);
        Ok(descriptor.into())
    }

    fn close(&self) -> nix::Result<i64> {
        let descriptor = self.holding().descriptor.take().ok_or(Errno::EBADF)?;
        nix::unistd::close(descriptor).map(|()| 0)
    }

    /// Maps the device at an address that scripts have to themselves, or at one that must be free; or, with 0, where the kernel
    /// likes.
    fn map_device(&self, address: u64, size: u64, how: u32) -> nix::Result<i64> {
        let descriptor = self.descriptor()?;
        if PLACES.contains(&address) {
            self.has_places.store(true, Ordering::SeqCst);
        }
        let length = NonZeroUsize::new(size as usize).ok_or(Errno::EINVAL)?;
        let write = if how & MMAP_WRITE != 0 { ProtFlags::PROT_WRITE } else { ProtFlags::empty() };
        let sharing = if how & MMAP_SHARED != 0 { MapFlags::MAP_SHARED } else { MapFlags::MAP_PRIVATE };
        let fixed = match (address, how & MMAP_FREE != 0) {
            (0, _) => MapFlags::empty(),
            (_, true) => MapFlags::MAP_FIXED_NOREPLACE,
            (_, false) => MapFlags::MAP_FIXED,
        };
        // SAFETY: without an address the kernel chooses one at which nothing is mapped, and where it must be free, nothing is
        // replaced; at those of scripts there is nothing but their own mappings.
        let address = unsafe {
            nix::sys::mman::mmap(
                NonZeroUsize::new(address as usize),
                length,
                ProtFlags::PROT_READ | write,
                sharing | MapFlags::MAP_NORESERVE | fixed,
                borrowed(descriptor),
                0,
            )?
        };
        Ok(address.as_ptr() as i64)
    }

    /// Has this process be what it was when it started.
    fn renew(&self, address: u64, size: u64, has_places: bool) -> nix::Result<i64> {
        if size > 0 {
            unmap(address, size)?;
        }
        if has_places {
            unmap(PLACES.start, PLACES.end - PLACES.start)?;
            self.has_places.store(false, Ordering::SeqCst);
        }
        *self.holding() = Holding::default();
        // What is behind the line has been opened for scripts.
        close_from(self.line + 1)?;
        Ok(0)
    }

    /// Takes away all devices that are mapped.
    pub(super) fn unmap_devices(&self) -> nix::Result<()> {
        let mappings = mappings_of(self.place);
        unmap(mappings.start, mappings.end - mappings.start)?;
        if self.has_places.swap(false, Ordering::SeqCst) {
            unmap(PLACES.start, PLACES.end - PLACES.start)?;
        }
        Ok(())
    }

    /// Ends the process. Of a lodger, its mappings of devices go first, as they do when an address space ends.
    fn exit(&self) -> ! {
        if self.is_lodger {
            // What cannot be unmapped keeps its device open, which is seen.
            let _ = self.unmap_devices();
        }
        // SAFETY: _exit ends the process without running any of its code.
        unsafe { nix::libc::_exit(0) }
    }

    /// Makes an epoll instance that watches the device.
    fn watch(&self) -> nix::Result<i64> {
        let device = self.descriptor()?;
        if self.holding().epoll.is_some() {
            return Err(Errno::EEXIST);
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(borrowed(device), EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        self.holding().epoll = Some(epoll.0.into_raw_fd());
        Ok(0)
    }

    fn close_epoll(&self) -> nix::Result<i64> {
        let epoll = self.holding().epoll.take().ok_or(Errno::EBADF)?;
        nix::unistd::close(epoll).map(|()| 0)
    }

    /// What that instance tells, be it after so many milliseconds.
    fn watched(&self, milliseconds: i32) -> nix::Result<i64> {
        // Whoever waits leaves what this process has to its other threads, which may close the instance.
        let epoll = self.holding().epoll.ok_or(Errno::EBADF)?;
        let mut event = nix::libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: one event, which outlives the call.
        let count = Errno::result(unsafe { nix::libc::epoll_wait(epoll, &mut event, 1, milliseconds) })?;
        Ok(if count == 0 { 0 } else { event.events.into() })
    }

    /// Listens to the driver's reports.
    fn listen(&self, group: u32) -> nix::Result<i64> {
        if self.holding().reports.is_some() {
            return Err(Errno::EEXIST);
        }
        self.holding().reports = Some(netlink::listen(group)?.into_raw_fd());
        Ok(0)
    }

    /// Puts the next report where the thread's payloads are.
    fn next_report(&self, thread: usize) -> nix::Result<i64> {
        let holding = self.holding();
        let socket = holding.reports.ok_or(Errno::EBADF)?;
        let mut message = [0; netlink::LONGEST_MESSAGE];
        let length = nix::sys::socket::recv(socket, &mut message, MsgFlags::MSG_DONTWAIT)?;
        let place = pointer(Area::Payload.addresses(self.thread(thread)).start)?;
        // SAFETY: the payloads of a thread are in memory that is mapped for as long as the process lives, is larger than this,
        // and that nothing refers to while the thread is here.
        unsafe { std::ptr::copy_nonoverlapping(message.as_ptr(), place.as_ptr().cast(), length) };
        Ok(length as i64)
    }

    fn ioctl(&self, request: u32, argument: u64, thread: usize) -> nix::Result<i64> {
        let descriptor = self.descriptor()?;
        // SAFETY: the driver reads and writes the arena, which belongs to scripts alone. Whatever else a script
        // names is either unmapped or the device's mapping, which this process cannot write to. Where others may have memory,
        // with whom lodgers share their address space, what they play has nothing: the model has found that out, which sees
        // each address that the driver looks at.
        let call = || unsafe { nix::libc::ioctl(descriptor, request as nix::libc::Ioctl, argument) };
        self.asleep(thread, || Errno::result(call()).map(i64::from))
    }

    /// Does what a thread may sleep in: one system call, with nothing else around it to sleep in.
    fn asleep(&self, thread: usize, call: impl FnOnce() -> nix::Result<i64>) -> nix::Result<i64> {
        static CALLS: AtomicU64 = AtomicU64::new(1);
        let desk = self.desk(thread);
        desk.note_call(CALLS.fetch_add(1, Ordering::SeqCst));
        let result = call();
        desk.note_call(0);
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn borrowed(descriptor: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: the descriptor is open until `close` takes it out of what the agent holds. A call in progress on a descriptor
    // that another thread closes is what some scripts are about, and the kernel keeps the file for it.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) }
}

/// Locks the byte of an open device at this place.
fn lock_byte(file: &OwnedFd, number: u32) -> nix::Result<()> {
    let byte = nix::libc::flock {
        l_type: nix::libc::F_RDLCK as nix::libc::c_short,
        l_whence: nix::libc::SEEK_SET as nix::libc::c_short,
        l_start: number.into(),
        l_len: 1,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, FcntlArg::F_OFD_SETLK(&byte)).map(drop)
}

/// The device of a context. All but the first are beside that one.
pub fn device_of(context: Context, device: &Path) -> PathBuf {
    match context {
        Context::Binder => device.to_owned(),
        Context::Hwbinder | Context::Vndbinder => device.with_file_name(context.to_string()),
    }
}

fn unmap(address: u64, size: u64) -> nix::Result<i64> {
    // SAFETY: these are addresses of a mapping of the device, or such as scripts have to themselves, and nothing refers there
    // but what looks at what has come.
    unsafe { nix::sys::mman::munmap(pointer(address)?, size as usize) }.map(|()| 0)
}

fn protect(address: u64, size: u64, protection: u32) -> nix::Result<i64> {
    let protection = ProtFlags::from_bits_truncate(protection as nix::libc::c_int);
    // SAFETY: as of `unmap`.
    unsafe { nix::sys::mman::mprotect(pointer(address)?, size as usize, protection) }.map(|()| 0)
}

fn pointer(address: u64) -> nix::Result<std::ptr::NonNull<std::ffi::c_void>> {
    std::ptr::NonNull::new(address as *mut std::ffi::c_void).ok_or(Errno::EINVAL)
}

/// Closes all descriptors of this process from this one on.
pub(super) fn close_from(descriptor: RawFd) -> nix::Result<()> {
    // SAFETY: nothing here refers to any of them any more.
    Errno::result(unsafe { nix::libc::syscall(nix::libc::SYS_close_range, descriptor, u32::MAX, 0) })
        .map(drop)
}

/// Polls for so many milliseconds, or until there is something.
fn poll(descriptor: RawFd, milliseconds: i32) -> nix::Result<i64> {
    let mut poll = nix::libc::pollfd { fd: descriptor, events: nix::libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, which outlives the call.
    Errno::result(unsafe { nix::libc::poll(&mut poll, 1, milliseconds) })?;
    Ok(poll.revents.into())
}

/// Polls until there is something, or for as long as the kernel may take to close what it has let go of: so many times.
fn poll_patiently(descriptor: RawFd, times: u32) -> nix::Result<i64> {
    for _ in 1..times {
        match poll(descriptor, LATE_CLOSING)? {
            0 => {}
            events => return Ok(events),
        }
    }
    poll(descriptor, LATE_CLOSING)
}

/// A time to wait as system calls have it; one that they cannot express is for ever.
fn milliseconds(argument: u64) -> i32 {
    i32::try_from(argument).unwrap_or(-1)
}

/// Gives this process a user namespace of its own, whose root its user is, and a mount namespace.
fn unshare() -> nix::Result<i64> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    // Who has changed users is not let into its own `/proc/self` without it.
    nix::sys::prctl::set_dumpable(true)?;
    let write = |name: &str, text: String| {
        std::fs::write(format!("/proc/self/{name}"), text)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {user} 1"))?;
    write("gid_map", format!("0 {group} 1"))?;
    Ok(0)
}

/// Makes a file in memory whose position is this.
fn make_memfd(position: u64) -> nix::Result<i64> {
    let file = nix::sys::memfd::memfd_create(c"binderdrill", nix::sys::memfd::MFdFlags::empty())?;
    nix::unistd::lseek64(&file, position as i64, nix::unistd::Whence::SeekSet)?;
    Ok(file.into_raw_fd().into())
}

fn make_pipe() -> nix::Result<i64> {
    let (reading, writing) = nix::unistd::pipe()?;
    Ok(i64::from(reading.into_raw_fd()) | i64::from(writing.into_raw_fd()) << 32)
}

/// Lets only so many of the numbers be used that are not used now.
fn limit_descriptors(more: u64) -> nix::Result<i64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // SAFETY: F_GETFD of any number at all changes nothing.
    let is_free = |number: &u64| unsafe { nix::libc::fcntl(*number as RawFd, nix::libc::F_GETFD) } == -1;
    let limit = (0..hard).filter(is_free).nth(more as usize).unwrap_or(hard);
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).map(|()| 0)
}

/// Sets the nice value of the calling thread.
fn set_priority(nice: i32) -> nix::Result<i64> {
    // SAFETY: it changes nothing but how this thread is scheduled.
    let result = unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, nice) };
    Errno::result(result).map(i64::from)
}

/// The nice value of the calling thread, subtracted from 20.
fn priority() -> nix::Result<i64> {
    // SAFETY: it only asks. The function of the C library would give -1, which could also be an error.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_getpriority, nix::libc::PRIO_PROCESS, 0) };
    Errno::result(result)
}

/// Sets the scheduling policy of the calling thread.
fn set_scheduler(policy: u32, priority: u64) -> nix::Result<i64> {
    let parameters = nix::libc::sched_param { sched_priority: priority as nix::libc::c_int };
    // SAFETY: it changes nothing but how this thread is scheduled, and reads one structure, which outlives the call.
    let result = unsafe { nix::libc::sched_setscheduler(0, policy as nix::libc::c_int, &parameters) };
    Errno::result(result).map(i64::from)
}

/// The scheduling policy of the calling thread, and in the upper half its priority.
fn scheduler() -> nix::Result<i64> {
    let mut parameters = nix::libc::sched_param { sched_priority: 0 };
    // SAFETY: these only ask, and write one structure, which outlives the call.
    let (policy, told) =
        unsafe { (nix::libc::sched_getscheduler(0), nix::libc::sched_getparam(0, &mut parameters)) };
    Errno::result(told)?;
    Ok(i64::from(Errno::result(policy)?) | i64::from(parameters.sched_priority) << 32)
}
