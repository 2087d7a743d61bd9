//! Whether the processor itself can run guests. `/dev/kvm` may be there and yet not boot a kernel: only trying tells.
//! That it does not is remembered until this machine is booted again.

use std::fs::{self, File};
use std::path::PathBuf;

/// Whether it has not been seen to fail.
pub fn is_kvm_worth_trying() -> bool {
    let is_there = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    is_there && record().is_none_or(|record| !record.exists())
}

/// It has failed.
pub fn note_kvm_fails() {
    if let Some(record) = record()
        && let Some(folder) = record.parent()
    {
        // If it cannot be remembered, it is tried again.
        let _ = fs::create_dir_all(folder);
        let _ = fs::write(record, "");
    }
}

/// The file whose presence says that it has failed since this machine was booted.
fn record() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("", "", "binderdrill")?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(folders.cache_dir().join(format!("kvm-fails-{}", boot.trim())))
}
