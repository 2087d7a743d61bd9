//! The 64-bit binder ABI: codes, flags and layouts, as `include/uapi/linux/android/binder.h` gives them.
//!
//! Command, return and ioctl codes are computed from a letter, a number and the size of their argument
//! in the way the kernel's `_IO`, `_IOR`, `_IOW` and `_IOWR` macros do it, so that a wrong layout shows
//! as a wrong code.

mod codes;
mod errno;
mod layout;

pub use codes::*;
pub use errno::Errno;
pub use layout::*;
