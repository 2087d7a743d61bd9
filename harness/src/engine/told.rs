//! What ioctls tell: the structures that a driver filled in, as a script would write them.

use reference_driver::uapi::*;
use zerocopy::FromBytes;

use super::cast::Cast;
use super::symbols::Symbols;
use crate::program::{Argument, Call, Ioctl, Report, Told, TransactionId};
use crate::target;

/// How many bytes a call fills in where its argument is, if it does.
pub(super) fn size(call: &Call) -> Option<usize> {
    match call {
        Call::Ioctl(Ioctl::GetFrozenInfo(Argument::Value(_))) => Some(size_of::<FrozenStatusInfo>()),
        Call::Ioctl(Ioctl::GetExtendedError(Argument::Value(()))) => Some(size_of::<ExtendedError>()),
        Call::Ioctl(Ioctl::GetNodeDebugInfo(Argument::Value(_))) => Some(size_of::<NodeDebugInfo>()),
        Call::Ioctl(Ioctl::GetNodeInfoForRef(Argument::Value(_))) => Some(size_of::<NodeInfoForRef>()),
        _ => None,
    }
}

/// What these bytes tell, that a call of a process has filled in; `None` if it fills in nothing.
pub(super) fn read(call: &Call, bytes: &[u8], process: usize, symbols: &Symbols) -> Option<Told> {
    match call {
        Call::Ioctl(Ioctl::GetFrozenInfo(_)) => {
            let info = FrozenStatusInfo::read_from_bytes(bytes).ok()?;
            Some(Told::FrozenInfo { sync_recv: info.sync_recv, async_recv: info.async_recv })
        }
        Call::Ioctl(Ioctl::GetExtendedError(_)) => {
            let error = ExtendedError::read_from_bytes(bytes).ok()?;
            let id = if error.id == 0 { TransactionId::Zero } else { TransactionId::NonZero };
            Some(Told::ExtendedError { id: Some(id), command: error.command, param: error.param })
        }
        Call::Ioctl(Ioctl::GetNodeDebugInfo(_)) => {
            let info = NodeDebugInfo::read_from_bytes(bytes).ok()?;
            let numbers = PointerCookie { pointer: info.pointer, cookie: info.cookie };
            Some(Told::NodeDebugInfo {
                node: symbols.node_named(process, numbers),
                has_strong_ref: info.has_strong_ref,
                has_weak_ref: info.has_weak_ref,
            })
        }
        Call::Ioctl(Ioctl::GetNodeInfoForRef(_)) => {
            let info = NodeInfoForRef::read_from_bytes(bytes).ok()?;
            Some(Told::NodeInfoForRef { strong_count: info.strong_count, weak_count: info.weak_count })
        }
        _ => None,
    }
}

/// A report, as a script would write it.
pub(super) fn report(came: &target::Report, cast: &Cast, symbols: &Symbols) -> Told {
    Told::Report(Box::new(Report {
        error: came.error,
        context: came.context,
        from_pid: Some(symbols.pid_named(came.from_pid)),
        from_tid: Some(cast.name(came.from).clone()),
        to_pid: came.to_pid.map(|pid| symbols.pid_named(pid)),
        to_tid: came.to.map(|thread| cast.name(thread).clone()),
        is_reply: came.is_reply,
        flags: came.flags,
        code: came.code,
        data_size: came.data_size,
    }))
}

/// Whether what came is what was expected. What is not spoken of may be anything.
pub(super) fn matches(expected: &Told, came: &Told, symbols: &Symbols) -> bool {
    match (expected, came) {
        (
            Told::ExtendedError { id: asked, command, param },
            Told::ExtendedError { id, command: came_command, param: came_param },
        ) => (asked.is_none() || asked == id) && command == came_command && param == came_param,
        (
            Told::NodeDebugInfo { node, has_strong_ref, has_weak_ref },
            Told::NodeDebugInfo { node: came_node, has_strong_ref: strong, has_weak_ref: weak },
        ) => {
            symbols.node(node) == symbols.node(came_node) && has_strong_ref == strong && has_weak_ref == weak
        }
        (Told::Report(expected), Told::Report(came)) => {
            let checked = Report {
                context: expected.context.and(came.context),
                from_pid: expected.from_pid.as_ref().and(came.from_pid.clone()),
                from_tid: expected.from_tid.as_ref().and(came.from_tid.clone()),
                ..Report::clone(came)
            };
            **expected == checked
        }
        _ => expected == came,
    }
}
