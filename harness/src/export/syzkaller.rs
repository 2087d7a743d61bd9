//! Exporting to syzkaller: as much of a script as the descriptions of binder (`sys/linux/dev_binder.txt`) can express.
//!
//! They know one process. So each process of the script is an opening of the device of its own, which is what the driver
//! calls a process. What cannot be said stands as a comment in the place where it should be.

use std::collections::BTreeMap;
use std::fmt::Write;

use reference_driver::uapi::*;

use super::{NotExportable, actor_name, lines};
use crate::engine::payload as layout;
use crate::program::*;
use crate::script::{Script, fragment};

#[cfg(test)]
mod tests;

/// Where the memory of programs begins.
const MEMORY: u64 = 0x7f00_0000_0000;
/// Where mappings of the device lie in it.
const MAPPINGS: u64 = 0x7f00_0080_0000;
/// The end of that memory.
const MEMORY_END: u64 = 0x7f00_0100_0000;

/// How many objects the descriptions give every payload.
const OBJECTS: usize = 3;

pub(super) fn export(script: &Script, origin: &str) -> Result<String, NotExportable> {
    let program = &script.program;
    let mut out = Out { next_address: MEMORY, next_mapping: MAPPINGS, ..Out::default() };
    for line in &program.opening {
        out.remark(line);
    }
    out.remark("");
    out.remark(&format!("This is the script {origin}, exported by binderdrill for the descriptions of sys/linux/dev_binder.txt."));
    out.remark("What these cannot express:");
    out.remark("- Several processes: each is an opening of the device in one and the same process, so pids and users are all alike.");
    out.remark("- Which thread does a call. One in which a thread of the script sleeps is async, and nothing awaits its end.");
    out.remark("- What must come of a call: nothing is judged.");
    out.remark("- Numbers that come from the driver: handles are counted from 1 for each process, and a buffer is the first of its mapping.");
    out.remark("- Codes, cookies and plain data of transactions. A payload has three objects or none: the last one is repeated.");
    let mut processes = Vec::new();
    for noted in &program.declarations {
        match &noted.value {
            Declaration::Process(process) => {
                processes.push(process.clone());
                out.of_thread.insert(process.name.clone(), process.name.clone());
            }
            Declaration::Thread { name, process } => {
                out.of_thread.insert(name.clone(), process.clone());
            }
        }
    }
    for process in &processes {
        out.text.push('\n');
        out.set_up(process);
    }
    for line in lines(script)? {
        out.text.push('\n');
        out.remark(&format!("{}: {}", line.line, line.text));
        if let Actor::AnyOf { candidates, alias } = &line.step.actor
            && let Some(process) = candidates.first().and_then(|first| out.of_thread.get(first)).cloned()
        {
            out.of_thread.insert(alias.clone(), process);
        }
        out.step(line.step);
    }
    Ok(out.text)
}

/// A program on its way.
#[derive(Default)]
struct Out {
    text: String,
    next_resource: u32,
    next_address: u64,
    next_mapping: u64,
    /// The process of each thread.
    of_thread: BTreeMap<Name, Name>,
    /// The resource that is the descriptor of each process.
    devices: BTreeMap<Name, u32>,
    /// The resource that is its mapping, with address and length.
    mappings: BTreeMap<Name, (u32, u64, u64)>,
    /// The descriptors of files.
    files: BTreeMap<Name, u32>,
    /// The numbers of objects and of handles.
    objects: BTreeMap<Name, usize>,
    handles: BTreeMap<Name, usize>,
    /// How many handles each process has been given.
    given: BTreeMap<Name, usize>,
    /// Threads that sleep, as far as the script says.
    asleep: Vec<Name>,
}

impl Out {
    fn remark(&mut self, text: &str) {
        let _ = writeln!(self.text, "{}", format!("# {}", text.replace('\n', " ")).trim_end());
    }

    fn cannot(&mut self, why: &str) {
        self.remark(&format!("not expressible: {why}"));
    }

    fn call(&mut self, call: &str) {
        let _ = writeln!(self.text, "{call}");
    }

    /// A call that gives a resource.
    fn resource(&mut self, call: &str) -> u32 {
        let number = self.next_resource;
        self.next_resource += 1;
        self.call(&format!("r{number} = {call}"));
        number
    }

    /// A place in memory for so many bytes.
    fn address(&mut self, length: u64) -> String {
        let address = self.next_address;
        self.next_address += length.max(1).next_multiple_of(0x40);
        if self.next_address > MAPPINGS {
            // What does not fit begins anew: a call has done with what calls before it were given.
            self.next_address = MEMORY;
            return self.address(length.min(0x1_0000));
        }
        format!("&(0x{address:x})")
    }

    fn set_up(&mut self, process: &Process) {
        self.remark(&format!("process {}", process.name));
        if process.uid.is_some() {
            self.cannot("another user");
        }
        match process.device {
            DeviceSetUp::Forked | DeviceSetUp::Closed => {}
            DeviceSetUp::Opened => self.open(&process.name, process.context, process.nonblock),
            DeviceSetUp::Mapped(size) => {
                self.open(&process.name, process.context, process.nonblock);
                self.map(&process.name, size);
            }
        }
        if process.context_manager
            && let Some(device) = self.devices.get(&process.name)
        {
            self.call(&format!("ioctl$BINDER_SET_CONTEXT_MGR(r{device}, 0x{BINDER_SET_CONTEXT_MGR:x}, 0x0)"));
        }
    }

    fn open(&mut self, process: &Name, context: Context, nonblock: bool) {
        let path = format!("/dev/{context}\\x00");
        let address = self.address(path.len() as u64);
        let flags = if nonblock { 0x802 } else { 0x2 };
        let device = self
            .resource(&format!("openat${context}(0xffffffffffffff9c, {address}='{path}', 0x{flags:x}, 0x0)"));
        self.devices.insert(process.clone(), device);
    }

    fn map(&mut self, process: &Name, size: u64) {
        let Some(device) = self.devices.get(process).copied() else {
            self.cannot("the process has no device");
            return;
        };
        let length = size.next_multiple_of(0x1000);
        let address = self.next_mapping;
        if address + length > MEMORY_END {
            self.cannot("there is no room for this mapping");
            return;
        }
        self.next_mapping += length;
        let mapping = self.resource(&format!(
            "mmap$binder(&(0x{address:x}/0x{length:x})=nil, 0x{length:x}, 0x1, 0x1, r{device}, 0x0)"
        ));
        self.mappings.insert(process.clone(), (mapping, address, length));
    }

    fn step(&mut self, step: &Step) {
        let actor = actor_name(&step.actor).clone();
        let Some(process) = self.of_thread.get(&actor).cloned() else { return };
        let (commands, reads, expected): (&[Command], bool, Option<&ReadExpectation>) = match &step.action {
            Action::Call { call, .. } => return self.system_call(call, &process),
            Action::Write { commands, .. } => (commands, false, None),
            Action::Read { expected, .. } => (&[], true, Some(expected)),
            Action::WriteRead { commands, expected, .. } => (commands, true, expected.as_ref()),
        };
        self.learn(expected, &process);
        let parks = matches!(expected, Some(ReadExpectation::Parked));
        let awaits = matches!(step.action, Action::Read { .. })
            && (self.asleep.contains(&actor) || matches!(step.actor, Actor::AnyOf { .. }));
        if awaits {
            if !parks {
                self.asleep.retain(|thread| *thread != actor);
            }
            return self.remark("this is the end of the call above in which the thread sleeps");
        }
        let Some(device) = self.devices.get(&process).copied() else {
            return self.cannot("it has no device");
        };
        if parks {
            self.asleep.push(actor);
        }
        let mut written = Vec::new();
        let mut size = 0;
        for command in commands {
            if let Some((text, length)) = self.command(command, &process) {
                written.push(text);
                size += length;
            }
        }
        let read_size = if reads { 256 } else { 0 };
        let (argument, write, read) = (self.address(48), self.address(size), self.address(read_size));
        let call = format!(
            "ioctl$BINDER_WRITE_READ(r{device}, 0x{BINDER_WRITE_READ:x}, {argument}={{0x{size:x}, 0x0, {write}=[{}], \
             0x{read_size:x}, 0x0, {read}=\"\"/{read_size}}}){}",
            written.join(", "),
            if parks { " (async)" } else { "" }
        );
        self.call(&call);
    }

    /// Gives numbers to the handles that a read must give.
    fn learn(&mut self, expected: Option<&ReadExpectation>, process: &Name) {
        let Some(ReadExpectation::Returns(items)) = expected else { return };
        for item in items {
            let patterns: Vec<&ReturnPattern> = match item {
                ReturnItem::One(pattern) => vec![pattern],
                ReturnItem::InAnyOrder(patterns) => patterns.iter().collect(),
                ReturnItem::AnyOf(lists) => lists.first().into_iter().flatten().collect(),
            };
            for pattern in patterns {
                let Some(arrived) = pattern.arrival() else { continue };
                for object in layout::objects(&arrived.data) {
                    if let Object::Handle { handle: HandlePattern::Bind(name), .. } = object {
                        let given = self.given.entry(process.clone()).or_default();
                        *given += 1;
                        self.handles.insert(name.clone(), *given);
                    }
                }
            }
        }
    }

    fn handle(&self, handle: &Handle) -> String {
        match handle {
            Handle::Number(number) => format!("0x{number:x}"),
            Handle::Symbol(name) => format!("0x{:x}", self.handles.get(name).copied().unwrap_or(1)),
        }
    }

    fn object_number(&mut self, name: &Name) -> usize {
        let next = self.objects.len() + 1;
        *self.objects.entry(name.clone()).or_insert(next)
    }

    /// The pointer of a node; cookies are all 0.
    fn node(&mut self, node: &Node) -> String {
        match node {
            Node::Object(name) | Node::Explicit { pointer: Token::Symbol(name), .. } => {
                format!("0x{:x}", self.object_number(name))
            }
            Node::Explicit { pointer: Token::Number(number), .. } => format!("0x{number:x}"),
        }
    }

    /// A command, and its length; `None` if there is no way to say it.
    fn command(&mut self, command: &Command, process: &Name) -> Option<(String, u64)> {
        let of_handle =
            |kind: &str, code: u32, handle: String| (format!("@{kind}={{0x{code:x}, {handle}}}"), 8);
        let bare = |kind: &str, code: u32| (format!("@{kind}={{0x{code:x}}}"), 4);
        Some(match command {
            Command::Transaction { target, transaction } => {
                let handle = self.handle(target);
                (
                    format!(
                        "@transaction={{0x{BC_TRANSACTION:x}, {}}}",
                        self.transaction(&handle, transaction)
                    ),
                    68,
                )
            }
            Command::Reply(transaction) => {
                (format!("@reply={{0x{BC_REPLY:x}, {}}}", self.transaction("0x0", transaction)), 68)
            }
            Command::TransactionSg { target, transaction, buffers_size } => {
                let handle = self.handle(target);
                let size = buffers_size.unwrap_or_else(|| crate::engine::size_of_buffers(transaction));
                let data = self.transaction(&handle, transaction);
                (format!("@transaction_sg={{0x{BC_TRANSACTION_SG:x}, {data}, 0x{size:x}}}"), 76)
            }
            Command::ReplySg { transaction, buffers_size } => {
                let size = buffers_size.unwrap_or_else(|| crate::engine::size_of_buffers(transaction));
                let data = self.transaction("0x0", transaction);
                (format!("@reply_sg={{0x{BC_REPLY_SG:x}, {data}, 0x{size:x}}}"), 76)
            }
            Command::FreeBuffer(address) => match (address, self.mappings.get(process)) {
                (Address::Buffer { offset: 0, .. }, Some((mapping, ..))) => {
                    (format!("@free_buffer={{0x{BC_FREE_BUFFER:x}, r{mapping}}}"), 12)
                }
                (Address::Number(number), _) => {
                    (format!("@free_buffer={{0x{BC_FREE_BUFFER:x}, 0x{number:x}}}"), 12)
                }
                _ => return self.without(command, "this address"),
            },
            Command::Increfs(handle) => of_handle("increfs", BC_INCREFS, self.handle(handle)),
            Command::Acquire(handle) => of_handle("acquire", BC_ACQUIRE, self.handle(handle)),
            Command::Release(handle) => of_handle("release", BC_RELEASE, self.handle(handle)),
            Command::Decrefs(handle) => of_handle("decrefs", BC_DECREFS, self.handle(handle)),
            Command::IncrefsDone(node) => {
                (format!("@increfs_done={{0x{BC_INCREFS_DONE:x}, {}, 0x0}}", self.node(node)), 20)
            }
            Command::AcquireDone(node) => {
                (format!("@acquire_done={{0x{BC_ACQUIRE_DONE:x}, {}, 0x0}}", self.node(node)), 20)
            }
            Command::RegisterLooper => bare("register_looper", BC_REGISTER_LOOPER),
            Command::EnterLooper => bare("enter_looper", BC_ENTER_LOOPER),
            Command::ExitLooper => bare("exit_looper", BC_EXIT_LOOPER),
            Command::RequestDeathNotification(handle, _) => (
                format!(
                    "@request_death={{0x{BC_REQUEST_DEATH_NOTIFICATION:x}, {}, 0x0}}",
                    self.handle(handle)
                ),
                16,
            ),
            Command::ClearDeathNotification(handle, _) => (
                format!("@clear_death={{0x{BC_CLEAR_DEATH_NOTIFICATION:x}, {}, 0x0}}", self.handle(handle)),
                16,
            ),
            Command::DeadBinderDone(_) => {
                (format!("@dead_binder_done={{0x{BC_DEAD_BINDER_DONE:x}, 0x0}}"), 12)
            }
            Command::AcquireResult(_)
            | Command::AttemptAcquire(_)
            | Command::RequestFreezeNotification(..)
            | Command::ClearFreezeNotification(..)
            | Command::FreezeNotificationDone(_) => {
                return self.without(command, "no description has this command");
            }
            Command::Bytes(_) => return self.without(command, "commands that are spelt out"),
        })
    }

    fn without<T>(&mut self, command: &Command, why: &str) -> Option<T> {
        self.cannot(&format!("{} is left out: {why}", fragment::command_word(command)));
        None
    }

    /// `binder_transaction_data`.
    fn transaction(&mut self, handle: &str, sent: &Transaction) -> String {
        let spelt_out = sent.data_size.is_some() || sent.offsets.is_some() || sent.offsets_size.is_some();
        if spelt_out || sent.buffer.is_some() || sent.offsets_buffer.is_some() {
            self.cannot("sizes, offsets and addresses that are wrong on purpose");
        }
        if sent.code != 0 {
            self.cannot(&format!("code {}", sent.code));
        }
        let is_plain = |item: &DataItem<Handle>| !matches!(item.without_place(), DataItem::Object(_));
        if sent.data.iter().any(is_plain) {
            self.cannot("data that is no object");
        }
        let mut objects: Vec<(String, u64)> = Vec::new();
        for object in layout::objects(&sent.data) {
            match self.object(object) {
                Some(text) => objects.push((text, object.size())),
                None => self.cannot("an object that is spelt out"),
            }
        }
        if objects.len() > OBJECTS {
            self.cannot("more than three objects");
            objects.truncate(OBJECTS);
        }
        let flags = sent.flags;
        let Some(last) = objects.last().cloned() else {
            return format!("{{{handle}, 0x0, 0x0, 0x0, 0x{flags:x}, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0}}");
        };
        objects.resize(OBJECTS, last);
        let places: Vec<u64> = objects
            .iter()
            .scan(0, |end, (_, size)| {
                let place = *end;
                *end += size;
                Some(place)
            })
            .collect();
        let size: u64 = objects.iter().map(|(_, size)| size).sum();
        let texts: Vec<&str> = objects.iter().map(|(text, _)| text.as_str()).collect();
        let places: Vec<String> = places.iter().map(|place| format!("0x{place:x}")).collect();
        let (data, table) = (self.address(size), self.address(24));
        format!(
            "{{{handle}, 0x0, 0x0, 0x0, 0x{flags:x}, 0x0, 0x0, 0x{size:x}, 0x18, {data}={{{}}}, {table}={{{}}}}}",
            texts.join(", "),
            places.join(", ")
        )
    }

    fn object(&mut self, object: &Object<Handle>) -> Option<String> {
        Some(match object {
            Object::Binder { weak, object, flags } => {
                let kind = if *weak { "weak_binder" } else { "binder" };
                let (object_type, flags) =
                    (layout::binder_type(*weak), flags.unwrap_or(layout::USUAL_BINDER_FLAGS));
                let number = self.object_number(object);
                format!("@flat=@{kind}={{0x{object_type:x}, 0x{flags:x}, 0x{number:x}, 0x0}}")
            }
            Object::Handle { weak, handle, flags } => {
                let kind = if *weak { "weak_handle" } else { "handle" };
                let (object_type, flags) = (layout::handle_type(*weak), flags.unwrap_or(0));
                format!("@flat=@{kind}={{0x{object_type:x}, 0x{flags:x}, {}, 0x0}}", self.handle(handle))
            }
            Object::Explicit { .. } => return None,
            Object::Fd { descriptor, .. } => {
                let descriptor = match descriptor {
                    Descriptor::Number(number) => format!("0x{number:x}"),
                    Descriptor::File(name) => self
                        .files
                        .get(name)
                        .map_or_else(|| "0xffffffffffffffff".to_owned(), |file| format!("r{file}")),
                };
                format!("@fd={{0x{BINDER_TYPE_FD:x}, 0x0, {descriptor}, 0x0, 0x0}}")
            }
            Object::FdArray { count, parent, .. } => {
                format!(
                    "@fda={{0x{BINDER_TYPE_FDA:x}, 0x{count:x}, 0x{:x}, 0x{:x}}}",
                    parent.index, parent.offset
                )
            }
            Object::Buffer(object) => {
                let length = layout::total_length(&layout::place(&object.content));
                let address = self.address(length);
                let parent = object.parent.unwrap_or(layout::NO_PARENT);
                format!(
                    "@ptr={{0x{BINDER_TYPE_PTR:x}, 0x{:x}, {address}=\"\"/{length}, 0x{length:x}, 0x{:x}, 0x{:x}}}",
                    layout::buffer_flags(object),
                    parent.index,
                    parent.offset
                )
            }
        })
    }

    fn system_call(&mut self, call: &Call, process: &Name) {
        let device = self.devices.get(process).copied();
        match (call, device) {
            (Call::Open { context, nonblock }, _) => self.open(process, *context, *nonblock),
            (Call::Memfd(file), _) => {
                let address = self.address(16);
                let number = self.resource(&format!("memfd_create({address}='file\\x00', 0x0)"));
                self.files.insert(file.clone(), number);
            }
            (Call::Pipe { reading, writing }, _) => {
                let address = self.address(8);
                let (to_read, to_write) = (self.next_resource, self.next_resource + 1);
                self.next_resource += 2;
                self.call(&format!(
                    "pipe({address}={{<r{to_read}=>0xffffffffffffffff, <r{to_write}=>0xffffffffffffffff}})"
                ));
                self.files.extend([(reading.clone(), to_read), (writing.clone(), to_write)]);
            }
            (Call::CloseDescriptor(file), _) if self.files.contains_key(file) => {
                self.call(&format!("close(r{})", self.files[file]));
            }
            (Call::Mmap { size, at: None, .. }, _) => self.map(process, *size),
            (Call::Munmap(None), _) => match self.mappings.remove(process) {
                Some((_, address, length)) => {
                    self.call(&format!("munmap(&(0x{address:x}/0x{length:x})=nil, 0x{length:x})"));
                }
                None => self.cannot("there is no mapping"),
            },
            (Call::Close | Call::Exit, Some(device)) => {
                self.devices.remove(process);
                self.call(&format!("close(r{device})"));
                if *call == Call::Exit
                    && let Some((_, address, length)) = self.mappings.remove(process)
                {
                    self.call(&format!("munmap(&(0x{address:x}/0x{length:x})=nil, 0x{length:x})"));
                }
            }
            (Call::Dup(file), Some(device)) => {
                let number = self.resource(&format!("dup(r{device})"));
                self.files.insert(file.clone(), number);
            }
            (Call::Poll { timeout_ms: 0 }, Some(device)) => {
                let address = self.address(8);
                self.call(&format!("poll({address}=[{{r{device}, 0x1, 0x0}}], 0x1, 0x0)"));
            }
            (Call::Ioctl(ioctl), Some(device)) => self.ioctl(ioctl, device),
            (call, Some(_)) if call.may_sleep() => self.cannot("nobody would wake who sleeps in it"),
            (_, None) => self.cannot("the process has no device"),
            _ => self.cannot("no description has this call"),
        }
    }

    fn ioctl(&mut self, ioctl: &Ioctl, device: u32) {
        let (name, code, argument) = match ioctl {
            Ioctl::SetContextMgr => ("SET_CONTEXT_MGR", BINDER_SET_CONTEXT_MGR, "0x0".to_owned()),
            Ioctl::ThreadExit => ("THREAD_EXIT", BINDER_THREAD_EXIT, "0x0".to_owned()),
            Ioctl::SetMaxThreads(Argument::Value(count)) => {
                ("SET_MAX_THREADS", BINDER_SET_MAX_THREADS, format!("{}=0x{count:x}", self.address(4)))
            }
            Ioctl::SetContextMgrExt(Argument::Value(manager)) => {
                let number = self.object_number(&manager.object);
                let address = self.address(24);
                (
                    "SET_CONTEXT_MGR_EXT",
                    BINDER_SET_CONTEXT_MGR_EXT,
                    format!(
                        "{address}={{0x{BINDER_TYPE_BINDER:x}, 0x{:x}, 0x{number:x}, 0x0}}",
                        manager.flags
                    ),
                )
            }
            Ioctl::Version(Argument::Value(())) => {
                ("VERSION", BINDER_VERSION, format!("{}={{0x0}}", self.address(4)))
            }
            Ioctl::EnableOnewaySpamDetection(Argument::Value(enable)) => (
                "ENABLE_ONEWAY_SPAM_DETECTION",
                BINDER_ENABLE_ONEWAY_SPAM_DETECTION,
                format!("{}=0x{enable:x}", self.address(4)),
            ),
            Ioctl::GetExtendedError(Argument::Value(())) => {
                ("GET_EXTENDED_ERROR", BINDER_GET_EXTENDED_ERROR, self.address(12))
            }
            Ioctl::GetNodeDebugInfo(Argument::Value(start)) => {
                let start = match start {
                    Token::Number(number) => format!("0x{number:x}"),
                    Token::Symbol(name) => format!("0x{:x}", self.object_number(name)),
                };
                let address = self.address(24);
                (
                    "GET_NODE_DEBUG_INFO",
                    BINDER_GET_NODE_DEBUG_INFO,
                    format!("{address}={{{start}, 0x0, 0x0, 0x0}}"),
                )
            }
            Ioctl::GetNodeInfoForRef(Argument::Value(request)) => {
                let (address, handle) = (self.address(24), self.handle(&request.handle));
                (
                    "GET_NODE_INFO_FOR_REF",
                    BINDER_GET_NODE_INFO_FOR_REF,
                    format!("{address}={{{handle}, 0x0, 0x0, 0x0, 0x0, 0x0}}"),
                )
            }
            Ioctl::Freeze(Argument::Value(_)) | Ioctl::GetFrozenInfo(Argument::Value(_)) => {
                return self.cannot("freezing another process, as there is only one");
            }
            _ => return self.cannot("no description has a request like this"),
        };
        self.call(&format!("ioctl$BINDER_{name}(r{device}, 0x{code:x}, {argument})"));
    }
}
