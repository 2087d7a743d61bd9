//! The structures that cross the boundary between a process and the driver, byte for byte.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Declares a structure of the ABI: C layout without hidden padding, readable from and writable to bytes.
macro_rules! layout {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
    };
}

layout! {
    /// The argument of BINDER_WRITE_READ (`struct binder_write_read`). Sizes are in bytes.
    WriteRead {
        /// Bytes of commands in the write buffer.
        write_size: u64,
        /// Bytes of them that the driver has taken.
        write_consumed: u64,
        /// Address of the commands.
        write_buffer: u64,
        /// Room for returns, in bytes.
        read_size: u64,
        /// Bytes of returns that the driver has written.
        read_consumed: u64,
        /// Address of the room for returns.
        read_buffer: u64,
    }
}

layout! {
    /// A call, message or answer (`struct binder_transaction_data`).
    TransactionData {
        /// Going in, the handle in the low 32 bits; coming out, the node's pointer.
        target: u64,
        /// Coming out, the node's cookie.
        cookie: u64,
        /// What the callee is asked to do; not looked at by the driver.
        code: u32,
        /// TF_ flags.
        flags: u32,
        /// Coming out, the process that called, or 0.
        sender_pid: i32,
        /// Coming out, the effective user who called.
        sender_euid: u32,
        /// Bytes of payload.
        data_size: u64,
        /// Bytes of the table of offsets.
        offsets_size: u64,
        /// Address of the payload.
        buffer: u64,
        /// Address of the table of the offsets at which the payload holds objects.
        offsets: u64,
    }
}

layout! {
    /// The argument of BC_TRANSACTION_SG and BC_REPLY_SG (`struct binder_transaction_data_sg`).
    TransactionDataSg {
        /// As without scatter-gather.
        transaction: TransactionData,
        /// Bytes of all scatter-gather buffers together, each rounded up to 8.
        buffers_size: u64,
    }
}

layout! {
    /// The argument of BR_TRANSACTION_SEC_CTX (`struct binder_transaction_data_secctx`).
    TransactionDataSecctx {
        /// As without a security context.
        transaction: TransactionData,
        /// Address of the caller's security context, a NUL-terminated string.
        secctx: u64,
    }
}

layout! {
    /// A local object as the driver knows it (`struct binder_ptr_cookie`).
    PointerCookie {
        /// What identifies the object within its process.
        pointer: u64,
        /// What its process wants to be told with it.
        cookie: u64,
    }
}

layout! {
    /// The argument of BC_ATTEMPT_ACQUIRE (`struct binder_pri_desc`).
    PriorityHandle {
        /// Not looked at.
        priority: i32,
        /// A handle.
        handle: u32,
    }
}

/// The argument of BR_ATTEMPT_ACQUIRE (`struct binder_pri_ptr_cookie`), which is never sent.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct PriorityPointerCookie {
    /// A priority.
    pub priority: i32,
    /// A local object.
    pub object: PointerCookie,
}

/// A handle and a cookie (`struct binder_handle_cookie`), packed as the kernel packs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
pub struct HandleCookie {
    /// The handle.
    pub handle: u32,
    /// What the process wants to be told with the notification.
    pub cookie: u64,
}

layout! {
    /// An object in a payload that stands for a node (`struct flat_binder_object`).
    FlatObject {
        /// BINDER_TYPE_BINDER, _WEAK_BINDER, _HANDLE or _WEAK_HANDLE.
        object_type: u32,
        /// FLAT_BINDER_FLAG_ flags.
        flags: u32,
        /// A local object's pointer, or a handle in the low 32 bits.
        binder: u64,
        /// A local object's cookie.
        cookie: u64,
    }
}

layout! {
    /// An object in a payload that stands for a descriptor (`struct binder_fd_object`).
    FdObject {
        /// BINDER_TYPE_FD.
        object_type: u32,
        /// Not looked at by the driver, which may or may not pass them on.
        flags: u32,
        /// The descriptor.
        fd: u32,
        /// The upper half of what is a pointer in other objects; coming out, 0.
        padding: u32,
        /// Not looked at by the driver.
        cookie: u64,
    }
}

layout! {
    /// An object in a payload that stands for a scatter-gather buffer (`struct binder_buffer_object`).
    BufferObject {
        /// BINDER_TYPE_PTR.
        object_type: u32,
        /// BINDER_BUFFER_FLAG_ flags.
        flags: u32,
        /// Address of the buffer.
        buffer: u64,
        /// Its bytes.
        length: u64,
        /// The place in the table of offsets of the object in whose buffer a pointer to this one stands.
        parent: u64,
        /// Where in that buffer, in bytes.
        parent_offset: u64,
    }
}

layout! {
    /// An object in a payload that stands for an array of descriptors (`struct binder_fd_array_object`).
    FdArrayObject {
        /// BINDER_TYPE_FDA.
        object_type: u32,
        /// Not looked at by the driver.
        padding: u32,
        /// How many descriptors there are.
        num_fds: u64,
        /// The place in the table of offsets of the object in whose buffer they are.
        parent: u64,
        /// Where in that buffer, in bytes.
        parent_offset: u64,
    }
}

layout! {
    /// What BINDER_GET_NODE_DEBUG_INFO tells (`struct binder_node_debug_info`).
    NodeDebugInfo {
        /// Going in, where to begin; coming out, the next node's pointer, or 0.
        pointer: u64,
        /// That node's cookie.
        cookie: u64,
        /// Whether its process holds a strong reference for others.
        has_strong_ref: u32,
        /// Whether its process holds a weak reference for others.
        has_weak_ref: u32,
    }
}

layout! {
    /// What BINDER_GET_NODE_INFO_FOR_REF tells (`struct binder_node_info_for_ref`).
    NodeInfoForRef {
        /// The handle asked about.
        handle: u32,
        /// Strong references on its node.
        strong_count: u32,
        /// Weak references on its node.
        weak_count: u32,
        /// Must be 0.
        reserved1: u32,
        /// Must be 0.
        reserved2: u32,
        /// Must be 0.
        reserved3: u32,
    }
}

/// What BINDER_CTL_ADD is given (`struct binderfs_device`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BinderfsDevice {
    /// What the device is to be called, with zeroes behind it.
    pub name: [u8; 256],
    /// The driver's number for all of its devices.
    pub major: u32,
    /// The number of this one.
    pub minor: u32,
}

layout! {
    /// The argument of BINDER_FREEZE (`struct binder_freeze_info`).
    FreezeInfo {
        /// The process to freeze or thaw.
        pid: u32,
        /// 1 to freeze, 0 to thaw.
        enable: u32,
        /// How long to wait for running transactions, in milliseconds.
        timeout_ms: u32,
    }
}

layout! {
    /// What BINDER_GET_FROZEN_INFO tells (`struct binder_frozen_status_info`).
    FrozenStatusInfo {
        /// The process asked about.
        pid: u32,
        /// Bit 0: it was called while frozen; bit 1: calls are pending.
        sync_recv: u32,
        /// It was sent oneway messages while frozen.
        async_recv: u32,
    }
}

layout! {
    /// The argument of BR_FROZEN_BINDER (`struct binder_frozen_state_info`).
    FrozenStateInfo {
        /// The cookie given with the request.
        cookie: u64,
        /// 1 when frozen, 0 when thawed.
        is_frozen: u32,
        /// Always 0.
        reserved: u32,
    }
}

layout! {
    /// What BINDER_GET_EXTENDED_ERROR tells (`struct binder_extended_error`).
    ExtendedError {
        /// Which transaction failed: the driver's number for it.
        id: u32,
        /// The BR_ code it failed with.
        command: u32,
        /// A negative errno that says why.
        param: i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_kernel() {
        assert_eq!(size_of::<WriteRead>(), 48);
        assert_eq!(size_of::<TransactionData>(), 64);
        assert_eq!(size_of::<TransactionDataSg>(), 72);
        assert_eq!(size_of::<HandleCookie>(), 12);
        assert_eq!(size_of::<PriorityPointerCookie>(), 24);
        assert_eq!(size_of::<FlatObject>(), 24);
        assert_eq!(size_of::<FdObject>(), 24);
        assert_eq!(size_of::<BufferObject>(), 40);
        assert_eq!(size_of::<FdArrayObject>(), 32);
        assert_eq!(size_of::<ExtendedError>(), 12);
        assert_eq!(size_of::<BinderfsDevice>(), 264);
    }
}
