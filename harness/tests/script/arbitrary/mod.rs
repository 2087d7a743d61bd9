//! Arbitrary valid programs, with every variant of the types of `program`.
//!
//! Strategies make up the parts freely; [`settle`] then changes what breaks a rule about the whole, such as the
//! use of a handle that nothing has bound.

mod call;
mod command;
mod operand;
mod payload;
mod returns;
mod settle;

use binderdrill::program::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;
use strum::IntoEnumIterator;

/// A program that its canonical script must stand for.
pub fn program() -> BoxedStrategy<Program> {
    let head = (
        (title(), vec(comment_text(), 0..3)),
        vec((operand::name(), 1..100_u32), 0..12),
        option::weighted(0.2, proptest::sample::select(DriverKind::iter().collect::<Vec<_>>())),
        features(),
        option::weighted(0.3, title()),
    );
    let body = (vec(declaration(), 1..6), vec(noted(moment()), 1..12), vec(comment_line(), 0..3));
    (head, body)
        .prop_map(
            |(
                ((title, opening), clauses, driver, (requires, without), unconfirmed),
                (declarations, steps, closing),
            )| {
                let clauses = clauses.into_iter().map(|(topic, number)| Clause { topic, number }).collect();
                let opening = std::iter::once(title).chain(opening).collect();
                settle::settle(Program {
                    opening,
                    clauses,
                    driver,
                    requires,
                    without,
                    unconfirmed,
                    declarations,
                    steps,
                    closing,
                })
            },
        )
        .boxed()
}

/// Some that are required and others that must not be there.
fn features() -> impl Strategy<Value = (Vec<Feature>, Vec<Feature>)> {
    let all: Vec<Feature> = Feature::iter().collect();
    subsequence(all.clone(), 0..all.len()).prop_flat_map(move |requires| {
        let rest: Vec<Feature> = all.iter().filter(|feature| !requires.contains(feature)).copied().collect();
        let number = 0..=rest.len();
        (Just(requires), subsequence(rest, number))
    })
}

/// A line of words that begins and ends with something visible.
fn title() -> impl Strategy<Value = String> {
    "[A-Za-zäß#\"{][ -~…äß]{0,60}[a-z.#]"
}

fn comment_text() -> impl Strategy<Value = String> {
    "[ -~…äß\t]{0,40}".prop_map(|text| text.trim_end().to_owned())
}

fn comment_line() -> impl Strategy<Value = CommentLine> {
    prop_oneof![Just(CommentLine::Blank), comment_text().prop_map(CommentLine::Text)]
}

fn noted<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Noted<T>> {
    let before = prop_oneof![4 => Just(Vec::new()), 1 => vec(comment_line(), 0..4)];
    (before, value, option::weighted(0.1, comment_text())).prop_map(|(before, value, after)| Noted {
        before,
        value,
        after,
    })
}

/// A context; mostly the usual one.
pub fn context() -> impl Strategy<Value = Context> {
    prop_oneof![3 => Just(Context::Binder), 1 => Just(Context::Hwbinder), 1 => Just(Context::Vndbinder)]
}

fn declaration() -> impl Strategy<Value = Noted<Declaration>> {
    let device = prop_oneof![
        Just(DeviceSetUp::Forked),
        Just(DeviceSetUp::Closed),
        Just(DeviceSetUp::Opened),
        Just(DeviceSetUp::Mapped(DeviceSetUp::DEFAULT_MAPPING)),
        operand::byte_count().prop_map(DeviceSetUp::Mapped),
    ];
    let process = (context(), any::<bool>(), option::of(any::<u32>()), any::<bool>(), device).prop_map(
        |(context, context_manager, uid, nonblock, device)| {
            let name = Name::new("process").expect("a word of letters is a name");
            Declaration::Process(Process { name, context, context_manager, uid, nonblock, device })
        },
    );
    // The names are given, and the process found, when the program is settled.
    let thread = (0..8_usize).prop_map(|index| Declaration::Thread {
        name: Name::new("thread").expect("a word of letters is a name"),
        process: operand::numbered("p", index),
    });
    noted(prop_oneof![2 => process, 1 => thread])
}

fn moment() -> impl Strategy<Value = Moment> {
    let race = (1..=100_000_u32, prop_oneof![Just(0), any::<u64>()], vec(racer(), 2..4))
        .prop_map(|(times, seed, steps)| Moment::Race(Race { times, seed, steps }));
    prop_oneof![8 => step().prop_map(Moment::Step), 1 => race]
}

/// A step of a race: what can be done there whatever else the program does.
fn racer() -> impl Strategy<Value = Step> {
    let commands = || vec(command::command(), 0..4);
    let options = WriteReadOptions::default;
    let events = prop_oneof![
        Just(CallExpectation::Succeeds),
        Just(CallExpectation::Events(PollEvents { readable: true, error: true, ..PollEvents::default() })),
    ];
    let action = prop_oneof![
        (commands(), written()).prop_map(move |(commands, written)| Action::Write {
            options: options(),
            commands,
            written,
        }),
        Just(Action::Read { options: options(), expected: ReadExpectation::Returns(Vec::new()) }),
        commands().prop_map(move |commands| Action::WriteRead {
            options: options(),
            commands,
            written: WriteExpectation::default(),
            expected: Some(ReadExpectation::Returns(Vec::new())),
        }),
        events.prop_map(|expected| Action::Call { call: Call::Poll { timeout_ms: 0 }, expected }),
        Just(Action::Call { call: Call::Munmap(None), expected: CallExpectation::Succeeds }),
    ];
    let actor = Actor::Thread(operand::numbered("t", 0));
    action.prop_map(move |action| Step { actor: actor.clone(), action })
}

fn step() -> BoxedStrategy<Step> {
    let thread = (0..8_usize).prop_map(|index| Actor::Thread(operand::numbered("t", index)));
    let any_of = vec(0..8_usize, 2..4).prop_map(|candidates| Actor::AnyOf {
        candidates: candidates.into_iter().map(|index| operand::numbered("t", index)).collect(),
        alias: operand::numbered("w", 0),
    });
    (prop_oneof![3 => thread, 1 => any_of], action())
        .prop_map(|(actor, action)| Step { actor, action })
        .boxed()
}

fn action() -> BoxedStrategy<Action> {
    let commands = || vec(command::command(), 0..4);
    prop_oneof![
        (options(), commands(), written()).prop_map(|(options, commands, written)| Action::Write {
            options: WriteReadOptions {
                read_size: None,
                read_consumed: None,
                read_buffer_unmapped: false,
                ..options
            },
            commands,
            written,
        }),
        (options(), returns::read_expectation()).prop_map(|(options, expected)| Action::Read {
            options: WriteReadOptions {
                write_size: None,
                write_consumed: None,
                write_buffer_unmapped: false,
                ..options
            },
            expected,
        }),
        (options(), commands(), written(), returns::read_expectation()).prop_map(
            |(options, commands, written, expected)| {
                let expected = written.errno.is_none().then_some(expected);
                Action::WriteRead { options, commands, written, expected }
            }
        ),
        call::call_and_expectation().prop_map(|(call, expected)| Action::Call { call, expected }),
    ]
    .boxed()
}

fn written() -> impl Strategy<Value = WriteExpectation> {
    (option::weighted(0.3, operand::errno()), option::weighted(0.3, operand::byte_count()))
        .prop_map(|(errno, consumed)| WriteExpectation { errno, consumed })
}

fn options() -> impl Strategy<Value = WriteReadOptions> {
    let count = || option::weighted(0.1, operand::byte_count());
    let no_memory = || proptest::bool::weighted(0.1);
    (count(), count(), no_memory(), count(), count(), no_memory()).prop_map(
        |(
            write_size,
            write_consumed,
            write_buffer_unmapped,
            read_size,
            read_consumed,
            read_buffer_unmapped,
        )| WriteReadOptions {
            write_size,
            write_consumed,
            write_buffer_unmapped,
            read_size,
            read_consumed,
            read_buffer_unmapped,
        },
    )
}
