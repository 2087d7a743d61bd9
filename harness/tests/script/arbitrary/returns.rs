//! Arbitrary expectations of reads.

use binderdrill::program::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::command::{offsets, transaction_flags};
use super::operand::{buffer, byte_count, cookie, errno, handle_pattern, node, process};
use super::payload::payload;

pub fn read_expectation() -> BoxedStrategy<ReadExpectation> {
    let one_of_several = vec(single(simple_item().boxed()), 2..4).prop_map(ReadExpectation::AnyOf);
    prop_oneof![6 => single(item().boxed()), 1 => one_of_several].boxed()
}

/// An expectation that is no choice as a whole.
fn single(item: BoxedStrategy<ReturnItem>) -> impl Strategy<Value = ReadExpectation> {
    let returns = vec(item, 0..4).prop_map(|mut items| {
        // A list of nothing but a choice is a choice of lists.
        if let [ReturnItem::AnyOf(_)] = items.as_slice() {
            items.push(ReturnItem::One(ReturnPattern::Ok));
        }
        ReadExpectation::Returns(items)
    });
    prop_oneof![
        1 => Just(ReadExpectation::Parked),
        4 => returns,
        1 => (errno(), option::of(byte_count()))
            .prop_map(|(errno, consumed)| ReadExpectation::Failed { errno, consumed }),
    ]
}

fn item() -> impl Strategy<Value = ReturnItem> {
    prop_oneof![
        5 => simple_item(),
        1 => vec(vec(pattern(), 0..3), 2..4).prop_map(ReturnItem::AnyOf),
    ]
}

/// An item that may stand within a choice.
fn simple_item() -> impl Strategy<Value = ReturnItem> {
    prop_oneof![
        5 => pattern().prop_map(ReturnItem::One),
        1 => vec(pattern(), 2..4).prop_map(ReturnItem::InAnyOrder),
    ]
}

fn security_context() -> impl Strategy<Value = SecurityContextPattern> {
    prop_oneof![
        process().prop_map(SecurityContextPattern::Process),
        any::<String>().prop_map(SecurityContextPattern::Text),
    ]
}

fn pattern() -> BoxedStrategy<ReturnPattern> {
    let transactions = prop_oneof![
        transaction().prop_map(ReturnPattern::Transaction),
        (transaction(), option::of(security_context()))
            .prop_map(|(transaction, secctx)| ReturnPattern::TransactionSecCtx { transaction, secctx }),
        transaction().prop_map(ReturnPattern::Reply),
    ];
    let bare = proptest::sample::select(vec![
        ReturnPattern::Ok,
        ReturnPattern::DeadReply,
        ReturnPattern::TransactionComplete,
        ReturnPattern::Noop,
        ReturnPattern::SpawnLooper,
        ReturnPattern::Finished,
        ReturnPattern::FailedReply,
        ReturnPattern::FrozenReply,
        ReturnPattern::OnewaySpamSuspect,
        ReturnPattern::TransactionPendingFrozen,
    ]);
    let others = prop_oneof![
        any::<i32>().prop_map(ReturnPattern::Error),
        any::<i32>().prop_map(ReturnPattern::AcquireResult),
        node().prop_map(ReturnPattern::Increfs),
        node().prop_map(ReturnPattern::Acquire),
        node().prop_map(ReturnPattern::Release),
        node().prop_map(ReturnPattern::Decrefs),
        cookie().prop_map(ReturnPattern::DeadBinder),
        cookie().prop_map(ReturnPattern::ClearDeathNotificationDone),
        (cookie(), any::<u32>())
            .prop_map(|(cookie, is_frozen)| ReturnPattern::FrozenBinder { cookie, is_frozen }),
        cookie().prop_map(ReturnPattern::ClearFreezeNotificationDone),
    ];
    prop_oneof![transactions.boxed(), bare.boxed(), others.boxed()].boxed()
}

fn transaction() -> BoxedStrategy<TransactionPattern> {
    let pid = prop_oneof![process().prop_map(PidPattern::Process), any::<i32>().prop_map(PidPattern::Number)];
    (
        option::of(node()),
        0..100_u32,
        transaction_flags(),
        option::of(pid),
        option::of(any::<u32>()),
        payload(handle_pattern),
        offsets(),
        option::of(buffer()),
    )
        .prop_map(|(target, code, flags, pid, euid, data, offsets, capture)| TransactionPattern {
            target,
            code,
            flags,
            pid,
            euid,
            data,
            offsets,
            capture,
        })
        .boxed()
}
