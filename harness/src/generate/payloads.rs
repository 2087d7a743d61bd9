//! Payloads: what generated transactions carry, well made or damaged.

use reference_driver::uapi::{FLAT_BINDER_FLAG_ACCEPTS_FDS, FLAT_BINDER_FLAG_TXN_SECURITY_CTX};

use super::choices::Choices;
use super::situation::ProcessSituation;
use crate::program::*;

/// A transaction of a process, with objects that it has or that are new, and whether it needs room for scatter-gather
/// buffers.
pub(super) fn transaction(
    choices: &mut Choices<'_, '_>,
    process: &ProcessSituation,
    is_manager: bool,
    new_objects: [Name; 2],
    damage: bool,
) -> (Transaction, bool) {
    let mut transaction = Transaction::default();
    let mut new_objects = new_objects.into_iter();
    for _ in 0..choices.of([0, 0, 1, 1, 1, 2, 2, 3, 4]) {
        let item = match choices.below(12) {
            0 => DataItem::U32(choices.number() as u32),
            1 => DataItem::Str16("ping".to_owned()),
            2 => DataItem::Bytes(choices.bytes(12)),
            3 if choices.one_in(3) => DataItem::Zero(1 + (choices.below(2048) as u64) * 16),
            4..=6 => {
                let known = choices.pick(&process.objects).map(|object| object.name.clone());
                let is_new = choices.one_in(2);
                let object = match known {
                    Some(known) if !is_new => known,
                    known => match new_objects.next().or(known) {
                        Some(object) => object,
                        None => continue,
                    },
                };
                let flags = match choices.below(24) {
                    22 => Some(0),
                    23 => Some(FLAT_BINDER_FLAG_ACCEPTS_FDS | FLAT_BINDER_FLAG_TXN_SECURITY_CTX),
                    _ => None,
                };
                DataItem::Object(Object::Binder { weak: choices.one_in(5), object, flags })
            }
            7 | 8 => match choices.pick(&process.handles) {
                Some(known) => {
                    let weak = known.strong == 0 || choices.one_in(6);
                    let handle = Handle::Symbol(known.name.clone());
                    DataItem::Object(Object::Handle { weak, handle, flags: None })
                }
                None if is_manager || !choices.one_in(24) => DataItem::I32(-1),
                None => {
                    DataItem::Object(Object::Handle { weak: false, handle: Handle::Number(0), flags: None })
                }
            },
            9 => match choices.pick(&process.files) {
                Some(file) => DataItem::Object(Object::Fd {
                    descriptor: Descriptor::File(file.clone()),
                    flags: 0,
                    cookie: choices.below(3) as u64,
                }),
                None => DataItem::U32(7),
            },
            10 => {
                scatter(choices, process, &mut transaction.data);
                continue;
            }
            _ => DataItem::U64(choices.number()),
        };
        if !matches!(&item, DataItem::Bytes(bytes) if bytes.is_empty()) {
            transaction.data.push(item);
        }
    }
    if damage {
        for _ in 0..1 + choices.below(2) {
            damage_transaction(choices, &mut transaction);
        }
    }
    let is_scattered = transaction
        .data
        .iter()
        .any(|item| matches!(item.without_place(), DataItem::Object(Object::Buffer(_))));
    (transaction, is_scattered)
}

/// Adds scatter-gather buffers: one, one with a child in it, or one with descriptors.
fn scatter(choices: &mut Choices<'_, '_>, process: &ProcessSituation, data: &mut Payload) {
    if data.is_empty() {
        // In C an object at the very start can be no parent.
        data.push(DataItem::U32(5));
    }
    let index = data.iter().filter(|item| matches!(item.without_place(), DataItem::Object(_))).count() as u64;
    let buffer = |content, parent| {
        let buffer = BufferObject { content, parent, flags: None, length: None, buffer: None };
        DataItem::Object(Object::Buffer(buffer))
    };
    match (choices.below(3), choices.pick(&process.files).cloned()) {
        (0, _) => {
            data.push(buffer(vec![DataItem::U32(1), DataItem::Pointer(index as u32 + 1)], None));
            data.push(buffer(vec![DataItem::Str16("cat".to_owned())], Some(Parent { index, offset: 4 })));
        }
        (1, Some(file)) => {
            let descriptor = || DataItem::Descriptor(Descriptor::File(file.clone()));
            let count = choices.below(3) as u64;
            let content = (0..count).map(|_| descriptor()).chain([DataItem::U32(9)]);
            data.push(buffer(content.collect(), None));
            let parent = Parent { index, offset: 0 };
            data.push(DataItem::Object(Object::FdArray { count, parent, pad: 0 }));
        }
        _ => {
            let length = choices.below(40) as u64;
            let content = if length == 0 { Vec::new() } else { vec![DataItem::Zero(length)] };
            data.push(buffer(content, None));
        }
    }
}

/// Breaks one thing.
fn damage_transaction(choices: &mut Choices<'_, '_>, transaction: &mut Transaction) {
    let number = choices.number();
    match choices.below(14) {
        0 => transaction.data_size = Some(number),
        1 => transaction.offsets_size = Some(number),
        2 => transaction.buffer = Some(Address::Unmapped),
        3 => transaction.offsets_buffer = Some(Address::Unmapped),
        4 => {
            let offsets = (0..choices.below(4)).map(|_| choices.below(24) as u64 * 4).collect();
            transaction.offsets = Some(offsets);
        }
        5 => transaction.offsets = Some(vec![number, 0]),
        6 => transaction.data_size = Some(choices.below(100) as u64),
        7 => transaction.offsets_size = Some(choices.below(8) as u64 * 4),
        8 => transaction.data.push(DataItem::Object(Object::Explicit {
            object_type: choices.of(OBJECT_TYPES),
            flags: choices.below(3) as u32,
            binder: number,
            cookie: choices.below(2) as u64,
        })),
        9 => transaction.data.push(DataItem::Object(Object::FdArray {
            count: number,
            parent: Parent { index: choices.below(3) as u64, offset: choices.below(6) as u64 * 2 },
            pad: 0,
        })),
        10 => transaction.flags |= number as u32 & !1,
        11 => transaction.data.push(DataItem::Object(Object::Handle {
            weak: choices.one_in(2),
            handle: Handle::Number(choices.below(6) as u32),
            flags: None,
        })),
        _ => damage_buffer(choices, transaction),
    }
}

/// Breaks something of a scatter-gather buffer, if there is one.
fn damage_buffer(choices: &mut Choices<'_, '_>, transaction: &mut Transaction) {
    let buffers = transaction.data.iter_mut().filter_map(|item| match item {
        DataItem::Object(Object::Buffer(buffer)) => Some(buffer),
        _ => None,
    });
    let Some(buffer) = buffers.last() else {
        let content = vec![DataItem::U64(1), DataItem::U32(2)];
        let parent = choices.one_in(2).then(|| Parent { index: choices.below(3) as u64, offset: 0 });
        let buffer = BufferObject { content, parent, flags: None, length: None, buffer: None };
        transaction.data.push(DataItem::Object(Object::Buffer(buffer)));
        return;
    };
    match choices.below(5) {
        0 => buffer.length = Some(choices.number() & 0xffff),
        1 => buffer.flags = Some(choices.below(4) as u32),
        2 => buffer.buffer = Some(Address::Unmapped),
        3 => {
            let index = choices.below(4) as u64;
            buffer.parent = Some(Parent { index, offset: choices.below(12) as u64 });
        }
        _ => buffer.parent = Some(Parent { index: choices.number(), offset: choices.number() }),
    }
}

/// The types of objects, and one that is none.
const OBJECT_TYPES: [u32; 8] = {
    use reference_driver::uapi::*;
    [
        BINDER_TYPE_BINDER,
        BINDER_TYPE_WEAK_BINDER,
        BINDER_TYPE_HANDLE,
        BINDER_TYPE_WEAK_HANDLE,
        BINDER_TYPE_FD,
        BINDER_TYPE_FDA,
        BINDER_TYPE_PTR,
        0x17,
    ]
};
