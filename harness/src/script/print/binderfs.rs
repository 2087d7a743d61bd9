//! Calls to binderfs as a script writes them.

use super::layout::Statement;
use super::operand::string;
use crate::program::{Argument, BinderfsCall, Name};

pub(super) fn call(statement: &mut Statement, instance: &Name, call: &BinderfsCall) {
    match call {
        BinderfsCall::Mount { max } => {
            statement.put_formatted(format_args!("mount {instance}"));
            max.iter().for_each(|max| statement.put_formatted(format_args!(" max {max}")));
        }
        BinderfsCall::Unmount => statement.put_formatted(format_args!("umount {instance}")),
        BinderfsCall::Add(Argument::Unmapped) => {
            statement.put_formatted(format_args!("BINDER_CTL_ADD {instance} unmapped"));
        }
        BinderfsCall::Add(Argument::Value(name)) => {
            statement.put_formatted(format_args!("BINDER_CTL_ADD {instance} "));
            string(statement, name.as_str());
        }
        BinderfsCall::Open { path, nonblock } => {
            statement.put_formatted(format_args!("open in {instance} "));
            string(statement, path.as_str());
            if *nonblock {
                statement.put(" nonblock");
            }
        }
        BinderfsCall::Unlink(path) => {
            statement.put_formatted(format_args!("unlink {instance} "));
            string(statement, path.as_str());
        }
        BinderfsCall::Read(path) => {
            statement.put_formatted(format_args!("read {instance} "));
            string(statement, path.as_str());
        }
    }
}
