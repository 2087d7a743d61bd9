//! Payloads: the data of a transaction, and the objects in it.

use super::{Address, Handle, HandlePattern, Name};

/// A payload that a process sends.
pub type Payload = Vec<DataItem<Handle>>;

/// A payload as its receiver must find it.
pub type PayloadPattern = Vec<DataItem<HandlePattern>>;

/// One item of a payload. `H` is [`Handle`] in what is sent and [`HandlePattern`] in what is expected.
///
/// Items follow one another without gaps, but for objects and strings, which begin at the next multiple of 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataItem<H> {
    /// `u32 42`
    U32(u32),
    /// `i32 -1`
    I32(i32),
    /// `u64 42`
    U64(u64),
    /// `i64 -1`
    I64(i64),
    /// `str16 "ping"`: as Parcel writes it, padded to 4 bytes.
    Str16(String),
    /// `bytes 00 01 ff`
    Bytes(Vec<u8>),
    /// `zero 4096`: so many bytes of 0.
    Zero(u64),
    /// `at 60 ITEM`: the item begins so many bytes from the start of the payload; what is between is 0.
    At(u64, Box<DataItem<H>>),
    /// `descriptor log`: the number of a descriptor, 4 bytes, as it stands in what an array of them speaks of.
    Descriptor(Descriptor),
    /// `pointer 1`: where the scatter-gather buffer of the payload's second object lies, 8 bytes.
    Pointer(u32),
    /// An object, whose place goes into the table of offsets.
    Object(Object<H>),
}

/// A descriptor of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Descriptor {
    /// `log`: the last one that the process got for this file. In what is expected, any one for it.
    File(Name),
    /// `99`: the number itself.
    Number(u32),
}

/// An object in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object<H> {
    /// `binder foo`, `weak_binder foo flags 0x17f`: a local object of the sender (or, in what is expected, of
    /// the receiver).
    Binder {
        /// Whether it is a weak one.
        weak: bool,
        /// The object. It comes into being where a process first sends it.
        object: Name,
        /// FLAT_BINDER_FLAG_ flags; without them, 0x17f where sent (as libbinder does, taking descriptors), and
        /// unchecked where expected.
        flags: Option<u32>,
    },
    /// `handle h`, `weak_handle 3`: a remote object.
    Handle {
        /// Whether it is a weak one.
        weak: bool,
        /// The handle.
        handle: H,
        /// FLAT_BINDER_FLAG_ flags; without them, 0 where sent and unchecked where expected.
        flags: Option<u32>,
    },
    /// `object { type 0x73622a85, flags 0, binder 0x10, cookie 0x20 }`: spelt out, 24 bytes.
    Explicit {
        /// The type.
        object_type: u32,
        /// The flags.
        flags: u32,
        /// The pointer or handle.
        binder: u64,
        /// The cookie.
        cookie: u64,
    },
    /// `fd log`, `fd 99 flags 0x1 cookie 0x2`: a descriptor (`struct binder_fd_object`).
    Fd {
        /// The descriptor.
        descriptor: Descriptor,
        /// What stands where other objects have their flags. 0 where the script says nothing.
        flags: u32,
        /// The cookie. 0 where the script says nothing.
        cookie: u64,
    },
    /// `fda 2 parent 0 offset 8 pad 0x1`: an array of descriptors in the buffer of another object
    /// (`struct binder_fd_array_object`).
    FdArray {
        /// How many there are.
        count: u64,
        /// In whose buffer they are, and where in it.
        parent: Parent,
        /// What stands between the type and the count. 0 where the script says nothing.
        pad: u32,
    },
    /// `ptr [ u32 7 ] parent 0 offset 8`: a scatter-gather buffer (`struct binder_buffer_object`).
    Buffer(BufferObject<H>),
}

/// A place in the buffer of another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// `parent 0`: that object's place in the table of offsets, from 0.
    pub index: u64,
    /// `offset 8`: bytes from the start of its buffer.
    pub offset: u64,
}

/// A scatter-gather buffer. A field that is `None` has the value that a well-behaved process would give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BufferObject<H> {
    /// `[ u32 7, pointer 2 ]`: what is in it; no objects.
    pub content: Vec<DataItem<H>>,
    /// `parent 0 offset 8`: where a pointer to it stands.
    pub parent: Option<Parent>,
    /// `flags 0x1`, in place of BINDER_BUFFER_FLAG_HAS_PARENT if there is a parent.
    pub flags: Option<u32>,
    /// `length 9`, in place of the length of the content, in bytes.
    pub length: Option<u64>,
    /// `buffer unmapped`, in place of the address of the content.
    pub buffer: Option<Address>,
}

impl<H> Object<H> {
    /// The bytes that the object itself takes in a payload.
    pub fn size(&self) -> u64 {
        match self {
            Object::Binder { .. } | Object::Handle { .. } | Object::Explicit { .. } | Object::Fd { .. } => 24,
            Object::FdArray { .. } => 32,
            Object::Buffer(_) => 40,
        }
    }
}

impl<H> DataItem<H> {
    /// The item itself, without the place that `at` gives it.
    pub fn without_place(&self) -> &DataItem<H> {
        match self {
            DataItem::At(_, inner) => inner.without_place(),
            item => item,
        }
    }
}
