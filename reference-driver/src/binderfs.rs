//! Binderfs: the file system of which each instance has devices of its own, and makes more.

use std::collections::BTreeMap;

use crate::context::ContextIndex;
use crate::driver::Driver;
use crate::uapi::Errno;

/// The device that makes the others.
const CONTROL: &str = "binder-control";
/// The folder of files that tell of what the driver does.
const LOGS: &str = "binder_logs";
/// The folder in it for what there is to tell of single processes, by their ids.
const LOGS_OF_PROCESSES: &str = "proc";
/// The folder of files that stand for features of the driver.
const FEATURES: &str = "features";
/// The devices that each instance begins with.
const DEVICES: [&str; 3] = ["binder", "hwbinder", "vndbinder"];
/// As many devices as the driver has numbers for.
const MOST_DEVICES: u32 = 1 << 20;
/// The most bytes of a name.
const LONGEST_NAME: usize = 255;

/// An instance of binderfs.
#[derive(Debug)]
pub struct Binderfs {
    devices: BTreeMap<Vec<u8>, ContextIndex>,
    /// Devices that have been taken away: they take up room for as long as somebody has them open.
    taken_away: Vec<ContextIndex>,
    /// Whether it has the folder of files that tell of what the driver does.
    has_logs: bool,
    /// How many devices there can be, those that it begins with among them.
    max: u32,
}

impl Binderfs {
    /// Mounts an instance, with files that tell of what the driver does if it is asked for them.
    pub fn mount(driver: &mut Driver, max: Option<u32>, has_logs: bool) -> Result<Binderfs, Errno> {
        if max.is_some_and(|max| max > MOST_DEVICES) {
            return Err(Errno::EINVAL);
        }
        let mut instance = Binderfs {
            devices: BTreeMap::new(),
            taken_away: Vec::new(),
            has_logs,
            max: max.unwrap_or(MOST_DEVICES),
        };
        DEVICES.into_iter().try_for_each(|name| instance.add(driver, name))?;
        Ok(instance)
    }

    /// BINDER_CTL_ADD: makes a device.
    pub fn add(&mut self, driver: &mut Driver, name: &str) -> Result<(), Errno> {
        self.taken_away.retain(|context| driver.is_open(*context));
        if self.devices.len() + self.taken_away.len() >= self.max as usize {
            return Err(Errno::ENOSPC);
        }
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(Errno::EACCES);
        }
        // What does not fit is cut off, between whatever bytes that is.
        let name = &name.as_bytes()[..name.len().min(LONGEST_NAME)];
        let is = |known: &str| name == known.as_bytes();
        if is(CONTROL) || self.folders().any(is) || self.devices.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.devices.insert(name.to_vec(), driver.add_context(name));
        Ok(())
    }

    /// The context of a device. EACCES for who is not its owner.
    pub fn open(&self, driver: &Driver, path: &str, is_owner: bool) -> Result<ContextIndex, Errno> {
        match self.find(driver, path)? {
            Entry::Device(context) if is_owner => Ok(context),
            Entry::Folder => Err(Errno::EISDIR),
            Entry::Device(_) | Entry::Control | Entry::Feature | Entry::Log => Err(Errno::EACCES),
        }
    }

    /// Takes a device away. Whoever has it open goes on with it. EACCES for who is not the owner of the instance.
    pub fn unlink(&mut self, driver: &Driver, path: &str, is_owner: bool) -> Result<(), Errno> {
        match self.find(driver, path)? {
            _ if !is_owner => Err(Errno::EACCES),
            Entry::Device(context) => {
                self.devices.remove(path.as_bytes());
                self.taken_away.push(context);
                Ok(())
            }
            Entry::Folder => Err(Errno::EISDIR),
            Entry::Control | Entry::Feature | Entry::Log => Err(Errno::EPERM),
        }
    }

    /// What a file holds: those of which each stands for a feature of the driver hold 1. ENOMSG for one that holds no number
    /// (not the kernel's word: to read it is no error there). EACCES for a device, and who is not its owner.
    pub fn read(&self, driver: &Driver, path: &str, is_owner: bool) -> Result<i64, Errno> {
        match self.find(driver, path)? {
            Entry::Feature => Ok(1),
            Entry::Folder => Err(Errno::EISDIR),
            Entry::Log => Err(Errno::ENOMSG),
            Entry::Device(_) | Entry::Control if !is_owner => Err(Errno::EACCES),
            Entry::Device(_) | Entry::Control => Err(Errno::EINVAL),
        }
    }

    fn folders(&self) -> impl Iterator<Item = &'static str> {
        [FEATURES].into_iter().chain(self.has_logs.then_some(LOGS))
    }

    fn find(&self, driver: &Driver, path: &str) -> Result<Entry, Errno> {
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        if first.len() > LONGEST_NAME {
            return Err(Errno::ENAMETOOLONG);
        }
        let entry = match self.devices.get(first.as_bytes()) {
            Some(context) => Entry::Device(*context),
            None if first == CONTROL => Entry::Control,
            None if self.folders().any(|folder| folder == first) => Entry::Folder,
            None => return Err(Errno::ENOENT),
        };
        match (rest, entry) {
            (None, entry) => Ok(entry),
            (Some(rest), Entry::Folder) => {
                let name = rest.split('/').next().unwrap_or(rest);
                let is_feature =
                    first == FEATURES && driver.profile().features().any(|feature| feature == name);
                let is_log = first == LOGS && driver.profile().logs.contains(&name);
                match is_feature || is_log {
                    _ if name.len() > LONGEST_NAME => Err(Errno::ENAMETOOLONG),
                    _ if first == LOGS && name == LOGS_OF_PROCESSES => within_logs_of_processes(rest),
                    false => Err(Errno::ENOENT),
                    true if name != rest => Err(Errno::ENOTDIR),
                    true if is_feature => Ok(Entry::Feature),
                    true => Ok(Entry::Log),
                }
            }
            (Some(_), _) => Err(Errno::ENOTDIR),
        }
    }
}

/// What a path leads to that begins with the folder for single processes. The model has no files there: which ids processes
/// have is the kernel's choice.
fn within_logs_of_processes(path: &str) -> Result<Entry, Errno> {
    match path.split('/').nth(1) {
        None => Ok(Entry::Folder),
        Some(name) if name.len() > LONGEST_NAME => Err(Errno::ENAMETOOLONG),
        Some(_) => Err(Errno::ENOENT),
    }
}

/// What a path leads to.
enum Entry {
    Device(ContextIndex),
    /// The device that makes the others.
    Control,
    Folder,
    /// A file that stands for a feature of the driver.
    Feature,
    /// A file that tells of what the driver does, in words.
    Log,
}
