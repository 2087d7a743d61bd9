//! Memory that the kernel reclaims when it is told to.

use std::io::ErrorKind;

use crate::target::TargetError;

/// Where the kernel is told to.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// What it is told: to shrink what it keeps of files' names and inodes, and with that what drivers keep for later. The
/// contents of files, which cost most to read again, are left alone.
const SHRINK: &str = "2";

/// Has the kernel reclaim what memory it can do without.
pub(super) fn drop_caches() -> Result<(), TargetError> {
    std::fs::write(DROP_CACHES, SHRINK).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => TargetError::Unsupported(format!(
            "to have the kernel reclaim memory takes root and a {DROP_CACHES} that can be written to: {error}"
        )),
        ErrorKind::NotFound => TargetError::Unsupported(format!(
            "this kernel cannot be told to reclaim memory: there is no {DROP_CACHES}"
        )),
        _ => TargetError::Failed(format!(
            "the kernel was not told by {DROP_CACHES} to reclaim memory: {error}"
        )),
    })
}
