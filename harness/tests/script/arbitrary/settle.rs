//! Making a program obey the rules about the whole of it: names, parked threads, the order of a payload.

use std::collections::{HashMap, HashSet, VecDeque};

use binderdrill::program::*;

use super::operand::numbered;

/// The program, changed where it breaks a rule.
pub fn settle(mut program: Program) -> Program {
    while program.opening.last().is_some_and(String::is_empty) {
        program.opening.pop();
    }
    let mut cited = HashSet::new();
    program.clauses.retain(|clause| cited.insert(clause.clone()));

    let mut names = Names::default();
    let (threads, unforked) = declarations(&mut program.declarations, &mut names);
    let mut states = States::new(threads, unforked);
    let mut raced = false;
    program.steps.retain_mut(|noted| match &mut noted.value {
        Moment::Step(step) => states.settle(step),
        // There is one race at most.
        Moment::Race(race) => !std::mem::replace(&mut raced, true) && states.settle_race(race),
    });
    // What nobody has forked is there from the start.
    for noted in &mut program.declarations {
        if let Declaration::Process(process) = &mut noted.value
            && states.unforked.contains(&process.name)
        {
            process.device = DeviceSetUp::Opened;
            names.processes.push(process.name.clone());
        }
    }
    for step in program.steps.iter_mut().flat_map(|noted| noted.value.steps_mut()) {
        names.action(&mut step.action);
    }
    if program.steps.is_empty() {
        let value = Step {
            actor: Actor::Thread(numbered("p", 0)),
            action: Action::Call { call: Call::Poll { timeout_ms: 0 }, expected: CallExpectation::Succeeds },
        };
        program.steps.push(Noted { before: Vec::new(), value: Moment::Step(value), after: None });
    }

    for (index, noted) in program.declarations.iter_mut().enumerate() {
        comments(&mut noted.before, index == 0);
    }
    for (index, noted) in program.steps.iter_mut().enumerate() {
        comments(&mut noted.before, index == 0);
    }
    comments(&mut program.closing, false);
    while program.closing.last() == Some(&CommentLine::Blank) {
        program.closing.pop();
    }
    program
}

/// Several blank lines in a row are one, and a section begins with one that is not noted.
fn comments(lines: &mut Vec<CommentLine>, first: bool) {
    lines.dedup_by(|line, before| *line == CommentLine::Blank && *before == CommentLine::Blank);
    if first && lines.first() == Some(&CommentLine::Blank) {
        lines.remove(0);
    }
}

/// Names processes and threads in turn. Returns all threads with their processes, and the processes that are to be forked.
fn declarations(
    declarations: &mut [Noted<Declaration>],
    names: &mut Names,
) -> (Vec<(Name, Name)>, VecDeque<Name>) {
    let mut threads: Vec<(Name, Name)> = Vec::new();
    let mut unforked = VecDeque::new();
    let mut managed = false;
    for noted in declarations {
        let processes = names.processes.len();
        match &mut noted.value {
            Declaration::Thread { name, process } if processes > 0 => {
                *name = numbered("t", threads.len());
                let asked: usize = process.as_str()[1..].parse().expect("the name was made with a number");
                *process = names.processes[asked % processes].clone();
                threads.push((name.clone(), process.clone()));
            }
            declaration => {
                let mut process = match declaration.clone() {
                    Declaration::Process(process) => process,
                    Declaration::Thread { name, .. } => Process {
                        name,
                        context: Context::default(),
                        context_manager: false,
                        uid: None,
                        nonblock: false,
                        device: DeviceSetUp::Opened,
                    },
                };
                process.name = numbered("p", processes + unforked.len());
                if process.device == DeviceSetUp::Forked {
                    if processes > 0 {
                        let (name, device) = (process.name, process.device);
                        unforked.push_back(name.clone());
                        process = Process {
                            name,
                            context: Context::default(),
                            context_manager: false,
                            uid: None,
                            nonblock: false,
                            device,
                        };
                        *declaration = Declaration::Process(process);
                        continue;
                    }
                    process.device = DeviceSetUp::Opened;
                }
                let open = process.device != DeviceSetUp::Closed;
                process.nonblock &= open;
                if !open {
                    process.context = Context::default();
                }
                process.context_manager &= open && !managed;
                managed |= process.context_manager;
                process.uid = process.uid.filter(|_| !process.context_manager);
                names.processes.push(process.name.clone());
                threads.push((process.name.clone(), process.name.clone()));
                *declaration = Declaration::Process(process);
            }
        }
    }
    (threads, unforked)
}

/// The threads that steps can be given to.
struct States {
    /// Every thread with its process, aliases not among them.
    threads: Vec<(Name, Name)>,
    parked: HashMap<Name, bool>,
    /// Those that are parked in a call.
    in_call: HashMap<Name, bool>,
    aliases: usize,
    /// Processes that are not there yet.
    unforked: VecDeque<Name>,
}

impl States {
    fn new(threads: Vec<(Name, Name)>, unforked: VecDeque<Name>) -> States {
        States { threads, parked: HashMap::new(), in_call: HashMap::new(), aliases: 0, unforked }
    }

    /// Gives the step to threads that can do it. `false` if there is none left.
    fn settle(&mut self, step: &mut Step) -> bool {
        if self.threads.is_empty() {
            return false;
        }
        let chosen = |asked: &Name| self.threads[index(asked) % self.threads.len()].clone();
        if let Actor::AnyOf { candidates, .. } = &step.actor {
            // One that is not parked cannot be among them: so only those are asked for that are.
            let names = self.threads.iter().map(|(name, _)| name);
            let parked: Vec<&Name> = names.filter(|name| self.parked.get(*name) == Some(&true)).collect();
            let asked = candidates.iter().filter(|_| !parked.is_empty());
            let mut several: Vec<Name> =
                asked.map(|asked| parked[index(asked) % parked.len()].clone()).collect();
            several.sort();
            several.dedup();
            if several.len() >= 2
                && let Action::Read { options, expected } = &mut step.action
            {
                *options = WriteReadOptions::default();
                if may_park(expected) {
                    *expected = ReadExpectation::Returns(Vec::new());
                }
                // Which of them still sleeps is not known: the others are left alone from here on.
                self.threads.retain(|(name, _)| !several.contains(name));
                let alias = numbered("w", self.aliases);
                self.aliases += 1;
                step.actor = Actor::AnyOf { candidates: several, alias };
                return true;
            }
        }
        let (name, process) = match &step.actor {
            Actor::Thread(asked) => chosen(asked),
            Actor::AnyOf { candidates, .. } => chosen(&candidates[0]),
        };
        if self.parked.get(&name) == Some(&true) {
            let expected = match &step.action {
                Action::Read { expected, .. } | Action::WriteRead { expected: Some(expected), .. } => {
                    expected.clone()
                }
                _ => ReadExpectation::Parked,
            };
            step.action = Action::Read { options: WriteReadOptions::default(), expected };
        }
        if let Some(true) = self.in_call.get(&name) {
            step.action = Action::Call { call: Call::Await, expected: CallExpectation::Succeeds };
        }
        let expected = match &step.action {
            Action::Read { expected, .. } | Action::WriteRead { expected: Some(expected), .. } => {
                Some(expected)
            }
            _ => None,
        };
        self.parked.insert(name.clone(), expected == Some(&ReadExpectation::Parked));
        let in_call = matches!(&step.action, Action::Call { expected: CallExpectation::Parked, .. });
        self.in_call.insert(name.clone(), in_call);
        if matches!(step.action, Action::Call { call: Call::Exit, .. }) {
            self.threads.retain(|(_, of)| *of != process);
        }
        if let Action::Call { call: call @ Call::Fork(_), .. } = &mut step.action {
            match self.unforked.pop_front() {
                Some(child) => {
                    self.threads.push((child.clone(), child.clone()));
                    *call = Call::Fork(child);
                }
                None => *call = Call::Flush,
            }
        }
        step.actor = Actor::Thread(name);
        true
    }

    /// Gives the steps to threads that are not parked, each another one of which nothing else is known; `false` if there
    /// are not two. What is done there knows no names that are bound in it, so it is only what binds none.
    fn settle_race(&mut self, race: &mut Race) -> bool {
        let is_busy =
            |name: &Name| self.parked.get(name) == Some(&true) || self.in_call.get(name) == Some(&true);
        let free: Vec<Name> =
            self.threads.iter().map(|(name, _)| name.clone()).filter(|name| !is_busy(name)).collect();
        race.steps.truncate(free.len());
        for (step, name) in race.steps.iter_mut().zip(&free) {
            step.actor = Actor::Thread(name.clone());
            if matches!(&step.action, Action::Call { expected: CallExpectation::Parked, .. }) {
                self.in_call.insert(name.clone(), true);
            }
        }
        race.steps.len() >= 2
    }
}

/// The number of a thread that a step asks for.
fn index(asked: &Name) -> usize {
    asked.as_str()[1..].parse().expect("the name was made with a number")
}

fn may_park(expected: &ReadExpectation) -> bool {
    match expected {
        ReadExpectation::Parked => true,
        ReadExpectation::AnyOf(choice) => choice.contains(&ReadExpectation::Parked),
        _ => false,
    }
}

/// What has been named so far, in the order in which the script names it.
#[derive(Default)]
struct Names {
    processes: Vec<Name>,
    bound: HashSet<Name>,
}

impl Names {
    fn action(&mut self, action: &mut Action) {
        let (commands, expected) = match action {
            Action::Write { commands, .. } => (Some(commands), None),
            Action::Read { expected, .. } => (None, Some(expected)),
            Action::WriteRead { commands, expected, .. } => (Some(commands), expected.as_mut()),
            Action::Call { call, .. } => return self.call(call),
        };
        commands.into_iter().flatten().for_each(|command| self.command(command));
        if let Some(expected) = expected {
            self.read(expected);
        }
    }

    fn call(&mut self, call: &mut Call) {
        match call {
            Call::Ioctl(Ioctl::Freeze(Argument::Value(FreezeRequest { pid, .. })))
            | Call::Ioctl(Ioctl::GetFrozenInfo(Argument::Value(pid))) => return self.pid(pid),
            Call::Ioctl(Ioctl::GetNodeInfoForRef(Argument::Value(request))) => {
                return self.handle(&mut request.handle);
            }
            _ => {}
        }
        let bound = &mut self.bound;
        match call {
            Call::Memfd(file) | Call::Dup(file) if !bound.insert(file.clone()) => *call = Call::Close,
            Call::Pipe { reading, writing } => {
                if reading == writing || bound.contains(reading) || bound.contains(writing) {
                    *call = Call::Close;
                } else {
                    bound.extend([reading.clone(), writing.clone()]);
                }
            }
            Call::Binderfs { instance, call: made } => {
                let is_mount = matches!(made, BinderfsCall::Mount { .. });
                let is_new =
                    if is_mount { bound.insert(instance.clone()) } else { !bound.contains(instance) };
                if is_mount != is_new {
                    // With the same expectation.
                    let is_read = matches!(made, BinderfsCall::Read(_));
                    *call = if is_read { Call::GetPriority } else { Call::Munmap(None) };
                }
            }
            Call::Fork(child) => self.processes.push(child.clone()),
            Call::Signal(thread) if !self.processes.contains(thread) => *call = Call::Flush,
            Call::CloseDescriptor(file) | Call::Use(file) if !bound.contains(file) => *call = Call::Close,
            Call::PollDescriptor(file) if !bound.contains(file) => *call = Call::Poll { timeout_ms: 0 },
            _ => {}
        }
    }

    fn pid(&self, pid: &mut PidPattern) {
        if matches!(pid, PidPattern::Process(name) if !self.processes.contains(name)) {
            *pid = PidPattern::Number(0);
        }
    }

    fn command(&mut self, command: &mut Command) {
        match command {
            Command::Transaction { target, transaction }
            | Command::TransactionSg { target, transaction, .. } => {
                self.handle(target);
                self.transaction(transaction);
            }
            Command::Reply(transaction) | Command::ReplySg { transaction, .. } => {
                self.transaction(transaction);
            }
            Command::FreeBuffer(address) => self.address(address),
            Command::Increfs(handle)
            | Command::Acquire(handle)
            | Command::Release(handle)
            | Command::Decrefs(handle)
            | Command::AttemptAcquire(handle) => self.handle(handle),
            Command::RequestDeathNotification(handle, cookie)
            | Command::RequestFreezeNotification(handle, cookie) => {
                self.handle(handle);
                if let Token::Symbol(name) = cookie {
                    self.bound.insert(name.clone());
                }
            }
            Command::ClearDeathNotification(handle, cookie)
            | Command::ClearFreezeNotification(handle, cookie) => {
                self.handle(handle);
                self.cookie(cookie);
            }
            Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => self.cookie(cookie),
            Command::AcquireResult(_)
            | Command::IncrefsDone(_)
            | Command::AcquireDone(_)
            | Command::RegisterLooper
            | Command::EnterLooper
            | Command::ExitLooper
            | Command::Bytes(_) => {}
        }
    }

    fn transaction(&mut self, transaction: &mut Transaction) {
        self.payload(&mut transaction.data, Names::handle);
        transaction.buffer.iter_mut().for_each(|address| self.address(address));
        transaction.offsets_buffer.iter_mut().for_each(|address| self.address(address));
    }

    fn read(&mut self, expected: &mut ReadExpectation) {
        match expected {
            ReadExpectation::Parked | ReadExpectation::Failed { .. } => {}
            ReadExpectation::Returns(items) => items.iter_mut().for_each(|item| match item {
                ReturnItem::One(one) => self.pattern(one),
                ReturnItem::InAnyOrder(all) => all.iter_mut().for_each(|one| self.pattern(one)),
                ReturnItem::AnyOf(lists) => lists.iter_mut().flatten().for_each(|one| self.pattern(one)),
            }),
            ReadExpectation::AnyOf(choice) => choice.iter_mut().for_each(|one| self.read(one)),
        }
    }

    fn pattern(&mut self, pattern: &mut ReturnPattern) {
        if let ReturnPattern::TransactionSecCtx { secctx, .. } = pattern
            && let Some(SecurityContextPattern::Process(name)) = secctx
            && !self.processes.contains(name)
        {
            *secctx = None;
        }
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. }
            | ReturnPattern::Reply(transaction) => {
                if let Some(pid) = &mut transaction.pid {
                    self.pid(pid);
                }
                self.payload(&mut transaction.data, |names, handle| match handle {
                    HandlePattern::Is(handle) => names.handle(handle),
                    HandlePattern::Bind(name) if !names.bound.insert(name.clone()) => {
                        *handle = HandlePattern::Any;
                    }
                    HandlePattern::Bind(_) | HandlePattern::Any => {}
                });
                if let Some(name) = &transaction.capture
                    && !self.bound.insert(name.clone())
                {
                    transaction.capture = None;
                }
            }
            ReturnPattern::DeadBinder(cookie)
            | ReturnPattern::ClearDeathNotificationDone(cookie)
            | ReturnPattern::FrozenBinder { cookie, .. }
            | ReturnPattern::ClearFreezeNotificationDone(cookie) => self.cookie(cookie),
            _ => {}
        }
    }

    fn handle(&mut self, handle: &mut Handle) {
        if matches!(handle, Handle::Symbol(name) if !self.bound.contains(name)) {
            *handle = Handle::Number(1);
        }
    }

    fn cookie(&mut self, cookie: &mut Token) {
        if matches!(cookie, Token::Symbol(name) if !self.bound.contains(name)) {
            *cookie = Token::Number(0x17);
        }
    }

    fn address(&mut self, address: &mut Address) {
        if matches!(address, Address::Buffer { buffer, .. } if !self.bound.contains(buffer)) {
            *address = Address::Unmapped;
        }
    }

    fn descriptor(&mut self, descriptor: &mut Descriptor) {
        if matches!(descriptor, Descriptor::File(name) if !self.bound.contains(name)) {
            *descriptor = Descriptor::Number(99);
        }
    }

    /// Settles the names in a payload, and puts each item that has a place behind what is before it.
    fn payload<H>(&mut self, items: &mut [DataItem<H>], handle: fn(&mut Names, &mut H)) {
        let mut end = 0;
        for item in items {
            let inner = match item {
                DataItem::At(place, inner) => {
                    *place += end;
                    end = *place;
                    inner
                }
                other => other,
            };
            end += match inner {
                // More than any of them can take with what aligns it.
                DataItem::Str16(text) => 16 + 4 * text.len() as u64,
                DataItem::Bytes(bytes) => bytes.len() as u64,
                DataItem::Zero(length) => *length,
                _ => 48,
            };
            match inner {
                DataItem::Object(Object::Handle { handle: found, .. }) => handle(self, found),
                DataItem::Object(Object::Fd { descriptor, .. }) | DataItem::Descriptor(descriptor) => {
                    self.descriptor(descriptor);
                }
                DataItem::Object(Object::Buffer(buffer)) => {
                    self.payload(&mut buffer.content, handle);
                    buffer.buffer.iter_mut().for_each(|address| self.address(address));
                }
                _ => {}
            }
        }
    }
}
