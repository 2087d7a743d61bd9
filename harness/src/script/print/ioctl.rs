//! Printing ioctls, with the structures that they are given and those that they fill in.

use reference_driver::uapi::return_name;

use super::fragment;
use super::layout::Statement;
use super::operand::{errno, handle, hexadecimal, node, object_flags, pid, token};
use crate::program::{
    Argument, Errno, FreezeRequest, Ioctl, NodeInfoRequest, Report, Scheduling, Told, TransactionId,
};

pub(super) fn ioctl(statement: &mut Statement, ioctl: &Ioctl) {
    fn word_and<T>(
        statement: &mut Statement,
        word: &str,
        argument: &Argument<T>,
        put: impl FnOnce(&mut Statement, &T),
    ) {
        statement.put(word);
        statement.put(" ");
        match argument {
            Argument::Value(value) => put(statement, value),
            Argument::Unmapped => statement.put("unmapped"),
        }
    }
    match ioctl {
        Ioctl::WriteReadUnmapped => statement.put("BINDER_WRITE_READ unmapped"),
        Ioctl::SetIdleTimeout(timeout) => {
            word_and(statement, "BINDER_SET_IDLE_TIMEOUT", timeout, |s, timeout| s.put_decimal(*timeout));
        }
        Ioctl::SetMaxThreads(threads) => {
            word_and(statement, "BINDER_SET_MAX_THREADS", threads, |s, threads| s.put_decimal(*threads));
        }
        Ioctl::SetIdlePriority(priority) => {
            word_and(statement, "BINDER_SET_IDLE_PRIORITY", priority, |s, priority| s.put_decimal(*priority));
        }
        Ioctl::SetContextMgr => statement.put("BINDER_SET_CONTEXT_MGR"),
        Ioctl::ThreadExit => statement.put("BINDER_THREAD_EXIT"),
        Ioctl::Version(Argument::Value(())) => statement.put("BINDER_VERSION"),
        Ioctl::Version(Argument::Unmapped) => statement.put("BINDER_VERSION unmapped"),
        Ioctl::GetNodeDebugInfo(start) => {
            word_and(statement, "BINDER_GET_NODE_DEBUG_INFO", start, |statement, pointer| {
                statement.put("{ ptr ");
                token(statement, pointer);
                statement.put(" }");
            });
        }
        Ioctl::GetNodeInfoForRef(request) => {
            word_and(statement, "BINDER_GET_NODE_INFO_FOR_REF", request, node_info_request);
        }
        Ioctl::Freeze(request) => word_and(statement, "BINDER_FREEZE", request, freeze_request),
        Ioctl::GetFrozenInfo(process) => {
            word_and(statement, "BINDER_GET_FROZEN_INFO", process, |statement, process| {
                statement.put("{ pid ");
                pid(statement, process);
                statement.put(" }");
            });
        }
        Ioctl::EnableOnewaySpamDetection(enable) => {
            let word = "BINDER_ENABLE_ONEWAY_SPAM_DETECTION";
            word_and(statement, word, enable, |statement, enable| statement.put_decimal(*enable));
        }
        Ioctl::GetExtendedError(Argument::Value(())) => statement.put("BINDER_GET_EXTENDED_ERROR"),
        Ioctl::GetExtendedError(Argument::Unmapped) => statement.put("BINDER_GET_EXTENDED_ERROR unmapped"),
        Ioctl::Raw { request, argument } => {
            statement.put_formatted(format_args!("ioctl {request:#010x} {argument:#x}"));
        }
        Ioctl::SetContextMgrExt(object) => {
            word_and(statement, "BINDER_SET_CONTEXT_MGR_EXT", object, |statement, object| {
                statement.put(object.object.as_str());
                if object.flags != 0 {
                    statement.put(" flags ");
                    object_flags(statement, object.flags);
                }
            });
        }
    }
}

fn freeze_request(statement: &mut Statement, request: &FreezeRequest) {
    statement.put("{ pid ");
    pid(statement, &request.pid);
    statement.put_formatted(format_args!(", enable {}", request.enable));
    if request.timeout_ms != 0 {
        statement.put_formatted(format_args!(", timeout_ms {}", request.timeout_ms));
    }
    statement.put(" }");
}

fn node_info_request(statement: &mut Statement, request: &NodeInfoRequest) {
    let others = [
        ("strong_count", request.strong_count),
        ("weak_count", request.weak_count),
        ("reserved1", request.reserved1),
        ("reserved2", request.reserved2),
        ("reserved3", request.reserved3),
    ];
    statement.put("{ handle ");
    handle(statement, &request.handle);
    for (name, number) in others.iter().filter(|(_, number)| *number != 0) {
        statement.put_formatted(format_args!(", {name} {number}"));
    }
    statement.put(" }");
}

pub(super) fn told(statement: &mut Statement, told: &Told) {
    match told {
        Told::FrozenInfo { sync_recv, async_recv } => {
            statement.put_formatted(format_args!("{{ sync_recv {sync_recv}, async_recv {async_recv} }}"));
        }
        Told::ExtendedError { id, command, param } => {
            statement.put(match id {
                None => "{ command ",
                Some(TransactionId::Zero) => "{ id 0, command ",
                Some(TransactionId::NonZero) => "{ id nonzero, command ",
            });
            return_code(statement, *command);
            statement.put(", param ");
            match *param {
                param @ -4095..=-1 => errno(statement, Errno(-param)),
                param => statement.put_decimal(param),
            }
            statement.put(" }");
        }
        Told::NodeDebugInfo { node: found, has_strong_ref, has_weak_ref } => {
            statement.put("{ node ");
            node(statement, found);
            statement.put_formatted(format_args!(
                ", has_strong_ref {has_strong_ref}, has_weak_ref {has_weak_ref} }}"
            ));
        }
        Told::NodeInfoForRef { strong_count, weak_count } => {
            statement
                .put_formatted(format_args!("{{ strong_count {strong_count}, weak_count {weak_count} }}"));
        }
        Told::Scheduling(told) => scheduling(statement, told),
        Told::Report(told) => report(statement, told),
    }
}

pub(super) fn scheduling(statement: &mut Statement, Scheduling { policy, priority }: &Scheduling) {
    statement.put_formatted(format_args!("{{ policy {policy}, priority {priority} }}"));
}

fn report(statement: &mut Statement, report: &Report) {
    statement.put("{ error ");
    return_code(statement, report.error);
    if let Some(context) = report.context {
        statement.put_formatted(format_args!(", context {context}"));
    }
    if let Some(from) = &report.from_pid {
        statement.put(", from_pid ");
        pid(statement, from);
    }
    if let Some(from) = &report.from_tid {
        statement.put_formatted(format_args!(", from_tid {from}"));
    }
    if let Some(to) = &report.to_pid {
        statement.put(", to_pid ");
        pid(statement, to);
    }
    if let Some(to) = &report.to_tid {
        statement.put_formatted(format_args!(", to_tid {to}"));
    }
    if report.is_reply {
        statement.put(", is_reply");
    }
    if report.flags != 0 {
        statement.put(", flags ");
        statement.put(&fragment::transaction_flags(report.flags));
    }
    for (name, number) in [("code", report.code), ("data_size", report.data_size)] {
        if number != 0 {
            statement.put_formatted(format_args!(", {name} {number}"));
        }
    }
    statement.put(" }");
}

/// A BR_ code by its name.
fn return_code(statement: &mut Statement, code: u32) {
    match return_name(code) {
        Some(name) => statement.put(name),
        None => hexadecimal(statement, code),
    }
}
