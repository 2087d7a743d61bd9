//! The grammar of calls to binderfs: `mount fs`, `BINDER_CTL_ADD fs "mine"`.

use super::super::cursor::{Cursor, Parsed};
use super::super::diagnostics::Diagnostic;
use super::super::names::{Meaning, MentionKind};
use super::operand::{mentioned, number};
use super::payload::string;
use crate::program::{BinderfsCall, CONTROL, Call, DeviceName, Name, PathWithin};

/// Behind `mount`: `fs max 1`
pub(super) fn mount(cursor: &mut Cursor<'_>) -> Parsed<Call> {
    let instance = mentioned(cursor, "a new name for the instance", MentionKind::Binds(Meaning::Instance))?;
    let max = match cursor.accept_word("max") {
        true => Some(number(cursor, "how many devices there can be")?),
        false => None,
    };
    Ok(Call::Binderfs { instance, call: BinderfsCall::Mount { max } })
}

/// Behind `open in`: `fs "mine" nonblock`
pub(super) fn open(cursor: &mut Cursor<'_>) -> Parsed<Call> {
    on_instance(cursor, |cursor| {
        let span = cursor.peek().span.clone();
        let path = path(cursor)?;
        if path.as_str().contains('/') || path.as_str() == CONTROL {
            let label =
                "expected the name of a device (of `binder-control`, BINDER_CTL_ADD makes use by itself)";
            return Err(Diagnostic::error("this is no device for processes", span, label).into());
        }
        Ok(BinderfsCall::Open { path, nonblock: cursor.accept_word("nonblock") })
    })
}

/// The name of an instance, and what is to be done with it.
pub(super) fn on_instance(
    cursor: &mut Cursor<'_>,
    call: impl FnOnce(&mut Cursor<'_>) -> Parsed<BinderfsCall>,
) -> Parsed<Call> {
    let instance: Name =
        mentioned(cursor, "the name of an instance of binderfs", MentionKind::Uses(Meaning::Instance))?;
    Ok(Call::Binderfs { instance, call: call(cursor)? })
}

/// `"features/extended_error"`
pub(super) fn path(cursor: &mut Cursor<'_>) -> Parsed<PathWithin> {
    let span = cursor.peek().span.clone();
    PathWithin::new(string(cursor)?).ok_or_else(|| {
        let label = format!("expected names between slashes, {} bytes at most", PathWithin::LONGEST);
        Diagnostic::error("this path may lead out of the instance", span, label).into()
    })
}

/// `"mine"`
pub(super) fn device_name(cursor: &mut Cursor<'_>) -> Parsed<DeviceName> {
    let span = cursor.peek().span.clone();
    DeviceName::new(string(cursor)?).ok_or_else(|| {
        let label = format!("expected {} bytes at most, none of them 0", DeviceName::LONGEST);
        Diagnostic::error("there is no room for this name", span, label).into()
    })
}
