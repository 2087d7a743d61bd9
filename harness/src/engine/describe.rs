//! Describing: what came, in the words of a script: processes, objects and cookies by their names, no addresses.

use std::collections::{BTreeMap, BTreeSet};

use reference_driver::uapi::*;

use super::decode::{Received, Return};
use super::matching::Reader;
use super::objects::ArrivedObject;
use super::payload::{NO_PARENT, USUAL_BINDER_FLAGS, buffer_flags, natural_offset, place, read_str16};
use crate::program::{BufferObject, *};
use crate::target::UNMAPPED;

/// A run of zero bytes as long as this is shown by its length.
const LONG_ZEROES: usize = 16;

/// The protocol's name of what came.
pub(super) fn name(came: &Return) -> &'static str {
    let code = match came {
        Return::Error(_) => BR_ERROR,
        Return::Ok => BR_OK,
        Return::Transaction(_) => BR_TRANSACTION,
        Return::TransactionSecCtx { .. } => BR_TRANSACTION_SEC_CTX,
        Return::Reply(_) => BR_REPLY,
        Return::AcquireResult(_) => BR_ACQUIRE_RESULT,
        Return::DeadReply => BR_DEAD_REPLY,
        Return::TransactionComplete => BR_TRANSACTION_COMPLETE,
        Return::Increfs(_) => BR_INCREFS,
        Return::Acquire(_) => BR_ACQUIRE,
        Return::Release(_) => BR_RELEASE,
        Return::Decrefs(_) => BR_DECREFS,
        Return::Noop => BR_NOOP,
        Return::SpawnLooper => BR_SPAWN_LOOPER,
        Return::Finished => BR_FINISHED,
        Return::DeadBinder(_) => BR_DEAD_BINDER,
        Return::ClearDeathNotificationDone(_) => BR_CLEAR_DEATH_NOTIFICATION_DONE,
        Return::FailedReply => BR_FAILED_REPLY,
        Return::FrozenReply => BR_FROZEN_REPLY,
        Return::OnewaySpamSuspect => BR_ONEWAY_SPAM_SUSPECT,
        Return::TransactionPendingFrozen => BR_TRANSACTION_PENDING_FROZEN,
        Return::FrozenBinder(_) => BR_FROZEN_BINDER,
        Return::ClearFreezeNotificationDone(_) => BR_CLEAR_FREEZE_NOTIFICATION_DONE,
    };
    return_name(code).expect("every return has a name")
}

impl Reader<'_> {
    /// What came, as a pattern that a script could expect. Where the payload can be read as `like` reads its
    /// own, it is.
    pub(super) fn describe(&self, came: &Return, like: Option<&ReturnPattern>) -> ReturnPattern {
        let node = |numbers: &PointerCookie| self.symbols.node_named(self.process, *numbers);
        let cookie = |number: &u64| self.symbols.cookie_named(*number);
        let like_data = like.and_then(ReturnPattern::arrival).map_or(&[][..], |like| &like.data);
        match came {
            Return::Error(error) => ReturnPattern::Error(*error),
            Return::Ok => ReturnPattern::Ok,
            Return::Transaction(received) => ReturnPattern::Transaction(self.call(received, like_data)),
            Return::TransactionSecCtx { received, secctx, .. } => ReturnPattern::TransactionSecCtx {
                transaction: self.call(received, like_data),
                secctx: secctx.as_ref().map(|secctx| self.security_context(secctx, received, like)),
            },
            Return::Reply(received) => ReturnPattern::Reply(self.reply(received, like_data)),
            Return::AcquireResult(result) => ReturnPattern::AcquireResult(*result),
            Return::DeadReply => ReturnPattern::DeadReply,
            Return::TransactionComplete => ReturnPattern::TransactionComplete,
            Return::Increfs(numbers) => ReturnPattern::Increfs(node(numbers)),
            Return::Acquire(numbers) => ReturnPattern::Acquire(node(numbers)),
            Return::Release(numbers) => ReturnPattern::Release(node(numbers)),
            Return::Decrefs(numbers) => ReturnPattern::Decrefs(node(numbers)),
            Return::Noop => ReturnPattern::Noop,
            Return::SpawnLooper => ReturnPattern::SpawnLooper,
            Return::Finished => ReturnPattern::Finished,
            Return::DeadBinder(number) => ReturnPattern::DeadBinder(cookie(number)),
            Return::ClearDeathNotificationDone(number) => {
                ReturnPattern::ClearDeathNotificationDone(cookie(number))
            }
            Return::FailedReply => ReturnPattern::FailedReply,
            Return::FrozenReply => ReturnPattern::FrozenReply,
            Return::OnewaySpamSuspect => ReturnPattern::OnewaySpamSuspect,
            Return::TransactionPendingFrozen => ReturnPattern::TransactionPendingFrozen,
            Return::FrozenBinder(state) => {
                ReturnPattern::FrozenBinder { cookie: cookie(&state.cookie), is_frozen: state.is_frozen }
            }
            Return::ClearFreezeNotificationDone(number) => {
                ReturnPattern::ClearFreezeNotificationDone(cookie(number))
            }
        }
    }

    /// A security context: that of the process of which `like` says so, or which has sent it, if it could be theirs.
    fn security_context(
        &self,
        context: &[u8],
        received: &Received,
        like: Option<&ReturnPattern>,
    ) -> SecurityContextPattern {
        let sender = self.symbols.pid_named(received.header.sender_pid);
        let mut likely = Vec::new();
        if let Some(ReturnPattern::TransactionSecCtx { secctx, .. }) = like
            && let Some(SecurityContextPattern::Process(expected)) = secctx
        {
            likely.push(expected);
        }
        if let PidPattern::Process(sender) = &sender {
            likely.push(sender);
        }
        self.symbols.security_context_named(context, &likely)
    }

    /// A call or oneway message: who called what is part of it.
    fn call(&self, received: &Received, like: &[DataItem<HandlePattern>]) -> TransactionPattern {
        let header = &received.header;
        let numbers = PointerCookie { pointer: header.target, cookie: header.cookie };
        TransactionPattern {
            target: Some(self.symbols.node_named(self.process, numbers)),
            pid: Some(self.symbols.pid_named(header.sender_pid)),
            euid: Some(header.sender_euid),
            ..self.content(received, like)
        }
    }

    /// A reply: it is to nobody in particular, and from nobody, unless something is amiss.
    fn reply(&self, received: &Received, like: &[DataItem<HandlePattern>]) -> TransactionPattern {
        let call = self.call(received, like);
        let header = &received.header;
        TransactionPattern {
            target: call.target.filter(|_| (header.target, header.cookie) != (0, 0)),
            pid: call.pid.filter(|_| header.sender_pid != 0),
            euid: call.euid.filter(|_| header.sender_euid != 0),
            ..call
        }
    }

    fn content(&self, received: &Received, like: &[DataItem<HandlePattern>]) -> TransactionPattern {
        let offsets = received.table();
        let data = received.data.as_deref().unwrap_or_default();
        let payload =
            Part { bytes: data, offsets: offsets.iter().copied().collect(), known: BTreeMap::new() };
        let (items, objects) = self.items(&payload, received, like);
        TransactionPattern {
            code: received.header.code,
            flags: received.header.flags,
            data: items,
            offsets: (objects != offsets).then_some(offsets),
            ..TransactionPattern::default()
        }
    }

    /// A part item by item, and at which of the offsets an object was found.
    fn items(
        &self,
        part: &Part<'_>,
        received: &Received,
        like: &[DataItem<HandlePattern>],
    ) -> (PayloadPattern, Vec<u64>) {
        let (data, offsets) = (part.bytes, &part.offsets);
        let like: BTreeMap<u64, &DataItem<HandlePattern>> =
            place(like).iter().map(|placed| (placed.offset, placed.item)).collect();
        let mut items: PayloadPattern = Vec::new();
        let mut objects = Vec::new();
        // Where the item before ended, and where the next begins.
        let mut end = 0;
        let mut at = 0;
        while at < data.len() {
            let after = at as u64 + 1..data.len() as u64;
            let next_object = offsets.range(after.clone()).next().copied();
            let next_known = part.known.range(after.clone()).next().map(|(place, _)| *place);
            let next_fixed =
                next_object.into_iter().chain(next_known).min().map_or(data.len(), |place| place as usize);
            let next_like = like.range(after).next().map_or(data.len(), |(place, _)| *place as usize);
            let next = next_fixed.min(next_like);
            let here = like.get(&(at as u64)).copied();
            let object =
                offsets.contains(&(at as u64)).then(|| self.object(at as u64, received, here)).flatten();
            let known = || part.known.get(&(at as u64)).cloned();
            let guided = || read_like(here?, &data[at..next_fixed]);
            let (item, length) = match object {
                Some((object, length)) => {
                    objects.push(at as u64);
                    (DataItem::Object(object), length)
                }
                None => match known().or_else(guided) {
                    Some(item) => item,
                    // Zeroes up to the next multiple of 4 go without saying before an object or a string.
                    None if next < data.len()
                        && next == at.next_multiple_of(4)
                        && data[at..next].iter().all(|byte| *byte == 0)
                        && (next_object == Some(next as u64)
                            || matches!(like.get(&(next as u64)), Some(DataItem::Str16(_)))) =>
                    {
                        at = next;
                        continue;
                    }
                    None => plain(&data[at..next]),
                },
            };
            let natural = natural_offset(&item, end) == at as u64;
            items.push(if natural { item } else { DataItem::At(at as u64, Box::new(item)) });
            at += length;
            end = at as u64;
        }
        (items, objects)
    }

    /// The object at this offset, if there is one of a known type, and its length. Flags that are the usual ones are
    /// only told where `like` speaks of them.
    fn object(
        &self,
        offset: u64,
        received: &Received,
        like: Option<&DataItem<HandlePattern>>,
    ) -> Option<(Object<HandlePattern>, usize)> {
        let arrived = received.object(offset)?;
        let object = match arrived {
            ArrivedObject::Flat(flat) => self.flat_object(flat, like),
            ArrivedObject::Fd(FdObject { flags, fd, padding: 0, cookie, .. }) => {
                Object::Fd { descriptor: self.descriptor(received, fd), flags, cookie }
            }
            ArrivedObject::Fd(FdObject { object_type, flags, fd, padding, cookie }) => {
                let binder = u64::from(padding) << 32 | u64::from(fd);
                Object::Explicit { object_type, flags, binder, cookie }
            }
            ArrivedObject::FdArray(array) => Object::FdArray {
                count: array.num_fds,
                parent: Parent { index: array.parent, offset: array.parent_offset },
                pad: array.padding,
            },
            ArrivedObject::Buffer(buffer) => Object::Buffer(self.buffer(offset, &buffer, received, like)),
        };
        Some((object, arrived.size()))
    }

    fn flat_object(&self, flat: FlatObject, like: Option<&DataItem<HandlePattern>>) -> Object<HandlePattern> {
        let weak = matches!(flat.object_type, BINDER_TYPE_WEAK_BINDER | BINDER_TYPE_WEAK_HANDLE);
        let asked_for = matches!(
            like,
            Some(DataItem::Object(
                Object::Binder { flags: Some(_), .. } | Object::Handle { flags: Some(_), .. }
            ))
        );
        let flags = (flat.flags != USUAL_BINDER_FLAGS || asked_for).then_some(flat.flags);
        let explicit = Object::Explicit {
            object_type: flat.object_type,
            flags: flat.flags,
            binder: flat.binder,
            cookie: flat.cookie,
        };
        match flat.object_type {
            BINDER_TYPE_BINDER | BINDER_TYPE_WEAK_BINDER => {
                let numbers = PointerCookie { pointer: flat.binder, cookie: flat.cookie };
                match self.symbols.object_of(self.process, numbers) {
                    Some(name) => Object::Binder { weak, object: name.clone(), flags },
                    None => explicit,
                }
            }
            BINDER_TYPE_HANDLE | BINDER_TYPE_WEAK_HANDLE => match u32::try_from(flat.binder) {
                Ok(number) if flat.cookie == 0 => {
                    Object::Handle { weak, handle: HandlePattern::Is(Handle::Number(number)), flags }
                }
                _ => explicit,
            },
            _ => explicit,
        }
    }

    /// A descriptor by the file that it is for, if a script has made that.
    fn descriptor(&self, received: &Received, number: u32) -> Descriptor {
        let file = received.descriptors.get(&number).and_then(|state| state.file);
        match file.and_then(|file| self.symbols.file_named(file)) {
            Some(name) => Descriptor::File(name.clone()),
            None => Descriptor::Number(number),
        }
    }

    fn buffer(
        &self,
        offset: u64,
        buffer: &reference_driver::uapi::BufferObject,
        received: &Received,
        like: Option<&DataItem<HandlePattern>>,
    ) -> BufferObject<HandlePattern> {
        let parent = Parent { index: buffer.parent, offset: buffer.parent_offset };
        let has_parent = buffer.flags & BINDER_BUFFER_FLAG_HAS_PARENT != 0 || parent != NO_PARENT;
        let mut described = BufferObject {
            content: Vec::new(),
            parent: has_parent.then_some(parent),
            flags: None,
            length: None,
            buffer: None,
        };
        described.flags = (buffer_flags(&described) != buffer.flags).then_some(buffer.flags);
        let Some(bytes) = received.buffers.get(&offset) else {
            return BufferObject {
                length: Some(buffer.length),
                buffer: Some(match buffer.buffer {
                    UNMAPPED => Address::Unmapped,
                    address => Address::Number(address),
                }),
                ..described
            };
        };
        let part = Part { bytes, offsets: BTreeSet::new(), known: self.known(offset, bytes, received) };
        let like = match like {
            Some(DataItem::Object(Object::Buffer(like))) => &like.content[..],
            _ => &[],
        };
        described.content = self.items(&part, received, like).0;
        described
    }

    /// What other objects say of the buffer of one: where there are pointers to other buffers, and descriptors. Each
    /// with its length.
    fn known(
        &self,
        offset: u64,
        bytes: &[u8],
        received: &Received,
    ) -> BTreeMap<u64, (DataItem<HandlePattern>, usize)> {
        let table = received.table();
        let is_here =
            |parent: u64| usize::try_from(parent).ok().and_then(|parent| table.get(parent)) == Some(&offset);
        let mut known = BTreeMap::new();
        for (index, _, object) in received.objects() {
            match object {
                ArrivedObject::Buffer(child) if is_here(child.parent) => {
                    let pointer = usize::try_from(child.parent_offset).ok().and_then(|at| bytes.get(at..));
                    if pointer.is_some_and(|bytes| bytes.starts_with(&child.buffer.to_le_bytes())) {
                        known.insert(child.parent_offset, (DataItem::Pointer(index as u32), 8));
                    }
                }
                ArrivedObject::FdArray(array) if is_here(array.parent) => {
                    for (at, number) in received.numbers(&array) {
                        let item = DataItem::Descriptor(self.descriptor(received, number));
                        known.insert(at, (item, 4));
                    }
                }
                _ => {}
            }
        }
        known
    }
}

/// Bytes that are described: a payload, or what is in one of its buffers.
struct Part<'a> {
    bytes: &'a [u8],
    /// Where objects are.
    offsets: BTreeSet<u64>,
    /// Items that lie at certain places, each with its length.
    known: BTreeMap<u64, (DataItem<HandlePattern>, usize)>,
}

/// The start of these bytes as an item of the same kind as another, and its length.
pub(super) fn read_like(
    like: &DataItem<HandlePattern>,
    bytes: &[u8],
) -> Option<(DataItem<HandlePattern>, usize)> {
    match like {
        DataItem::U32(_) => Some((DataItem::U32(u32::from_le_bytes(*bytes.first_chunk()?)), 4)),
        DataItem::I32(_) => Some((DataItem::I32(i32::from_le_bytes(*bytes.first_chunk()?)), 4)),
        DataItem::U64(_) => Some((DataItem::U64(u64::from_le_bytes(*bytes.first_chunk()?)), 8)),
        DataItem::I64(_) => Some((DataItem::I64(i64::from_le_bytes(*bytes.first_chunk()?)), 8)),
        DataItem::Str16(_) => {
            let (text, length) = read_str16(bytes)?;
            Some((DataItem::Str16(text), length))
        }
        DataItem::Bytes(like) => Some((DataItem::Bytes(bytes.get(..like.len())?.to_vec()), like.len())),
        DataItem::Zero(count) => {
            let length = usize::try_from(*count).ok()?;
            let zeroes = zeroes_at_start(bytes.get(..length)?);
            (zeroes == length && length > 0).then_some((DataItem::Zero(*count), length))
        }
        DataItem::At(..) | DataItem::Descriptor(_) | DataItem::Pointer(_) | DataItem::Object(_) => None,
    }
    .filter(|(_, length)| *length > 0)
}

/// Bytes, up to where a long run of zeroes begins or ends.
fn plain(bytes: &[u8]) -> (DataItem<HandlePattern>, usize) {
    let zeroes = zeroes_at_start(bytes);
    if zeroes >= LONG_ZEROES {
        return (DataItem::Zero(zeroes as u64), zeroes);
    }
    let run = [0; LONG_ZEROES];
    let length = bytes.windows(LONG_ZEROES).position(|window| window == run).unwrap_or(bytes.len());
    (DataItem::Bytes(bytes[..length].to_vec()), length)
}

/// How many bytes are 0 before the first that is not.
fn zeroes_at_start(bytes: &[u8]) -> usize {
    // Payloads may have thousands of them, and blocks are compared many bytes at a time.
    const BLOCK: usize = 64;
    let blocks = bytes.chunks_exact(BLOCK).take_while(|block| **block == [0; BLOCK]).count();
    let rest = &bytes[blocks * BLOCK..];
    blocks * BLOCK + rest.iter().take_while(|byte| **byte == 0).count()
}
