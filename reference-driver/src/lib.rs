//! The Android Binder driver as a pure, deterministic state machine.
//!
//! [`Driver`] is the kernel's side of the protocol and nothing else: no threads, no clock, no files. Its methods
//! are the system calls on a binder device; what sleeps and what is woken is told to whoever calls them.
//!
//! Each concept of the driver has a module of its own, under the name that the field knows it by. A call goes
//! through `write` (the commands), `sending`, `object`, `scatter` and `descriptor` (where it goes and what it carries),
//! `transaction`, `buffer`, `node` and `reference` (what keeps it alive), `work` (the queues), and comes out of `read`
//! (the returns).

mod audit;
mod binderfs;
mod buffer;
mod caller;
mod context;
mod death;
mod descriptor;
mod driver;
mod extended_error;
mod free_buffers;
mod freeze;
mod freeze_notification;
mod mapping;
mod memory;
mod node;
mod node_information;
mod object;
mod oneway_spam;
mod planted;
mod polling;
mod priority;
mod process;
mod profile;
mod queue;
mod read;
mod red_black_tree;
mod reference;
mod release;
mod report;
mod rust_counting;
mod rust_freeze_notification;
mod scatter;
mod sending;
mod statistics;
mod table;
mod thread;
mod transaction;
pub mod uapi;
mod user_namespace;
mod work;
mod write;

pub use binderfs::Binderfs;
pub use caller::Caller;
pub use context::ContextIndex;
pub use descriptor::{DescriptorTable, OpenFile};
pub use driver::{Completion, Device, Driver};
pub use memory::{Fault, UserMemory};
#[cfg(feature = "planted-bugs")]
pub use planted::Bug;
pub use polling::{PollQueue, Polled};
pub use profile::{PiecesGivenMemory, Profile};
pub use report::Report;
pub use statistics::{Census, Statistics};
