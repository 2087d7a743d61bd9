//! The numbers of the protocol: BC_ commands, BR_ returns, ioctls, object types and flags.

use super::layout::*;

const NONE: u32 = 0;
const WRITE: u32 = 1;
const READ: u32 = 2;

/// An ioctl-style code: direction in the top two bits, then the size of the argument, a letter and a number.
const fn code(direction: u32, letter: u8, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (letter as u32) << 8 | number
}

const fn plain(letter: u8, number: u32) -> u32 {
    code(NONE, letter, number, 0)
}

const fn reads<T>(letter: u8, number: u32) -> u32 {
    code(READ, letter, number, size_of::<T>())
}

const fn writes<T>(letter: u8, number: u32) -> u32 {
    code(WRITE, letter, number, size_of::<T>())
}

const fn reads_and_writes<T>(letter: u8, number: u32) -> u32 {
    code(READ | WRITE, letter, number, size_of::<T>())
}

/// How many bytes of argument follow a command or return code in a stream.
pub const fn argument_size(code: u32) -> usize {
    (code >> 16 & 0x3fff) as usize
}

/// Declares one family of codes as constants, with the tables from number to name and back.
macro_rules! codes {
    ($(#[$family:meta])* $name_of:ident, $all:ident; $($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: u32 = $value;)*

        $(#[$family])*
        pub const $all: &[(&str, u32)] = &[$((stringify!($name), $name)),*];

        /// The protocol's name of a code of this family, if it has one.
        pub fn $name_of(code: u32) -> Option<&'static str> {
            $all.iter().find(|(_, value)| *value == code).map(|(name, _)| *name)
        }
    };
}

codes! {
    /// Every command that a write buffer may hold (`enum binder_driver_command_protocol`).
    command_name, COMMANDS;
    /// A call to an object, or a oneway message to it.
    BC_TRANSACTION = writes::<TransactionData>(b'c', 0);
    /// The answer to the call on top of the thread's transaction stack.
    BC_REPLY = writes::<TransactionData>(b'c', 1);
    /// Never supported: answered with EINVAL.
    BC_ACQUIRE_RESULT = writes::<i32>(b'c', 2);
    /// Gives a received buffer back to the driver.
    BC_FREE_BUFFER = writes::<u64>(b'c', 3);
    /// One more weak reference on a handle.
    BC_INCREFS = writes::<u32>(b'c', 4);
    /// One more strong reference on a handle.
    BC_ACQUIRE = writes::<u32>(b'c', 5);
    /// One strong reference less on a handle.
    BC_RELEASE = writes::<u32>(b'c', 6);
    /// One weak reference less on a handle.
    BC_DECREFS = writes::<u32>(b'c', 7);
    /// Answers BR_INCREFS.
    BC_INCREFS_DONE = writes::<PointerCookie>(b'c', 8);
    /// Answers BR_ACQUIRE.
    BC_ACQUIRE_DONE = writes::<PointerCookie>(b'c', 9);
    /// Never supported: answered with EINVAL.
    BC_ATTEMPT_ACQUIRE = writes::<PriorityHandle>(b'c', 10);
    /// A thread that BR_SPAWN_LOOPER asked for joins the pool.
    BC_REGISTER_LOOPER = plain(b'c', 11);
    /// A thread joins the pool of its own accord.
    BC_ENTER_LOOPER = plain(b'c', 12);
    /// A thread leaves the pool.
    BC_EXIT_LOOPER = plain(b'c', 13);
    /// Asks to be told of the death of a handle's object.
    BC_REQUEST_DEATH_NOTIFICATION = writes::<HandleCookie>(b'c', 14);
    /// Takes such a request back.
    BC_CLEAR_DEATH_NOTIFICATION = writes::<HandleCookie>(b'c', 15);
    /// Answers BR_DEAD_BINDER.
    BC_DEAD_BINDER_DONE = writes::<u64>(b'c', 16);
    /// BC_TRANSACTION with room for scatter-gather buffers.
    BC_TRANSACTION_SG = writes::<TransactionDataSg>(b'c', 17);
    /// BC_REPLY with room for scatter-gather buffers.
    BC_REPLY_SG = writes::<TransactionDataSg>(b'c', 18);
    /// Asks to be told when the process of a handle's object is frozen or thawed.
    BC_REQUEST_FREEZE_NOTIFICATION = writes::<HandleCookie>(b'c', 19);
    /// Takes such a request back.
    BC_CLEAR_FREEZE_NOTIFICATION = writes::<HandleCookie>(b'c', 20);
    /// Answers BR_FROZEN_BINDER.
    BC_FREEZE_NOTIFICATION_DONE = writes::<u64>(b'c', 21);
}

codes! {
    /// Every return that a read buffer may hold (`enum binder_driver_return_protocol`).
    return_name, RETURNS;
    /// The driver ran out of memory while it served a command.
    BR_ERROR = reads::<i32>(b'r', 0);
    /// Never sent.
    BR_OK = plain(b'r', 1);
    /// BR_TRANSACTION to a node that asked for security contexts.
    BR_TRANSACTION_SEC_CTX = reads::<TransactionDataSecctx>(b'r', 2);
    /// A call or a oneway message arrives.
    BR_TRANSACTION = reads::<TransactionData>(b'r', 2);
    /// The answer to a call arrives.
    BR_REPLY = reads::<TransactionData>(b'r', 3);
    /// Never sent.
    BR_ACQUIRE_RESULT = reads::<i32>(b'r', 4);
    /// The target of the last call is dead.
    BR_DEAD_REPLY = plain(b'r', 5);
    /// The last transaction, or reply, has been accepted.
    BR_TRANSACTION_COMPLETE = plain(b'r', 6);
    /// A local object got its first weak reference from outside.
    BR_INCREFS = reads::<PointerCookie>(b'r', 7);
    /// A local object got its first strong reference from outside.
    BR_ACQUIRE = reads::<PointerCookie>(b'r', 8);
    /// A local object lost its last strong reference from outside.
    BR_RELEASE = reads::<PointerCookie>(b'r', 9);
    /// A local object lost its last weak reference from outside.
    BR_DECREFS = reads::<PointerCookie>(b'r', 10);
    /// Never sent.
    BR_ATTEMPT_ACQUIRE = reads::<PriorityPointerCookie>(b'r', 11);
    /// Begins a read, so that BR_SPAWN_LOOPER can take its place.
    BR_NOOP = plain(b'r', 12);
    /// The pool has no idle thread left: spawn one.
    BR_SPAWN_LOOPER = plain(b'r', 13);
    /// Never sent.
    BR_FINISHED = plain(b'r', 14);
    /// An object whose death was to be told of has died.
    BR_DEAD_BINDER = reads::<u64>(b'r', 15);
    /// Answers BC_CLEAR_DEATH_NOTIFICATION.
    BR_CLEAR_DEATH_NOTIFICATION_DONE = reads::<u64>(b'r', 16);
    /// The last transaction, or the call that waits, failed.
    BR_FAILED_REPLY = plain(b'r', 17);
    /// The target of the last call is frozen.
    BR_FROZEN_REPLY = plain(b'r', 18);
    /// As BR_TRANSACTION_COMPLETE, of a oneway message that looks like spam.
    BR_ONEWAY_SPAM_SUSPECT = plain(b'r', 19);
    /// As BR_TRANSACTION_COMPLETE, of a oneway message to a frozen process.
    BR_TRANSACTION_PENDING_FROZEN = plain(b'r', 20);
    /// The process of an object was frozen or thawed.
    BR_FROZEN_BINDER = reads::<FrozenStateInfo>(b'r', 21);
    /// Answers BC_CLEAR_FREEZE_NOTIFICATION.
    BR_CLEAR_FREEZE_NOTIFICATION_DONE = reads::<u64>(b'r', 22);
}

codes! {
    /// Every ioctl of a binder device, and of the one that makes them in a binderfs.
    ioctl_name, IOCTLS;
    /// Makes a device in a binderfs.
    BINDER_CTL_ADD = reads_and_writes::<BinderfsDevice>(b'b', 1);
    /// Writes commands, then reads returns.
    BINDER_WRITE_READ = reads_and_writes::<WriteRead>(b'b', 1);
    /// Never implemented: answered with EINVAL.
    BINDER_SET_IDLE_TIMEOUT = writes::<i64>(b'b', 3);
    /// How many threads the driver may ask the process to spawn.
    BINDER_SET_MAX_THREADS = writes::<u32>(b'b', 5);
    /// Never implemented: answered with EINVAL.
    BINDER_SET_IDLE_PRIORITY = writes::<i32>(b'b', 6);
    /// Makes the process the one that handle 0 refers to.
    BINDER_SET_CONTEXT_MGR = writes::<i32>(b'b', 7);
    /// The driver forgets the calling thread.
    BINDER_THREAD_EXIT = writes::<i32>(b'b', 8);
    /// The version of the protocol.
    BINDER_VERSION = reads_and_writes::<i32>(b'b', 9);
    /// The next node after an address.
    BINDER_GET_NODE_DEBUG_INFO = reads_and_writes::<NodeDebugInfo>(b'b', 11);
    /// The reference counts of a handle's node, for the context manager.
    BINDER_GET_NODE_INFO_FOR_REF = reads_and_writes::<NodeInfoForRef>(b'b', 12);
    /// BINDER_SET_CONTEXT_MGR with an object of one's own.
    BINDER_SET_CONTEXT_MGR_EXT = writes::<FlatObject>(b'b', 13);
    /// Freezes or thaws a process.
    BINDER_FREEZE = writes::<FreezeInfo>(b'b', 14);
    /// What a frozen process has received.
    BINDER_GET_FROZEN_INFO = reads_and_writes::<FrozenStatusInfo>(b'b', 15);
    /// Switches BR_ONEWAY_SPAM_SUSPECT on or off.
    BINDER_ENABLE_ONEWAY_SPAM_DETECTION = writes::<u32>(b'b', 16);
    /// Why the thread's last transaction failed.
    BINDER_GET_EXTENDED_ERROR = reads_and_writes::<ExtendedError>(b'b', 17);
}

/// An object type: three characters and 0x85, as the kernel packs them.
const fn object_type(a: u8, b: u8, c: u8) -> u32 {
    (a as u32) << 24 | (b as u32) << 16 | (c as u32) << 8 | 0x85
}

codes! {
    /// Every type of object that a payload may hold.
    object_type_name, OBJECT_TYPES;
    /// A local object, strong.
    BINDER_TYPE_BINDER = object_type(b's', b'b', b'*');
    /// A local object, weak.
    BINDER_TYPE_WEAK_BINDER = object_type(b'w', b'b', b'*');
    /// A remote object, strong.
    BINDER_TYPE_HANDLE = object_type(b's', b'h', b'*');
    /// A remote object, weak.
    BINDER_TYPE_WEAK_HANDLE = object_type(b'w', b'h', b'*');
    /// A file descriptor.
    BINDER_TYPE_FD = object_type(b'f', b'd', b'*');
    /// An array of file descriptors inside a scatter-gather buffer.
    BINDER_TYPE_FDA = object_type(b'f', b'd', b'a');
    /// A scatter-gather buffer.
    BINDER_TYPE_PTR = object_type(b'p', b't', b'*');
}

codes! {
    /// Every flag of a transaction (`enum transaction_flags`).
    transaction_flag_name, TRANSACTION_FLAGS;
    /// A message without an answer.
    TF_ONE_WAY = 0x01;
    /// Not looked at by the driver.
    TF_ROOT_OBJECT = 0x04;
    /// The payload is a 32-bit status; not looked at by the driver.
    TF_STATUS_CODE = 0x08;
    /// The reply may hold file descriptors.
    TF_ACCEPT_FDS = 0x10;
    /// The payload is wiped when its buffer is freed.
    TF_CLEAR_BUF = 0x20;
    /// Replaces the same pending message to a frozen process.
    TF_UPDATE_TXN = 0x40;
}

codes! {
    /// Every flag of a flat object.
    flat_object_flag_name, FLAT_OBJECT_FLAGS;
    /// The least priority at which the node is served (a nice value).
    FLAT_BINDER_FLAG_PRIORITY_MASK = 0xff;
    /// The node takes file descriptors.
    FLAT_BINDER_FLAG_ACCEPTS_FDS = 0x100;
    /// The node is told the security context of its callers.
    FLAT_BINDER_FLAG_TXN_SECURITY_CTX = 0x1000;
}

codes! {
    /// Every flag of a scatter-gather buffer.
    buffer_flag_name, BUFFER_FLAGS;
    /// A pointer to it stands in the buffer of another object.
    BINDER_BUFFER_FLAG_HAS_PARENT = 0x01;
}

/// What BINDER_VERSION answers on a 64-bit kernel.
pub const CURRENT_PROTOCOL_VERSION: i32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures taken from traces of real devices, where they are known by heart.
    #[test]
    fn codes_are_those_of_the_kernel() {
        assert_eq!(BINDER_WRITE_READ, 0xc030_6201);
        assert_eq!(BINDER_SET_MAX_THREADS, 0x4004_6205);
        assert_eq!(BINDER_SET_CONTEXT_MGR_EXT, 0x4018_620d);
        assert_eq!(BINDER_VERSION, 0xc004_6209);
        assert_eq!(BC_TRANSACTION, 0x4040_6300);
        assert_eq!(BC_TRANSACTION_SG, 0x4048_6311);
        assert_eq!(BC_FREE_BUFFER, 0x4008_6303);
        assert_eq!(BC_REQUEST_DEATH_NOTIFICATION, 0x400c_630e);
        assert_eq!(BC_ENTER_LOOPER, 0x630c);
        assert_eq!(BR_TRANSACTION, 0x8040_7202);
        assert_eq!(BR_TRANSACTION_COMPLETE, 0x7206);
        assert_eq!(BR_NOOP, 0x720c);
        assert_eq!(BINDER_TYPE_BINDER, 0x7362_2a85);
        assert_eq!(BINDER_TYPE_FDA, 0x6664_6185);
    }

    #[test]
    fn a_name_leads_to_its_code_and_back() {
        for family in [COMMANDS, RETURNS, IOCTLS, OBJECT_TYPES] {
            for (index, (_, code)) in family.iter().enumerate() {
                assert_eq!(family.iter().position(|(_, other)| other == code), Some(index));
            }
        }
        assert_eq!(command_name(BC_REPLY), Some("BC_REPLY"));
        assert_eq!(return_name(0), None);
        assert_eq!(argument_size(BC_TRANSACTION), 64);
    }
}
