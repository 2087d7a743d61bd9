//! Printing the structures that ioctls are given and those that they fill in.

use reference_driver::uapi::return_name;

use super::operand::{errno, handle, hexadecimal, node, pid, transaction_flags};
use crate::program::{Errno, FreezeRequest, NodeInfoRequest, Report, Scheduling, Told, TransactionId};

pub(super) fn freeze_request(request: &FreezeRequest) -> String {
    let timeout = match request.timeout_ms {
        0 => String::new(),
        timeout => format!(", timeout_ms {timeout}"),
    };
    format!("{{ pid {}, enable {}{timeout} }}", pid(&request.pid), request.enable)
}

pub(super) fn node_info_request(request: &NodeInfoRequest) -> String {
    let others = [
        ("strong_count", request.strong_count),
        ("weak_count", request.weak_count),
        ("reserved1", request.reserved1),
        ("reserved2", request.reserved2),
        ("reserved3", request.reserved3),
    ];
    let others = others.iter().filter(|(_, number)| *number != 0);
    let others: String = others.map(|(name, number)| format!(", {name} {number}")).collect();
    format!("{{ handle {}{others} }}", handle(&request.handle))
}

pub(super) fn told(told: &Told) -> String {
    match told {
        Told::FrozenInfo { sync_recv, async_recv } => {
            format!("{{ sync_recv {sync_recv}, async_recv {async_recv} }}")
        }
        Told::ExtendedError { id, command, param } => {
            let id = match id {
                None => "",
                Some(TransactionId::Zero) => "id 0, ",
                Some(TransactionId::NonZero) => "id nonzero, ",
            };
            format!("{{ {id}command {}, param {} }}", return_code(*command), param_of(*param))
        }
        Told::NodeDebugInfo { node: found, has_strong_ref, has_weak_ref } => {
            let found = node(found);
            format!("{{ node {found}, has_strong_ref {has_strong_ref}, has_weak_ref {has_weak_ref} }}")
        }
        Told::NodeInfoForRef { strong_count, weak_count } => {
            format!("{{ strong_count {strong_count}, weak_count {weak_count} }}")
        }
        Told::Scheduling(told) => scheduling(told),
        Told::Report(told) => report(told),
    }
}

pub(super) fn scheduling(Scheduling { policy, priority }: &Scheduling) -> String {
    format!("{{ policy {policy}, priority {priority} }}")
}

fn report(report: &Report) -> String {
    let number = |name: &str, number: u32| (number != 0).then(|| format!("{name} {number}"));
    let flags = (report.flags != 0).then(|| format!("flags {}", transaction_flags(report.flags).join(" | ")));
    let fields = [
        Some(format!("error {}", return_code(report.error))),
        report.context.map(|context| format!("context {context}")),
        report.from_pid.as_ref().map(|from| format!("from_pid {}", pid(from))),
        report.from_tid.as_ref().map(|from| format!("from_tid {from}")),
        report.to_pid.as_ref().map(|to| format!("to_pid {}", pid(to))),
        report.to_tid.as_ref().map(|to| format!("to_tid {to}")),
        report.is_reply.then(|| "is_reply".to_owned()),
        flags,
        number("code", report.code),
        number("data_size", report.data_size),
    ];
    let fields: Vec<String> = fields.into_iter().flatten().collect();
    format!("{{ {} }}", fields.join(", "))
}

/// A BR_ code by its name.
fn return_code(code: u32) -> String {
    return_name(code).map_or_else(|| hexadecimal(code.into()), str::to_owned)
}

/// A negative errno by its name.
fn param_of(param: i32) -> String {
    match param {
        -4095..=-1 => errno(Errno(-param)),
        _ => param.to_string(),
    }
}
