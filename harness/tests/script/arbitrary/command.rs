//! Arbitrary commands.

use binderdrill::program::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::operand::{address, byte_count, cookie, handle, node};
use super::payload::payload;

pub fn command() -> BoxedStrategy<Command> {
    let sent = prop_oneof![
        (handle(), transaction())
            .prop_map(|(target, transaction)| Command::Transaction { target, transaction }),
        transaction().prop_map(Command::Reply),
        (handle(), transaction(), option::of(byte_count())).prop_map(
            |(target, transaction, buffers_size)| {
                Command::TransactionSg { target, transaction, buffers_size }
            }
        ),
        (transaction(), option::of(byte_count()))
            .prop_map(|(transaction, buffers_size)| Command::ReplySg { transaction, buffers_size }),
    ];
    let references = prop_oneof![
        handle().prop_map(Command::Increfs),
        handle().prop_map(Command::Acquire),
        handle().prop_map(Command::Release),
        handle().prop_map(Command::Decrefs),
        node().prop_map(Command::IncrefsDone),
        node().prop_map(Command::AcquireDone),
        handle().prop_map(Command::AttemptAcquire),
        any::<i32>().prop_map(Command::AcquireResult),
    ];
    let notifications = prop_oneof![
        (handle(), cookie()).prop_map(|(h, c)| Command::RequestDeathNotification(h, c)),
        (handle(), cookie()).prop_map(|(h, c)| Command::ClearDeathNotification(h, c)),
        cookie().prop_map(Command::DeadBinderDone),
        (handle(), cookie()).prop_map(|(h, c)| Command::RequestFreezeNotification(h, c)),
        (handle(), cookie()).prop_map(|(h, c)| Command::ClearFreezeNotification(h, c)),
        cookie().prop_map(Command::FreezeNotificationDone),
    ];
    let others = prop_oneof![
        address().prop_map(Command::FreeBuffer),
        Just(Command::RegisterLooper),
        Just(Command::EnterLooper),
        Just(Command::ExitLooper),
        vec(any::<u8>(), 0..20).prop_map(Command::Bytes),
    ];
    prop_oneof![sent.boxed(), references.boxed(), notifications.boxed(), others.boxed()].boxed()
}

pub fn transaction_flags() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(0x30), 0..0x80_u32, any::<u32>()]
}

pub fn offsets() -> impl Strategy<Value = Option<Vec<u64>>> {
    option::weighted(0.2, vec(byte_count(), 0..4))
}

fn transaction() -> BoxedStrategy<Transaction> {
    let seldom = || option::weighted(0.1, byte_count());
    let well_made = (prop_oneof![0..100_u32, any::<u32>()], transaction_flags(), payload(handle), offsets());
    let claims = (
        seldom(),
        seldom(),
        option::weighted(0.1, address()),
        option::weighted(0.1, address()),
        seldom(),
        option::weighted(0.1, any::<i32>()),
        option::weighted(0.1, any::<u32>()),
    );
    (well_made, claims)
        .prop_map(
            |(
                (code, flags, data, offsets),
                (data_size, offsets_size, buffer, offsets_buffer, cookie, sender_pid, sender_euid),
            )| Transaction {
                code,
                flags,
                data,
                offsets,
                data_size,
                offsets_size,
                buffer,
                offsets_buffer,
                cookie,
                sender_pid,
                sender_euid,
            },
        )
        .boxed()
}
