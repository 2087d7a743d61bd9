//! Kernels at hand: stock kernels of Debian, fetched once, and kernels built here from source. All are kept in the
//! user's cache.
//!
//! A kernel is called by what it means and not by a version that will be gone next week: `debian-6.12` is the
//! newest 6.12 that Debian has, `debian-7` the newest 7; `built:uml-rust` is the Rust driver, built to run on
//! User-mode Linux.

mod apt;
mod build;
mod built;
mod commit;
mod configuration;
mod counting_module;
mod error;
mod failure;
mod lock;
mod make;
mod module;
mod notes;
mod objects;
mod overlay;
mod patched;
mod source;
mod space;
mod stale;
mod stock;
mod store;
mod supplies;
mod toolchain;
mod usual;

pub use crate::program::DriverKind;
pub use build::{Order, Outcome, Told};
pub use built::{BUILT_PREFIX, Built, BuiltFor, BuiltName, Choices, Instrument};
pub use counting_module::SECTION as COUNTING_SECTION;
pub use error::KernelError;
use error::{file_error, remove_all, remove_file};
pub use module::ModuleKind;
pub use notes::{Image, Notes};
pub use patched::{Boots, PATCHED_PREFIX, Patched, PatchedKey};
pub use source::{Fetched, PACKAGE_PREFIX, Source, SourceChoice, SourceName, Unpacked};
pub use space::NoSpace;
pub use stock::StockName;
pub use store::{Kernel, Store};
pub use supplies::Supply;
pub use usual::{STOCK, Usual, usual};
