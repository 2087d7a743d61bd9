//! `binderdrill seeds`: what fuzzing begins with.

use std::fs;
use std::io::Write;

use super::{CommandError, SeedsArguments, Status};
use crate::fuzz_target::dictionary;

pub(super) fn seeds(arguments: &SeedsArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    if arguments.dictionary {
        out.write_all(dictionary().as_bytes())?;
    }
    if let Some(folder) = &arguments.folder {
        fs::create_dir_all(folder)?;
        for seed in arguments.target.seeds() {
            let path = folder.join(seed.file_name());
            if !path.exists() {
                fs::write(path, &seed.bytes)?;
            }
        }
    }
    Ok(Status::AsExpected)
}
