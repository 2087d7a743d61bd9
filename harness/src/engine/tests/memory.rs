//! What the engine hands to the driver, byte for byte.

use reference_driver::uapi::*;
use zerocopy::{FromBytes, IntoBytes};

use super::fake::{FakeWorlds, Ioctl, Reply, noop_and, plain, with};
use super::{difference, run_on, run_script};
use crate::engine::{Verdict, run};
use crate::program::{Action, Command, DataItem, Handle, Transaction};
use crate::script;
use crate::target::{Area, Piece, ThreadIndex, UNMAPPED};

const CALLER: &str = "process server context-manager\nprocess client\n\n";
const CLIENT: ThreadIndex = ThreadIndex { process: 1, thread: 0 };

/// The BINDER_WRITE_READs that a script makes of its first steps.
fn write_reads(script: &str, replies: Vec<Reply>) -> Vec<(WriteRead, Ioctl)> {
    let mut target = FakeWorlds::new(replies);
    let run = run_on(&format!("{CALLER}{script}"), &mut target);
    assert_eq!(run.verdict, Verdict::Pass);
    let ioctls = target.ioctls.borrow();
    let is_write_read = |ioctl: &&Ioctl| ioctl.request == BINDER_WRITE_READ;
    ioctls.iter().filter(is_write_read).map(|ioctl| (argument(ioctl), ioctl.clone())).collect()
}

fn argument(ioctl: &Ioctl) -> WriteRead {
    WriteRead::read_from_bytes(&memory_at(ioctl, ioctl.argument)).unwrap()
}

fn memory_at(ioctl: &Ioctl, address: u64) -> Vec<u8> {
    let mut pieces = ioctl.memory.iter();
    let Piece { bytes, zeroes, .. } =
        pieces.find(|piece| piece.address == address).expect("memory at this address");
    [bytes, &vec![0; zeroes]].concat()
}

fn only(script: &str) -> (WriteRead, Ioctl) {
    write_reads(script, vec![Reply::written()]).remove(0)
}

#[test]
fn commands_end_where_their_area_ends() {
    let (argument, ioctl) = only("client  > BC_ENTER_LOOPER, BC_ACQUIRE 7\n");
    let end = Area::Commands.addresses(CLIENT).end;
    assert_eq!((argument.write_size, argument.write_buffer), (12, end - 12));
    assert_eq!((argument.read_size, argument.read_consumed), (0, 0));
    assert_eq!(ioctl.argument, Area::Argument.addresses(CLIENT).start);
    let expected = [plain(BC_ENTER_LOOPER), with(BC_ACQUIRE, 7_u32)].concat();
    assert_eq!(memory_at(&ioctl, end - 12), expected);
}

#[test]
fn a_payload_is_aligned_and_followed_by_zeroes() {
    let script = "client  > BC_TRANSACTION { handle 0, code 7, flags TF_ONE_WAY, \
                  data [ bytes 01 02 03, binder foo, str16 \"ab\" ] }\n";
    let (argument, ioctl) = only(script);
    let command = memory_at(&ioctl, argument.write_buffer);
    let data = TransactionData::read_from_bytes(&command[4..]).unwrap();
    let payload = Area::Payload.addresses(CLIENT).start;
    assert_eq!((data.target, data.code, data.flags), (0, 7, TF_ONE_WAY));
    // Three bytes, one to align, an object, then a length of 2, two units, a NUL and two bytes to align.
    assert_eq!((data.data_size, data.offsets_size, data.buffer), (4 + 24 + 12, 8, payload));
    assert_eq!(data.offsets % 8, 0);

    let object =
        FlatObject { object_type: BINDER_TYPE_BINDER, flags: 0x17f, binder: FOO, cookie: FOO_COOKIE };
    let mut expected = vec![1, 2, 3, 0];
    expected.extend_from_slice(object.as_bytes());
    expected.extend_from_slice(&[2, 0, 0, 0, b'a', 0, b'b', 0, 0, 0, 0, 0]);
    let bytes = memory_at(&ioctl, data.buffer);
    assert_eq!(bytes[..expected.len()], expected);
    assert!(bytes.len() >= expected.len() + 64 && bytes[expected.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(memory_at(&ioctl, data.offsets)[..8], 4_u64.to_le_bytes());
}

/// The first object of the second process.
const FOO: u64 = 0x7b01_0000_0000;
const FOO_COOKIE: u64 = 0x7c01_0000_0000;

#[test]
fn numbers_are_given_in_the_order_of_first_appearance() {
    let script = "client  > BC_INCREFS_DONE foo, BC_ACQUIRE_DONE bar, BC_INCREFS_DONE { ptr foo, cookie 0x17 }\n\
                  client  > BC_REQUEST_DEATH_NOTIFICATION 0 grave, BC_REQUEST_DEATH_NOTIFICATION 1 tomb, \
                  BC_DEAD_BINDER_DONE grave\n\
                  server  > BC_INCREFS_DONE baz\n";
    let write_reads = write_reads(script, vec![Reply::written(), Reply::written(), Reply::written()]);
    let commands = |index: usize| {
        let (argument, ioctl) = &write_reads[index];
        memory_at(ioctl, argument.write_buffer)
    };
    let node = |pointer, cookie| PointerCookie { pointer, cookie };
    let expected = [
        with(BC_INCREFS_DONE, node(FOO, FOO_COOKIE)),
        with(BC_ACQUIRE_DONE, node(FOO + 0x100, FOO_COOKIE + 0x100)),
        with(BC_INCREFS_DONE, node(FOO, 0x17)),
    ];
    assert_eq!(commands(0), expected.concat());
    let (grave, tomb) = (0x7d00_0000_0000_u64, 0x7d00_0000_0100_u64);
    let request = |handle, cookie| with(BC_REQUEST_DEATH_NOTIFICATION, HandleCookie { handle, cookie });
    assert_eq!(commands(1), [request(0, grave), request(1, tomb), with(BC_DEAD_BINDER_DONE, grave)].concat());
    assert_eq!(commands(2), with(BC_INCREFS_DONE, node(0x7b00_0000_0000, 0x7c00_0000_0000)));
}

#[test]
fn departures_from_a_well_made_argument_are_made() {
    let script = "client  > (write_size 3, write_buffer unmapped) BC_ENTER_LOOPER = EFAULT\n";
    let (argument, _) = write_reads(script, vec![Reply::fails(Errno::EFAULT, 0)]).remove(0);
    assert_eq!((argument.write_size, argument.write_buffer), (3, UNMAPPED));

    let script = "client  < (read_size 64, read_consumed 8) nothing\n";
    let (argument, ioctl) = only(script);
    assert_eq!((argument.read_size, argument.read_consumed), (64, 8));
    assert_eq!(argument.read_buffer, Area::Returns.addresses(CLIENT).start);
    assert!(memory_at(&ioctl, argument.read_buffer).iter().all(|byte| *byte == 0));
}

#[test]
fn the_fields_of_a_transaction_can_be_spelt_out() {
    let script = "client  > BC_TRANSACTION { handle 3, data [ u32 1 ], offsets [ 3, 64 ], data_size 100, \
                  offsets_size 5, buffer unmapped, offsets_buffer 0x1000, cookie 0x17, sender_pid 9, \
                  sender_euid 8 }\n";
    let (argument, ioctl) = only(script);
    let command = memory_at(&ioctl, argument.write_buffer);
    let data = TransactionData::read_from_bytes(&command[4..]).unwrap();
    assert_eq!((data.target, data.data_size, data.offsets_size), (3, 100, 5));
    assert_eq!((data.buffer, data.offsets), (UNMAPPED, 0x1000));
    assert_eq!((data.cookie, data.sender_pid, data.sender_euid), (0x17, 9, 8));
}

#[test]
fn a_payload_too_large_for_its_area_is_the_scripts_fault() {
    // The parser refuses such a script, but programs also come from elsewhere.
    let data = vec![DataItem::Zero(7 * 1024 * 1024)];
    let transaction = Transaction { data, ..Transaction::default() };
    let command = Command::Transaction { target: Handle::Number(0), transaction };
    let mut script =
        script::parse(format!("# A test.\n\n{CALLER}client  > BC_ENTER_LOOPER\n").as_bytes()).unwrap();
    let Action::Write { commands, .. } = &mut script.program.steps[0].value.steps_mut()[0].action else {
        panic!("no write")
    };
    *commands = vec![command; 3];
    let run = run(&script.program, &mut FakeWorlds::new(vec![Reply::written()])).unwrap();
    let Verdict::Broken { reason } = run.verdict else { panic!("{:?}", run.verdict) };
    assert!(reason.starts_with("the script is wrong: the payloads of one step"), "{reason}");
}

#[test]
fn what_lies_before_the_place_where_reading_begins_must_not_change() {
    let script = format!("{CALLER}client  < (read_consumed 4) BR_SPAWN_LOOPER\n");
    // The driver puts BR_SPAWN_LOOPER at the very start, which this one cannot; so nothing changes.
    let run = run_script(&script, vec![Reply::returns(plain(BR_TRANSACTION_COMPLETE))]);
    assert_eq!(difference(&run), "BR_TRANSACTION_COMPLETE came, not BR_SPAWN_LOOPER");
    let run = run_script(&script, vec![Reply::returns(noop_and(&[]))]);
    assert_eq!(difference(&run), "BR_NOOP came, not BR_SPAWN_LOOPER");
}
