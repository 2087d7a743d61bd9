//! Descriptors: what a process does with them, and the files of a script that some are for.

use reference_driver::OpenFile;
use reference_driver::uapi::Errno;

use super::memory::Descriptor;
use super::{Answer, ReferenceWorld};
use crate::target::{FileId, ThreadIndex};

/// A file that a script has made.
pub(super) struct File {
    pub(super) open: OpenFile,
    /// Of an end of a pipe, the other one, and whether this is the end to read from.
    pub(super) pipe: Option<(FileId, End)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Reading,
    Writing,
}

impl File {
    /// Whether nobody but this world holds it.
    pub(super) fn is_closed(&self) -> bool {
        self.open.holders() == 1
    }
}

impl ReferenceWorld {
    pub(super) fn close_descriptor(&mut self, at: ThreadIndex, number: u32) -> Result<Answer, Errno> {
        if let Ok(opening) = self.opening_at(at.process, number) {
            let device = opening.device;
            self.driver.flush(device);
        }
        self.processes[at.process].memory.descriptors.close(number)?;
        Ok(Answer::Success)
    }

    pub(super) fn dup(&mut self, at: ThreadIndex, file: FileId) -> Result<Answer, Errno> {
        let opening = self.opening(at.process)?;
        if opening.file.is_some() {
            return Err(Errno::EEXIST);
        }
        let open = opening.open.clone();
        let number = self.processes[at.process].memory.descriptors.open(open, false)?;
        self.opening(at.process)?.file = Some(file);
        Ok(Answer::Descriptor(number))
    }

    pub(super) fn use_descriptor(&mut self, at: ThreadIndex, number: u32) -> Result<Answer, Errno> {
        self.opening_at(at.process, number)?;
        self.processes[at.process].descriptor = Some(number);
        Ok(Answer::Success)
    }

    /// Makes a file and a descriptor for it.
    pub(super) fn make(
        &mut self,
        at: ThreadIndex,
        file: FileId,
        pipe: Option<(FileId, End)>,
    ) -> Result<u32, Errno> {
        let open = OpenFile::new(file.0);
        let number = self.processes[at.process].memory.descriptors.open(open.clone(), false)?;
        self.files.insert(file, File { open, pipe });
        Ok(number)
    }

    pub(super) fn make_pipe(
        &mut self,
        at: ThreadIndex,
        reading: FileId,
        writing: FileId,
    ) -> Result<Answer, Errno> {
        let to_read = self.make(at, reading, Some((writing, End::Reading)))?;
        match self.make(at, writing, Some((reading, End::Writing))) {
            Ok(to_write) => Ok(Answer::Pipe { reading: to_read, writing: to_write }),
            Err(errno) => {
                self.processes[at.process].memory.descriptors.close(to_read)?;
                Err(errno)
            }
        }
    }

    /// What a file is known by that a descriptor is for.
    pub(super) fn file_of(&self, descriptor: &Descriptor) -> Option<FileId> {
        match self.openings.get(&descriptor.file.number()) {
            Some(opening) => opening.file,
            None => Some(FileId(descriptor.file.number())).filter(|file| self.files.contains_key(file)),
        }
    }
}
