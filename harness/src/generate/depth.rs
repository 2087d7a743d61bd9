//! Depth: how far into the driver programs go. A fuzzer whose programs all fail at their first step finds nothing, and
//! nobody notices unless it is counted.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use reference_driver::uapi::TF_ONE_WAY;

use crate::program::*;
use crate::script::fragment;

/// What became of the steps of some settled programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// Programs that were counted.
    pub programs: u64,
    /// Steps.
    pub steps: u64,
    /// Steps that did not fail, and brought no BR_FAILED_REPLY, BR_DEAD_REPLY, BR_FROZEN_REPLY or BR_ERROR.
    pub successes: u64,
    /// Calls and oneway messages that were sent.
    pub sent: u64,
    /// Calls that arrived.
    pub calls: u64,
    /// Oneway messages that arrived.
    pub messages: u64,
    /// Replies that arrived.
    pub replied: u64,
    /// Objects, handles and descriptors that arrived.
    pub objects: u64,
    /// How often each return came.
    pub returns: BTreeMap<&'static str, u64>,
}

impl Depth {
    /// That of a program whose expectations are what came.
    pub fn of(program: &Program) -> Depth {
        let mut depth = Depth { programs: 1, ..Depth::default() };
        for step in program.steps.iter().flat_map(|noted| noted.value.steps()) {
            depth.count(&step.action);
        }
        depth
    }

    /// Transactions that came to their end: calls whose reply arrived, and oneway messages that did.
    pub fn completed(&self) -> u64 {
        self.replied + self.messages
    }

    fn count(&mut self, action: &Action) {
        self.steps += 1;
        let mut failed = match action {
            Action::Write { written, .. } | Action::WriteRead { written, .. } => written.errno.is_some(),
            Action::Read { .. } => false,
            Action::Call { expected, .. } => matches!(expected, CallExpectation::Fails(_)),
        };
        if let Action::Write { commands, .. } | Action::WriteRead { commands, .. } = action {
            let is_sent = |command: &&Command| {
                matches!(command, Command::Transaction { .. } | Command::TransactionSg { .. })
            };
            self.sent += commands.iter().filter(is_sent).count() as u64;
        }
        if let Action::Read { expected, .. } | Action::WriteRead { expected: Some(expected), .. } = action {
            failed |= matches!(expected, ReadExpectation::Failed { .. });
            if let ReadExpectation::Returns(items) = expected {
                for item in items {
                    if let ReturnItem::One(pattern) = item {
                        failed |= self.count_return(pattern);
                    }
                }
            }
        }
        self.successes += u64::from(!failed);
    }

    /// Counts a return, and says whether it tells of a failure.
    fn count_return(&mut self, pattern: &ReturnPattern) -> bool {
        *self.returns.entry(fragment::return_word(pattern)).or_default() += 1;
        let objects = |transaction: &TransactionPattern| {
            let is_object = |item: &&DataItem<_>| matches!(item.without_place(), DataItem::Object(_));
            transaction.data.iter().filter(is_object).count() as u64
        };
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. } => {
                match transaction.flags & TF_ONE_WAY {
                    0 => self.calls += 1,
                    _ => self.messages += 1,
                }
                self.objects += objects(transaction);
                false
            }
            ReturnPattern::Reply(transaction) => {
                self.replied += 1;
                self.objects += objects(transaction);
                false
            }
            ReturnPattern::FailedReply
            | ReturnPattern::DeadReply
            | ReturnPattern::FrozenReply
            | ReturnPattern::Error(_) => true,
            _ => false,
        }
    }
}

impl AddAssign for Depth {
    fn add_assign(&mut self, other: Depth) {
        self.programs += other.programs;
        self.steps += other.steps;
        self.successes += other.successes;
        self.sent += other.sent;
        self.calls += other.calls;
        self.messages += other.messages;
        self.replied += other.replied;
        self.objects += other.objects;
        for (name, count) in other.returns {
            *self.returns.entry(name).or_default() += count;
        }
    }
}
