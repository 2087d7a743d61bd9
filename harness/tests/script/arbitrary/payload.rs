//! Arbitrary payloads.

use binderdrill::program::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::operand::{address, byte_count, descriptor, object};

/// A payload whose handles are made by `handle`.
pub fn payload<H, S>(handle: fn() -> S) -> BoxedStrategy<Vec<DataItem<H>>>
where
    H: std::fmt::Debug + Clone + 'static,
    S: Strategy<Value = H> + 'static,
{
    let plain = prop_oneof![
        any::<u32>().prop_map(DataItem::U32),
        any::<i32>().prop_map(DataItem::I32),
        any::<u64>().prop_map(DataItem::U64),
        any::<i64>().prop_map(DataItem::I64),
        any::<String>().prop_map(DataItem::Str16),
        vec(any::<u8>(), 0..70).prop_map(DataItem::Bytes),
        (0..70_000_u64).prop_map(DataItem::Zero),
        descriptor().prop_map(DataItem::Descriptor),
        (0..5_u32).prop_map(DataItem::Pointer),
    ]
    .boxed();
    let content = items(plain.clone());
    let object = prop_oneof![4 => object_with(handle()).boxed(), 1 => buffer_object(content).boxed()];
    items(prop_oneof![8 => plain, 3 => object.prop_map(DataItem::Object)].boxed())
}

/// Some items, of which one or another is given a place.
fn items<H>(item: BoxedStrategy<DataItem<H>>) -> BoxedStrategy<Vec<DataItem<H>>>
where
    H: std::fmt::Debug + Clone + 'static,
{
    // How far behind the end of what is before it the item begins is made a place when the program is settled.
    let at = (0..100_u64, item.clone()).prop_map(|(gap, item)| DataItem::At(gap, Box::new(item)));
    vec(prop_oneof![4 => item, 1 => at], 0..4).boxed()
}

fn parent() -> impl Strategy<Value = Parent> {
    (prop_oneof![0..4_u64, any::<u64>()], byte_count()).prop_map(|(index, offset)| Parent { index, offset })
}

fn buffer_object<H: std::fmt::Debug + Clone + 'static>(
    content: BoxedStrategy<Vec<DataItem<H>>>,
) -> impl Strategy<Value = Object<H>> {
    let seldom = || option::weighted(0.1, byte_count());
    let flags = option::of(prop_oneof![any::<u32>(), 0..3_u32]);
    (content, option::of(parent()), flags, seldom(), option::weighted(0.1, address())).prop_map(
        |(content, parent, flags, length, buffer)| {
            Object::Buffer(BufferObject { content, parent, flags, length, buffer })
        },
    )
}

fn object_with<H: std::fmt::Debug>(handle: impl Strategy<Value = H>) -> impl Strategy<Value = Object<H>> {
    let flags = || option::of(prop_oneof![any::<u32>(), Just(0), Just(0x17f), Just(0x1100)]);
    prop_oneof![
        (any::<bool>(), object(), flags()).prop_map(|(weak, object, flags)| Object::Binder {
            weak,
            object,
            flags
        }),
        (any::<bool>(), handle, flags()).prop_map(|(weak, handle, flags)| Object::Handle {
            weak,
            handle,
            flags
        }),
        (descriptor(), prop_oneof![Just(0), any::<u32>()], prop_oneof![Just(0), any::<u64>()])
            .prop_map(|(descriptor, flags, cookie)| Object::Fd { descriptor, flags, cookie }),
        (byte_count(), parent(), prop_oneof![Just(0), any::<u32>()])
            .prop_map(|(count, parent, pad)| Object::FdArray { count, parent, pad }),
        (prop_oneof![any::<u32>(), Just(0x6664_2a85)], any::<u32>(), any::<u64>(), any::<u64>()).prop_map(
            |(object_type, flags, binder, cookie)| Object::Explicit { object_type, flags, binder, cookie }
        ),
    ]
}
