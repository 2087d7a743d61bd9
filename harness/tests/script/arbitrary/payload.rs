//! Arbitrary payloads.

use binderdrill::program::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::operand::object;

/// A payload whose handles are made by `handle`.
pub fn payload<H, S>(handle: fn() -> S) -> BoxedStrategy<Vec<DataItem<H>>>
where
    H: std::fmt::Debug + Clone + 'static,
    S: Strategy<Value = H> + 'static,
{
    let item = prop_oneof![
        any::<u32>().prop_map(DataItem::U32),
        any::<i32>().prop_map(DataItem::I32),
        any::<u64>().prop_map(DataItem::U64),
        any::<i64>().prop_map(DataItem::I64),
        any::<String>().prop_map(DataItem::Str16),
        vec(any::<u8>(), 0..70).prop_map(DataItem::Bytes),
        (0..70_000_u64).prop_map(DataItem::Zero),
        object_with(handle()).prop_map(DataItem::Object),
    ]
    .boxed();
    // How far behind the end of what is before it the item begins is made a place when the program is settled.
    let at = (0..100_u64, item.clone()).prop_map(|(gap, item)| DataItem::At(gap, Box::new(item)));
    vec(prop_oneof![4 => item, 1 => at], 0..4).boxed()
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
        (prop_oneof![any::<u32>(), Just(0x6664_2a85)], any::<u32>(), any::<u64>(), any::<u64>()).prop_map(
            |(object_type, flags, binder, cookie)| Object::Explicit { object_type, flags, binder, cookie }
        ),
    ]
}
