//! Encoding: the commands of one step as the bytes that a process hands to the driver, at concrete addresses.

use reference_driver::uapi::*;
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::bindings::Bindings;
use super::fault::ScriptFault;
use super::payload::{self, Placed, Sender};
use super::symbols::Symbols;
use crate::program::{Command, Handle, Node, Object, Token, Transaction, WriteReadOptions};
use crate::target::{Area, Image, ThreadIndex, UNMAPPED};

/// Zero bytes behind each payload and table, for a driver that reads more than it should.
const ZEROES_BEHIND: u64 = 64;

/// A BINDER_WRITE_READ, ready to be done.
#[derive(Debug)]
pub(super) struct EncodedWriteRead {
    /// The argument.
    pub(super) argument: WriteRead,
    /// Its address.
    pub(super) address: u64,
    /// What must be in memory for it.
    pub(super) memory: Image,
}

/// Encodes a BINDER_WRITE_READ of a thread. With `read_size` 0 it only writes.
pub(super) fn write_read(
    commands: &[Command],
    options: &WriteReadOptions,
    read_size: u64,
    thread: ThreadIndex,
    symbols: &Symbols,
    bindings: &Bindings,
) -> Result<EncodedWriteRead, ScriptFault> {
    let mut encoder = Encoder::new(thread, symbols, bindings);
    for command in commands {
        encoder.command(command)?;
    }
    let Encoder { stream, image: mut memory, .. } = encoder;

    let room = Area::Commands.addresses(thread);
    let length = stream.len() as u64;
    if length > Area::Commands.size() {
        return Err(ScriptFault::CommandsTooLarge { limit: Area::Commands.size() });
    }
    let write_buffer = room.end - length;
    if !stream.is_empty() {
        memory.put(write_buffer, &stream);
    }
    let returns = Area::Returns.addresses(thread);
    if read_size > 0 {
        let zeroes = read_size.saturating_add(ZEROES_BEHIND).min(Area::Returns.size());
        memory.put_zeroes(returns.start, 0, zeroes as usize);
    }
    let argument = WriteRead {
        write_size: options.write_size.unwrap_or(length),
        write_consumed: options.write_consumed.unwrap_or(0),
        write_buffer: if options.write_buffer_unmapped { UNMAPPED } else { write_buffer },
        read_size,
        read_consumed: options.read_consumed.unwrap_or(0),
        read_buffer: if options.read_buffer_unmapped { UNMAPPED } else { returns.start },
    };
    let address = Area::Argument.addresses(thread).start;
    memory.put(address, argument.as_bytes());
    Ok(EncodedWriteRead { argument, address, memory })
}

/// The commands of one step on their way to bytes.
struct Encoder<'a> {
    symbols: &'a Symbols,
    bindings: &'a Bindings,
    process: usize,
    stream: SmallVec<[u8; 256]>,
    image: Image,
    /// Where the next payload goes.
    next_payload: u64,
    payload_end: u64,
}

impl<'a> Encoder<'a> {
    fn new(thread: ThreadIndex, symbols: &'a Symbols, bindings: &'a Bindings) -> Encoder<'a> {
        let room = Area::Payload.addresses(thread);
        Encoder {
            symbols,
            bindings,
            process: thread.process,
            stream: SmallVec::new(),
            image: Image::default(),
            next_payload: room.start,
            payload_end: room.end,
        }
    }

    fn command(&mut self, command: &Command) -> Result<(), ScriptFault> {
        match command {
            Command::Transaction { target, transaction } => {
                let data = self.transaction(self.bindings.handle(target)?, transaction)?;
                self.put(BC_TRANSACTION, data);
            }
            Command::Reply(transaction) => {
                let data = self.transaction(0, transaction)?;
                self.put(BC_REPLY, data);
            }
            Command::TransactionSg { target, transaction, buffers_size } => {
                let buffers_size = buffers_size.unwrap_or_else(|| size_of_buffers(transaction));
                let transaction = self.transaction(self.bindings.handle(target)?, transaction)?;
                let data = TransactionDataSg { transaction, buffers_size };
                self.put(BC_TRANSACTION_SG, data);
            }
            Command::ReplySg { transaction, buffers_size } => {
                let buffers_size = buffers_size.unwrap_or_else(|| size_of_buffers(transaction));
                let transaction = self.transaction(0, transaction)?;
                let data = TransactionDataSg { transaction, buffers_size };
                self.put(BC_REPLY_SG, data);
            }
            Command::AcquireResult(result) => self.put(BC_ACQUIRE_RESULT, *result),
            Command::FreeBuffer(address) => {
                let address = self.bindings.address(address)?;
                self.put(BC_FREE_BUFFER, address);
            }
            Command::Increfs(handle) => self.put(BC_INCREFS, self.bindings.handle(handle)?),
            Command::Acquire(handle) => self.put(BC_ACQUIRE, self.bindings.handle(handle)?),
            Command::Release(handle) => self.put(BC_RELEASE, self.bindings.handle(handle)?),
            Command::Decrefs(handle) => self.put(BC_DECREFS, self.bindings.handle(handle)?),
            Command::IncrefsDone(node) => self.put_node(BC_INCREFS_DONE, node),
            Command::AcquireDone(node) => self.put_node(BC_ACQUIRE_DONE, node),
            Command::AttemptAcquire(handle) => {
                let handle = self.bindings.handle(handle)?;
                self.put(BC_ATTEMPT_ACQUIRE, PriorityHandle { priority: 0, handle });
            }
            Command::RegisterLooper => self.put(BC_REGISTER_LOOPER, ()),
            Command::EnterLooper => self.put(BC_ENTER_LOOPER, ()),
            Command::ExitLooper => self.put(BC_EXIT_LOOPER, ()),
            Command::RequestDeathNotification(handle, cookie) => {
                let argument = self.handle_cookie(handle, cookie)?;
                self.put(BC_REQUEST_DEATH_NOTIFICATION, argument);
            }
            Command::ClearDeathNotification(handle, cookie) => {
                let argument = self.handle_cookie(handle, cookie)?;
                self.put(BC_CLEAR_DEATH_NOTIFICATION, argument);
            }
            Command::DeadBinderDone(cookie) => self.put(BC_DEAD_BINDER_DONE, self.symbols.cookie(cookie)),
            Command::RequestFreezeNotification(handle, cookie) => {
                let argument = self.handle_cookie(handle, cookie)?;
                self.put(BC_REQUEST_FREEZE_NOTIFICATION, argument);
            }
            Command::ClearFreezeNotification(handle, cookie) => {
                let argument = self.handle_cookie(handle, cookie)?;
                self.put(BC_CLEAR_FREEZE_NOTIFICATION, argument);
            }
            Command::FreezeNotificationDone(cookie) => {
                self.put(BC_FREEZE_NOTIFICATION_DONE, self.symbols.cookie(cookie));
            }
            Command::Bytes(bytes) => self.stream.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn put<T: IntoBytes + zerocopy::Immutable>(&mut self, code: u32, argument: T) {
        self.stream.extend_from_slice(code.as_bytes());
        self.stream.extend_from_slice(argument.as_bytes());
    }

    fn put_node(&mut self, code: u32, node: &Node) {
        self.put(code, self.symbols.node(node));
    }

    fn handle_cookie(&self, handle: &Handle, cookie: &Token) -> Result<HandleCookie, ScriptFault> {
        Ok(HandleCookie { handle: self.bindings.handle(handle)?, cookie: self.symbols.cookie(cookie) })
    }

    fn transaction(&mut self, target: u32, sent: &Transaction) -> Result<TransactionData, ScriptFault> {
        let placed = payload::place(&sent.data);
        let places = payload::object_offsets(&placed);
        let length = payload::total_length(&placed);
        let data_address = self.reserve(length)?;
        let mut buffers: SmallVec<[_; 4]> = SmallVec::new();
        for object in payload::objects(&sent.data) {
            buffers.push(match object {
                Object::Buffer(object) => {
                    let content = payload::place(&object.content);
                    let length = payload::total_length(&content);
                    let address = self.reserve(length)?;
                    let stated = object.buffer.as_ref().map(|address| self.bindings.address(address));
                    Some((content, address, stated.transpose()?.unwrap_or(address), length))
                }
                _ => None,
            });
        }
        let stated = |buffer: &Option<(_, u64, u64, u64)>| {
            buffer.as_ref().map(|(_, _, stated, length)| (*stated, *length))
        };
        let sender = Sender {
            symbols: self.symbols,
            bindings: self.bindings,
            process: self.process,
            buffers: buffers.iter().map(stated).collect(),
        };
        for (content, address, _, length) in buffers.iter().flatten() {
            sender.encode(content, put_room(&mut self.image, *address, content, *length))?;
        }
        sender.encode(&placed, put_room(&mut self.image, data_address, &placed, length))?;
        let table = sent.offsets.as_deref().unwrap_or(&places);
        let table_length = size_of_val(table) as u64;
        let data_size = sent.data_size.unwrap_or(length);
        let offsets_size = sent.offsets_size.unwrap_or(table_length);
        let table_address = self.reserve(table_length)?;
        let bytes = self.image.put_zeroes(table_address, table_length as usize, zeroes_behind(table_length));
        for (entry, offset) in bytes.as_chunks_mut().0.iter_mut().zip(table) {
            *entry = offset.to_le_bytes();
        }
        Ok(TransactionData {
            target: target.into(),
            cookie: sent.cookie.unwrap_or(0),
            code: sent.code,
            flags: sent.flags,
            sender_pid: sent.sender_pid.unwrap_or(0),
            sender_euid: sent.sender_euid.unwrap_or(0),
            data_size,
            offsets_size,
            buffer: match &sent.buffer {
                Some(address) => self.bindings.address(address)?,
                None => data_address,
            },
            offsets: match &sent.offsets_buffer {
                Some(address) => self.bindings.address(address)?,
                None => table_address,
            },
        })
    }

    /// Gives so many bytes a place in memory, with room for zeroes behind them.
    fn reserve(&mut self, length: u64) -> Result<u64, ScriptFault> {
        let address = self.next_payload;
        let taken = length.saturating_add(ZEROES_BEHIND).checked_next_multiple_of(8).unwrap_or(u64::MAX);
        if taken > self.payload_end - address {
            return Err(ScriptFault::PayloadTooLarge { limit: Area::Payload.size() });
        }
        self.next_payload += taken;
        Ok(address)
    }
}

/// Puts zeroes where items of so many bytes are to lie, and behind that, and gives what is not zero in the end.
fn put_room<'i>(
    image: &'i mut Image,
    address: u64,
    placed: &[Placed<'_, Handle>],
    length: u64,
) -> &'i mut [u8] {
    let told = payload::length_without_zeroes(placed);
    image.put_zeroes(address, told as usize, (length - told) as usize + zeroes_behind(length))
}

/// How many zeroes are put behind so many bytes, for which there is room.
fn zeroes_behind(length: u64) -> usize {
    ((length + ZEROES_BEHIND).next_multiple_of(8) - length) as usize
}

/// What the scatter-gather buffers of a transaction take: each rounded up to a multiple of 8.
pub(crate) fn size_of_buffers(transaction: &Transaction) -> u64 {
    let sizes = payload::objects(&transaction.data).filter_map(|object| match object {
        Object::Buffer(object) => {
            let content = payload::total_length(&payload::place(&object.content));
            Some(object.length.unwrap_or(content).checked_next_multiple_of(8).unwrap_or(u64::MAX))
        }
        _ => None,
    });
    sizes.fold(0, u64::saturating_add)
}
