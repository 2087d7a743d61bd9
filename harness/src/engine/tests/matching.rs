//! Matching of returns and payloads, and how a mismatch is told.

use proptest::prelude::*;
use reference_driver::uapi::*;
use zerocopy::IntoBytes;

use super::fake::{MAPPING, Reply, noop_and, plain, with};
use super::{difference, run_script};
use crate::engine::bindings::Bindings;
use crate::engine::cast::Cast;
use crate::engine::decode::{Received, Return, decode};
use crate::engine::matching::{Reader, Refusal, match_returns};
use crate::engine::objects::ArrivedObject;
use crate::engine::payload::{read_str16, str16};
use crate::engine::symbols::Symbols;
use crate::engine::{Run, ScriptFault, Verdict};
use crate::program::{DataItem, Name, Program, ReturnItem, ReturnPattern, TransactionPattern};

const TWO: &str = "process server context-manager\nprocess client\n\n";

/// Has the client, of which `foo` is an object, read this.
fn read(expected: &str, reply: Reply) -> Run {
    let script = format!("{TWO}client  > BC_INCREFS_DONE foo\nclient  < {expected}\n");
    run_script(&script, vec![Reply::written(), reply])
}

/// A call from the server with this payload, which has objects at these offsets.
fn call(data: &[u8], offsets: &[u64]) -> Reply {
    let table = offsets.as_bytes().to_vec();
    let header = TransactionData {
        target: FOO.pointer,
        cookie: FOO.cookie,
        code: 7,
        flags: TF_ACCEPT_FDS,
        sender_pid: 100,
        sender_euid: 10123,
        data_size: data.len() as u64,
        offsets_size: table.len() as u64,
        buffer: MAPPING,
        offsets: MAPPING + 0x1000,
    };
    let returns = noop_and(&[plain(BR_TRANSACTION_COMPLETE), with(BR_TRANSACTION, header)]);
    Reply::returns(returns).mapped(0, data.to_vec()).mapped(0x1000, table)
}

const FOO: PointerCookie = PointerCookie { pointer: 0x7b01_0000_0000, cookie: 0x7c01_0000_0000 };

fn handle(number: u64) -> FlatObject {
    FlatObject { object_type: BINDER_TYPE_HANDLE, flags: 0x17f, binder: number, cookie: 0 }
}

/// `u32 42`, a handle, `str16 "ping"`.
fn payload() -> Vec<u8> {
    [42_u32.as_bytes(), handle(3).as_bytes(), &str16("ping")].concat()
}

#[test]
fn every_field_of_a_call_is_matched() {
    let matched = |fields: &str, data: &str| {
        let call = call(&payload(), &[4]);
        read(&format!("BR_TRANSACTION_COMPLETE, BR_TRANSACTION {{ {fields}data [ {data} ] }} as call"), call)
    };
    let fields = "target foo, code 7, flags TF_ACCEPT_FDS, pid server, euid 10123, ";
    let data = "u32 42, handle 3, str16 \"ping\"";
    assert_eq!(matched(fields, data).verdict, Verdict::Pass);
    assert_eq!(matched("code 7, flags TF_ACCEPT_FDS, ", data).verdict, Verdict::Pass);

    let words = |fields: &str, data: &str| difference(&matched(fields, data)).to_owned();
    let seven = "code 7, flags TF_ACCEPT_FDS, ";
    let all = [
        words("code 8, ", data),
        words("code 7, ", data),
        words("target bar, code 7, flags TF_ACCEPT_FDS, ", data),
        words("code 7, flags TF_ACCEPT_FDS, pid client, ", data),
        words("code 7, flags TF_ACCEPT_FDS, euid 0, ", data),
        words(seven, "u32 41, handle 3, str16 \"ping\""),
        words(seven, "u32 42, handle 4, str16 \"ping\""),
        words(seven, "u32 42, weak_handle 3, str16 \"ping\""),
        words(seven, "u32 42, handle 3 flags 0, str16 \"ping\""),
        words(seven, "u32 42, binder foo, str16 \"ping\""),
        words(seven, "u32 42, handle 3, str16 \"pong\""),
        words(seven, "u32 42, handle 3, str16 \"pingpong\""),
        words(seven, "u32 42, handle 3"),
        words(seven, "u32 42, at 8 u32 0x17f, zero 16, str16 \"ping\""),
        words(seven, "bytes 2a 00 01 00, handle 3, str16 \"ping\""),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_came_is_told_as_scripts_write_it() {
    let run =
        read("BR_TRANSACTION_COMPLETE, BR_TRANSACTION { data [ u32 42 ] } as call", call(&payload(), &[4]));
    let Verdict::Fail(deviation) = &run.verdict else { panic!("{:?}", run.verdict) };
    insta::assert_snapshot!(deviation.came);
    insta::assert_json_snapshot!(run.transcript);
}

#[test]
fn a_payload_outside_of_memory_is_a_deviation() {
    let mut reply = call(&payload(), &[4]);
    reply.mapped.clear();
    let run = read("BR_TRANSACTION_COMPLETE, BR_TRANSACTION { code 7, flags TF_ACCEPT_FDS } as call", reply);
    assert_eq!(
        difference(&run),
        "in BR_TRANSACTION, return 2 of 2: the 44 bytes of payload lie where the receiver has no memory"
    );
}

#[test]
fn an_array_of_descriptors_is_told_with_what_stands_behind_its_type() {
    let read = |expected: &str| {
        let array = FdArrayObject {
            object_type: BINDER_TYPE_FDA,
            padding: 0x7a,
            num_fds: 2,
            parent: 0,
            parent_offset: 4,
        };
        let expected = format!(
            "BR_TRANSACTION_COMPLETE, BR_TRANSACTION {{ code 7, flags TF_ACCEPT_FDS, data [ {expected} ] }} as call"
        );
        read(&expected, call(array.as_bytes(), &[0]))
    };
    assert_eq!(read("fda 2 parent 0 offset 4 pad 0x7a").verdict, Verdict::Pass);
    let run = read("fda 2 parent 0 offset 4");
    let Verdict::Fail(deviation) = &run.verdict else { panic!("{:?}", run.verdict) };
    assert!(deviation.came.contains("data [ fda 2 parent 0 offset 4 pad 0x7a ]"), "{}", deviation.came);
    assert!(difference(&run).ends_with("has pad 0x7a, not 0x0"), "{}", difference(&run));
}

#[test]
fn a_handle_is_bound_where_it_arrives_and_stands_for_its_number() {
    let expected = "BR_TRANSACTION_COMPLETE, BR_TRANSACTION { code 7, flags TF_ACCEPT_FDS, \
                    data [ u32 42, handle ?h, str16 \"ping\" ] } as call\n\
                    client  > BC_ACQUIRE h, BC_FREE_BUFFER call";
    let script = format!("{TWO}client  > BC_INCREFS_DONE foo\nclient  < {expected}\n");
    let mut target = super::FakeWorlds::new(vec![Reply::written(), call(&payload(), &[4]), Reply::written()]);
    assert_eq!(super::run_on(&script, &mut target).verdict, Verdict::Pass);
    let ioctls = target.ioctls.borrow();
    let commands = [with(BC_ACQUIRE, 3_u32), with(BC_FREE_BUFFER, MAPPING)].concat();
    assert!(ioctls.last().unwrap().memory.iter().any(|piece| piece.bytes == commands));
}

#[test]
fn the_table_of_offsets_must_hold_the_places_of_objects() {
    let expected = |offsets: &str| {
        format!(
            "BR_TRANSACTION_COMPLETE, BR_TRANSACTION {{ code 7, flags TF_ACCEPT_FDS, \
             data [ u32 42, handle 3, str16 \"ping\" ]{offsets} }} as call"
        )
    };
    let words = |offsets: &[u64]| difference(&read(&expected(""), call(&payload(), offsets))).to_owned();
    assert!(words(&[8]).ends_with("offset 0 is 8, not 4"));
    assert!(words(&[]).ends_with("the table of offsets is 0 bytes long, not 8"));
    assert!(words(&[4, 12]).ends_with("the table of offsets is 16 bytes long, not 8"));
    let run = read(&expected(", offsets [ 4, 12 ]"), call(&payload(), &[4, 12]));
    assert_eq!(run.verdict, Verdict::Pass);
}

#[test]
fn returns_may_come_in_any_order_where_a_script_says_so() {
    let increfs = || with(BR_INCREFS, FOO);
    let acquire = || with(BR_ACQUIRE, FOO);
    let expected = "in any order { BR_ACQUIRE foo | BR_INCREFS foo | BR_DEAD_REPLY }, BR_FAILED_REPLY";
    let read = |returns: &[Vec<u8>]| read(expected, Reply::returns(noop_and(returns)));
    let (dead, failed) = (plain(BR_DEAD_REPLY), plain(BR_FAILED_REPLY));
    for order in [[increfs(), acquire(), dead.clone()], [dead.clone(), increfs(), acquire()]] {
        let returns: Vec<Vec<u8>> = order.into_iter().chain([failed.clone()]).collect();
        assert_eq!(read(&returns).verdict, Verdict::Pass);
    }
    assert_eq!(difference(&read(&[dead.clone(), increfs()])), "BR_ACQUIRE did not come");
    assert_eq!(
        difference(&read(&[dead, increfs(), acquire(), plain(BR_NOOP)])),
        "BR_NOOP came, not BR_FAILED_REPLY"
    );
}

#[test]
fn a_choice_is_tried_with_what_follows_it() {
    let expected = "any of { BR_DEAD_REPLY | BR_DEAD_REPLY, BR_NOOP | nothing }, BR_FAILED_REPLY";
    let read = |codes: &[u32]| {
        let returns: Vec<Vec<u8>> = codes.iter().map(|code| plain(*code)).collect();
        read(expected, Reply::returns(noop_and(&returns)))
    };
    assert_eq!(read(&[BR_DEAD_REPLY, BR_FAILED_REPLY]).verdict, Verdict::Pass);
    assert_eq!(read(&[BR_DEAD_REPLY, BR_NOOP, BR_FAILED_REPLY]).verdict, Verdict::Pass);
    assert_eq!(read(&[BR_FAILED_REPLY]).verdict, Verdict::Pass);
    let run = read(&[BR_DEAD_REPLY, BR_NOOP, BR_OK]);
    assert_eq!(difference(&run), "BR_OK came, not BR_FAILED_REPLY");
}

#[test]
fn too_many_choices_end_in_bounded_time() {
    // Each call fits every pattern, and the patterns differ in what they name it.
    let call = |name: &str| {
        let capture = Name::new(name);
        ReturnPattern::Transaction(TransactionPattern { capture, ..TransactionPattern::default() })
    };
    let names = "abcdefghijkl".split("").filter(|name| !name.is_empty());
    let items = [ReturnItem::InAnyOrder(names.map(call).collect())];
    let mut came = vec![received(Vec::new(), Vec::new()); 11];
    came.push(Return::DeadReply);
    let (symbols, bindings) = nobody();
    let reader = Reader { symbols: &symbols, process: 0 };
    let refusal = match_returns(reader, &items, &came, &bindings).unwrap_err();
    assert_eq!(refusal, Refusal::Fault(ScriptFault::TooManyChoices));
}

fn nobody() -> (Symbols, Bindings) {
    let program = Program::default();
    let cast = Cast::of(&program).unwrap();
    (Symbols::of(&program, &cast, Vec::new()).unwrap(), Bindings::default())
}

fn received(data: Vec<u8>, offsets: Vec<u64>) -> Return {
    let header = TransactionData {
        data_size: data.len() as u64,
        offsets_size: offsets.len() as u64 * 8,
        ..TransactionData::default()
    };
    let offsets = Some(offsets.as_bytes().to_vec());
    Return::Transaction(Received { data: Some(data), offsets, ..Received::bare(header) })
}

/// Payloads with many zeroes and with things that look like objects, and tables of offsets that lead to them or
/// anywhere.
fn arbitrary_payload() -> impl Strategy<Value = (Vec<u8>, Vec<u64>)> {
    let index = prop_oneof![0..4_u64, any::<u64>()];
    let number = prop_oneof![0..40_u64, any::<u64>()];
    let flags = prop_oneof![0..2_u32, any::<u32>()];
    let fd_array = (flags.clone(), number.clone(), index.clone(), number.clone()).prop_map(
        |(padding, num_fds, parent, parent_offset)| {
            let object_type = BINDER_TYPE_FDA;
            FdArrayObject { object_type, padding, num_fds, parent, parent_offset }.as_bytes().to_vec()
        },
    );
    let buffer = (flags, number.clone(), number.clone(), index, number).prop_map(
        |(flags, buffer, length, parent, parent_offset)| {
            let object_type = BINDER_TYPE_PTR;
            BufferObject { object_type, flags, buffer, length, parent, parent_offset }.as_bytes().to_vec()
        },
    );
    let object_type = prop::sample::select(OBJECT_TYPES).prop_map(|(_, code)| code);
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9),
        (0..40_usize).prop_map(|length| vec![0; length]),
        (object_type, any::<u32>(), 0..5_u64, prop_oneof![Just(0), any::<u64>()]).prop_map(
            |(object_type, flags, binder, cookie)| {
                FlatObject { object_type, flags, binder, cookie }.as_bytes().to_vec()
            }
        ),
        ".{0,6}".prop_map(|text| str16(&text)),
        fd_array,
        buffer,
    ];
    let anywhere = prop::option::weighted(0.3, 0..80_u64);
    prop::collection::vec((piece, any::<bool>(), anywhere), 0..6).prop_map(|pieces| {
        let (mut data, mut offsets) = (Vec::new(), Vec::new());
        for (piece, is_in_table, anywhere) in pieces {
            offsets.extend(is_in_table.then_some(data.len() as u64).into_iter().chain(anywhere));
            data.extend(piece);
        }
        (data, offsets)
    })
}

fn arbitrary_like() -> impl Strategy<Value = Vec<DataItem<crate::program::HandlePattern>>> {
    let item = prop_oneof![
        Just(DataItem::U32(0)),
        Just(DataItem::I64(0)),
        Just(DataItem::Str16(String::new())),
        (0..20_u64).prop_map(DataItem::Zero),
        (0..20_usize).prop_map(|length| DataItem::Bytes(vec![1; length])),
        (0..60_u64).prop_map(|place| DataItem::At(place, Box::new(DataItem::U32(0)))),
    ];
    prop::collection::vec(item, 0..5)
}

proptest! {
    /// Whatever came, its description is a pattern that it matches.
    #[test]
    fn what_came_matches_its_own_description(
        (data, offsets) in arbitrary_payload(),
        contents in prop::collection::vec(prop::option::of(arbitrary_payload()), 4),
        like in arbitrary_like(),
    ) {
        let (symbols, bindings) = nobody();
        let reader = Reader { symbols: &symbols, process: 0 };
        let mut came = received(data, offsets);
        let received = came.received_mut().expect("it is a call");
        let buffers: Vec<u64> = received.objects().filter_map(|(_, offset, object)| {
            matches!(object, ArrivedObject::Buffer(_)).then_some(offset)
        }).collect();
        for (offset, content) in buffers.into_iter().zip(contents) {
            received.buffers.extend(content.map(|(content, _)| (offset, content)));
        }
        let like = ReturnPattern::Transaction(TransactionPattern { data: like, ..Default::default() });
        let described = reader.describe(&came, Some(&like));
        let matched = match_returns(reader, &[ReturnItem::One(described)], &[came], &bindings);
        prop_assert_eq!(matched.err(), None);
    }

    /// Whatever a driver writes is decoded or refused, and nothing of it is lost before the refusal.
    #[test]
    fn any_stream_is_decoded_or_refused(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        let (_, error) = decode(&stream, 0);
        prop_assert!(error.is_some() || stream.is_empty());
    }

    /// Streams of real codes with any arguments are read to their ends.
    #[test]
    fn real_returns_are_decoded(codes in prop::collection::vec(prop::sample::select(RETURNS), 0..8), fill: u8) {
        let sent: Vec<u32> = codes.iter().map(|(_, code)| *code).filter(|c| *c != BR_ATTEMPT_ACQUIRE).collect();
        let one = |code: &u32| [plain(*code), vec![fill; argument_size(*code)]].concat();
        let (returns, error) = decode(&sent.iter().flat_map(one).collect::<Vec<u8>>(), 0);
        prop_assert_eq!(error, None);
        prop_assert_eq!(returns.len(), sent.len());
    }

    #[test]
    fn a_string_is_read_as_it_is_written(text: String, behind in prop::collection::vec(any::<u8>(), 0..8)) {
        let written = str16(&text);
        let length = written.len();
        prop_assert_eq!(length % 4, 0);
        prop_assert_eq!(read_str16(&[written, behind].concat()), Some((text, length)));
    }
}
