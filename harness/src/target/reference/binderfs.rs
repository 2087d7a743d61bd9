//! Instances of binderfs that the script has mounted, and the namespaces of those who mount them.

use reference_driver::Binderfs;
use reference_driver::uapi::Errno;

use super::{Answer, Process, ReferenceWorld};
use crate::program::{Argument, BinderfsCall};
use crate::target::{InstanceId, ThreadIndex};

/// An instance of binderfs that is mounted.
pub(super) struct Mounted {
    binderfs: Binderfs,
    /// The user whose its files are.
    owner: u32,
    /// The mount namespaces that it is in: that in which it was mounted, and those made of copies of it.
    namespaces: Vec<Option<Namespace>>,
}

/// The namespaces that a process has made for itself and those it forks, named by its index. Their root is its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Namespace(usize);

impl ReferenceWorld {
    pub(super) fn binderfs(
        &mut self,
        at: ThreadIndex,
        id: InstanceId,
        call: BinderfsCall,
    ) -> Result<Answer, Errno> {
        let Process { euid, namespace, .. } = self.processes[at.process];
        let may_mount = euid == 0 || namespace.is_some();
        if let BinderfsCall::Mount { max } = call {
            if !may_mount {
                return Err(Errno::EPERM);
            }
            // Only outside of user namespaces a process has the right to the option that gives files to read of the driver.
            let binderfs = Binderfs::mount(&mut self.driver, max, namespace.is_none())?;
            self.instances.insert(id, Mounted { binderfs, owner: euid, namespaces: vec![namespace] });
            return Ok(Answer::Success);
        }
        // Where nothing has been mounted there is an empty folder.
        let nothing = if call == BinderfsCall::Unmount { Errno::EINVAL } else { Errno::ENOENT };
        if matches!(call, BinderfsCall::Open { .. }) && self.processes[at.process].descriptor.is_some() {
            return Err(Errno::EEXIST);
        }
        let is_here = |mounted: &&mut Mounted| mounted.namespaces.contains(&namespace);
        let Some(Mounted { binderfs: instance, owner, namespaces }) =
            self.instances.get_mut(&id).filter(is_here)
        else {
            return Err(if call == BinderfsCall::Unmount && !may_mount { Errno::EPERM } else { nothing });
        };
        let is_owner = euid == 0 || euid == *owner;
        match call {
            BinderfsCall::Mount { .. } => {}
            BinderfsCall::Unmount if !may_mount => return Err(Errno::EPERM),
            // What another namespace has brought along stays.
            BinderfsCall::Unmount if namespaces.first() != Some(&namespace) => return Err(Errno::EINVAL),
            BinderfsCall::Unmount => {
                if self.openings.values().any(|opening| opening.instance == Some(id)) {
                    return Err(Errno::EBUSY);
                }
                self.instances.remove(&id);
            }
            // That is there, and its owner's.
            BinderfsCall::Add(_) if !is_owner => return Err(Errno::EACCES),
            BinderfsCall::Add(Argument::Unmapped) => return Err(Errno::EFAULT),
            BinderfsCall::Add(Argument::Value(name)) => instance.add(&mut self.driver, name.as_str())?,
            BinderfsCall::Open { path, nonblock } => {
                let context = instance.open(&self.driver, path.as_str(), is_owner)?;
                return self.open(at, context, nonblock, Some(id));
            }
            BinderfsCall::Unlink(path) => instance.unlink(&self.driver, path.as_str(), is_owner)?,
            BinderfsCall::Read(path) => {
                return Ok(Answer::Number(instance.read(&self.driver, path.as_str(), is_owner)?));
            }
        }
        Ok(Answer::Success)
    }

    pub(super) fn unshare(&mut self, at: ThreadIndex) -> Result<Answer, Errno> {
        let process = &mut self.processes[at.process];
        if process.threads.len() > 1 {
            return Err(Errno::EINVAL);
        }
        self.driver.enter_user_namespace(process.pid, process.euid);
        let outside = process.namespace.replace(Namespace(at.process));
        for mounted in self.instances.values_mut().filter(|mounted| mounted.namespaces.contains(&outside)) {
            mounted.namespaces.push(Some(Namespace(at.process)));
        }
        Ok(Answer::Success)
    }
}
