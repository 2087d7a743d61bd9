//! Laws of the protocol: each holds in every history of every driver; where the one in Rust is known to keep less of it, the
//! law says so. Where it cannot be told what a driver took, a law holds its peace from there on.

use std::collections::VecDeque;

use reference_driver::uapi::TF_ONE_WAY;
use rustc_hash::FxHashMap;

use super::Violation;
use super::history::{Called, Event, Happening, History, OpeningIndex};
use crate::program::*;
use crate::script::fragment;

/// The events up to where something is unclear.
fn clear<'h, 'p>(history: &'h History<'p>) -> impl Iterator<Item = &'h Event<'p>> {
    history.events.iter().take_while(|event| !matches!(event.what, Happening::Unclear))
}

/// Whoever has sent something is told once what has come of it, in the order in which it was sent; and whoever has made a call
/// that was accepted is told once how that has ended: by BR_REPLY, or by a failure. A thread may be told of a failure while
/// it waits for both, so that it cannot be told what has failed: then this holds its peace about that thread.
pub(super) fn each_call_is_answered_once(history: &History<'_>) -> Result<(), Violation> {
    #[derive(Default)]
    struct Account {
        /// What nothing has been told of, and whether that is a call.
        untold: VecDeque<bool>,
        /// Calls that were accepted and have not ended.
        accepted: u32,
        is_unclear: bool,
    }
    // Of what a thread has sent by one opening of the device it learns by that one.
    let mut accounts: FxHashMap<(OpeningIndex, usize), Account> = FxHashMap::default();
    for event in clear(history) {
        let account = accounts.entry((event.opening, event.thread)).or_default();
        let nothing = || Violation::AnswerToNothing { step: event.step, thread: history.name(event.thread) };
        match &event.what {
            // What it has not been told is forgotten with it.
            Happening::Call(Call::Ioctl(Ioctl::ThreadExit)) => *account = Account::default(),
            _ if account.is_unclear => {}
            Happening::Command(command) if command.sent().is_some() => {
                account.untold.push_back(command.awaits_reply());
            }
            Happening::Return(
                ReturnPattern::TransactionComplete
                | ReturnPattern::OnewaySpamSuspect
                | ReturnPattern::TransactionPendingFrozen,
            ) => account.accepted += u32::from(account.untold.pop_front().ok_or_else(nothing)?),
            Happening::Return(ReturnPattern::Reply(_)) => {
                account.accepted = account.accepted.checked_sub(1).ok_or_else(nothing)?;
            }
            Happening::Return(
                ReturnPattern::DeadReply | ReturnPattern::FailedReply | ReturnPattern::FrozenReply,
            ) => match (account.accepted, account.untold.pop_back()) {
                (0, None) => return Err(nothing()),
                (0, Some(_)) => {}
                (1.., None) => account.accepted -= 1,
                (1.., Some(_)) => account.is_unclear = true,
            },
            _ => {}
        }
    }
    Ok(())
}

/// A transaction arrives as often as it was sent at most.
pub(super) fn what_is_sent_arrives_once(history: &History<'_>) -> Result<(), Violation> {
    let mut under_way: FxHashMap<(u32, u32, bool), u32> = FxHashMap::default();
    for event in clear(history) {
        match &event.what {
            Happening::Command(command) => {
                if let Some((transaction, target)) = command.sent() {
                    let is_reply = target.is_none();
                    *under_way.entry((transaction.code, transaction.flags, is_reply)).or_default() += 1;
                }
            }
            Happening::Return(pattern) => {
                let Some(transaction) = pattern.arrival() else { continue };
                let is_reply = matches!(pattern, ReturnPattern::Reply(_));
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

/// Messages to a node arrive in the order in which they were sent, and none before the one before it has been freed.
pub(super) fn messages_keep_their_order(history: &History<'_>) -> Result<(), Violation> {
    /// When a message was sent. Messages are told from each other by their codes, as far as these are different.
    struct Order {
        place: usize,
        is_ambiguous: bool,
    }
    let mut order: FxHashMap<u32, Order> = FxHashMap::default();
    for (place, event) in clear(history).enumerate() {
        if let Happening::Command(command) = &event.what
            && let Some((transaction, Some(_))) = command.sent()
            && transaction.flags & TF_ONE_WAY != 0
        {
            let order = order.entry(transaction.code).or_insert(Order { place, is_ambiguous: false });
            order.is_ambiguous = order.place != place;
        }
    }
    /// A node of an opening to which messages have come.
    struct Receiver<'p> {
        opening: OpeningIndex,
        node: Called<'p>,
        /// The code of the last one.
        last: u32,
        /// The buffer of one that has not been freed.
        held: Option<&'p Name>,
    }
    let mut receivers: Vec<Receiver<'_>> = Vec::new();
    for event in clear(history) {
        match &event.what {
            Happening::Command(Command::FreeBuffer(Address::Buffer { buffer, offset: 0 })) => {
                for receiver in receivers.iter_mut().filter(|receiver| receiver.opening == event.opening) {
                    receiver.held = receiver.held.filter(|held| *held != buffer);
                }
            }
            Happening::Return(pattern) => {
                let (ReturnPattern::Transaction(transaction)
                | ReturnPattern::TransactionSecCtx { transaction, .. }) = pattern
                else {
                    continue;
                };
                let (Some(target), true) = (&transaction.target, transaction.flags & TF_ONE_WAY != 0) else {
                    continue;
                };
                let (code, target) = (transaction.code, Called::from(target));
                let held = transaction.capture.as_ref();
                let is_it =
                    |known: &&mut Receiver<'_>| known.opening == event.opening && known.node == target;
                let Some(receiver) = receivers.iter_mut().find(is_it) else {
                    receivers.push(Receiver { opening: event.opening, node: target, last: code, held });
                    continue;
                };
                if let Some(name) = receiver.held {
                    let held = name.to_string();
                    return Err(Violation::NotHeldBack { step: event.step, code, held });
                }
                let before = std::mem::replace(&mut receiver.last, code);
                receiver.held = held;
                let place =
                    |code: &u32| order.get(code).map(|order| (!order.is_ambiguous).then_some(order.place));
                // What was never sent is another law's concern, and counts as sent before all others.
                let (this, earlier) = (place(&code), place(&before));
                if this != Some(None) && earlier != Some(None) && this < earlier {
                    return Err(Violation::Overtaken { step: event.step, code: before, overtaken: code });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// An owner is asked by BR_ACQUIRE for what it does not keep, and told by BR_RELEASE of what it does; likewise by
/// BR_INCREFS and BR_DECREFS.
pub(super) fn owners_are_told_of_changes(history: &History<'_>) -> Result<(), Violation> {
    let mut kept: Vec<(OpeningIndex, bool, Called<'_>)> = Vec::new();
    for event in clear(history) {
        let (node, is_strong, begins) = match &event.what {
            Happening::Return(ReturnPattern::Increfs(node)) => (node, false, true),
            Happening::Return(ReturnPattern::Acquire(node)) => (node, true, true),
            Happening::Return(ReturnPattern::Release(node)) => (node, true, false),
            Happening::Return(ReturnPattern::Decrefs(node)) => (node, false, false),
            _ => continue,
        };
        let key = (event.opening, is_strong, Called::from(node));
        let place = kept.iter().position(|known| *known == key);
        // In Rust an object that has been forgotten once more than it was told of is a new one (rust.45).
        let may_be_another = history.driver == Some(DriverKind::Rust);
        match place {
            None if begins => kept.push(key),
            Some(_) if begins && may_be_another => kept.push(key),
            Some(place) if !begins => drop(kept.swap_remove(place)),
            _ => {
                let told = match (is_strong, begins) {
                    (false, true) => "BR_INCREFS",
                    (true, true) => "BR_ACQUIRE",
                    (true, false) => "BR_RELEASE",
                    (false, false) => "BR_DECREFS",
                };
                return Err(Violation::ToldTwice { step: event.step, told, node: fragment::node(node) });
            }
        }
    }
    Ok(())
}

/// A death is told once for a request at most, and that a request is cleared once for a command that clears it; a freeze
/// is told only while there is a request. Nothing is told of a request after it was told to be cleared, and of one for
/// freezes nothing but that after the command. What is asked for with one cookie in one opening is one account, from which
/// no request is taken for ending with its handle or being passed over.
pub(super) fn notifications_are_asked_for(history: &History<'_>) -> Result<(), Violation> {
    let mut accounts = Accounts(Vec::new());
    for (place, event) in clear(history).enumerate() {
        let (told, cookie, is_due) = match &event.what {
            Happening::Command(command) => {
                accounts.follow(event.opening, command, place);
                continue;
            }
            Happening::Return(ReturnPattern::DeadBinder(cookie)) => {
                ("BR_DEAD_BINDER", cookie, accounts.of(event.opening, cookie).dies(event.earliest))
            }
            Happening::Return(ReturnPattern::ClearDeathNotificationDone(cookie)) => {
                let is_due = accounts.of(event.opening, cookie).death_is_cleared(place);
                ("BR_CLEAR_DEATH_NOTIFICATION_DONE", cookie, is_due)
            }
            Happening::Return(ReturnPattern::FrozenBinder { cookie, .. }) => {
                ("BR_FROZEN_BINDER", cookie, accounts.of(event.opening, cookie).freezes(event.earliest))
            }
            Happening::Return(ReturnPattern::ClearFreezeNotificationDone(cookie)) => {
                let is_due = accounts.of(event.opening, cookie).freeze_is_cleared();
                ("BR_CLEAR_FREEZE_NOTIFICATION_DONE", cookie, is_due)
            }
            _ => continue,
        };
        if is_due.is_none() {
            let cookie = fragment::token(cookie);
            return Err(Violation::NotAskedFor { step: event.step, told, cookie });
        }
    }
    Ok(())
}

/// What has been asked for with a cookie, and what has come of it.
#[derive(Default)]
struct Asked {
    /// Requests for a death of which nothing has been told.
    deaths: u32,
    /// Those whose death was told, and not that they are cleared.
    deaths_told: u32,
    /// Commands to clear one, of which nothing has been told.
    deaths_cleared: u32,
    /// Where requests were told to be cleared whose death had not been told.
    deaths_closed: Vec<usize>,
    /// Requests for freezes that have not been cleared.
    freezes: u32,
    /// Commands to clear one, of which nothing has been told.
    freezes_cleared: u32,
    /// Where the last of these was.
    freezes_closed: Option<usize>,
}

impl Asked {
    /// A death is told, behind so many events at least. `None` if that cannot be.
    fn dies(&mut self, earliest: usize) -> Option<()> {
        // A thread that slept when a request was told to be cleared may have been told of the death before.
        match self.deaths_closed.iter().position(|closed| *closed >= earliest) {
            Some(before) => {
                self.deaths_closed.remove(before);
            }
            None => {
                self.deaths = self.deaths.checked_sub(1)?;
                self.deaths_told += 1;
            }
        }
        Some(())
    }

    /// A request is told to be cleared, in the event at this place. Which one it is cannot be told: one whose death was
    /// told, if there is any.
    fn death_is_cleared(&mut self, place: usize) -> Option<()> {
        self.deaths_cleared = self.deaths_cleared.checked_sub(1)?;
        if self.deaths_told > 0 {
            self.deaths_told -= 1;
        } else {
            self.deaths = self.deaths.checked_sub(1)?;
            self.deaths_closed.push(place);
        }
        Some(())
    }

    /// A freeze or a thaw is told, behind so many events at least.
    fn freezes(&self, earliest: usize) -> Option<()> {
        let was_open = self.freezes_closed.is_some_and(|closed| closed >= earliest);
        (self.freezes > 0 || was_open).then_some(())
    }

    fn freeze_is_cleared(&mut self) -> Option<()> {
        self.freezes_cleared = self.freezes_cleared.checked_sub(1)?;
        Some(())
    }
}

/// What has been asked for in openings, each with a cookie.
struct Accounts<'p>(Vec<(OpeningIndex, &'p Token, Asked)>);

impl<'p> Accounts<'p> {
    /// Takes note of a command, in the event at this place. One about freezes that has no request to clear fails, and is
    /// no event; one about deaths is passed over.
    fn follow(&mut self, opening: OpeningIndex, command: &'p Command, place: usize) {
        match command {
            Command::RequestDeathNotification(_, cookie) => self.of(opening, cookie).deaths += 1,
            Command::ClearDeathNotification(_, cookie) => self.of(opening, cookie).deaths_cleared += 1,
            Command::RequestFreezeNotification(_, cookie) => self.of(opening, cookie).freezes += 1,
            Command::ClearFreezeNotification(_, cookie) => {
                let asked = self.of(opening, cookie);
                asked.freezes = asked.freezes.saturating_sub(1);
                asked.freezes_cleared += 1;
                asked.freezes_closed = Some(place);
            }
            _ => {}
        }
    }

    fn of(&mut self, opening: OpeningIndex, cookie: &'p Token) -> &mut Asked {
        let known = self.0.iter().position(|(owner, known, _)| *owner == opening && *known == cookie);
        let place = known.unwrap_or_else(|| {
            self.0.push((opening, cookie, Asked::default()));
            self.0.len() - 1
        });
        &mut self.0[place].2
    }
}
