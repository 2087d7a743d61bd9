//! Probes: which requests and commands a driver knows, found out by making them with an argument where there is no
//! memory. A driver that knows them fails with EFAULT, any other with EINVAL.
//!
//! The version of the kernel would not do: vendors give their kernels features of later ones.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use reference_driver::uapi::*;
use zerocopy::IntoBytes;

use crate::program::Feature;
use crate::target::UNMAPPED;

/// Whether the driver behind an open device knows what makes up a feature; `None` for one that is not probed for.
pub fn knows(device: &File, feature: Feature) -> Option<bool> {
    let requests: &[u32] = match feature {
        Feature::Freeze => &[BINDER_FREEZE, BINDER_GET_FROZEN_INFO],
        Feature::OnewaySpamDetection => &[BINDER_ENABLE_ONEWAY_SPAM_DETECTION],
        Feature::ExtendedError => &[BINDER_GET_EXTENDED_ERROR],
        Feature::NodeInfo => &[BINDER_GET_NODE_DEBUG_INFO, BINDER_GET_NODE_INFO_FOR_REF],
        Feature::FreezeNotification => return Some(knows_command(device, BC_REQUEST_FREEZE_NOTIFICATION)),
        _ => return None,
    };
    Some(requests.iter().all(|request| ioctl(device, *request, UNMAPPED) == Err(Errno::EFAULT)))
}

/// Writes a command that ends where memory does, before its argument.
fn knows_command(device: &File, command: u32) -> bool {
    const PAGE: NonZeroUsize = NonZeroUsize::new(0x1000).expect("a page is not empty");
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let length = PAGE.saturating_add(PAGE.get());
    // SAFETY: the kernel chooses an address at which nothing is mapped.
    let Ok(start) = (unsafe { mmap_anonymous(None, length, protection, MapFlags::MAP_PRIVATE) }) else {
        return false;
    };
    // SAFETY: both pages are this function's own, and nothing refers to the second.
    let second = unsafe { start.byte_add(PAGE.get()) };
    // SAFETY: as above.
    let guarded = unsafe { munmap(second, PAGE.get()) };
    // SAFETY: the last four bytes of the first page, which is mapped and writable.
    let place = unsafe { second.byte_sub(size_of::<u32>()) }.cast::<u32>();
    // SAFETY: as above.
    unsafe { place.write_unaligned(command) };
    // The driver writes to it how far it has come.
    let mut request = WriteRead {
        write_size: (size_of::<u32>() + size_of::<HandleCookie>()) as u64,
        write_buffer: place.as_ptr() as u64,
        ..WriteRead::default()
    };
    let written = ioctl(device, BINDER_WRITE_READ, request.as_mut_bytes().as_mut_ptr() as u64);
    // SAFETY: the first page is this function's own, and nothing refers to it any more.
    let unmapped = unsafe { munmap(start, PAGE.get()) };
    guarded.is_ok() && unmapped.is_ok() && written == Err(Errno::EFAULT)
}

fn ioctl(device: &File, request: u32, argument: u64) -> nix::Result<()> {
    // SAFETY: the argument is unmapped, or points at a structure of the size that the request is about.
    let result = unsafe { nix::libc::ioctl(device.as_raw_fd(), request as nix::libc::Ioctl, argument) };
    Errno::result(result).map(drop)
}
