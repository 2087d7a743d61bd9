//! Printing the structures that ioctls are given and those that they fill in.

use reference_driver::uapi::return_name;

use super::operand::{errno, handle, hexadecimal, node, pid};
use crate::program::{Errno, FreezeRequest, NodeInfoRequest, Scheduling, Told, TransactionId};

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
            let command = return_name(*command).map_or_else(|| hexadecimal((*command).into()), str::to_owned);
            format!("{{ {id}command {command}, param {} }}", param_of(*param))
        }
        Told::NodeDebugInfo { node: found, has_strong_ref, has_weak_ref } => {
            let found = node(found);
            format!("{{ node {found}, has_strong_ref {has_strong_ref}, has_weak_ref {has_weak_ref} }}")
        }
        Told::NodeInfoForRef { strong_count, weak_count } => {
            format!("{{ strong_count {strong_count}, weak_count {weak_count} }}")
        }
        Told::Scheduling(told) => scheduling(told),
    }
}

pub(super) fn scheduling(Scheduling { policy, priority }: &Scheduling) -> String {
    format!("{{ policy {policy}, priority {priority} }}")
}

/// A negative errno by its name.
fn param_of(param: i32) -> String {
    match param {
        -4095..=-1 => errno(Errno(-param)),
        _ => param.to_string(),
    }
}
