//! Counting: who holds which object, made out of nothing but what threads tell the driver and what it tells them. It is
//! deliberately simple and shares nothing with the model: sets of holders, no queues, no nodes.
//!
//! It says which handle an object arrives as, when an owner must not be told to let go, and when one must have been. Where
//! it would become complicated (a process or thread ends, a call fails on its way, sizes are wrong and nothing came of
//! it) it gives up, and holds its peace from there on; [`Coverage`] tells how far it came. It is about the C driver.

use std::collections::{BTreeMap, VecDeque};

use reference_driver::uapi::{TF_ONE_WAY, TF_UPDATE_TXN};

use super::Violation;
use super::history::{Event, Happening, History};
use crate::program::*;
use crate::script::fragment;

/// How far a program was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// What happened in it: commands, returns, calls.
    pub events: usize,
    /// How much of that was counted.
    pub counted: usize,
}

/// Whether the driver counts like this.
pub(super) fn check(program: &Program) -> Result<(), Violation> {
    count(program).map(drop)
}

/// How far a program is counted.
pub(super) fn coverage(program: &Program) -> Coverage {
    count(program).unwrap_or_default()
}

fn count(program: &Program) -> Result<Coverage, Violation> {
    let history = History::of(program);
    let fates = fates(&history);
    let mut ledger = Ledger::of(program);
    for (place, event) in history.events.iter().enumerate() {
        match ledger.enter(event, fates.get(&place).copied()) {
            Ok(()) => {}
            Err(Stop::GiveUp) => return Ok(Coverage { events: history.events.len(), counted: place }),
            Err(Stop::Violation(violation)) => return Err(violation),
        }
    }
    Ok(Coverage { events: history.events.len(), counted: history.events.len() })
}

/// What becomes of something that is sent. Its sender learns of it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Accepted,
    Refused,
    /// It was accepted and failed, one cannot tell when.
    Failed,
}

/// The fates of what the events of a history send. What is in none cannot be told.
fn fates(history: &History<'_>) -> BTreeMap<usize, Fate> {
    #[derive(Default)]
    struct Sender {
        /// What it has not been told anything of, and whether that is a call.
        untold: VecDeque<(usize, bool)>,
        awaited: Option<usize>,
    }
    let mut fates = BTreeMap::new();
    let mut senders: BTreeMap<&Name, Sender> = BTreeMap::new();
    for (place, event) in history.events.iter().enumerate() {
        let sender = senders.entry(event.thread).or_default();
        match &event.what {
            Happening::Command(command) => {
                if let Some((transaction, target)) = sent(command) {
                    let is_call = target.is_some() && transaction.flags & TF_ONE_WAY == 0;
                    sender.untold.push_back((place, is_call));
                }
            }
            Happening::Return(
                ReturnPattern::TransactionComplete
                | ReturnPattern::OnewaySpamSuspect
                | ReturnPattern::TransactionPendingFrozen,
            ) => {
                if let Some((sent, is_call)) = sender.untold.pop_front() {
                    fates.insert(sent, Fate::Accepted);
                    if is_call {
                        sender.awaited = Some(sent);
                    }
                }
            }
            Happening::Return(ReturnPattern::Reply(_)) => sender.awaited = None,
            Happening::Return(
                ReturnPattern::FailedReply | ReturnPattern::DeadReply | ReturnPattern::FrozenReply,
            ) => match (sender.awaited.take(), sender.untold.pop_back()) {
                (None, Some((sent, _))) => {
                    fates.insert(sent, Fate::Refused);
                }
                // Which of them it is about cannot be told.
                (awaited, sent) => {
                    let untold = std::mem::take(&mut sender.untold);
                    let all = awaited.into_iter().chain(sent.into_iter().chain(untold).map(|(sent, _)| sent));
                    fates.extend(all.map(|sent| (sent, Fate::Failed)));
                }
            },
            _ => {}
        }
    }
    fates
}

/// What a command sends, and to which handle if it is no reply.
fn sent(command: &Command) -> Option<(&Transaction, Option<&Handle>)> {
    match command {
        Command::Transaction { target, transaction } | Command::TransactionSg { target, transaction, .. } => {
            Some((transaction, Some(target)))
        }
        Command::Reply(transaction) | Command::ReplySg { transaction, .. } => Some((transaction, None)),
        _ => None,
    }
}

/// An object: its owner, and what that calls it.
type Node = (usize, String);

/// What an object is called. One that has the numbers of another process' object is called as that one is.
fn called(node: &crate::program::Node) -> String {
    match node {
        crate::program::Node::Explicit { pointer: Token::Symbol(pointer), cookie: Token::Symbol(cookie) }
            if pointer == cookie =>
        {
            pointer.to_string()
        }
        node => fragment::node(node),
    }
}

/// Why counting ends.
enum Stop {
    GiveUp,
    Violation(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Stop {
        Stop::Violation(violation)
    }
}

/// What a process holds of an object of another.
#[derive(Debug, Default)]
struct Holding {
    number: u32,
    strong: u32,
    weak: u32,
}

/// What an owner has been told of its object.
#[derive(Debug, Default)]
struct Told {
    strong: bool,
    weak: bool,
    strong_unanswered: bool,
    weak_unanswered: bool,
}

/// Something on its way, or in a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parcel {
    code: u32,
    flags: u32,
    /// Where a call goes; the sender of what is answered, if it is a reply.
    to: usize,
    to_thread: Option<Name>,
    from: Name,
    target: Option<Node>,
    /// The objects in it, and whether they are weak.
    objects: Vec<(Node, bool)>,
}

#[derive(Default)]
struct Ledger {
    names: Vec<Name>,
    processes: BTreeMap<Name, usize>,
    manager: Option<Node>,
    holdings: BTreeMap<(usize, Node), Holding>,
    numbers: BTreeMap<(usize, u32), Node>,
    handles: BTreeMap<Name, (usize, u32)>,
    /// What buffers of the owner hold: strong and weak.
    own: BTreeMap<Node, (u32, u32)>,
    told: BTreeMap<Node, Told>,
    /// The thread by which an owner has last sent an object of which it does not keep everything, and has not been told
    /// more since: only that thread is told of it before it sleeps.
    senders: BTreeMap<Node, Name>,
    under_way: Vec<Parcel>,
    buffers: BTreeMap<Name, (usize, Parcel)>,
    serving: BTreeMap<Name, Vec<Name>>,
    awaiting: BTreeMap<Name, u32>,
}

impl Ledger {
    fn of(program: &Program) -> Ledger {
        let mut ledger = Ledger::default();
        for noted in &program.declarations {
            match &noted.value {
                Declaration::Process(process) => {
                    if process.context_manager {
                        let node = crate::program::Node::Explicit {
                            pointer: Token::Number(0),
                            cookie: Token::Number(0),
                        };
                        ledger.manager = Some((ledger.names.len(), called(&node)));
                    }
                    ledger.processes.insert(process.name.clone(), ledger.names.len());
                    ledger.names.push(process.name.clone());
                }
                Declaration::Thread { name, process } => {
                    if let Some(owner) = ledger.processes.get(process).copied() {
                        ledger.processes.insert(name.clone(), owner);
                    }
                }
            }
        }
        ledger
    }

    fn enter(&mut self, event: &Event<'_>, fate: Option<Fate>) -> Result<(), Stop> {
        match &event.what {
            Happening::Unclear => Err(Stop::GiveUp),
            Happening::Call(call) => self.call(event, call),
            Happening::Command(command) => match sent(command) {
                Some((transaction, target)) => {
                    self.sent_by(event, transaction);
                    match fate {
                        Some(Fate::Refused) => Ok(()),
                        Some(Fate::Accepted) => self.send(event, transaction, target),
                        Some(Fate::Failed) | None => Err(Stop::GiveUp),
                    }
                }
                None => self.command(event, command),
            },
            Happening::Return(pattern) => self.returned(event, pattern),
            Happening::Parked => self.parked(event),
        }
    }

    fn call(&mut self, event: &Event<'_>, call: &Call) -> Result<(), Stop> {
        match call {
            Call::Close
            | Call::Exit
            | Call::Munmap(_)
            | Call::Mmap { at: Some(_), .. }
            | Call::Mprotect { .. }
            | Call::Open { .. }
            | Call::Ioctl(Ioctl::ThreadExit | Ioctl::SetContextMgr) => Err(Stop::GiveUp),
            Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(manager))) => {
                self.manager = Some((event.process, manager.object.to_string()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The object that a handle of a process stands for.
    fn node_of(&self, process: usize, handle: &Handle) -> Result<Node, Stop> {
        let number = self.number_of(process, handle)?;
        self.numbers.get(&(process, number)).cloned().ok_or(Stop::GiveUp)
    }

    fn number_of(&self, process: usize, handle: &Handle) -> Result<u32, Stop> {
        match handle {
            Handle::Number(number) => Ok(*number),
            Handle::Symbol(name) => match self.handles.get(name) {
                Some((owner, number)) if *owner == process => Ok(*number),
                _ => Err(Stop::GiveUp),
            },
        }
    }

    /// What there is to tell of an object goes to the thread that sends it, if its owner does not keep it already.
    fn sent_by(&mut self, event: &Event<'_>, transaction: &Transaction) {
        for item in &transaction.data {
            if let DataItem::Object(Object::Binder { object, .. }) = item.without_place() {
                let node = (event.process, object.to_string());
                if self.told.get(&node).is_none_or(|told| !told.strong || !told.weak) {
                    self.senders.insert(node, event.thread.clone());
                }
            }
        }
    }

    fn send(
        &mut self,
        event: &Event<'_>,
        transaction: &Transaction,
        target: Option<&Handle>,
    ) -> Result<(), Stop> {
        let is_strange = transaction.offsets.is_some()
            || transaction.data_size.is_some()
            || transaction.offsets_size.is_some()
            || transaction.flags & TF_UPDATE_TXN != 0;
        if is_strange {
            return Err(Stop::GiveUp);
        }
        let is_call = target.is_some() && transaction.flags & TF_ONE_WAY == 0;
        let (target, to, to_thread) = match target {
            Some(Handle::Number(0)) => {
                let node = self.manager.clone().ok_or(Stop::GiveUp)?;
                (Some(node.clone()), node.0, None)
            }
            Some(handle) => {
                let node = self.node_of(event.process, handle)?;
                (Some(node.clone()), node.0, None)
            }
            None => {
                let caller = self.serving.get_mut(event.thread).and_then(Vec::pop).ok_or(Stop::GiveUp)?;
                let process = self.processes.get(&caller).copied().ok_or(Stop::GiveUp)?;
                (None, process, Some(caller))
            }
        };
        let mut objects = Vec::new();
        for item in &transaction.data {
            match item.without_place() {
                DataItem::Object(Object::Binder { weak, object, .. }) => {
                    objects.push(((event.process, object.to_string()), *weak));
                }
                DataItem::Object(Object::Handle { weak, handle, .. }) => {
                    objects.push((self.node_of(event.process, handle)?, *weak));
                }
                DataItem::Object(Object::Explicit { .. }) => return Err(Stop::GiveUp),
                _ => {}
            }
        }
        if is_call {
            *self.awaiting.entry(event.thread.clone()).or_default() += 1;
        }
        for (node, weak) in &objects {
            self.hold(to, node, *weak);
        }
        if let Some(node) = &target {
            self.own.entry(node.clone()).or_default().0 += 1;
        }
        let (code, flags) = (transaction.code, transaction.flags);
        let from = event.thread.clone();
        self.under_way.push(Parcel { code, flags, to, to_thread, from, target, objects });
        Ok(())
    }

    /// A process gets one more of an object.
    fn hold(&mut self, process: usize, node: &Node, weak: bool) {
        if node.0 == process {
            let own = self.own.entry(node.clone()).or_default();
            *(if weak { &mut own.1 } else { &mut own.0 }) += 1;
            return;
        }
        let holding = self.holding(process, node);
        *(if weak { &mut holding.weak } else { &mut holding.strong }) += 1;
    }

    /// What a process holds of an object; a new handle if it has none.
    fn holding(&mut self, process: usize, node: &Node) -> &mut Holding {
        let key = (process, node.clone());
        if !self.holdings.contains_key(&key) {
            let first = u32::from(self.manager.as_ref() != Some(node));
            let number = (first..).find(|number| !self.numbers.contains_key(&(process, *number)));
            // There are fewer handles than numbers.
            let number = number.unwrap_or(u32::MAX);
            self.numbers.insert((process, number), node.clone());
            self.holdings.insert(key.clone(), Holding { number, strong: 0, weak: 0 });
        }
        self.holdings.entry(key).or_default()
    }

    /// A process has one less of an object, if it has any.
    fn let_go(&mut self, process: usize, node: &Node, weak: bool) {
        if node.0 == process {
            let own = self.own.entry(node.clone()).or_default();
            let count = if weak { &mut own.1 } else { &mut own.0 };
            *count = count.saturating_sub(1);
            return;
        }
        let key = (process, node.clone());
        let Some(holding) = self.holdings.get_mut(&key) else { return };
        let count = if weak { &mut holding.weak } else { &mut holding.strong };
        *count = count.saturating_sub(1);
        if holding.strong == 0 && holding.weak == 0 {
            let number = holding.number;
            self.holdings.remove(&key);
            self.numbers.remove(&(process, number));
        }
    }

    fn command(&mut self, event: &Event<'_>, command: &Command) -> Result<(), Stop> {
        let process = event.process;
        match command {
            Command::FreeBuffer(Address::Buffer { buffer, offset: 0 }) => {
                if self.buffers.get(buffer).is_some_and(|(owner, _)| *owner == process)
                    && let Some((_, parcel)) = self.buffers.remove(buffer)
                {
                    parcel.objects.iter().for_each(|(node, weak)| self.let_go(process, node, *weak));
                    parcel.target.iter().for_each(|node| self.let_go(node.0, node, false));
                }
            }
            Command::Increfs(handle) | Command::Acquire(handle) => {
                let weak = matches!(command, Command::Increfs(_));
                let number = self.number_of(process, handle)?;
                match (self.numbers.get(&(process, number)).cloned(), number) {
                    (Some(node), _) => {
                        let holding = self.holding(process, &node);
                        match weak {
                            true => holding.weak += 1,
                            // A weak handle does not become strong by itself, but the manager's does.
                            false if holding.strong == 0 && number != 0 => {}
                            false => holding.strong += 1,
                        }
                    }
                    (None, 0) => {
                        if let Some(node) = self.manager.clone() {
                            self.hold(process, &node, weak);
                        }
                    }
                    _ => {}
                }
            }
            Command::Release(handle) | Command::Decrefs(handle) => {
                let weak = matches!(command, Command::Decrefs(_));
                let number = self.number_of(process, handle)?;
                if let Some(node) = self.numbers.get(&(process, number)).cloned() {
                    self.let_go(process, &node, weak);
                }
            }
            Command::IncrefsDone(node) | Command::AcquireDone(node) => {
                let told = self.told.entry((process, called(node))).or_default();
                match command {
                    Command::IncrefsDone(_) => told.weak_unanswered = false,
                    _ => told.strong_unanswered = false,
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn returned(&mut self, event: &Event<'_>, pattern: &ReturnPattern) -> Result<(), Stop> {
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. } => {
                let target = transaction.target.as_ref().ok_or(Stop::GiveUp)?;
                let target = (event.process, called(target));
                self.arrived(event, transaction, |parcel| parcel.target.as_ref() == Some(&target))
            }
            ReturnPattern::Reply(transaction) => {
                let awaited = self.awaiting.entry(event.thread.clone()).or_default();
                *awaited = awaited.saturating_sub(1);
                self.arrived(event, transaction, |parcel| parcel.to_thread.as_ref() == Some(event.thread))
            }
            ReturnPattern::FailedReply | ReturnPattern::DeadReply | ReturnPattern::FrozenReply => Ok(()),
            ReturnPattern::Increfs(node) => self.told(event, node, "BR_INCREFS"),
            ReturnPattern::Acquire(node) => self.told(event, node, "BR_ACQUIRE"),
            ReturnPattern::Release(node) => self.told(event, node, "BR_RELEASE"),
            ReturnPattern::Decrefs(node) => self.told(event, node, "BR_DECREFS"),
            _ => Ok(()),
        }
    }

    /// Something has arrived: which of the things under way it is, and as what its objects came.
    fn arrived(
        &mut self,
        event: &Event<'_>,
        came: &TransactionPattern,
        is_it: impl Fn(&Parcel) -> bool,
    ) -> Result<(), Stop> {
        let fits = |parcel: &Parcel| {
            parcel.to == event.process
                && parcel.code == came.code
                && parcel.flags == came.flags
                && is_it(parcel)
        };
        let mut candidates = self.under_way.iter().enumerate().filter(|(_, parcel)| fits(parcel));
        let Some((place, first)) = candidates.next() else { return Err(Stop::GiveUp) };
        if candidates.any(|(_, other)| other != first) {
            return Err(Stop::GiveUp);
        }
        let parcel = self.under_way.remove(place);
        if parcel.target.is_some() && parcel.flags & TF_ONE_WAY == 0 {
            self.serving.entry(event.thread.clone()).or_default().push(parcel.from.clone());
        }
        let mut objects = parcel.objects.iter();
        for item in &came.data {
            let DataItem::Object(object @ (Object::Handle { .. } | Object::Binder { .. })) =
                item.without_place()
            else {
                continue;
            };
            let Some((node, _)) = objects.next() else { return Err(Stop::GiveUp) };
            if let Object::Handle { handle, .. } = object {
                self.arrived_as(event, node, handle)?;
            }
        }
        if let Some(name) = &came.capture {
            self.buffers.insert(name.clone(), (event.process, parcel));
        }
        Ok(())
    }

    fn arrived_as(&mut self, event: &Event<'_>, node: &Node, handle: &HandlePattern) -> Result<(), Stop> {
        let wrong = |came: String, expected: String| {
            Err(Stop::Violation(Violation::WrongHandle { step: event.step, came, expected }))
        };
        let holding = self.holdings.get(&(event.process, node.clone()));
        let Some(number) = holding.map(|holding| holding.number) else {
            // Its receiver has let it go before it read of it.
            return Err(Stop::GiveUp);
        };
        match handle {
            HandlePattern::Any => Ok(()),
            HandlePattern::Bind(name) => {
                let taken =
                    self.handles.iter().find(|(_, known)| **known == (event.process, number)).map(|(n, _)| n);
                if let Some(taken) = taken {
                    return wrong(format!("a new handle, {name}"), taken.to_string());
                }
                self.handles.insert(name.clone(), (event.process, number));
                Ok(())
            }
            HandlePattern::Is(Handle::Number(came)) if *came == number => Ok(()),
            HandlePattern::Is(Handle::Number(came)) => wrong(came.to_string(), number.to_string()),
            HandlePattern::Is(Handle::Symbol(name)) => match self.handles.get(name) {
                Some(known) if *known == (event.process, number) => Ok(()),
                _ => wrong(name.to_string(), format!("handle {number}")),
            },
        }
    }

    /// Who holds an object strongly, or at all.
    fn holder(&self, node: &Node, strongly: bool) -> Option<String> {
        let mut holdings = self.holdings.iter().filter(|((_, held), _)| held == node);
        let holder = holdings.find(|(_, holding)| !strongly || holding.strong > 0);
        if let Some(((process, _), _)) = holder {
            return Some(self.names[*process].to_string());
        }
        let (strong, weak) = self.own.get(node).copied().unwrap_or_default();
        if strong > 0 || (!strongly && weak > 0) {
            return Some("a buffer".to_owned());
        }
        let told = self.told.get(node)?;
        let is_unanswered = told.strong_unanswered || (!strongly && told.weak_unanswered);
        is_unanswered.then(|| "the driver, for want of an answer,".to_owned())
    }

    /// An owner is told something of its object.
    fn told(
        &mut self,
        event: &Event<'_>,
        node: &crate::program::Node,
        what: &'static str,
    ) -> Result<(), Stop> {
        let node = (event.process, called(node));
        let is_strong = matches!(what, "BR_ACQUIRE" | "BR_RELEASE");
        let begins = matches!(what, "BR_INCREFS" | "BR_ACQUIRE");
        if self.manager.as_ref() == Some(&node) {
            return Ok(());
        }
        match self.holder(&node, is_strong) {
            Some(holder) if !begins => {
                let node = node.1;
                return Err(Violation::HeldStill { step: event.step, told: what, node, holder }.into());
            }
            None if begins => {
                return Err(Violation::HeldByNobody { step: event.step, told: what, node: node.1 }.into());
            }
            _ => {}
        }
        self.senders.remove(&node);
        let told = self.told.entry(node).or_default();
        match is_strong {
            true => (told.strong, told.strong_unanswered) = (begins, begins),
            false => (told.weak, told.weak_unanswered) = (begins, begins),
        }
        Ok(())
    }

    /// A thread sleeps. If it takes what there is for its process, there is nothing.
    fn parked(&mut self, event: &Event<'_>) -> Result<(), Stop> {
        self.senders.retain(|_, sender| sender != event.thread);
        let is_busy = self.serving.get(event.thread).is_some_and(|serving| !serving.is_empty())
            || self.awaiting.get(event.thread).is_some_and(|awaited| *awaited > 0);
        if is_busy {
            return Ok(());
        }
        for (node, told) in self.told.iter().filter(|(node, _)| node.0 == event.process) {
            if self.manager.as_ref() == Some(node) || self.senders.contains_key(node) {
                continue;
            }
            let owed = match (told.strong, told.weak) {
                (true, _) if self.holder(node, true).is_none() => "BR_RELEASE",
                (_, true) if self.holder(node, false).is_none() => "BR_DECREFS",
                _ => continue,
            };
            let (thread, node) = (event.thread.to_string(), node.1.clone());
            return Err(Violation::NeverTold { step: event.step, thread, owed, node }.into());
        }
        Ok(())
    }
}
