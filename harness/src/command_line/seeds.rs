//! `binderdrill seeds`: what fuzzing begins with.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::{CommandError, SeedsArguments, Status};
use crate::fuzz_target::dictionary;
use crate::suite::FileError;

pub(super) fn seeds(arguments: &SeedsArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    if arguments.dictionary {
        out.write_all(dictionary().as_bytes())?;
    }
    if let Some(folder) = &arguments.folder {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FileError { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        for seed in arguments.target.seeds() {
            let path = folder.join(seed.file_name());
            if !path.exists() {
                fs::write(&path, &seed.bytes).map_err(failed(&path))?;
            }
        }
    }
    Ok(Status::AsExpected)
}
