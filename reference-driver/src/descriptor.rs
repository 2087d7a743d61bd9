//! Descriptors: how open files go from one process to another.
//!
//! The driver takes the file from the descriptor of its sender when a transaction is sent, and holds it until the
//! transaction is delivered. Only then is there a descriptor for the receiver, made by the thread that reads.

use std::sync::Arc;

use crate::driver::Driver;
use crate::memory::UserMemory;
use crate::object::Passage;
use crate::scatter::Refused;
use crate::table::Key;
use crate::transaction::Transaction;
use crate::uapi::Errno;

/// An open file (`struct file`), which may have several descriptors, in several processes. It is open for as long as
/// something holds it: a descriptor, or a transaction on its way.
#[derive(Debug, Clone)]
pub struct OpenFile(Arc<u32>);

impl OpenFile {
    /// A file that is called by this number. Only those that are cloned from it are the same file.
    pub fn new(number: u32) -> OpenFile {
        OpenFile(Arc::new(number))
    }

    /// The number that it was given.
    pub fn number(&self) -> u32 {
        *self.0
    }

    /// How many hold it, the one who asks among them.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// The descriptors of a process.
pub trait DescriptorTable {
    /// The file that a descriptor is for, if there is such a one.
    fn file(&self, number: u32) -> Option<OpenFile>;

    /// Makes a descriptor that is close-on-exec, with the lowest number that is free. EMFILE if there can be no more.
    fn install(&mut self, file: OpenFile) -> Result<u32, Errno>;

    /// Closes a descriptor, if there is such a one.
    fn close(&mut self, number: u32);
}

/// A file on its way, for which the receiver is to get a descriptor.
#[derive(Debug)]
pub(crate) struct FileOnItsWay {
    pub(crate) file: OpenFile,
    /// Where in the receiver's buffer the number of its descriptor goes, in bytes from its start.
    pub(crate) place: u64,
}

impl Driver {
    /// The file of a descriptor that is sent. EPERM if the receiver takes none, EBADF if there is no such descriptor.
    pub(crate) fn take_file(
        &self,
        passage: &Passage<'_>,
        number: u32,
        place: u64,
    ) -> Result<FileOnItsWay, Refused> {
        if !passage.takes_descriptors {
            return Err(Refused(Errno::EPERM));
        }
        let file = passage.memory.file(number).ok_or(Refused(Errno::EBADF))?;
        Ok(FileOnItsWay { file, place })
    }

    /// Gives the process that reads a transaction its descriptors; all of them or none. Returns their numbers.
    pub(crate) fn install_descriptors(
        &mut self,
        transaction: Key<Transaction>,
        process: &mut dyn UserMemory,
    ) -> Result<Vec<u32>, Errno> {
        let state = &mut self.transactions[transaction];
        let files = std::mem::take(&mut state.files);
        let Some((receiver, buffer)) = state.to_process.zip(state.buffer) else { return Ok(Vec::new()) };
        let mut installed = Vec::new();
        for FileOnItsWay { file, place } in files {
            match process.install(file) {
                Ok(number) => installed.push((number, place as usize)),
                Err(errno) => {
                    installed.into_iter().for_each(|(number, _)| process.close(number));
                    return Err(errno);
                }
            }
        }
        let bytes = self.processes[receiver].allocator.bytes_mut(buffer);
        for (number, place) in &installed {
            bytes[*place..place + size_of::<u32>()].copy_from_slice(&number.to_ne_bytes());
        }
        Ok(installed.into_iter().map(|(number, _)| number).collect())
    }
}
