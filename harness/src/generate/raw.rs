//! Raw writes: any bytes at all as the write buffer of a BINDER_WRITE_READ, by threads of a small world in which there is
//! something to refer to.
//!
//! The bytes may hold addresses and numbers, and what these stand for on a kernel is undefined. So this is for the model
//! alone: what it does has to make sense whatever it is.

use arbitrary::Unstructured;
use reference_driver::uapi::argument_size;
use zerocopy::IntoBytes;

use super::choices::Choices;
use super::conversation::end;
use super::mutate::{Proposal, proposals};
use super::settle::{Author, Settled, Settler, Stage, settle_with};
use crate::program::*;
use crate::script::{MOST_STEPS, parse};
use crate::target::{Area, ThreadIndex};

/// The most bytes of one write.
const LONGEST: usize = 4096;

/// An application and the manager, each with an object of its own, a handle to one of the other, a buffer, and a call that
/// it has not answered; and what commands may point to, where payloads go.
const WORLD: &str = "\
# Any bytes as a write buffer.

process manager context-manager
process app
thread app-2 of app

app      >< BC_TRANSACTION { handle 0, code 1, flags TF_ONE_WAY, data [ binder foo ] } -> BR_TRANSACTION_COMPLETE
manager  > BC_ENTER_LOOPER
manager  < BR_TRANSACTION { data [ handle ?h ] } as hello
manager  >< BC_ACQUIRE h, BC_TRANSACTION { handle h, code 2, data [ binder bar ] } -> parked
app-2    > BC_ENTER_LOOPER
app-2    < BR_TRANSACTION { data [ handle ?k ] } as call
app-2    >< BC_TRANSACTION { handle 0, code 3, data [ u32 1, handle k, binder foo ] } -> parked
manager  < BR_TRANSACTION as back
";

/// The threads that write the bytes: one that is asked to reply, and one that is not.
const WRITERS: [&str; 2] = ["app", "manager"];

/// A program in which threads write these bytes, as far as they are not too many.
pub fn raw_write_read<'p>(bytes: &[u8], stage: impl Into<Stage<'p>>) -> Settled {
    let script = parse(WORLD.as_bytes()).expect("the world is a script, as every test of this module shows");
    let mut author =
        RawWrites { world: proposals(&script.program), bytes: &bytes[..bytes.len().min(LONGEST)] };
    let mut nothing = Unstructured::new(&[]);
    settle_with(script.program, stage.into(), MOST_STEPS, Choices(&mut nothing), &mut author)
}

struct RawWrites<'b> {
    world: Vec<Proposal>,
    bytes: &'b [u8],
}

impl Author for RawWrites<'_> {
    fn write(&mut self, settler: &mut Settler<'_, '_, '_>) {
        super::mutate::Proposals(std::mem::take(&mut self.world)).write(settler);
        for writer in WRITERS {
            let name = Name::new(writer).expect("a word of letters is a name");
            let Some(thread) = settler.thread(&name).filter(|_| !self.bytes.is_empty()) else { continue };
            let action = Action::Write {
                options: WriteReadOptions::default(),
                commands: vec![Command::Bytes(self.bytes.to_vec())],
                written: WriteExpectation::default(),
            };
            settler.propose(thread, action);
            end(settler);
        }
    }
}

/// The writes of a program as bytes, one for each. What has no number in the script is 1 if it is a handle, 0 if it is
/// anything else, and payloads are what is left of others.
pub fn raw_bytes(program: &Program) -> Vec<Vec<u8>> {
    let mut writes = Vec::new();
    for step in program.steps.iter().flat_map(|noted| noted.value.steps()) {
        if let Action::Write { commands, .. } | Action::WriteRead { commands, .. } = &step.action {
            let bytes: Vec<u8> = commands.iter().flat_map(bytes_of_command).collect();
            if bytes.len() <= LONGEST && !bytes.is_empty() && !writes.contains(&bytes) {
                writes.push(bytes);
            }
        }
    }
    writes
}

fn bytes_of_command(command: &Command) -> Vec<u8> {
    let code = match (command, command.code()) {
        (Command::Bytes(bytes), _) => return bytes.clone(),
        (_, code) => code.unwrap_or(0),
    };
    let mut bytes = code.to_le_bytes().to_vec();
    let argument = bytes.len();
    bytes.resize(argument + argument_size(code), 0);
    let mut put = |offset: usize, value: &[u8]| {
        bytes[argument + offset..argument + offset + value.len()].copy_from_slice(value);
    };
    match command {
        Command::Transaction { target, transaction } | Command::TransactionSg { target, transaction, .. } => {
            put(0, transaction_data(number(target), transaction).as_bytes());
        }
        Command::Reply(transaction) | Command::ReplySg { transaction, .. } => {
            put(0, transaction_data(0, transaction).as_bytes());
        }
        Command::Increfs(handle)
        | Command::Acquire(handle)
        | Command::Release(handle)
        | Command::Decrefs(handle)
        | Command::RequestDeathNotification(handle, _)
        | Command::ClearDeathNotification(handle, _)
        | Command::RequestFreezeNotification(handle, _)
        | Command::ClearFreezeNotification(handle, _) => put(0, &number(handle).to_le_bytes()),
        _ => {}
    }
    bytes
}

fn number(handle: &Handle) -> u32 {
    match handle {
        Handle::Number(number) => *number,
        Handle::Symbol(_) => 1,
    }
}

/// With as many items as there are, each of which is taken for 24 bytes.
fn transaction_data(target: u32, transaction: &Transaction) -> reference_driver::uapi::TransactionData {
    const ITEM: u64 = 24;
    let place = Area::Payload.addresses(ThreadIndex { process: 0, thread: 0 }).start;
    reference_driver::uapi::TransactionData {
        target: target.into(),
        cookie: 0,
        code: transaction.code,
        flags: transaction.flags,
        sender_pid: 0,
        sender_euid: 0,
        data_size: transaction.data_size.unwrap_or(ITEM * transaction.data.len() as u64),
        offsets_size: transaction.offsets_size.unwrap_or(0),
        buffer: place,
        offsets: place + ITEM,
    }
}

#[cfg(test)]
mod tests {
    use reference_driver::Profile;

    use super::*;
    use crate::script::print;

    #[test]
    fn the_world_is_one_in_which_there_is_something() {
        for profile in Profile::ALL {
            let text = print(&raw_write_read(b"", &profile).program);
            for word in ["BR_TRANSACTION {", "handle ?", "as b", "BR_ACQUIRE"] {
                assert!(text.contains(word), "{}: {word}\n{text}", profile.name);
            }
        }
    }

    #[test]
    fn bytes_are_written() {
        let settled = raw_write_read(&[0x0c, 0x63, 0, 0, 0xff], &Profile::C);
        assert_eq!(settled.fault, None);
        assert!(print(&settled.program).contains("bytes 0c 63 00 00 ff"), "{}", print(&settled.program));
    }
}
