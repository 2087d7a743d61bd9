//! Profiles: which driver is being modelled, where drivers differ.

use crate::oneway_spam::SpamDetection;
use crate::planted::Planted;
use crate::uapi::Errno;

/// The driver that the model behaves as. Each difference between drivers is a field here, so that the rest of
/// the model asks for the difference and never for a driver or a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people call it.
    pub name: &'static str,
    /// How references to a node are counted, and its owner told of them.
    pub(crate) counting: Counting,

    /// Work of a process is only for threads that are of its pool, not for any thread that reads.
    pub(crate) process_work_is_for_loopers: bool,
    /// Work of a process goes into the queue of a thread that waits for some, if one does.
    pub(crate) process_work_is_handed_over: bool,
    /// The first read of a thread returns at once, with or without work.
    pub(crate) first_read_returns: bool,
    /// A flush makes only those threads return that sleep at that time, and not the next read of the others.
    pub(crate) flush_is_for_sleepers: bool,
    /// Work that can wait for the next occasion keeps a thread from work of its process.
    pub(crate) deferred_work_comes_first: bool,

    /// Nothing is read or written beyond the sizes in `struct binder_write_read`. A read buffer that is too short for
    /// any return is not waited with.
    pub(crate) keeps_to_sizes: bool,
    /// A read that goes on in a buffer with something in it may ask for a looper too.
    pub(crate) continued_reads_ask_for_loopers: bool,
    /// Whether a thread is free for work of its process is looked at once a read, and not again when it has found only work
    /// of which there is nothing to tell.
    pub(crate) readers_stay_as_they_began: bool,
    /// BC_REGISTER_LOOPER answers BR_SPAWN_LOOPER even if the thread was of the pool before.
    pub(crate) any_registration_is_an_answer: bool,
    /// An error is taken back before it is told, and so is lost if it cannot be written.
    pub(crate) untold_errors_are_lost: bool,
    /// A transaction that cannot be written to its reader, or whose reader exits, gives its buffer back, and its
    /// descriptors.
    pub(crate) lost_transactions_are_given_back: bool,
    /// Node work for a thread that exits goes to its process.
    pub(crate) node_work_outlives_threads: bool,
    /// A death that waits for a thread that exits is kept.
    pub(crate) deaths_outlive_handles: bool,
    /// The handles of a process that ends are let go of in the order of a tree, and not of their numbers.
    pub(crate) handles_end_as_a_tree: bool,

    /// An argument that cannot be read or written is EFAULT, not EINVAL.
    pub(crate) bad_arguments_fault: bool,
    /// Only threads of the process that opened a device can read and write there.
    pub(crate) threads_are_of_one_process: bool,
    /// All threads that poll wait in one queue, which is called for work of each of them.
    pub(crate) pollers_share_a_queue: bool,
    /// Pollers are called for work that a thread has given itself.
    pub(crate) own_work_calls_pollers: bool,
    /// The effective user of a sender is that of the process that opened the device, and not that of the calling thread.
    pub senders_are_openers: bool,
    /// A thread serves a call with the priority of the caller.
    pub(crate) hands_priorities_on: bool,
    /// A process without a mapping gets no transactions, even if it had one.
    pub(crate) unmapping_ends_transactions: bool,
    /// Which pieces of a mapping are given memory, where it is in several.
    pub pieces_given_memory: PiecesGivenMemory,
    pub(crate) placing: Placing,
    /// A buffer is taken only once there is memory for it, and not given back if there is none.
    pub(crate) memory_comes_first: bool,
    /// The context manager's object is handle 0 however it comes, and not only to those who ask for handle 0.
    pub(crate) manager_is_always_zero: bool,
    /// Handle 0 cannot be called by any device of the context manager's process.
    pub(crate) manager_is_known_by_pid: bool,
    /// Whether a call may be made at all is looked at before whether its callee is alive.
    pub(crate) stack_is_looked_at_first: bool,
    /// A thread cannot call while the next thing that it has to read is a call or a reply.
    pub(crate) unread_transactions_forbid_calls: bool,
    /// A reply with TF_ONE_WAY takes of the room for messages, and is counted and suspected as they are.
    pub(crate) oneway_replies_take_room_for_messages: bool,
    /// Any reply that fails is BR_FAILED_REPLY for the caller, who is told before the one that replied.
    pub(crate) replies_fail_alike: bool,
    /// Sizes that no transaction can have are refused before the receiver's mapping is looked at.
    pub(crate) sizes_are_looked_at_first: bool,
    /// Of the table of offsets, each is read when the objects before have been passed on.
    pub(crate) offsets_are_read_singly: bool,
    /// A payload without objects arrives with 0 for the address of its table of offsets.
    pub(crate) empty_tables_have_no_address: bool,
    /// Whether an object can be at its offset is looked at before what lies before it is copied.
    pub(crate) alignment_is_looked_at_first: bool,
    /// A caller is known by its pid even if its thread has ended, and a thread that has ended is still called back.
    pub(crate) callers_outlive_threads: bool,

    /// A scatter-gather buffer can be a parent even if its object is at the very start of the payload.
    pub(crate) first_object_can_be_parent: bool,
    /// A pointer into another buffer must lie at a multiple of 4.
    pub(crate) pointers_are_aligned: bool,
    /// An array of no descriptors needs a receiver that takes some, and a place in its buffer, as any other does.
    pub(crate) empty_arrays_are_no_exception: bool,
    /// An array of descriptors is read whole before the first of them is looked at.
    pub(crate) arrays_are_read_first: bool,
    /// What stands in the place of flags arrives with a descriptor, and with an array of them.
    pub(crate) flags_of_descriptors_arrive: bool,
    /// Of a reply whose descriptors its caller cannot have the caller is told nothing.
    pub(crate) replies_without_descriptors_vanish: bool,

    /// The files of the folder `binder_logs` of a binderfs.
    pub(crate) logs: &'static [&'static str],
    /// Transactions that fail, are held up or are suspicious are reported to whoever listens.
    pub makes_reports: bool,
    /// A report names the callee's process as soon as that is known, and the thread that is called back only when the
    /// transaction is on its way.
    pub(crate) reports_name_processes_first: bool,
    /// A oneway message to a frozen process is answered with BR_TRANSACTION_PENDING_FROZEN.
    pub has_pending_frozen: bool,
    /// That answer is an error: commands behind such a message are not carried out before it is read.
    pub(crate) pending_is_an_error: bool,
    /// To freeze a process that is not there succeeds.
    pub(crate) nobody_can_be_frozen: bool,
    /// The devices of a process are frozen context by context, and within one in the order in which they were opened.
    pub(crate) freezes_by_context: bool,
    /// Waiting for as long as 2^31 milliseconds fails.
    pub(crate) long_timeouts_fail: bool,
    /// Whoever waits to freeze a process waits for what has not been read, and not for calls to be answered.
    pub(crate) freezing_waits_for_readers_only: bool,
    /// Whoever waits freezes the process in the end even if it has been thawed meanwhile.
    pub(crate) freezing_settles_anew: bool,
    /// Whoever waits to freeze a device keeps it from being forgotten when it is closed.
    pub(crate) freezing_keeps_devices: bool,
    pub(crate) freeze_notifications: FreezeNotifications,
    pub(crate) spam_detection: SpamDetection,

    /// The extended error of what the transaction stack forbids.
    pub(crate) stack_error: Errno,
    /// The error of a handle that the process does not have.
    pub(crate) handle_error: Errno,
    /// The extended error of an offset that is not within the data, or within another object.
    pub(crate) offset_error: Errno,
    /// The extended error of an object that does not end within the data, or cannot be read.
    pub(crate) cut_off_object_error: Errno,
    /// The extended error of a scatter-gather buffer that cannot be read.
    pub(crate) unreadable_buffer_error: Errno,
    /// BR_DEAD_REPLY and BR_FROZEN_REPLY are no extended errors.
    pub(crate) only_failures_are_explained: bool,
    /// The extended error of a new thread has a number.
    pub(crate) new_threads_have_errors: bool,
    /// What no driver should have.
    pub(crate) planted: Planted,
}

/// Which pieces of a mapping are given memory, where a change of protection or what was taken away has left several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PiecesGivenMemory {
    /// All of them.
    #[default]
    All,
    /// The one whose protection was changed last, of those that were this one before.
    Changed,
    /// The one that begins where the mapping began.
    First,
}

/// Which of the free pieces of a mapping a payload is put into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Placing {
    /// The smallest that has room.
    #[default]
    Smallest,
    /// The one behind the last buffer, or else the first that has room. From when there are many buffers until there is
    /// none, the smallest.
    BehindTheLast,
}

/// Whether and how processes are told that others are frozen or thawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreezeNotifications {
    /// Not at all.
    None,
    /// See [`crate::freeze_notification`].
    OfC,
    /// See [`crate::rust_freeze_notification`].
    OfRust,
}

/// Two ways to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counting {
    /// See [`crate::node`].
    OfC,
    /// See [`crate::rust_counting`].
    OfRust,
}

impl Profile {
    /// All there are.
    pub const ALL: [Profile; 4] = [Profile::C, Profile::C_6_12, Profile::C_6_1, Profile::RUST];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// The C driver of Linux 7.2 and 7.3.
    pub const C: Profile = Profile {
        name: "c",
        counting: Counting::OfC,
        process_work_is_for_loopers: false,
        process_work_is_handed_over: false,
        first_read_returns: true,
        flush_is_for_sleepers: false,
        deferred_work_comes_first: true,
        keeps_to_sizes: false,
        continued_reads_ask_for_loopers: true,
        readers_stay_as_they_began: false,
        any_registration_is_an_answer: false,
        untold_errors_are_lost: false,
        lost_transactions_are_given_back: false,
        node_work_outlives_threads: false,
        deaths_outlive_handles: false,
        handles_end_as_a_tree: false,
        bad_arguments_fault: false,
        threads_are_of_one_process: false,
        pollers_share_a_queue: false,
        own_work_calls_pollers: true,
        hands_priorities_on: true,
        senders_are_openers: false,
        unmapping_ends_transactions: true,
        pieces_given_memory: PiecesGivenMemory::All,
        placing: Placing::Smallest,
        memory_comes_first: false,
        manager_is_always_zero: true,
        manager_is_known_by_pid: true,
        stack_is_looked_at_first: false,
        unread_transactions_forbid_calls: true,
        oneway_replies_take_room_for_messages: false,
        replies_fail_alike: false,
        sizes_are_looked_at_first: false,
        offsets_are_read_singly: false,
        empty_tables_have_no_address: false,
        alignment_is_looked_at_first: false,
        callers_outlive_threads: false,
        first_object_can_be_parent: false,
        pointers_are_aligned: true,
        empty_arrays_are_no_exception: false,
        arrays_are_read_first: false,
        flags_of_descriptors_arrive: true,
        replies_without_descriptors_vanish: false,
        logs: &[
            "state",
            "stats",
            "transactions",
            "transaction_log",
            "failed_transaction_log",
            "state_hashed",
            "transactions_hashed",
        ],
        makes_reports: true,
        reports_name_processes_first: false,
        has_pending_frozen: true,
        pending_is_an_error: false,
        nobody_can_be_frozen: false,
        freezes_by_context: false,
        long_timeouts_fail: true,
        freezing_waits_for_readers_only: false,
        freezing_settles_anew: false,
        freezing_keeps_devices: true,
        freeze_notifications: FreezeNotifications::OfC,
        spam_detection: SpamDetection {
            counts_message: false,
            tells_once: true,
            heeds_switch_when_sent: false,
        },
        stack_error: Errno::EPROTO,
        handle_error: Errno::EINVAL,
        offset_error: Errno::EFAULT,
        cut_off_object_error: Errno::EINVAL,
        unreadable_buffer_error: Errno::EINVAL,
        only_failures_are_explained: false,
        new_threads_have_errors: false,
        planted: Planted::NONE,
    };

    /// The C driver of Linux 6.12.
    pub const C_6_12: Profile = Profile {
        name: "c-6.12",
        logs: &["state", "stats", "transactions", "transaction_log", "failed_transaction_log"],
        makes_reports: false,
        senders_are_openers: true,
        pieces_given_memory: PiecesGivenMemory::Changed,
        ..Profile::C
    };

    /// The C driver of Linux 6.1.
    pub const C_6_1: Profile = Profile {
        name: "c-6.1",
        has_pending_frozen: false,
        freeze_notifications: FreezeNotifications::None,
        memory_comes_first: true,
        spam_detection: SpamDetection { counts_message: true, ..Profile::C.spam_detection },
        ..Profile::C_6_12
    };

    /// The driver in Rust, as it is in Linux 7.3.
    pub const RUST: Profile = Profile {
        name: "rust",
        counting: Counting::OfRust,
        process_work_is_for_loopers: true,
        process_work_is_handed_over: true,
        first_read_returns: false,
        flush_is_for_sleepers: true,
        deferred_work_comes_first: false,
        keeps_to_sizes: true,
        continued_reads_ask_for_loopers: false,
        readers_stay_as_they_began: true,
        any_registration_is_an_answer: true,
        untold_errors_are_lost: true,
        lost_transactions_are_given_back: true,
        node_work_outlives_threads: true,
        deaths_outlive_handles: true,
        handles_end_as_a_tree: true,
        bad_arguments_fault: true,
        threads_are_of_one_process: true,
        pollers_share_a_queue: true,
        own_work_calls_pollers: false,
        hands_priorities_on: false,
        senders_are_openers: true,
        unmapping_ends_transactions: false,
        pieces_given_memory: PiecesGivenMemory::First,
        placing: Placing::BehindTheLast,
        memory_comes_first: true,
        manager_is_always_zero: false,
        manager_is_known_by_pid: false,
        stack_is_looked_at_first: true,
        unread_transactions_forbid_calls: false,
        oneway_replies_take_room_for_messages: true,
        replies_fail_alike: true,
        sizes_are_looked_at_first: true,
        offsets_are_read_singly: true,
        empty_tables_have_no_address: true,
        alignment_is_looked_at_first: true,
        callers_outlive_threads: true,
        first_object_can_be_parent: true,
        pointers_are_aligned: false,
        empty_arrays_are_no_exception: true,
        arrays_are_read_first: true,
        flags_of_descriptors_arrive: false,
        replies_without_descriptors_vanish: true,
        logs: &["state", "stats", "transactions"],
        makes_reports: true,
        reports_name_processes_first: true,
        has_pending_frozen: true,
        pending_is_an_error: true,
        nobody_can_be_frozen: true,
        freezes_by_context: true,
        long_timeouts_fail: false,
        freezing_waits_for_readers_only: true,
        freezing_settles_anew: true,
        freezing_keeps_devices: false,
        freeze_notifications: FreezeNotifications::OfRust,
        spam_detection: SpamDetection {
            counts_message: true,
            tells_once: false,
            heeds_switch_when_sent: true,
        },
        stack_error: Errno::EINVAL,
        handle_error: Errno::ENOENT,
        offset_error: Errno::EINVAL,
        cut_off_object_error: Errno::EFAULT,
        unreadable_buffer_error: Errno::EFAULT,
        only_failures_are_explained: true,
        new_threads_have_errors: true,
        planted: Planted::NONE,
    };

    /// Whether there are BC_REQUEST_FREEZE_NOTIFICATION and what goes with it.
    pub fn has_freeze_notifications(&self) -> bool {
        self.freeze_notifications != FreezeNotifications::None
    }

    /// What the folder `features` of a binderfs names.
    pub(crate) fn features(&self) -> impl Iterator<Item = &'static str> {
        let notifies = !matches!(self.freeze_notifications, FreezeNotifications::None);
        ["extended_error", "oneway_spam_detection"]
            .into_iter()
            .chain(notifies.then_some("freeze_notification"))
            .chain(self.makes_reports.then_some("transaction_report"))
    }
}

impl Default for Profile {
    fn default() -> Self {
        Profile::C
    }
}
