//! Calls other than BINDER_WRITE_READ: how a step does one, and what must come of it.

use super::names::{Names, long};
use super::payload::{line, word};
use super::{Done, Refusal, errno};
use crate::program::*;

/// How what came of a call is said and compared.
enum Kind {
    /// It succeeds or not.
    Plain,
    /// It gives a number: this.
    Number(&'static str),
    /// It gives events of poll.
    Events,
    /// It fills in a structure.
    Told,
    /// It gives a policy and a priority.
    Scheduling,
}

/// What opens a device.
pub(super) fn open(context: Context, nonblock: bool) -> String {
    let context = match context {
        Context::Binder => "NULL".to_owned(),
        other => format!("\"{other}\""),
    };
    format!("open_device({context}, {});", if nonblock { "O_NONBLOCK" } else { "0" })
}

/// A step that does a call, or awaits the end of one.
pub(super) fn step(
    call: &Call,
    expected: &CallExpectation,
    actor: &Name,
    names: &mut Names,
) -> Result<Done, Refusal> {
    let mut flags = Vec::new();
    let mut kind = Kind::Plain;
    let act = match call {
        Call::Open { context, nonblock } => open(*context, *nonblock),
        Call::Close => {
            flags.push("SETTLES_LATER");
            "close_device();".to_owned()
        }
        Call::Flush => {
            flags.push("SETTLES_LATER");
            "flush_device();".to_owned()
        }
        Call::Mmap { size, write, shared, at } => format!(
            "map_device({}, {}, {}, {});",
            long(at.map_or(0, Place::address)),
            long(*size),
            if *write { "PROT_WRITE" } else { "0" },
            if *shared { "MAP_SHARED" } else { "MAP_PRIVATE" }
        ),
        Call::Munmap(pages) => {
            flags.push("SETTLES_LATER");
            match pages {
                None => "unmap_device();".to_owned(),
                Some(pages) => format!("came(munmap({}));", place(*pages)),
            }
        }
        Call::Mprotect { pages, protection } => {
            let protection = match protection {
                Protection::None => "PROT_NONE",
                Protection::Read => "PROT_READ",
                Protection::Write => "PROT_READ | PROT_WRITE",
            };
            format!("came(mprotect({}, {protection}));", place(*pages))
        }
        Call::Poll { timeout_ms } => {
            kind = Kind::Events;
            format!("poll_descriptor(device < 0 ? INT32_MAX : device, {});", milliseconds(*timeout_ms))
        }
        Call::Epoll => "watch_device();".to_owned(),
        Call::EpollWait { timeout_ms } => {
            kind = Kind::Events;
            format!("ask_epoll({});", milliseconds(*timeout_ms))
        }
        Call::EpollClose => "close_epoll();".to_owned(),
        Call::Listen | Call::Report => return Err("reports of the driver are not exported"),
        Call::Exit => {
            flags.push("ENDS");
            "_exit(0);".to_owned()
        }
        Call::Fork(child) => {
            format!("fork_process({}, {});", names.thread(child), names.process(child))
        }
        Call::Dup(file) => format!("duplicate_device({});", names.file(file)),
        Call::Use(file) => {
            format!("use_device({});", names.descriptor(&Descriptor::File(file.clone())))
        }
        Call::SetPriority(nice) => format!("came(setpriority(PRIO_PROCESS, 0, {nice}));"),
        Call::GetPriority => {
            kind = Kind::Number("20 - result");
            "came(syscall(SYS_getpriority, PRIO_PROCESS, 0));".to_owned()
        }
        Call::SetScheduler(Scheduling { policy, priority }) => {
            format!("set_scheduler({policy}, {priority});")
        }
        Call::GetScheduler => {
            kind = Kind::Scheduling;
            "ask_scheduler();".to_owned()
        }
        Call::LimitNice(limit) => {
            // Only root can raise it.
            flags.push("CONDUCTED");
            format!("limit_nice({}, {limit});", names.pid_of_actor(actor))
        }
        Call::DropCaches => {
            // Only root can.
            flags.push("CONDUCTED");
            "drop_caches();".to_owned()
        }
        Call::Await => {
            flags.push("MAY_AWAIT");
            if speaks_of_events(expected) {
                kind = Kind::Events;
            }
            String::new()
        }
        Call::Memfd(file) => format!("make_memfd({});", names.file(file)),
        Call::Pipe { reading, writing } => {
            format!("make_pipe({}, {});", names.file(reading), names.file(writing))
        }
        Call::CloseDescriptor(file) => {
            flags.push("SETTLES_LATER");
            format!("came(close({}));", names.descriptor(&Descriptor::File(file.clone())))
        }
        Call::PollDescriptor(file) => {
            kind = Kind::Events;
            // What the kernel lets go of for itself, it closes a little later.
            flags.push("TAKES_TIME");
            format!("poll_descriptor({}, 50);", names.descriptor(&Descriptor::File(file.clone())))
        }
        Call::Signal(target) => {
            flags.push("CONDUCTED");
            format!("send_signal(resolve({}));", names.thread(target))
        }
        Call::LimitDescriptors(more) => format!("limit_descriptors({more});"),
        Call::Unshare | Call::Binderfs { .. } => {
            return Err("calls to binderfs are not exported: it takes places to mount it");
        }
        Call::Count(counter) => {
            kind = Kind::Number("result");
            let kind_of_object = match counter {
                Counter::PayloadCopies | Counter::PayloadBytes => {
                    return Err("only the reference driver counts how often payloads are copied");
                }
                Counter::Descriptors => None,
                Counter::Buffers => Some(format!("count_buffers({})", names.pid_of_actor(actor))),
                Counter::Nodes => Some("count_alive(\"node\")".to_owned()),
                Counter::References => Some("count_alive(\"ref\")".to_owned()),
                Counter::Transactions => Some("count_alive(\"transaction\")".to_owned()),
                Counter::Threads => Some("count_alive(\"thread\")".to_owned()),
                Counter::Deaths => Some("count_alive(\"death\")".to_owned()),
            };
            match kind_of_object {
                None => "came(count_descriptors());".to_owned(),
                Some(count) => {
                    // Only root can look there.
                    flags.push("CONDUCTED");
                    format!("came({count});")
                }
            }
        }
        Call::Ioctl(ioctl) => {
            if matches!(ioctl, Ioctl::Version(Argument::Value(()))) {
                kind = Kind::Number("ioctl_argument.version.protocol_version");
            } else if tells(ioctl) {
                kind = Kind::Told;
            }
            self::ioctl(ioctl, names)
        }
    };
    if call.may_sleep() && !expected.may_park() {
        flags.push("TAKES_TIME");
    }
    if expected.may_park() {
        flags.push("MAY_PARK");
    }
    let mut check = String::new();
    match &kind {
        Kind::Plain | Kind::Told => line(&mut check, "say_error();"),
        Kind::Number(value) => line(&mut check, &format!("say_value({value});")),
        Kind::Events => line(&mut check, "say_events();"),
        Kind::Scheduling => line(&mut check, "say_scheduling();"),
    }
    let condition = condition(expected, &kind, names);
    line(&mut check, &format!("EXPECT({condition});"));
    line(&mut check, "return true;");
    let act = (!act.is_empty()).then(|| format!("\t{act}\n"));
    Ok(Done { act, ways: Vec::new(), check, flags, candidates: None })
}

/// Pages as the first two arguments of what is done with them.
fn place(pages: Pages) -> String {
    format!("(void *){}, {}", long(pages.place().address()), long(pages.size()))
}

fn tells(ioctl: &Ioctl) -> bool {
    matches!(
        ioctl,
        Ioctl::GetFrozenInfo(Argument::Value(_))
            | Ioctl::GetExtendedError(Argument::Value(()))
            | Ioctl::GetNodeDebugInfo(Argument::Value(_))
            | Ioctl::GetNodeInfoForRef(Argument::Value(_))
    )
}

/// Whether a poll is what must come to its end.
fn speaks_of_events(expected: &CallExpectation) -> bool {
    match expected {
        CallExpectation::Events(_) => true,
        CallExpectation::AnyOf(choices) => choices.iter().any(speaks_of_events),
        _ => false,
    }
}

/// A time to wait as system calls have it; one that they cannot express is for ever.
fn milliseconds(timeout_ms: u32) -> i32 {
    i32::try_from(timeout_ms).unwrap_or(-1)
}

/// What must hold of a call that has returned.
fn condition(expected: &CallExpectation, kind: &Kind, names: &mut Names) -> String {
    match expected {
        CallExpectation::Succeeds => "error == 0".to_owned(),
        CallExpectation::Fails(failure) => format!("error == {}", errno(*failure)),
        CallExpectation::Parked => "!\"it returned, and must be parked\"".to_owned(),
        CallExpectation::Value(value) => match kind {
            Kind::Events => format!("events_found() == {value}"),
            Kind::Number(came) => format!("error == 0 && {came} == {value}"),
            Kind::Plain | Kind::Told | Kind::Scheduling => format!("error == 0 && {value} == 0"),
        },
        CallExpectation::Events(events) => {
            let set = events.names();
            format!("events_found() == ({})", if set.is_empty() { "0".to_owned() } else { set.join(" | ") })
        }
        CallExpectation::Tells(told) => format!("error == 0 && {}", told_condition(told, names)),
        CallExpectation::AnyOf(choices) => {
            let choices: Vec<String> =
                choices.iter().map(|choice| format!("({})", condition(choice, kind, names))).collect();
            choices.join(" || ")
        }
    }
}

fn told_condition(told: &Told, names: &mut Names) -> String {
    match told {
        Told::FrozenInfo { sync_recv, async_recv } => {
            format!(
                "ioctl_argument.frozen.sync_recv == {sync_recv} && ioctl_argument.frozen.async_recv == {async_recv}"
            )
        }
        Told::ExtendedError { id, command, param } => {
            let id = match id {
                None => "",
                Some(TransactionId::Zero) => "ioctl_argument.extended.id == 0 && ",
                Some(TransactionId::NonZero) => "ioctl_argument.extended.id != 0 && ",
            };
            format!(
                "{id}ioctl_argument.extended.command == {} && ioctl_argument.extended.param == {param}",
                word(*command)
            )
        }
        Told::NodeDebugInfo { node, has_strong_ref, has_weak_ref } => {
            let (pointer, cookie) = names.node(node);
            format!(
                "ioctl_argument.debug_info.ptr == {pointer} && ioctl_argument.debug_info.cookie == {cookie} && \
                 ioctl_argument.debug_info.has_strong_ref == {has_strong_ref} && ioctl_argument.debug_info.has_weak_ref == {has_weak_ref}"
            )
        }
        Told::Report(_) => unreachable!("what asks for a report is not exported"),
        Told::Scheduling(Scheduling { policy, priority }) => {
            format!("(int)result == {policy} && result >> 32 == {priority}")
        }
        Told::NodeInfoForRef { strong_count, weak_count } => format!(
            "ioctl_argument.info_for_ref.strong_count == {strong_count} && ioctl_argument.info_for_ref.weak_count == {weak_count}"
        ),
    }
}

/// What does an ioctl.
fn ioctl(ioctl: &Ioctl, names: &mut Names) -> String {
    let with = |request: &str, field: &str, value: Option<String>| match value {
        Some(value) => {
            format!("ioctl_argument.{field} = {value};\n\tcall_driver({request}, &ioctl_argument);")
        }
        None => format!("call_driver({request}, (void *)UNMAPPED);"),
    };
    fn value<T>(argument: &Argument<T>, show: impl FnOnce(&T) -> String) -> Option<String> {
        match argument {
            Argument::Value(value) => Some(show(value)),
            Argument::Unmapped => None,
        }
    }
    match ioctl {
        Ioctl::WriteReadUnmapped => with("BINDER_WRITE_READ", "", None),
        Ioctl::SetIdleTimeout(argument) => with(
            "BINDER_SET_IDLE_TIMEOUT",
            "number64",
            value(argument, |number| format!("(__s64){}", long(*number as u64))),
        ),
        Ioctl::SetMaxThreads(argument) => {
            with("BINDER_SET_MAX_THREADS", "word", value(argument, |number| word(*number)))
        }
        Ioctl::SetIdlePriority(argument) => with(
            "BINDER_SET_IDLE_PRIORITY",
            "number",
            value(argument, |number| format!("(int){}", word(*number as u32))),
        ),
        Ioctl::SetContextMgr => with("BINDER_SET_CONTEXT_MGR", "number", Some("0".to_owned())),
        Ioctl::SetContextMgrExt(argument) => with(
            "BINDER_SET_CONTEXT_MGR_EXT",
            "object",
            value(argument, |manager| {
                format!(
                    "(struct flat_binder_object){{\n\t\t.hdr.type = BINDER_TYPE_BINDER, .flags = 0x{:x}, .binder = {}, .cookie = {} }}",
                    manager.flags,
                    names.pointer(&manager.object),
                    names.cookie_of(&manager.object)
                )
            }),
        ),
        Ioctl::ThreadExit => with("BINDER_THREAD_EXIT", "number", Some("0".to_owned())),
        Ioctl::Version(argument) => with("BINDER_VERSION", "number", value(argument, |()| "0".to_owned())),
        Ioctl::GetNodeDebugInfo(argument) => with(
            "BINDER_GET_NODE_DEBUG_INFO",
            "debug_info",
            value(argument, |start| {
                let pointer = match start {
                    Token::Number(number) => long(*number),
                    Token::Symbol(object) => names.pointer(object),
                };
                format!("(struct binder_node_debug_info){{ .ptr = {pointer} }}")
            }),
        ),
        Ioctl::GetNodeInfoForRef(argument) => with(
            "BINDER_GET_NODE_INFO_FOR_REF",
            "info_for_ref",
            value(argument, |request| {
                format!(
                    "(struct binder_node_info_for_ref){{ {}, {}, {}, {}, {}, {} }}",
                    names.handle(&request.handle),
                    word(request.strong_count),
                    word(request.weak_count),
                    word(request.reserved1),
                    word(request.reserved2),
                    word(request.reserved3)
                )
            }),
        ),
        Ioctl::Freeze(argument) => with(
            "BINDER_FREEZE",
            "freeze",
            value(argument, |request| {
                format!(
                    "(struct binder_freeze_info){{ .pid = {}, .enable = {}, .timeout_ms = {} }}",
                    pid(&request.pid, names),
                    word(request.enable),
                    word(request.timeout_ms)
                )
            }),
        ),
        Ioctl::GetFrozenInfo(argument) => with(
            "BINDER_GET_FROZEN_INFO",
            "frozen",
            value(argument, |process| {
                // What comes back must be the driver's word, and not what was there before.
                format!(
                    "(struct binder_frozen_status_info){{ .pid = {}, .sync_recv = ~0u, .async_recv = ~0u }}",
                    pid(process, names)
                )
            }),
        ),
        Ioctl::EnableOnewaySpamDetection(argument) => {
            with("BINDER_ENABLE_ONEWAY_SPAM_DETECTION", "word", value(argument, |number| word(*number)))
        }
        Ioctl::GetExtendedError(argument) => with(
            "BINDER_GET_EXTENDED_ERROR",
            "extended",
            value(argument, |()| "(struct binder_extended_error){ ~0u, ~0u, -1 }".to_owned()),
        ),
        Ioctl::Raw { request, argument } => {
            format!("call_driver(0x{request:x}u, (void *)(uintptr_t){});", long(*argument))
        }
    }
}

fn pid(pid: &PidPattern, names: &Names) -> String {
    match pid {
        PidPattern::Process(name) => format!("(__u32){}", names.pid(name)),
        PidPattern::Number(number) => word(*number as u32),
    }
}
