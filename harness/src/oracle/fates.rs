//! Fates: what becomes of what threads send. They learn of it later.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::history::{Happening, History, OpeningIndex};
use crate::program::ReturnPattern;

/// What becomes of something that is sent. Its sender learns of it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Accepted,
    Refused,
    /// It was accepted and failed, one cannot tell when.
    Failed,
}

/// The fates of what the events of a history send, for each event. What has none cannot be told.
pub(super) fn fates(history: &History<'_>) -> Vec<Option<Fate>> {
    #[derive(Default)]
    struct Sender {
        /// What it has not been told anything of, and whether that is a call.
        untold: VecDeque<(usize, bool)>,
        awaited: Option<usize>,
    }
    let mut fates = vec![None; history.events.len()];
    // Of what a thread has sent by one opening of the device it learns by that one.
    let mut senders: FxHashMap<(OpeningIndex, usize), Sender> = FxHashMap::default();
    for (place, event) in history.events.iter().enumerate() {
        let sender = senders.entry((event.opening, event.thread)).or_default();
        match &event.what {
            Happening::Command(command) if command.sent().is_some() => {
                sender.untold.push_back((place, command.awaits_reply()));
            }
            Happening::Return(
                ReturnPattern::TransactionComplete
                | ReturnPattern::OnewaySpamSuspect
                | ReturnPattern::TransactionPendingFrozen,
            ) => {
                if let Some((sent, is_call)) = sender.untold.pop_front() {
                    fates[sent] = Some(Fate::Accepted);
                    if is_call {
                        sender.awaited = Some(sent);
                    }
                }
            }
            Happening::Return(ReturnPattern::Reply(_)) => sender.awaited = None,
            Happening::Return(
                ReturnPattern::FailedReply | ReturnPattern::DeadReply | ReturnPattern::FrozenReply,
            ) => match (sender.awaited.take(), sender.untold.pop_back()) {
                (None, Some((sent, _))) => {
                    fates[sent] = Some(Fate::Refused);
                }
                // Which of them it is about cannot be told.
                (awaited, sent) => {
                    let untold = std::mem::take(&mut sender.untold);
                    let all = awaited.into_iter().chain(sent.into_iter().chain(untold).map(|(sent, _)| sent));
                    all.for_each(|sent| fates[sent] = Some(Fate::Failed));
                }
            },
            _ => {}
        }
    }
    fates
}
