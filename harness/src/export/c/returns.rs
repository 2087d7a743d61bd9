//! Returns: what must hold of one that came.

use super::Refusal;
use super::names::Names;
use super::payload::{self, expect, line, word};
use super::quoted;
use crate::engine::payload as layout;
use crate::program::*;
use crate::script::fragment;

/// What must hold of the return at this place.
pub(super) fn check(
    text: &mut String,
    pattern: &ReturnPattern,
    place: usize,
    names: &mut Names,
) -> Result<(), Refusal> {
    expect(text, &format!("returns[{place}].code == {}", fragment::return_word(pattern)));
    match pattern {
        ReturnPattern::Transaction(transaction) | ReturnPattern::Reply(transaction) => {
            arrived(text, transaction, place, names)?;
        }
        ReturnPattern::TransactionSecCtx { transaction, secctx } => {
            arrived(text, transaction, place, names)?;
            match secctx {
                None => {}
                Some(SecurityContextPattern::Process(_)) => {
                    expect(text, &format!("is_own_security_context({place})"));
                }
                Some(SecurityContextPattern::Text(context)) => {
                    expect(text, &format!("is_security_context({place}, {})", quoted(context)));
                }
            }
        }
        ReturnPattern::Error(number) | ReturnPattern::AcquireResult(number) => {
            expect(text, &format!("number_came({place}) == {number}"));
        }
        ReturnPattern::Increfs(node)
        | ReturnPattern::Acquire(node)
        | ReturnPattern::Release(node)
        | ReturnPattern::Decrefs(node) => {
            let (pointer, cookie) = names.node(node);
            expect(text, &format!("node_came({place}, {pointer}, {cookie})"));
        }
        ReturnPattern::DeadBinder(cookie)
        | ReturnPattern::ClearDeathNotificationDone(cookie)
        | ReturnPattern::ClearFreezeNotificationDone(cookie) => {
            expect(text, &format!("cookie_came({place}) == {}", names.token(cookie)));
        }
        ReturnPattern::FrozenBinder { cookie, is_frozen } => {
            expect(text, &format!("frozen_came({place}).cookie == {}", names.token(cookie)));
            expect(
                text,
                &format!(
                    "frozen_came({place}).is_frozen == {is_frozen} && frozen_came({place}).reserved == 0"
                ),
            );
        }
        ReturnPattern::Ok
        | ReturnPattern::DeadReply
        | ReturnPattern::TransactionComplete
        | ReturnPattern::Noop
        | ReturnPattern::SpawnLooper
        | ReturnPattern::Finished
        | ReturnPattern::FailedReply
        | ReturnPattern::FrozenReply
        | ReturnPattern::OnewaySpamSuspect
        | ReturnPattern::TransactionPendingFrozen => {}
    }
    Ok(())
}

fn arrived(
    text: &mut String,
    expected: &TransactionPattern,
    place: usize,
    names: &mut Names,
) -> Result<(), Refusal> {
    let arrived = format!("arrived({place})");
    if let Some(target) = &expected.target {
        let (pointer, cookie) = names.node(target);
        expect(text, &format!("{arrived}.target.ptr == {pointer} && {arrived}.cookie == {cookie}"));
    }
    expect(text, &format!("{arrived}.code == {}", word(expected.code)));
    let flags =
        if expected.flags == 0 { "0".to_owned() } else { fragment::transaction_flags(expected.flags) };
    let flags = if flags.contains('|') { format!("({flags})") } else { flags };
    expect(text, &format!("{arrived}.flags == {flags}"));
    match &expected.pid {
        None => {}
        Some(PidPattern::Process(name)) => {
            expect(text, &format!("{arrived}.sender_pid == {}", names.pid(name)))
        }
        Some(PidPattern::Number(number)) => expect(text, &format!("{arrived}.sender_pid == {number}")),
    }
    if let Some(euid) = expected.euid {
        expect(text, &format!("{arrived}.sender_euid == {}", word(euid)));
    }
    let placed = layout::place(&expected.data);
    let length = layout::total_length(&placed);
    let places = layout::object_offsets(&placed);
    expect(text, &format!("{arrived}.data_size == {length}"));
    line(text, "{");
    let data = format!("data_{place}");
    line(
        text,
        &format!("const unsigned char *{data} = fetch({arrived}.data.ptr.buffer, {arrived}.data_size);"),
    );
    text.push('\n');
    expect(text, &format!("{data} != NULL"));
    payload::check(text, &data, &expected.data, (&data, &places), names)?;
    line(text, "}");
    let offsets = expected.offsets.as_deref().unwrap_or(&places);
    if offsets.is_empty() {
        expect(text, &format!("{arrived}.offsets_size == 0"));
    } else {
        let listed: Vec<String> = offsets.iter().map(|offset| super::names::long(*offset)).collect();
        expect(
            text,
            &format!(
                "(offsets_are({arrived}, {}, (const binder_size_t[]){{ {} }}))",
                offsets.len(),
                listed.join(", ")
            ),
        );
    }
    if let Some(capture) = &expected.capture {
        let buffer = names.buffer(capture);
        line(text, &format!("{buffer} = {arrived}.data.ptr.buffer;"));
    }
    Ok(())
}
