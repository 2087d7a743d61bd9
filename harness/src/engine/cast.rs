//! The cast: which names of a program are processes and threads, and where a world keeps them.

use std::collections::BTreeMap;

use super::fault::ScriptFault;
use crate::program::{Declaration, DeviceSetUp, Name, Process, Program};
use crate::target::{ProcessSpecification, ThreadIndex};

/// The processes and threads that a program declares.
#[derive(Debug)]
pub(super) struct Cast {
    processes: Vec<Process>,
    /// The threads of each process, in the order of their declaration.
    threads: Vec<Vec<Name>>,
    by_name: BTreeMap<Name, ThreadIndex>,
}

impl Cast {
    /// Those of this program.
    pub(super) fn of(program: &Program) -> Result<Cast, ScriptFault> {
        let mut cast = Cast { processes: Vec::new(), threads: Vec::new(), by_name: BTreeMap::new() };
        for declaration in &program.declarations {
            match &declaration.value {
                Declaration::Process(process) => {
                    cast.processes.push(process.clone());
                    cast.threads.push(Vec::new());
                    cast.add(process.name.clone(), cast.processes.len() - 1)?;
                }
                Declaration::Thread { name, process } => {
                    let process = cast.process(process)?;
                    cast.add(name.clone(), process)?;
                }
            }
        }
        Ok(cast)
    }

    fn add(&mut self, name: Name, process: usize) -> Result<(), ScriptFault> {
        let index = ThreadIndex { process, thread: self.threads[process].len() };
        if self.by_name.insert(name.clone(), index).is_some() {
            return Err(ScriptFault::DeclaredTwice(name));
        }
        self.threads[process].push(name);
        Ok(())
    }

    /// The processes as a target wants them.
    pub(super) fn specifications(&self) -> Vec<ProcessSpecification> {
        self.processes
            .iter()
            .zip(&self.threads)
            .map(|(process, names)| ProcessSpecification {
                name: process.name.clone(),
                uid: process.uid,
                forked: process.device == DeviceSetUp::Forked,
                threads: names.clone(),
            })
            .collect()
    }

    /// The declared processes, each at its index.
    pub(super) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// The threads of a process.
    pub(super) fn threads(&self, process: usize) -> impl Iterator<Item = ThreadIndex> + use<> {
        (0..self.threads[process].len()).map(move |thread| ThreadIndex { process, thread })
    }

    /// The index of a process.
    pub(super) fn process(&self, name: &Name) -> Result<usize, ScriptFault> {
        let position = self.processes.iter().position(|process| process.name == *name);
        position.ok_or_else(|| ScriptFault::UnknownProcess(name.clone()))
    }

    /// The thread of this name, which may be one that a step gave it.
    pub(super) fn thread(&self, name: &Name) -> Result<ThreadIndex, ScriptFault> {
        self.by_name.get(name).copied().ok_or_else(|| ScriptFault::UnknownThread(name.clone()))
    }

    /// The name under which a thread was declared.
    pub(super) fn name(&self, thread: ThreadIndex) -> &Name {
        &self.threads[thread.process][thread.thread]
    }

    /// Calls a thread by one more name from here on.
    pub(super) fn alias(&mut self, name: Name, thread: ThreadIndex) {
        self.by_name.insert(name, thread);
    }
}

/// How many bytes of the device a process maps before the first step, if any.
pub(super) fn mapping(device: DeviceSetUp) -> Option<u64> {
    match device {
        DeviceSetUp::Forked | DeviceSetUp::Closed | DeviceSetUp::Opened => None,
        DeviceSetUp::Mapped(size) => Some(size),
    }
}
