//! Laws of the protocol: each holds in every history of every driver. Where it cannot be told what a driver took, a law
//! holds its peace from there on.

use std::collections::{BTreeMap, BTreeSet};

use reference_driver::uapi::TF_ONE_WAY;

use super::Violation;
use super::history::{Event, Happening, History};
use crate::program::*;
use crate::script::fragment;

/// The events up to where something is unclear.
fn clear<'h, 'p>(history: &'h History<'p>) -> impl Iterator<Item = &'h Event<'p>> {
    history.events.iter().take_while(|event| !matches!(event.what, Happening::Unclear))
}

/// What is sent by a command, and whether it is a reply.
fn sent(command: &Command) -> Option<(&Transaction, bool)> {
    match command {
        Command::Transaction { transaction, .. } | Command::TransactionSg { transaction, .. } => {
            Some((transaction, false))
        }
        Command::Reply(transaction) | Command::ReplySg { transaction, .. } => Some((transaction, true)),
        _ => None,
    }
}

/// Whether a call takes everything away that its process, or its thread, had to do with the driver.
fn ends(call: &Call) -> bool {
    matches!(call, Call::Close | Call::Exit | Call::Ioctl(Ioctl::ThreadExit))
}

/// BR_REPLY comes to whoever has made a call that has not been answered; and nobody is told more often than he has sent
/// something that something has come of it.
pub(super) fn each_call_is_answered_once(history: &History<'_>) -> Result<(), Violation> {
    #[derive(Default)]
    struct Account {
        calls: u32,
        sent: u32,
    }
    let mut accounts: BTreeMap<&Name, Account> = BTreeMap::new();
    for event in clear(history) {
        let account = accounts.entry(event.thread).or_default();
        let nothing = || Violation::AnswerToNothing { step: event.step, thread: event.thread.to_string() };
        match &event.what {
            Happening::Command(command) => {
                if let Some((transaction, is_reply)) = sent(command) {
                    account.sent += 1;
                    account.calls += u32::from(!is_reply && transaction.flags & TF_ONE_WAY == 0);
                }
            }
            Happening::Return(ReturnPattern::Reply(_)) => {
                account.calls = account.calls.checked_sub(1).ok_or_else(nothing)?;
                account.sent = account.sent.checked_sub(1).ok_or_else(nothing)?;
            }
            Happening::Return(
                ReturnPattern::DeadReply | ReturnPattern::FailedReply | ReturnPattern::FrozenReply,
            ) => account.sent = account.sent.checked_sub(1).ok_or_else(nothing)?,
            _ => {}
        }
    }
    Ok(())
}

/// A transaction arrives as often as it was sent at most.
pub(super) fn what_is_sent_arrives_once(history: &History<'_>) -> Result<(), Violation> {
    let mut under_way: BTreeMap<(u32, u32, bool), u32> = BTreeMap::new();
    for event in clear(history) {
        match &event.what {
            Happening::Command(command) => {
                if let Some((transaction, is_reply)) = sent(command) {
                    *under_way.entry((transaction.code, transaction.flags, is_reply)).or_default() += 1;
                }
            }
            Happening::Return(pattern) => {
                let Some((transaction, is_reply)) = arrived(pattern) else { continue };
                let left = under_way.get_mut(&(transaction.code, transaction.flags, is_reply));
                match left.filter(|left| **left > 0) {
                    Some(left) => *left -= 1,
                    None => {
                        return Err(Violation::ArrivedTwice { step: event.step, code: transaction.code });
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What arrived with a return, and whether it is a reply.
fn arrived(pattern: &ReturnPattern) -> Option<(&TransactionPattern, bool)> {
    match pattern {
        ReturnPattern::Transaction(transaction) | ReturnPattern::TransactionSecCtx { transaction, .. } => {
            Some((transaction, false))
        }
        ReturnPattern::Reply(transaction) => Some((transaction, true)),
        _ => None,
    }
}

/// Messages to a node arrive in the order in which they were sent, and none before the one before it has been freed.
pub(super) fn messages_keep_their_order(history: &History<'_>) -> Result<(), Violation> {
    // Messages are told from each other by their codes, as far as these are different.
    let mut order: BTreeMap<u32, usize> = BTreeMap::new();
    let mut ambiguous: BTreeSet<u32> = BTreeSet::new();
    for (place, event) in clear(history).enumerate() {
        if let Happening::Command(command) = &event.what
            && let Some((transaction, false)) = sent(command)
            && transaction.flags & TF_ONE_WAY != 0
            && order.insert(transaction.code, place).is_some()
        {
            ambiguous.insert(transaction.code);
        }
    }
    let mut last: BTreeMap<(usize, String), u32> = BTreeMap::new();
    let mut held: BTreeMap<(usize, String), &Name> = BTreeMap::new();
    for event in clear(history) {
        match &event.what {
            Happening::Command(Command::FreeBuffer(Address::Buffer { buffer, offset: 0 })) => {
                held.retain(|(process, _), name| *process != event.process || *name != buffer);
            }
            Happening::Call(call) if ends(call) => {
                held.retain(|(process, _), _| *process != event.process);
                last.retain(|(process, _), _| *process != event.process);
            }
            Happening::Return(pattern) => {
                let Some((transaction, false)) = arrived(pattern) else { continue };
                let (Some(target), true) = (&transaction.target, transaction.flags & TF_ONE_WAY != 0) else {
                    continue;
                };
                let node = (event.process, fragment::node(target));
                let code = transaction.code;
                if let Some(name) = held.get(&node) {
                    let held = name.to_string();
                    return Err(Violation::NotHeldBack { step: event.step, code, held });
                }
                if let Some(before) = last.get(&node).copied()
                    && !ambiguous.contains(&code)
                    && !ambiguous.contains(&before)
                    && order.get(&code) < order.get(&before)
                {
                    return Err(Violation::Overtaken { step: event.step, code: before, overtaken: code });
                }
                last.insert(node.clone(), code);
                held.extend(transaction.capture.iter().map(|name| (node.clone(), name)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// An owner is asked by BR_ACQUIRE for what it does not keep, and told by BR_RELEASE of what it does; likewise by
/// BR_INCREFS and BR_DECREFS.
pub(super) fn owners_are_told_of_changes(history: &History<'_>) -> Result<(), Violation> {
    let mut kept: BTreeSet<(usize, bool, String)> = BTreeSet::new();
    for event in clear(history) {
        let (node, is_strong, begins) = match &event.what {
            Happening::Return(ReturnPattern::Increfs(node)) => (node, false, true),
            Happening::Return(ReturnPattern::Acquire(node)) => (node, true, true),
            Happening::Return(ReturnPattern::Release(node)) => (node, true, false),
            Happening::Return(ReturnPattern::Decrefs(node)) => (node, false, false),
            Happening::Call(Call::Close | Call::Exit) => {
                kept.retain(|(process, ..)| *process != event.process);
                continue;
            }
            _ => continue,
        };
        let key = (event.process, is_strong, fragment::node(node));
        let changes = if begins { kept.insert(key) } else { kept.remove(&key) };
        if !changes {
            let told = match (is_strong, begins) {
                (false, true) => "BR_INCREFS",
                (true, true) => "BR_ACQUIRE",
                (true, false) => "BR_RELEASE",
                (false, false) => "BR_DECREFS",
            };
            return Err(Violation::ToldTwice { step: event.step, told, node: fragment::node(node) });
        }
    }
    Ok(())
}

/// Deaths and clearings are told to whoever has asked, and as often.
pub(super) fn notifications_are_asked_for(history: &History<'_>) -> Result<(), Violation> {
    #[derive(Default)]
    struct Asked {
        deaths: u32,
        deaths_cleared: u32,
        freezes: u32,
        freezes_cleared: u32,
    }
    let mut asked: BTreeMap<(usize, String), Asked> = BTreeMap::new();
    for event in clear(history) {
        let key = |cookie: &Token| (event.process, fragment::token(cookie));
        let mut told = |cookie: &Token, what: &'static str, count: fn(&mut Asked) -> &mut u32, once: bool| {
            let asked = asked.entry(key(cookie)).or_default();
            match count(asked) {
                0 => Err(Violation::NotAskedFor {
                    step: event.step,
                    told: what,
                    cookie: fragment::token(cookie),
                }),
                left => {
                    *left -= u32::from(once);
                    Ok(())
                }
            }
        };
        match &event.what {
            Happening::Command(Command::RequestDeathNotification(_, cookie)) => {
                asked.entry(key(cookie)).or_default().deaths += 1;
            }
            Happening::Command(Command::ClearDeathNotification(_, cookie)) => {
                asked.entry(key(cookie)).or_default().deaths_cleared += 1;
            }
            Happening::Command(Command::RequestFreezeNotification(_, cookie)) => {
                asked.entry(key(cookie)).or_default().freezes += 1;
            }
            Happening::Command(Command::ClearFreezeNotification(_, cookie)) => {
                asked.entry(key(cookie)).or_default().freezes_cleared += 1;
            }
            Happening::Return(ReturnPattern::DeadBinder(cookie)) => {
                told(cookie, "BR_DEAD_BINDER", |asked| &mut asked.deaths, true)?;
            }
            Happening::Return(ReturnPattern::ClearDeathNotificationDone(cookie)) => {
                told(cookie, "BR_CLEAR_DEATH_NOTIFICATION_DONE", |asked| &mut asked.deaths_cleared, true)?;
            }
            Happening::Return(ReturnPattern::FrozenBinder { cookie, .. }) => {
                told(cookie, "BR_FROZEN_BINDER", |asked| &mut asked.freezes, false)?;
            }
            Happening::Return(ReturnPattern::ClearFreezeNotificationDone(cookie)) => {
                told(cookie, "BR_CLEAR_FREEZE_NOTIFICATION_DONE", |asked| &mut asked.freezes_cleared, true)?;
            }
            _ => {}
        }
    }
    Ok(())
}
