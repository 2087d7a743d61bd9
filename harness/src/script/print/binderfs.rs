//! Calls to binderfs as a script writes them.

use super::operand::string;
use crate::program::{Argument, BinderfsCall, Name};

pub(super) fn call(instance: &Name, call: &BinderfsCall) -> String {
    match call {
        BinderfsCall::Mount { max: None } => format!("mount {instance}"),
        BinderfsCall::Mount { max: Some(max) } => format!("mount {instance} max {max}"),
        BinderfsCall::Unmount => format!("umount {instance}"),
        BinderfsCall::Add(Argument::Unmapped) => format!("BINDER_CTL_ADD {instance} unmapped"),
        BinderfsCall::Add(Argument::Value(name)) => {
            format!("BINDER_CTL_ADD {instance} {}", string(name.as_str()))
        }
        BinderfsCall::Open { path, nonblock } => {
            let nonblock = if *nonblock { " nonblock" } else { "" };
            format!("open in {instance} {}{nonblock}", string(path.as_str()))
        }
        BinderfsCall::Unlink(path) => format!("unlink {instance} {}", string(path.as_str())),
        BinderfsCall::Read(path) => format!("read {instance} {}", string(path.as_str())),
    }
}
