//! The corpus: programs that are replayed besides the suite, as the model of a driver does them.

use std::path::PathBuf;

use reference_driver::Profile;

use super::CommandError;
use super::replay::inputs;
use crate::fuzz_target::FuzzTarget;
use crate::report::quoted;
use crate::script::print;
use crate::suite::Case;

/// Programs that showed a mistake once, and the user's: scripts, what fuzzers keep, folders of these. None, where it is not
/// known which profile models the driver.
pub(super) fn corpus(paths: &[PathBuf], profile: Option<&str>) -> Result<Vec<Case>, CommandError> {
    let Some(profile) = profile.and_then(Profile::named) else {
        return Ok(Vec::new());
    };
    let of_ours = binderdrill_suites::findings().into_iter().map(|file| {
        let name = format!("fuzz/findings/{}", file.id);
        (name, FuzzTarget::CommandStream.program(file.script, &profile))
    });
    let of_user = inputs(paths, None)?;
    if let Some(misread) = of_user.iter().find(|input| input.misread().is_some()) {
        return Err(CommandError::Options(format!(
            "{} of the corpus cannot be read: `binderdrill check {}` tells why",
            misread.name(),
            quoted(misread.name())
        )));
    }
    let of_user = of_user.iter().map(|input| (input.name().to_owned(), input.program(&profile)));
    let programs = of_ours.chain(of_user).filter_map(|(name, settled)| {
        let program = settled?.program;
        let text = print(&program);
        (!program.steps.is_empty()).then(|| Case::new(name.clone(), name, text.as_bytes()))
    });
    Ok(programs.collect())
}
