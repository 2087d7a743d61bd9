//! The corpus: programs that are replayed besides the suite, as the model of a driver does them.

use std::path::PathBuf;

use reference_driver::Profile;

use super::CommandError;
use crate::fuzz_target::FuzzTarget;
use crate::script::print;
use crate::suite::{self, Case};

/// Programs that showed a mistake once, and the user's: scripts, what fuzzers keep, folders of these. None, where it is not
/// known which profile models the driver.
pub(super) fn corpus(paths: &[PathBuf], profile: Option<&str>) -> Result<Vec<Case>, CommandError> {
    let Some(profile) = profile.and_then(Profile::named) else {
        return Ok(Vec::new());
    };
    let mut inputs: Vec<(String, Vec<u8>)> = binderdrill_suites::findings()
        .into_iter()
        .map(|file| (format!("fuzz/findings/{}", file.id), file.script.to_vec()))
        .collect();
    for path in paths {
        let paths = if path.is_dir() { suite::files_under(path)? } else { vec![path.clone()] };
        for path in paths {
            inputs.push((path.display().to_string(), suite::read_script(&path)?));
        }
    }
    let programs = inputs.into_iter().filter_map(|(name, bytes)| {
        let settled = FuzzTarget::CommandStream.program(&bytes, &profile)?;
        let text = print(&settled.program);
        (!settled.program.steps.is_empty()).then(|| Case::new(name.clone(), name, text.as_bytes()))
    });
    Ok(programs.collect())
}
