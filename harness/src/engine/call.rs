//! Calls other than BINDER_WRITE_READ: how they are done, and whether they gave what they must.

use reference_driver::uapi::*;
use zerocopy::{Immutable, IntoBytes};

use super::cast::Cast;
use super::fault::ScriptFault;
use super::symbols::{Bindings, Symbols};
use crate::program::{Argument, Call, CallExpectation, Descriptor, Ioctl, Name, PollEvents};
use crate::target::{Area, SystemCall, ThreadIndex, UNMAPPED};

/// What came of a call that returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallResult {
    Failed(Errno),
    /// It succeeded, and gave this number if it gives one.
    Succeeded(Option<u64>),
    Polled(PollEvents),
}

/// How an action is done: by a system call, or by the world itself.
#[derive(Debug)]
pub(super) enum Means {
    System(SystemCall),
    Count(crate::program::Counter),
    Signal(ThreadIndex),
}

/// An ioctl whose argument points at a value, by the thread with this index in its process.
pub(super) fn with_number<T: IntoBytes + Immutable>(request: u32, thread: usize, value: T) -> SystemCall {
    let argument = Area::Argument.addresses(thread).start;
    SystemCall::Ioctl { request, argument, memory: vec![(argument, value.as_bytes().to_vec())] }
}

fn unmapped(request: u32) -> SystemCall {
    SystemCall::Ioctl { request, argument: UNMAPPED, memory: Vec::new() }
}

fn with_argument<T: IntoBytes + Immutable + Copy>(
    request: u32,
    thread: usize,
    argument: &Argument<T>,
) -> SystemCall {
    match argument {
        Argument::Value(value) => with_number(request, thread, *value),
        Argument::Unmapped => unmapped(request),
    }
}

/// How a thread does a call.
pub(super) fn means(
    call: &Call,
    thread: ThreadIndex,
    cast: &Cast,
    symbols: &Symbols,
    bindings: &Bindings,
) -> Result<Means, ScriptFault> {
    let descriptor = |name: &Name| bindings.descriptor(thread.process, &Descriptor::File(name.clone()));
    Ok(Means::System(match call {
        Call::Open { nonblock } => SystemCall::Open { nonblock: *nonblock },
        Call::Close => SystemCall::Close,
        Call::Flush => SystemCall::Flush,
        Call::Mmap { size, write } => SystemCall::Mmap { size: *size, write: *write },
        Call::Munmap => SystemCall::Munmap,
        Call::Poll => SystemCall::Poll,
        Call::Epoll => SystemCall::Epoll,
        Call::EpollWait => SystemCall::EpollWait,
        Call::EpollClose => SystemCall::EpollClose,
        Call::Exit => SystemCall::Exit,
        Call::Memfd(file) => SystemCall::Memfd { file: symbols.file(file) },
        Call::Pipe { reading, writing } => {
            SystemCall::Pipe { reading: symbols.file(reading), writing: symbols.file(writing) }
        }
        Call::CloseDescriptor(file) => SystemCall::CloseDescriptor(descriptor(file)?),
        Call::PollDescriptor(file) => SystemCall::PollDescriptor(descriptor(file)?),
        Call::Signal(target) => return Ok(Means::Signal(cast.thread(target)?)),
        Call::LimitDescriptors(more) => SystemCall::LimitDescriptors(*more),
        Call::Ioctl(ioctl) => means_of_ioctl(ioctl, thread.thread, symbols),
        Call::Count(counter) => return Ok(Means::Count(*counter)),
    }))
}

fn means_of_ioctl(ioctl: &Ioctl, thread: usize, symbols: &Symbols) -> SystemCall {
    match ioctl {
        Ioctl::WriteReadUnmapped => unmapped(BINDER_WRITE_READ),
        Ioctl::SetIdleTimeout(argument) => with_argument(BINDER_SET_IDLE_TIMEOUT, thread, argument),
        Ioctl::SetMaxThreads(argument) => with_argument(BINDER_SET_MAX_THREADS, thread, argument),
        Ioctl::SetIdlePriority(argument) => with_argument(BINDER_SET_IDLE_PRIORITY, thread, argument),
        Ioctl::SetContextMgr => with_number(BINDER_SET_CONTEXT_MGR, thread, 0_i32),
        Ioctl::SetContextMgrExt(Argument::Unmapped) => unmapped(BINDER_SET_CONTEXT_MGR_EXT),
        Ioctl::SetContextMgrExt(Argument::Value(manager)) => {
            let numbers = symbols.object(&manager.object);
            let object = FlatObject {
                object_type: BINDER_TYPE_BINDER,
                flags: manager.flags,
                binder: numbers.pointer,
                cookie: numbers.cookie,
            };
            with_number(BINDER_SET_CONTEXT_MGR_EXT, thread, object)
        }
        Ioctl::ThreadExit => with_number(BINDER_THREAD_EXIT, thread, 0_i32),
        Ioctl::Version(Argument::Value(())) => with_number(BINDER_VERSION, thread, 0_i32),
        Ioctl::Version(Argument::Unmapped) => unmapped(BINDER_VERSION),
        Ioctl::Raw { request, argument } => {
            SystemCall::Ioctl { request: *request, argument: *argument, memory: Vec::new() }
        }
    }
}

/// Whether a call gives a number where its argument was.
pub(super) fn gives_number(call: &Call) -> bool {
    matches!(call, Call::Ioctl(Ioctl::Version(Argument::Value(()))))
}

/// Whether a call gave what it must.
pub(super) fn matches(expected: &CallExpectation, came: CallResult) -> bool {
    match (expected, came) {
        (CallExpectation::Succeeds, CallResult::Succeeded(_) | CallResult::Polled(_)) => true,
        (CallExpectation::Value(expected), CallResult::Succeeded(value)) => *expected == value.unwrap_or(0),
        (CallExpectation::Value(0), CallResult::Polled(events)) => events == PollEvents::default(),
        (CallExpectation::Events(expected), CallResult::Polled(events)) => *expected == events,
        (CallExpectation::Events(expected), CallResult::Succeeded(value)) => {
            *expected == PollEvents::default() && value.unwrap_or(0) == 0
        }
        (CallExpectation::Fails(expected), CallResult::Failed(errno)) => *expected == errno,
        (CallExpectation::AnyOf(choices), came) => choices.iter().any(|choice| matches(choice, came)),
        _ => false,
    }
}
