//! Agents: the processes that do system calls on behalf of a script, and the threads in them.
//!
//! An agent is a fork of the nursery. Each of its threads waits for requests on a socket of its own, does one
//! system call at a time, and replies. It decides nothing and remembers only its descriptor and its mappings.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags};
use zerocopy::{FromZeros, IntoBytes};

use super::message::*;
use crate::target::Area;

/// What an agent has of the device.
struct Holding {
    descriptor: Option<RawFd>,
    /// Address and length of each mapping, the last at the end.
    mappings: Vec<(usize, usize)>,
}

static HOLDING: Mutex<Holding> = Mutex::new(Holding { descriptor: None, mappings: Vec::new() });

/// Lives as an agent: maps the arenas, starts a thread for each socket, and serves the first one itself.
/// Returns only when something the harness did not ask for went wrong; the process then ends.
pub fn live(device: &Path, sockets: Vec<OwnedFd>) -> std::io::Error {
    for thread in 0..sockets.len() {
        if let Err(errno) = map_arena(thread) {
            return errno.into();
        }
    }
    let mut sockets = sockets.into_iter().map(File::from);
    let Some(main) = sockets.next() else { return std::io::ErrorKind::InvalidInput.into() };
    for socket in sockets {
        let device = device.to_owned();
        let started = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || serve(&device, socket));
        if let Err(error) = started {
            return error;
        }
    }
    serve(device, main)
}

/// Maps the areas of a thread's arena. What is between them stays unmapped.
fn map_arena(thread: usize) -> nix::Result<()> {
    for area in Area::ALL {
        let addresses = area.addresses(thread);
        let length = NonZeroUsize::new(area.size() as usize).ok_or(Errno::EINVAL)?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE | MapFlags::MAP_FIXED_NOREPLACE;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: MAP_FIXED_NOREPLACE never replaces a mapping, so no memory in use is touched.
        unsafe {
            nix::sys::mman::mmap_anonymous(
                NonZeroUsize::new(addresses.start as usize),
                length,
                protection,
                flags,
            )?
        };
    }
    Ok(())
}

/// Serves requests until the harness closes the socket.
fn serve(device: &Path, mut socket: File) -> std::io::Error {
    let ready = Reply { result: nix::unistd::gettid().as_raw().into() };
    if let Err(error) = socket.write_all(ready.as_bytes()) {
        return error;
    }
    loop {
        let mut request = Request::new_zeroed();
        if let Err(error) = socket.read_exact(request.as_mut_bytes()) {
            return error;
        }
        let result = match carry_out(device, request) {
            Ok(result) => result,
            Err(errno) => -i64::from(errno as i32),
        };
        if let Err(error) = socket.write_all(Reply { result }.as_bytes()) {
            return error;
        }
    }
}

fn carry_out(device: &Path, request: Request) -> nix::Result<i64> {
    match request.operation {
        OP_OPEN => open(device, request.detail != 0),
        OP_CLOSE => close(),
        OP_FLUSH => nix::unistd::close(nix::unistd::dup(borrowed(descriptor()?))?).map(|()| 0),
        OP_MMAP => map(request.argument, request.detail != 0),
        OP_MUNMAP => unmap(),
        OP_POLL => poll(),
        OP_IOCTL => ioctl(request.detail, request.argument),
        // SAFETY: _exit ends the process without running any of its code.
        OP_EXIT => unsafe { nix::libc::_exit(0) },
        _ => Err(Errno::ENOSYS),
    }
}

fn holding() -> std::sync::MutexGuard<'static, Holding> {
    HOLDING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn descriptor() -> nix::Result<RawFd> {
    holding().descriptor.ok_or(Errno::EBADF)
}

fn borrowed(descriptor: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: the descriptor is open until `close` takes it out of `HOLDING`. A call in progress on a descriptor
    // that another thread closes is what some scripts are about, and the kernel keeps the file for it.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) }
}

fn open(device: &Path, nonblock: bool) -> nix::Result<i64> {
    if holding().descriptor.is_some() {
        return Err(Errno::EEXIST);
    }
    let nonblock = if nonblock { OFlag::O_NONBLOCK } else { OFlag::empty() };
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC | nonblock;
    let file = nix::fcntl::open(device, flags, nix::sys::stat::Mode::empty())?;
    holding().descriptor = Some(file.into_raw_fd());
    Ok(0)
}

fn close() -> nix::Result<i64> {
    let descriptor = holding().descriptor.take().ok_or(Errno::EBADF)?;
    nix::unistd::close(descriptor).map(|()| 0)
}

fn map(size: u64, write: bool) -> nix::Result<i64> {
    let descriptor = descriptor()?;
    let length = NonZeroUsize::new(size as usize).ok_or(Errno::EINVAL)?;
    let write = if write { ProtFlags::PROT_WRITE } else { ProtFlags::empty() };
    // SAFETY: the kernel chooses an address at which nothing is mapped.
    let address = unsafe {
        nix::sys::mman::mmap(
            None,
            length,
            ProtFlags::PROT_READ | write,
            MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
            borrowed(descriptor),
            0,
        )?
    };
    holding().mappings.push((address.as_ptr() as usize, length.get()));
    Ok(0)
}

fn unmap() -> nix::Result<i64> {
    let (address, length) = holding().mappings.pop().ok_or(Errno::EINVAL)?;
    let address = std::ptr::NonNull::new(address as *mut std::ffi::c_void).ok_or(Errno::EINVAL)?;
    // SAFETY: this is a mapping that `map` made, and nothing in this process refers into it.
    unsafe { nix::sys::mman::munmap(address, length)? };
    Ok(0)
}

fn poll() -> nix::Result<i64> {
    // A descriptor that is closed is what POLLNVAL is about, so a number that is none goes to the kernel too.
    let descriptor = holding().descriptor.unwrap_or(i32::MAX);
    let mut poll = nix::libc::pollfd { fd: descriptor.as_raw_fd(), events: nix::libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, which outlives the call.
    Errno::result(unsafe { nix::libc::poll(&mut poll, 1, 0) })?;
    Ok(poll.revents.into())
}

fn ioctl(request: u32, argument: u64) -> nix::Result<i64> {
    let descriptor = descriptor()?;
    // SAFETY: the driver reads and writes the arena, which belongs to scripts alone. Whatever else a script
    // names is either unmapped or the device's mapping, which this process cannot write to.
    let result = unsafe { nix::libc::ioctl(descriptor, request as nix::libc::Ioctl, argument) };
    Errno::result(result).map(i64::from)
}
