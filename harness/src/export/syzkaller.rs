//! Exporting to syzkaller: as much of a script as its descriptions can express.

use super::NotExportable;
use crate::script::Script;

pub(super) fn export(script: &Script, origin: &str) -> Result<String, NotExportable> {
    let _ = (script, origin);
    Err(NotExportable { line: 1, reason: "not yet" })
}
