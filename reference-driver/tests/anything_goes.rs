//! Whatever processes do, the driver's state makes sense, and nothing is left when they are gone.

mod party;

use std::ops::Range;

use party::{Party, World};
use proptest::prelude::*;
use reference_driver::Profile;
use reference_driver::uapi::*;
use zerocopy::IntoBytes;

/// One thing that one thread does. Numbers are small, so that they often name something that is there.
#[derive(Debug, Clone)]
enum Deed {
    /// Writes commands, and reads if there is room to.
    WriteRead {
        commands: Vec<Command>,
        read_size: u64,
    },
    /// Writes commands to the device of another process.
    WriteElsewhere(Vec<Command>),
    SetPriority(i32),
    Poll,
    Interrupt,
    Flush,
    /// Takes back some pages of the mapping.
    Unmap(Range<u64>),
    /// Lets some pages of the mapping be read, or not.
    Protect {
        pages: Range<u64>,
        readable: bool,
    },
    ThreadExit,
    MaxThreads(u32),
    /// The process ends, and another one takes its place.
    Replace,
    /// The process of that thread is frozen or thawed.
    Freeze {
        target: usize,
        enable: u32,
        timeout_ms: u32,
    },
    TimeOut,
    DetectSpam(bool),
    /// A request that tells something.
    Ask(u32),
}

#[derive(Debug, Clone)]
enum Command {
    Transaction {
        target: u32,
        flags: u32,
        payload: Payload,
    },
    Reply {
        flags: u32,
        payload: Payload,
    },
    /// Frees one of the buffers that the process has been told of.
    Free(usize),
    OnHandle {
        code: u32,
        handle: u32,
    },
    Done {
        code: u32,
        pointer: u64,
    },
    Looper(u32),
    FreezeDone(u64),
    Death {
        code: u32,
        handle: u32,
        cookie: u64,
    },
    DeadBinderDone(u64),
    /// Bytes that mean nothing.
    Garbage(u32),
}

#[derive(Debug, Clone)]
struct Payload {
    objects: Vec<Object>,
    filler: u64,
    /// Room for scatter-gather buffers.
    buffers_size: u64,
    /// Where to spoil the table of offsets, and with what.
    damage: Option<(usize, u64)>,
}

#[derive(Debug, Clone)]
enum Object {
    Node { object_type: u32, number: u64 },
    Descriptor(u32),
    Descriptors { count: u64, parent: u64, place: u64 },
    Buffer { length: u64, parent: Option<(u64, u64)> },
}

fn object() -> impl Strategy<Value = Object> {
    let kind = prop::sample::select(vec![
        BINDER_TYPE_BINDER,
        BINDER_TYPE_BINDER,
        BINDER_TYPE_BINDER,
        BINDER_TYPE_WEAK_BINDER,
        BINDER_TYPE_HANDLE,
        BINDER_TYPE_WEAK_HANDLE,
    ]);
    let place = || (0u64..3, 0u64..12);
    prop_oneof![
        6 => (kind, 0u64..4).prop_map(|(object_type, number)| Object::Node { object_type, number }),
        1 => (0u32..4).prop_map(Object::Descriptor),
        2 => (0u64..4, place())
            .prop_map(|(count, (parent, place))| Object::Descriptors { count, parent, place: place * 4 }),
        3 => (0u64..80, prop::option::of(place()))
            .prop_map(|(length, parent)| Object::Buffer { length, parent }),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    let damage = prop::option::weighted(0.05, (0usize..4, 0u64..100));
    (prop::collection::vec(object(), 0..4), 0u64..2000, 0u64..200, damage)
        .prop_map(|(objects, filler, buffers_size, damage)| Payload { objects, filler, buffers_size, damage })
}

fn command() -> impl Strategy<Value = Command> {
    let flags = prop::sample::select(vec![
        0,
        0,
        TF_ONE_WAY,
        TF_ONE_WAY | TF_CLEAR_BUF,
        TF_ONE_WAY | TF_UPDATE_TXN,
        TF_STATUS_CODE,
        TF_ACCEPT_FDS,
    ]);
    prop_oneof![
        8 => (prop::sample::select(vec![0u32, 0, 0, 1, 1, 2, 3]), flags.clone(), payload())
            .prop_map(|(target, flags, payload)| Command::Transaction { target, flags, payload }),
        4 => (flags, payload()).prop_map(|(flags, payload)| Command::Reply { flags, payload }),
        5 => any::<usize>().prop_map(Command::Free),
        4 => (prop::sample::select(vec![BC_ACQUIRE, BC_RELEASE, BC_INCREFS, BC_DECREFS]), 0u32..4)
            .prop_map(|(code, handle)| Command::OnHandle { code, handle }),
        3 => (prop::sample::select(vec![BC_ACQUIRE_DONE, BC_INCREFS_DONE]), 0u64..4)
            .prop_map(|(code, pointer)| Command::Done { code, pointer }),
        2 => prop::sample::select(vec![BC_ENTER_LOOPER, BC_REGISTER_LOOPER, BC_EXIT_LOOPER])
            .prop_map(Command::Looper),
        2 => (prop::sample::select(vec![BC_REQUEST_DEATH_NOTIFICATION, BC_CLEAR_DEATH_NOTIFICATION]), 0u32..4, 0u64..3)
            .prop_map(|(code, handle, cookie)| Command::Death { code, handle, cookie }),
        3 => (prop::sample::select(vec![BC_REQUEST_FREEZE_NOTIFICATION, BC_CLEAR_FREEZE_NOTIFICATION]), 0u32..4, 0u64..3)
            .prop_map(|(code, handle, cookie)| Command::Death { code, handle, cookie }),
        2 => (0u64..3).prop_map(Command::FreezeDone),
        1 => (0u64..3).prop_map(Command::DeadBinderDone),
        1 => any::<u32>().prop_map(Command::Garbage),
    ]
}

/// Some pages of a mapping, and perhaps some behind it.
fn pages() -> impl Strategy<Value = Range<u64>> {
    (0u64..8, 1u64..9).prop_map(|(first, count)| first..first + count)
}

fn deed() -> impl Strategy<Value = Deed> {
    let room = prop::sample::select(vec![0u64, 256, 256, 256, 256, 256, 256, 80, 76, 4, 1]);
    prop_oneof![
        80 => (prop::collection::vec(command(), 0..4), room)
            .prop_map(|(commands, read_size)| Deed::WriteRead { commands, read_size }),
        4 => prop::collection::vec(command(), 0..4).prop_map(Deed::WriteElsewhere),
        1 => (-25..25).prop_map(Deed::SetPriority),
        1 => Just(Deed::Poll),
        1 => Just(Deed::Interrupt),
        1 => Just(Deed::Flush),
        1 => pages().prop_map(Deed::Unmap),
        1 => (pages(), any::<bool>()).prop_map(|(pages, readable)| Deed::Protect { pages, readable }),
        1 => Just(Deed::ThreadExit),
        1 => (0u32..3).prop_map(Deed::MaxThreads),
        1 => Just(Deed::Replace),
        3 => (0usize..6, 0u32..2, 0u32..2)
            .prop_map(|(target, enable, timeout_ms)| Deed::Freeze { target, enable, timeout_ms }),
        2 => Just(Deed::TimeOut),
        1 => any::<bool>().prop_map(Deed::DetectSpam),
        1 => prop::sample::select(vec![BINDER_GET_EXTENDED_ERROR, BINDER_GET_NODE_DEBUG_INFO,
            BINDER_GET_NODE_INFO_FOR_REF, BINDER_GET_FROZEN_INFO]).prop_map(Deed::Ask),
    ]
}

fn encode(party: &mut Party, commands: &[Command]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |code: u32, parts: &[&[u8]]| {
        bytes.extend_from_slice(&code.to_ne_bytes());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
    };
    for command in commands {
        match command {
            Command::Transaction { target, flags, payload } => {
                let data = transaction(party, (*target).into(), *flags, payload);
                put(BC_TRANSACTION_SG, &[data.as_bytes()]);
            }
            Command::Reply { flags, payload } => {
                let data = transaction(party, 0, *flags, payload);
                put(BC_REPLY_SG, &[data.as_bytes()]);
            }
            Command::Free(pick) => {
                let buffers = &mut party.buffers;
                let address = if buffers.is_empty() { 0 } else { buffers.swap_remove(pick % buffers.len()) };
                put(BC_FREE_BUFFER, &[&address.to_ne_bytes()]);
            }
            Command::OnHandle { code, handle } => put(*code, &[&handle.to_ne_bytes()]),
            Command::Done { code, pointer } => put(*code, &[&pointer.to_ne_bytes(), &pointer.to_ne_bytes()]),
            Command::Looper(code) => put(*code, &[]),
            Command::Death { code, handle, cookie } => {
                put(*code, &[&handle.to_ne_bytes(), &cookie.to_ne_bytes()]);
            }
            Command::FreezeDone(cookie) => put(BC_FREEZE_NOTIFICATION_DONE, &[&cookie.to_ne_bytes()]),
            Command::DeadBinderDone(cookie) => put(BC_DEAD_BINDER_DONE, &[&cookie.to_ne_bytes()]),
            Command::Garbage(code) => put(*code, &[]),
        }
    }
    bytes
}

fn transaction(party: &mut Party, target: u64, flags: u32, payload: &Payload) -> TransactionDataSg {
    let mut data = Vec::new();
    let mut offsets = Vec::new();
    for object in &payload.objects {
        offsets.push(data.len() as u64);
        let bytes = match *object {
            Object::Node { object_type, number } => {
                let asks_for_context = number.is_multiple_of(2);
                let flags = FLAT_BINDER_FLAG_ACCEPTS_FDS
                    | if asks_for_context { FLAT_BINDER_FLAG_TXN_SECURITY_CTX } else { 0 };
                let object = FlatObject { object_type, flags, binder: number, cookie: number };
                object.as_bytes().to_vec()
            }
            Object::Descriptor(fd) => {
                FdObject { object_type: BINDER_TYPE_FD, fd, ..FdObject::default() }.as_bytes().to_vec()
            }
            Object::Descriptors { count, parent, place } => {
                let object = FdArrayObject {
                    object_type: BINDER_TYPE_FDA,
                    padding: 0,
                    num_fds: count,
                    parent,
                    parent_offset: place,
                };
                object.as_bytes().to_vec()
            }
            Object::Buffer { length, parent } => {
                // Memory full of zeroes, and so of descriptors that are there.
                let (buffer, _) = party.place_payload(&[0; 80], &[]);
                let (index, place) = parent.unwrap_or_default();
                let object = BufferObject {
                    object_type: BINDER_TYPE_PTR,
                    flags: parent.map_or(0, |_| BINDER_BUFFER_FLAG_HAS_PARENT),
                    buffer,
                    length,
                    parent: index,
                    parent_offset: place,
                };
                object.as_bytes().to_vec()
            }
        };
        data.extend_from_slice(&bytes);
    }
    data.resize(data.len() + payload.filler as usize, 0xaa);
    if let Some((place, value)) = payload.damage
        && let Some(offset) = offsets.get_mut(place)
    {
        *offset = value;
    }
    let (buffer, offsets_address) = party.place_payload(&data, &offsets);
    let transaction = TransactionData {
        target,
        flags,
        data_size: data.len() as u64,
        offsets_size: offsets.len() as u64 * 8,
        buffer,
        offsets: offsets_address,
        ..TransactionData::default()
    };
    TransactionDataSg { transaction, buffers_size: payload.buffers_size }
}

fn become_manager(world: &mut World) {
    let object = FlatObject { flags: FLAT_BINDER_FLAG_ACCEPTS_FDS, ..FlatObject::default() };
    world.ioctl(0, BINDER_SET_CONTEXT_MGR_EXT, object.as_bytes());
}

fn perform(world: &mut World, thread: usize, deed: &Deed) {
    match deed {
        Deed::WriteRead { commands, read_size } => {
            // Sleepers would soon be all there is.
            world.interrupt(thread);
            let bytes = encode(world.party(thread), commands);
            world.write_read(thread, &bytes, *read_size);
        }
        Deed::WriteElsewhere(commands) => {
            world.interrupt(thread);
            let bytes = encode(world.party(thread), commands);
            world.write_elsewhere(thread, &bytes);
        }
        Deed::SetPriority(nice) => world.set_priority(thread, *nice),
        Deed::Poll => world.poll(thread),
        Deed::Interrupt => world.interrupt(thread),
        Deed::Flush => world.flush(thread),
        Deed::Unmap(pages) => world.unmap(thread, pages.clone()),
        Deed::Protect { pages, readable } => world.protect(thread, pages.clone(), *readable),
        Deed::ThreadExit => world.ioctl(thread, BINDER_THREAD_EXIT, &[]),
        Deed::MaxThreads(most) => world.ioctl(thread, BINDER_SET_MAX_THREADS, &most.to_ne_bytes()),
        Deed::Replace => world.replace(thread),
        Deed::Freeze { target, enable, timeout_ms } => {
            world.interrupt(thread);
            let pid = world.pid(*target) as u32;
            let info = FreezeInfo { pid, enable: *enable, timeout_ms: *timeout_ms };
            world.ioctl(thread, BINDER_FREEZE, zerocopy::IntoBytes::as_bytes(&info));
        }
        Deed::TimeOut => world.time_out(thread),
        Deed::DetectSpam(enable) => {
            let enable = u32::from(*enable);
            world.ioctl(thread, BINDER_ENABLE_ONEWAY_SPAM_DETECTION, &enable.to_ne_bytes());
        }
        Deed::Ask(request) => world.ioctl(thread, *request, &[0; 32]),
    }
    // Without a context manager nobody could reach anybody. A second one is refused.
    become_manager(world);
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_always_makes_sense(
        profile in prop::sample::select(Profile::ALL.to_vec()),
        deeds in prop::collection::vec((0usize..6, deed()), 1..120),
    ) {
        let mut world = World::new(profile, 3, 2);
        become_manager(&mut world);
        for (thread, deed) in &deeds {
            perform(&mut world, *thread, deed);
            prop_assert_eq!(world.driver.audit(), Vec::<String>::new(), "after {:?}", deed);
        }
        if std::env::var("SHOW").is_ok() { eprintln!("{} deeds {:?}", deeds.len(), world.driver.statistics()); }
        world.close();
        prop_assert_eq!(world.driver.audit(), Vec::<String>::new(), "after closing");
        let statistics = world.driver.statistics();
        let left = [statistics.processes, statistics.threads, statistics.nodes, statistics.references,
            statistics.deaths, statistics.freezes, statistics.transactions, statistics.completions];
        prop_assert!(left.iter().all(|census| census.alive() == 0), "left: {:?}", statistics);
    }
}
