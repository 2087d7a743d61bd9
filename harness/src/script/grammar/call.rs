//! The grammar of calls: `mmap 1M write = EPERM`, `BINDER_VERSION = 8`.

use std::ops::Range;

use reference_driver::uapi::FLAT_OBJECT_FLAGS;
use strum::IntoEnumIterator;

use super::super::cursor::{Cursor, Parsed, shortened};
use super::super::diagnostics::{Diagnostic, near_miss};
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use super::binderfs;
use super::ioctl::{self, argument, no_argument, or_unmapped};
use super::mapping;
use super::operand::{errno, flags, mentioned, number, object, size};
use super::report::report;
use super::returns::any_of;
use super::scheduling;
use crate::program::{
    BinderfsCall, Call, CallExpectation, Context, ContextManagerObject, Counter, Ioctl, Name, PollEvents,
    Told,
};

/// The first words of calls.
const CALLS: &[&str] = &[
    "open",
    "close",
    "flush",
    "mmap",
    "munmap",
    "mprotect",
    "poll",
    "epoll",
    "epoll_wait",
    "epoll_close",
    "listen",
    "report",
    "memfd",
    "pipe",
    "signal",
    "limit_descriptors",
    "mount",
    "umount",
    "unlink",
    "unshare",
    "read",
    "exit",
    "fork",
    "dup",
    "use",
    "setpriority",
    "getpriority",
    "sched_setscheduler",
    "sched_getscheduler",
    "limit_nice",
    "drop_caches",
    "await",
    "count",
    "ioctl",
    "BINDER_WRITE_READ",
    "BINDER_SET_IDLE_TIMEOUT",
    "BINDER_SET_MAX_THREADS",
    "BINDER_SET_IDLE_PRIORITY",
    "BINDER_SET_CONTEXT_MGR",
    "BINDER_SET_CONTEXT_MGR_EXT",
    "BINDER_THREAD_EXIT",
    "BINDER_VERSION",
    "BINDER_GET_NODE_DEBUG_INFO",
    "BINDER_GET_NODE_INFO_FOR_REF",
    "BINDER_FREEZE",
    "BINDER_GET_FROZEN_INFO",
    "BINDER_ENABLE_ONEWAY_SPAM_DETECTION",
    "BINDER_GET_EXTENDED_ERROR",
    "BINDER_CTL_ADD",
];

/// What stands behind `!`: a call and what must come of it.
pub(super) fn call_and_expectation(cursor: &mut Cursor<'_>) -> Parsed<(Call, CallExpectation)> {
    let call = call(cursor)?;
    let expected = if cursor.accept("=") { expectation(cursor, &call)? } else { CallExpectation::Succeeds };
    Ok((call, expected))
}

fn call(cursor: &mut Cursor<'_>) -> Parsed<Call> {
    let at = cursor.peek();
    let word = cursor.word("a call such as `mmap`, `poll` or BINDER_VERSION")?;
    Ok(match word.value {
        "open" if cursor.accept_word("in") => binderfs::open(cursor)?,
        "mount" => binderfs::mount(cursor)?,
        "umount" => binderfs::on_instance(cursor, |_| Ok(BinderfsCall::Unmount))?,
        "unlink" => binderfs::on_instance(cursor, |cursor| binderfs::path(cursor).map(BinderfsCall::Unlink))?,
        "read" => binderfs::on_instance(cursor, |cursor| binderfs::path(cursor).map(BinderfsCall::Read))?,
        "BINDER_CTL_ADD" => binderfs::on_instance(cursor, |cursor| {
            or_unmapped(cursor, binderfs::device_name).map(BinderfsCall::Add)
        })?,
        "open" => {
            let context =
                if cursor.accept_word("on") { super::header::context(cursor)? } else { Context::default() };
            Call::Open { context, nonblock: cursor.accept_word("nonblock") }
        }
        "close" => match file_if_any(cursor)? {
            Some(file) => Call::CloseDescriptor(file),
            None => Call::Close,
        },
        "flush" => Call::Flush,
        "mmap" => Call::Mmap {
            size: size(cursor, "a number of bytes")?,
            write: cursor.accept_word("write"),
            shared: cursor.accept_word("shared"),
            at: if cursor.accept_word("at") { Some(mapping::place(cursor)?) } else { None },
        },
        "munmap" => Call::Munmap(match cursor.peek().kind {
            Kind::Number => Some(mapping::pages(cursor)?),
            _ => None,
        }),
        "mprotect" => {
            Call::Mprotect { pages: mapping::pages(cursor)?, protection: mapping::protection(cursor)? }
        }
        "poll" => match file_if_any(cursor)? {
            Some(file) => Call::PollDescriptor(file),
            None => Call::Poll { timeout_ms: timeout(cursor)? },
        },
        "epoll" => Call::Epoll,
        "epoll_wait" => Call::EpollWait { timeout_ms: timeout(cursor)? },
        "epoll_close" => Call::EpollClose,
        "listen" => Call::Listen,
        "report" => Call::Report,
        "memfd" => Call::Memfd(new_file(cursor)?),
        "pipe" => Call::Pipe { reading: new_file(cursor)?, writing: new_file(cursor)? },
        "signal" => Call::Signal(mentioned(cursor, "a thread", MentionKind::Uses(Meaning::Thread))?),
        "limit_descriptors" => Call::LimitDescriptors(number(cursor, "how many more there can be")?),
        "exit" => Call::Exit,
        "unshare" => Call::Unshare,
        "fork" => Call::Fork(mentioned(cursor, "a process", MentionKind::Uses(Meaning::Process))?),
        "dup" => Call::Dup(new_file(cursor)?),
        "use" => Call::Use(mentioned(cursor, "the name of a file", MentionKind::Uses(Meaning::File))?),
        "setpriority" => Call::SetPriority(number(cursor, "a nice value")?),
        "getpriority" => Call::GetPriority,
        "sched_setscheduler" => Call::SetScheduler(scheduling::scheduling(cursor)?),
        "sched_getscheduler" => Call::GetScheduler,
        "limit_nice" => Call::LimitNice(number(cursor, "a limit of nice values")?),
        "drop_caches" => Call::DropCaches,
        "await" => Call::Await,
        "count" => {
            let counters: Vec<(&'static str, Counter)> =
                Counter::iter().map(|counter| (counter.into(), counter)).collect();
            Call::Count(cursor.known_word("counter", &counters)?.value)
        }
        "ioctl" => Call::Ioctl(Ioctl::Raw {
            request: number(cursor, "the number of a request")?,
            argument: number(cursor, "the argument as a number")?,
        }),
        "BINDER_WRITE_READ" => {
            cursor.expect_word("unmapped")?;
            Call::Ioctl(Ioctl::WriteReadUnmapped)
        }
        "BINDER_SET_IDLE_TIMEOUT" => Call::Ioctl(Ioctl::SetIdleTimeout(argument(cursor)?)),
        "BINDER_SET_MAX_THREADS" => Call::Ioctl(Ioctl::SetMaxThreads(argument(cursor)?)),
        "BINDER_SET_IDLE_PRIORITY" => Call::Ioctl(Ioctl::SetIdlePriority(argument(cursor)?)),
        "BINDER_SET_CONTEXT_MGR" => Call::Ioctl(Ioctl::SetContextMgr),
        "BINDER_SET_CONTEXT_MGR_EXT" => {
            Call::Ioctl(Ioctl::SetContextMgrExt(or_unmapped(cursor, manager_object)?))
        }
        "BINDER_THREAD_EXIT" => Call::Ioctl(Ioctl::ThreadExit),
        "BINDER_VERSION" => Call::Ioctl(Ioctl::Version(no_argument(cursor)?)),
        "BINDER_GET_NODE_DEBUG_INFO" => {
            Call::Ioctl(Ioctl::GetNodeDebugInfo(or_unmapped(cursor, ioctl::pointer)?))
        }
        "BINDER_GET_NODE_INFO_FOR_REF" => {
            Call::Ioctl(Ioctl::GetNodeInfoForRef(or_unmapped(cursor, ioctl::node_info_request)?))
        }
        "BINDER_FREEZE" => Call::Ioctl(Ioctl::Freeze(or_unmapped(cursor, ioctl::freeze_request)?)),
        "BINDER_GET_FROZEN_INFO" => {
            Call::Ioctl(Ioctl::GetFrozenInfo(or_unmapped(cursor, ioctl::frozen_process)?))
        }
        "BINDER_ENABLE_ONEWAY_SPAM_DETECTION" => {
            Call::Ioctl(Ioctl::EnableOnewaySpamDetection(argument(cursor)?))
        }
        "BINDER_GET_EXTENDED_ERROR" => Call::Ioctl(Ioctl::GetExtendedError(no_argument(cursor)?)),
        other => return Err(unknown(other, at.span.clone()).into()),
    })
}

/// A new name for a file.
fn new_file(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    mentioned(cursor, "a new name for the file", MentionKind::Binds(Meaning::File))
}

/// The name of a file, if one comes next.
fn file_if_any(cursor: &mut Cursor<'_>) -> Parsed<Option<Name>> {
    if cursor.peek().kind != Kind::Word {
        return Ok(None);
    }
    Ok(Some(mentioned(cursor, "the name of a file", MentionKind::Uses(Meaning::File))?))
}

fn unknown(word: &str, span: Range<usize>) -> Diagnostic {
    if word.starts_with("BC_") || word.starts_with("BR_") {
        let message = format!("`{}` is no call", shortened(word));
        return Diagnostic::error(message, span, "expected a call such as `mmap`, `poll` or BINDER_VERSION")
            .help("`>` writes commands (BC_…), `<` reads returns (BR_…)");
    }
    let label = match near_miss(word, CALLS.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "expected a call such as `mmap`, `poll` or BINDER_VERSION".into(),
    };
    Diagnostic::error(format!("unknown call `{}`", shortened(word)), span, label)
}

/// `foo flags 0x100`
fn manager_object(cursor: &mut Cursor<'_>) -> Parsed<ContextManagerObject> {
    let object = object(cursor)?;
    let flags = if cursor.accept_word("flags") { flags(cursor, FLAT_OBJECT_FLAGS)? } else { 0 };
    Ok(ContextManagerObject { object, flags })
}

/// What stands behind `=`.
fn expectation(cursor: &mut Cursor<'_>, call: &Call) -> Parsed<CallExpectation> {
    if cursor.is_word("any") {
        let choice = any_of(cursor, |cursor| {
            if cursor.accept_word("success") {
                return Ok(CallExpectation::Succeeds);
            }
            if may_tell_events(call) && cursor.is_sign("(") {
                cursor.open("(")?;
                let events = poll_events(cursor)?;
                return match cursor.close(")") {
                    true => Ok(events),
                    false => Err(cursor.expected("`|` or `)`")),
                };
            }
            outcome(cursor, call, false)
        })?;
        return Ok(CallExpectation::AnyOf(choice.into_iter().map(|choice| choice.value).collect()));
    }
    outcome(cursor, call, true)
}

/// `EBUSY`, `8`, `POLLIN`. Events that come together are joined by `|` only if that cannot mean a choice.
fn outcome(cursor: &mut Cursor<'_>, call: &Call, joined: bool) -> Parsed<CallExpectation> {
    let token = cursor.peek();
    let is_event = token.kind == Kind::Word && cursor.text(token).starts_with("POLL");
    if may_tell_events(call) && (is_event || token.kind == Kind::Number) {
        if joined && is_event {
            return poll_events(cursor);
        }
        return Ok(CallExpectation::Events(poll_event(cursor)?));
    }
    if call.may_sleep() && cursor.accept_word("parked") {
        return Ok(CallExpectation::Parked);
    }
    if cursor.is_sign("{")
        && let Some(told) = told(call)
    {
        return Ok(CallExpectation::Tells(told(cursor)?));
    }
    if token.kind != Kind::Number {
        return Ok(CallExpectation::Fails(errno(cursor, outcomes(call))?));
    }
    if !gives_value(call) {
        return Err(Diagnostic::error(
            "this call gives no value",
            token.span.clone(),
            "expected an error such as EINVAL, or no `=` at all for success",
        )
        .into());
    }
    Ok(CallExpectation::Value(number(cursor, outcomes(call))?))
}

/// Whether a call that succeeds gives a number that a script can speak of.
fn gives_value(call: &Call) -> bool {
    let is_read = matches!(call, Call::Binderfs { call: BinderfsCall::Read(_), .. });
    is_read || matches!(call, Call::Count(_) | Call::GetPriority | Call::Ioctl(Ioctl::Version(_)))
}

/// Whether a call polls, or may be the end of one that does.
fn may_tell_events(call: &Call) -> bool {
    matches!(call, Call::Poll { .. } | Call::PollDescriptor(_) | Call::EpollWait { .. } | Call::Await)
}

/// `{ timeout_ms 100 }`, or nothing at all.
fn timeout(cursor: &mut Cursor<'_>) -> Parsed<u32> {
    let mut timeout_ms = 0;
    if cursor.is_sign("{") {
        cursor.fields(&[("timeout_ms", ())], |cursor, ()| {
            timeout_ms = number(cursor, "a number of milliseconds")?;
            Ok(())
        })?;
    }
    Ok(timeout_ms)
}

/// How the structure is read that a call fills in, if it does.
fn told(call: &Call) -> Option<fn(&mut Cursor<'_>) -> Parsed<Told>> {
    match call {
        Call::Report => Some(report),
        Call::GetScheduler => Some(|cursor| scheduling::scheduling(cursor).map(Told::Scheduling)),
        Call::Ioctl(Ioctl::GetFrozenInfo(_)) => Some(ioctl::frozen_info),
        Call::Ioctl(Ioctl::GetExtendedError(_)) => Some(ioctl::extended_error),
        Call::Ioctl(Ioctl::GetNodeDebugInfo(_)) => Some(ioctl::node_debug_info),
        Call::Ioctl(Ioctl::GetNodeInfoForRef(_)) => Some(ioctl::node_info_for_ref),
        _ => None,
    }
}

fn outcomes(call: &Call) -> &'static str {
    match call {
        Call::Await => "`parked`, what a poll finds such as POLLIN or 0, or an error such as EINVAL",
        call if may_tell_events(call) && call.may_sleep() => {
            "`parked`, POLLIN, POLLERR, POLLHUP, POLLNVAL, 0 or an error"
        }
        call if may_tell_events(call) => "POLLIN, POLLERR, POLLHUP, POLLNVAL, 0 or an error",
        call if gives_value(call) => "a number, or an error such as EINVAL",
        call if call.may_sleep() => "`parked`, or an error such as EINVAL",
        call if told(call).is_some() => "`{ … }` with what it tells, or an error such as EINVAL",
        _ => "an error such as EINVAL",
    }
}

/// `POLLIN | POLLERR`
fn poll_events(cursor: &mut Cursor<'_>) -> Parsed<CallExpectation> {
    let mut events = PollEvents::default();
    loop {
        let PollEvents { readable, error, hangup, invalid } = poll_event(cursor)?;
        events.readable |= readable;
        events.error |= error;
        events.hangup |= hangup;
        events.invalid |= invalid;
        if !cursor.accept_joint() {
            return Ok(CallExpectation::Events(events));
        }
    }
}

/// `POLLIN`, `0`
fn poll_event(cursor: &mut Cursor<'_>) -> Parsed<PollEvents> {
    let none = PollEvents::default();
    let token = cursor.peek();
    if token.kind == Kind::Number {
        return match number::<u32>(cursor, "0")? {
            0 => Ok(none),
            _ => Err(Diagnostic::error(
                "events are named",
                token.span.clone(),
                "expected POLLIN, POLLERR, POLLHUP, POLLNVAL or 0",
            )
            .into()),
        };
    }
    let known = [
        ("POLLIN", PollEvents { readable: true, ..none }),
        ("POLLERR", PollEvents { error: true, ..none }),
        ("POLLHUP", PollEvents { hangup: true, ..none }),
        ("POLLNVAL", PollEvents { invalid: true, ..none }),
    ];
    Ok(cursor.known_word("event", &known)?.value)
}
