//! Calls other than BINDER_WRITE_READ: by which system call they are done, and whether they gave what they must.

use reference_driver::uapi::*;
use zerocopy::{Immutable, IntoBytes};

use super::bindings::Bindings;
use super::cast::Cast;
use super::fault::ScriptFault;
use super::symbols::Symbols;
use super::told;
use crate::program::{Argument, Call, CallExpectation, Descriptor, Ioctl, Name, PollEvents, Token, Told};
use crate::target::{Area, Image, SystemCall, ThreadIndex, UNMAPPED};

/// What came of a call that returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallResult {
    Failed(Errno),
    /// It succeeded, and gave this number if it gives one.
    Succeeded(Option<i64>),
    Polled(PollEvents),
    /// It succeeded, and tells this.
    Told(Told),
    /// It did not return.
    Parked,
}

/// How an action is done: by a system call, or by the world itself.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most calls are ioctls, and their images need no allocation")]
pub(super) enum Means {
    System(SystemCall),
    /// The end of a call in which the thread is parked.
    Await,
    Count(crate::program::Counter),
    Signal(ThreadIndex),
}

/// An ioctl whose argument points at a value, by this thread.
pub(super) fn with_number<T: IntoBytes + Immutable>(
    request: u32,
    thread: ThreadIndex,
    value: T,
) -> SystemCall {
    let argument = Area::Argument.addresses(thread).start;
    SystemCall::Ioctl { request, argument, memory: Image::of(argument, value.as_bytes()) }
}

fn unmapped(request: u32) -> SystemCall {
    SystemCall::Ioctl { request, argument: UNMAPPED, memory: Image::default() }
}

fn with_argument<T: IntoBytes + Immutable + Copy>(
    request: u32,
    thread: ThreadIndex,
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
        Call::Open { context, nonblock } => SystemCall::Open { context: *context, nonblock: *nonblock },
        Call::Close => SystemCall::Close,
        Call::Flush => SystemCall::Flush,
        Call::Mmap { size, write, shared, at } => {
            SystemCall::Mmap { size: *size, write: *write, shared: *shared, at: *at }
        }
        Call::Munmap(pages) => SystemCall::Munmap(*pages),
        Call::Mprotect { pages, protection } => {
            SystemCall::Mprotect { pages: *pages, protection: *protection }
        }
        Call::Poll { timeout_ms } => SystemCall::Poll { timeout_ms: *timeout_ms },
        Call::Epoll => SystemCall::Epoll,
        Call::EpollWait { timeout_ms } => SystemCall::EpollWait { timeout_ms: *timeout_ms },
        Call::EpollClose => SystemCall::EpollClose,
        Call::Listen => SystemCall::Listen,
        Call::Report => SystemCall::Report,
        Call::Exit => SystemCall::Exit,
        Call::Fork(child) => SystemCall::Fork { child: cast.process(child)? },
        Call::Unshare => SystemCall::Unshare,
        Call::Dup(file) => SystemCall::Dup { file: symbols.file(file) },
        Call::Use(file) => SystemCall::Use(descriptor(file)?),
        Call::SetPriority(nice) => SystemCall::SetPriority(*nice),
        Call::GetPriority => SystemCall::GetPriority,
        Call::SetScheduler(scheduling) => SystemCall::SetScheduler(*scheduling),
        Call::GetScheduler => SystemCall::GetScheduler,
        Call::LimitNice(limit) => SystemCall::LimitNice(*limit),
        Call::DropCaches => SystemCall::DropCaches,
        Call::Memfd(file) => SystemCall::Memfd { file: symbols.file(file) },
        Call::Pipe { reading, writing } => {
            SystemCall::Pipe { reading: symbols.file(reading), writing: symbols.file(writing) }
        }
        Call::CloseDescriptor(file) => SystemCall::CloseDescriptor(descriptor(file)?),
        Call::PollDescriptor(file) => SystemCall::PollDescriptor(descriptor(file)?),
        Call::Signal(target) => return Ok(Means::Signal(cast.thread(target)?)),
        Call::LimitDescriptors(more) => SystemCall::LimitDescriptors(*more),
        Call::Binderfs { instance, call } => {
            SystemCall::Binderfs { instance: symbols.instance(instance), call: call.clone() }
        }
        Call::Ioctl(ioctl) => means_of_ioctl(ioctl, thread, symbols, bindings)?,
        Call::Await => return Ok(Means::Await),
        Call::Count(counter) => return Ok(Means::Count(*counter)),
    }))
}

fn means_of_ioctl(
    ioctl: &Ioctl,
    thread: ThreadIndex,
    symbols: &Symbols,
    bindings: &Bindings,
) -> Result<SystemCall, ScriptFault> {
    Ok(match ioctl {
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
        Ioctl::GetNodeDebugInfo(Argument::Unmapped) => unmapped(BINDER_GET_NODE_DEBUG_INFO),
        Ioctl::GetNodeDebugInfo(Argument::Value(start)) => {
            let pointer = match start {
                Token::Number(number) => *number,
                Token::Symbol(object) => symbols.object(object).pointer,
            };
            let info = NodeDebugInfo { pointer, ..NodeDebugInfo::default() };
            with_number(BINDER_GET_NODE_DEBUG_INFO, thread, info)
        }
        Ioctl::GetNodeInfoForRef(Argument::Unmapped) => unmapped(BINDER_GET_NODE_INFO_FOR_REF),
        Ioctl::GetNodeInfoForRef(Argument::Value(request)) => {
            let info = NodeInfoForRef {
                handle: bindings.handle(&request.handle)?,
                strong_count: request.strong_count,
                weak_count: request.weak_count,
                reserved1: request.reserved1,
                reserved2: request.reserved2,
                reserved3: request.reserved3,
            };
            with_number(BINDER_GET_NODE_INFO_FOR_REF, thread, info)
        }
        Ioctl::Freeze(Argument::Unmapped) => unmapped(BINDER_FREEZE),
        Ioctl::Freeze(Argument::Value(request)) => {
            let info = FreezeInfo {
                pid: symbols.pid(&request.pid)? as u32,
                enable: request.enable,
                timeout_ms: request.timeout_ms,
            };
            with_number(BINDER_FREEZE, thread, info)
        }
        Ioctl::GetFrozenInfo(Argument::Unmapped) => unmapped(BINDER_GET_FROZEN_INFO),
        Ioctl::GetFrozenInfo(Argument::Value(process)) => {
            // What comes back must be the driver's word, and not what was there before.
            let info = FrozenStatusInfo { pid: symbols.pid(process)? as u32, sync_recv: !0, async_recv: !0 };
            with_number(BINDER_GET_FROZEN_INFO, thread, info)
        }
        Ioctl::EnableOnewaySpamDetection(argument) => {
            with_argument(BINDER_ENABLE_ONEWAY_SPAM_DETECTION, thread, argument)
        }
        Ioctl::GetExtendedError(Argument::Unmapped) => unmapped(BINDER_GET_EXTENDED_ERROR),
        Ioctl::GetExtendedError(Argument::Value(())) => {
            let info = ExtendedError { id: !0, command: !0, param: !0 };
            with_number(BINDER_GET_EXTENDED_ERROR, thread, info)
        }
        Ioctl::Raw { request, argument } => {
            SystemCall::Ioctl { request: *request, argument: *argument, memory: Image::default() }
        }
    })
}

/// Whether a call gives a number where its argument was.
pub(super) fn gives_number(call: &Call) -> bool {
    matches!(call, Call::Ioctl(Ioctl::Version(Argument::Value(()))))
}

/// Whether a call gave what it must.
pub(super) fn matches(expected: &CallExpectation, came: &CallResult, symbols: &Symbols) -> bool {
    match (expected, came) {
        (
            CallExpectation::Succeeds,
            CallResult::Succeeded(_) | CallResult::Polled(_) | CallResult::Told(_),
        ) => true,
        (CallExpectation::Parked, CallResult::Parked) => true,
        (CallExpectation::Tells(expected), CallResult::Told(came)) => told::matches(expected, came, symbols),
        (CallExpectation::Value(expected), CallResult::Succeeded(value)) => *expected == value.unwrap_or(0),
        (CallExpectation::Value(0), CallResult::Polled(events)) => *events == PollEvents::default(),
        (CallExpectation::Events(expected), CallResult::Polled(events)) => expected == events,
        (CallExpectation::Events(expected), CallResult::Succeeded(value)) => {
            *expected == PollEvents::default() && value.unwrap_or(0) == 0
        }
        (CallExpectation::Fails(expected), CallResult::Failed(errno)) => expected == errno,
        (CallExpectation::AnyOf(choices), came) => {
            choices.iter().any(|choice| matches(choice, came, symbols))
        }
        _ => false,
    }
}
