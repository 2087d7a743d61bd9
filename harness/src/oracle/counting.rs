//! Counting: who holds which object, made out of nothing but what threads tell the driver and what it tells them. It is
//! deliberately simple and shares nothing with the model: sets of holders, no queues, no nodes.
//!
//! It says which handle an object arrives as, when an owner must not be told to let go, and when one must have been. Where
//! it would become complicated (a process or thread ends, a call fails on its way, sizes are wrong and nothing came of
//! it) it gives up, and holds its peace from there on; [`Coverage`] tells how far it came. It is about the C driver.
//!
//! Who holds and who owns is an opening of the device. It gives up when a process comes to use another one; so until then
//! each is the one with which the process of its index began, and that of those which have been forked there.

use reference_driver::uapi::{TF_ONE_WAY, TF_UPDATE_TXN};

use super::Violation;
use super::fates::{Fate, fates};
use super::history::{Called, Event, Happening, History, OpeningIndex};
use crate::program::{
    self, Address, Argument, BinderfsCall, Call, Command, DataItem, Handle, HandlePattern, Ioctl, Name, Node,
    Program, ReturnPattern, Token, Transaction, TransactionPattern,
};

/// How far a program was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// What happened in it: commands, returns, calls.
    pub events: usize,
    /// How much of that was counted.
    pub counted: usize,
}

/// Whether the driver counts like this.
pub(super) fn check(history: &History<'_>) -> Result<(), Violation> {
    count(history).map(drop)
}

/// How far a program is counted.
pub(super) fn coverage(program: &Program) -> Coverage {
    count(&History::of(program)).unwrap_or_default()
}

fn count(history: &History<'_>) -> Result<Coverage, Violation> {
    let fates = fates(history);
    let mut ledger = Ledger::of(history);
    for (place, event) in history.events.iter().enumerate() {
        match ledger.enter(event, fates[place]) {
            Ok(()) => {}
            Err(Stop::GiveUp) => return Ok(Coverage { events: history.events.len(), counted: place }),
            Err(Stop::Violation(violation)) => return Err(violation),
        }
    }
    Ok(Coverage { events: history.events.len(), counted: history.events.len() })
}

/// An object: its place in the ledger.
type ObjectId = usize;

/// What the context manager's object is called.
static MANAGERS: Node = Node::Explicit { pointer: Token::Number(0), cookie: Token::Number(0) };

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

/// An object, who holds it, and what its owner has been told of it.
#[derive(Debug)]
struct Object<'p> {
    owner: OpeningIndex,
    called: Called<'p>,
    /// What is held of it in other openings.
    holdings: Vec<Holding>,
    /// What buffers of the owner hold: strong and weak.
    own: (u32, u32),
    told: Told,
    /// The thread by which the owner has last sent the object, if it does not keep everything of it and has not been told
    /// more since: only that thread is told of it before it sleeps.
    sender: Option<usize>,
}

/// What an opening holds of an object of another.
#[derive(Debug)]
struct Holding {
    opening: OpeningIndex,
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
#[derive(Debug, PartialEq, Eq)]
struct Parcel {
    code: u32,
    flags: u32,
    /// Where a call goes; the sender of what is answered, if it is a reply.
    to: OpeningIndex,
    to_thread: Option<usize>,
    from: Party,
    target: Option<ObjectId>,
    /// The objects in it, and whether they are weak.
    objects: Vec<(ObjectId, bool)>,
}

/// A thread, and the opening that it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Party {
    opening: OpeningIndex,
    thread: usize,
}

struct Ledger<'h, 'p> {
    history: &'h History<'p>,
    objects: Vec<Object<'p>>,
    manager: Option<ObjectId>,
    /// The object under each handle of each opening.
    numbers: Vec<Vec<Option<ObjectId>>>,
    /// Handles that have names: of which opening, and their numbers.
    handles: Vec<(&'p Name, (OpeningIndex, u32))>,
    under_way: Vec<Parcel>,
    /// What is in buffers, and whose they are.
    buffers: Vec<(&'p Name, OpeningIndex, Parcel)>,
    /// Whom each thread serves, the last at the end.
    serving: Vec<Vec<Party>>,
    /// How many answers each thread awaits.
    awaiting: Vec<u32>,
}

impl<'h, 'p> Ledger<'h, 'p> {
    fn of(history: &'h History<'p>) -> Ledger<'h, 'p> {
        let mut ledger = Ledger {
            history,
            objects: Vec::new(),
            manager: None,
            numbers: vec![Vec::new(); history.processes.len()],
            handles: Vec::new(),
            under_way: Vec::new(),
            buffers: Vec::new(),
            serving: vec![Vec::new(); history.threads.len()],
            awaiting: vec![0; history.threads.len()],
        };
        let manager = history.processes.iter().rposition(|process| process.context_manager);
        ledger.manager = manager.map(|manager| ledger.object(manager, Called::from(&MANAGERS)));
        ledger
    }

    /// The object that is called so in an opening; a new one if there was none.
    fn object(&mut self, owner: OpeningIndex, called: Called<'p>) -> ObjectId {
        let known = self.objects.iter().position(|known| known.owner == owner && known.called == called);
        known.unwrap_or_else(|| {
            let (holdings, told) = (Vec::new(), Told::default());
            self.objects.push(Object { owner, called, holdings, own: (0, 0), told, sender: None });
            self.objects.len() - 1
        })
    }

    fn enter(&mut self, event: &Event<'p>, fate: Option<Fate>) -> Result<(), Stop> {
        match event.what {
            Happening::Unclear => Err(Stop::GiveUp),
            Happening::Call(call) => self.call(event, call),
            Happening::Command(command) => match command.sent() {
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

    fn call(&mut self, event: &Event<'p>, call: &'p Call) -> Result<(), Stop> {
        match call {
            Call::Close
            | Call::Exit
            | Call::Munmap(_)
            | Call::Mmap { at: Some(_), .. }
            | Call::Mprotect { .. }
            | Call::Open { .. }
            | Call::Binderfs { call: BinderfsCall::Open { .. }, .. }
            | Call::Use(_)
            | Call::Ioctl(Ioctl::ThreadExit | Ioctl::SetContextMgr) => Err(Stop::GiveUp),
            Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(manager))) => {
                self.manager = Some(self.object(event.opening, Called::Object(&manager.object)));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The object that a handle of an opening stands for.
    fn object_under(&self, opening: OpeningIndex, handle: &Handle) -> Result<ObjectId, Stop> {
        let number = self.number_of(opening, handle)?;
        self.object_at(opening, number).ok_or(Stop::GiveUp)
    }

    fn object_at(&self, opening: OpeningIndex, number: u32) -> Option<ObjectId> {
        self.numbers[opening].get(number as usize).copied().flatten()
    }

    fn number_of(&self, opening: OpeningIndex, handle: &Handle) -> Result<u32, Stop> {
        match handle {
            Handle::Number(number) => Ok(*number),
            Handle::Symbol(name) => match self.named(name) {
                Some((owner, number)) if owner == opening => Ok(number),
                _ => Err(Stop::GiveUp),
            },
        }
    }

    /// The opening and the number of a handle that has a name.
    fn named(&self, name: &Name) -> Option<(OpeningIndex, u32)> {
        self.handles.iter().find(|(known, _)| *known == name).map(|(_, handle)| *handle)
    }

    /// What there is to tell of an object goes to the thread that sends it, if its owner does not keep it already.
    fn sent_by(&mut self, event: &Event<'p>, transaction: &'p Transaction) {
        for item in &transaction.data {
            if let DataItem::Object(program::Object::Binder { object, .. }) = item.without_place() {
                let object = self.object(event.opening, Called::Object(object));
                let object = &mut self.objects[object];
                if !object.told.strong || !object.told.weak {
                    object.sender = Some(event.thread);
                }
            }
        }
    }

    fn send(
        &mut self,
        event: &Event<'p>,
        transaction: &'p Transaction,
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
                let object = self.manager.ok_or(Stop::GiveUp)?;
                (Some(object), self.objects[object].owner, None)
            }
            Some(handle) => {
                let object = self.object_under(event.opening, handle)?;
                (Some(object), self.objects[object].owner, None)
            }
            None => {
                let caller = self.serving[event.thread].pop().ok_or(Stop::GiveUp)?;
                (None, caller.opening, Some(caller.thread))
            }
        };
        let mut objects = Vec::new();
        for item in &transaction.data {
            match item.without_place() {
                DataItem::Object(program::Object::Binder { weak, object, .. }) => {
                    objects.push((self.object(event.opening, Called::Object(object)), *weak));
                }
                DataItem::Object(program::Object::Handle { weak, handle, .. }) => {
                    objects.push((self.object_under(event.opening, handle)?, *weak));
                }
                DataItem::Object(program::Object::Explicit { .. }) => return Err(Stop::GiveUp),
                _ => {}
            }
        }
        if is_call {
            self.awaiting[event.thread] += 1;
        }
        for (object, weak) in &objects {
            self.hold(to, *object, *weak);
        }
        if let Some(object) = target {
            self.objects[object].own.0 += 1;
        }
        let (code, flags) = (transaction.code, transaction.flags);
        let from = Party { opening: event.opening, thread: event.thread };
        self.under_way.push(Parcel { code, flags, to, to_thread, from, target, objects });
        Ok(())
    }

    /// An opening gets one more of an object.
    fn hold(&mut self, opening: OpeningIndex, object: ObjectId, weak: bool) {
        if self.objects[object].owner == opening {
            let own = &mut self.objects[object].own;
            *(if weak { &mut own.1 } else { &mut own.0 }) += 1;
            return;
        }
        let holding = self.holding(opening, object);
        *(if weak { &mut holding.weak } else { &mut holding.strong }) += 1;
    }

    /// What an opening holds of an object; a new handle if it has none.
    fn holding(&mut self, opening: OpeningIndex, object: ObjectId) -> &mut Holding {
        let holdings = &mut self.objects[object].holdings;
        let known = holdings.iter().position(|holding| holding.opening == opening);
        let place = known.unwrap_or_else(|| {
            let numbers = &mut self.numbers[opening];
            let first = usize::from(self.manager != Some(object));
            let free = (first..numbers.len()).find(|number| numbers[*number].is_none());
            let number = free.unwrap_or(numbers.len().max(first));
            numbers.resize(numbers.len().max(number + 1), None);
            numbers[number] = Some(object);
            holdings.push(Holding { opening, number: number as u32, strong: 0, weak: 0 });
            holdings.len() - 1
        });
        &mut holdings[place]
    }

    /// An opening has one less of an object, if it has any.
    fn let_go(&mut self, opening: OpeningIndex, object: ObjectId, weak: bool) {
        let Object { owner, own, holdings, .. } = &mut self.objects[object];
        if *owner == opening {
            let count = if weak { &mut own.1 } else { &mut own.0 };
            *count = count.saturating_sub(1);
            return;
        }
        let Some(place) = holdings.iter().position(|holding| holding.opening == opening) else { return };
        let holding = &mut holdings[place];
        let count = if weak { &mut holding.weak } else { &mut holding.strong };
        *count = count.saturating_sub(1);
        if holding.strong == 0 && holding.weak == 0 {
            let holding = holdings.remove(place);
            self.numbers[opening][holding.number as usize] = None;
        }
    }

    fn command(&mut self, event: &Event<'p>, command: &'p Command) -> Result<(), Stop> {
        let opening = event.opening;
        match command {
            Command::FreeBuffer(Address::Buffer { buffer, offset: 0 }) => {
                let is_it =
                    |(name, owner, _): &(&Name, OpeningIndex, Parcel)| *name == buffer && *owner == opening;
                if let Some(place) = self.buffers.iter().position(is_it) {
                    let (_, _, parcel) = self.buffers.swap_remove(place);
                    parcel.objects.iter().for_each(|(object, weak)| self.let_go(opening, *object, *weak));
                    if let Some(object) = parcel.target {
                        self.let_go(self.objects[object].owner, object, false);
                    }
                }
            }
            Command::Increfs(handle) | Command::Acquire(handle) => {
                let weak = matches!(command, Command::Increfs(_));
                let number = self.number_of(opening, handle)?;
                match (self.object_at(opening, number), number) {
                    (Some(object), _) => {
                        let holding = self.holding(opening, object);
                        match weak {
                            true => holding.weak += 1,
                            // A weak handle does not become strong by itself, but the manager's does.
                            false if holding.strong == 0 && number != 0 => {}
                            false => holding.strong += 1,
                        }
                    }
                    (None, 0) => {
                        if let Some(object) = self.manager {
                            self.hold(opening, object, weak);
                        }
                    }
                    _ => {}
                }
            }
            Command::Release(handle) | Command::Decrefs(handle) => {
                let weak = matches!(command, Command::Decrefs(_));
                let number = self.number_of(opening, handle)?;
                if let Some(object) = self.object_at(opening, number) {
                    self.let_go(opening, object, weak);
                }
            }
            Command::IncrefsDone(node) | Command::AcquireDone(node) => {
                let object = self.object(opening, node.into());
                let told = &mut self.objects[object].told;
                match command {
                    Command::IncrefsDone(_) => told.weak_unanswered = false,
                    _ => told.strong_unanswered = false,
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn returned(&mut self, event: &Event<'p>, pattern: &'p ReturnPattern) -> Result<(), Stop> {
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. } => {
                let target = transaction.target.as_ref().ok_or(Stop::GiveUp)?;
                let target = self.object(event.opening, target.into());
                self.arrived(event, transaction, |parcel| parcel.target == Some(target))
            }
            ReturnPattern::Reply(transaction) => {
                let awaited = &mut self.awaiting[event.thread];
                *awaited = awaited.saturating_sub(1);
                self.arrived(event, transaction, |parcel| parcel.to_thread == Some(event.thread))
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
        event: &Event<'p>,
        came: &'p TransactionPattern,
        is_it: impl Fn(&Parcel) -> bool,
    ) -> Result<(), Stop> {
        let fits = |parcel: &Parcel| {
            parcel.to == event.opening
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
            self.serving[event.thread].push(parcel.from);
        }
        let mut objects = parcel.objects.iter();
        for item in &came.data {
            let DataItem::Object(object @ (program::Object::Handle { .. } | program::Object::Binder { .. })) =
                item.without_place()
            else {
                continue;
            };
            let Some((sent, _)) = objects.next() else { return Err(Stop::GiveUp) };
            if let program::Object::Handle { handle, .. } = object {
                self.arrived_as(event, *sent, handle)?;
            }
        }
        if let Some(name) = &came.capture {
            self.buffers.retain(|(known, ..)| *known != name);
            self.buffers.push((name, event.opening, parcel));
        }
        Ok(())
    }

    fn arrived_as(
        &mut self,
        event: &Event<'p>,
        object: ObjectId,
        handle: &'p HandlePattern,
    ) -> Result<(), Stop> {
        let wrong = |came: String, expected: String| {
            Err(Stop::Violation(Violation::WrongHandle { step: event.step, came, expected }))
        };
        let mut holdings = self.objects[object].holdings.iter();
        let holding = holdings.find(|holding| holding.opening == event.opening);
        let Some(number) = holding.map(|holding| holding.number) else {
            // Its receiver has let it go before it read of it.
            return Err(Stop::GiveUp);
        };
        let this = (event.opening, number);
        match handle {
            HandlePattern::Any => Ok(()),
            HandlePattern::Bind(name) => {
                if let Some((taken, _)) = self.handles.iter().find(|(_, known)| *known == this) {
                    return wrong(format!("a new handle, {name}"), taken.to_string());
                }
                self.handles.retain(|(known, _)| *known != name);
                self.handles.push((name, this));
                Ok(())
            }
            HandlePattern::Is(Handle::Number(came)) if *came == number => Ok(()),
            HandlePattern::Is(Handle::Number(came)) => wrong(came.to_string(), number.to_string()),
            HandlePattern::Is(Handle::Symbol(name)) => match self.named(name) {
                Some(known) if known == this => Ok(()),
                _ => wrong(name.to_string(), format!("handle {number}")),
            },
        }
    }

    /// Who holds an object strongly, or at all.
    fn holder(&self, object: &Object<'p>, strongly: bool) -> Option<Holder> {
        let mut holdings = object.holdings.iter();
        if let Some(holding) = holdings.find(|holding| !strongly || holding.strong > 0) {
            return Some(Holder::Opening(holding.opening));
        }
        let (strong, weak) = object.own;
        if strong > 0 || (!strongly && weak > 0) {
            return Some(Holder::Buffer);
        }
        let told = &object.told;
        let is_unanswered = told.strong_unanswered || (!strongly && told.weak_unanswered);
        is_unanswered.then_some(Holder::Driver)
    }

    /// An owner is told something of its object.
    fn told(&mut self, event: &Event<'p>, node: &'p Node, what: &'static str) -> Result<(), Stop> {
        let id = self.object(event.opening, node.into());
        let object = &self.objects[id];
        let is_strong = matches!(what, "BR_ACQUIRE" | "BR_RELEASE");
        let begins = matches!(what, "BR_INCREFS" | "BR_ACQUIRE");
        if self.manager == Some(id) {
            return Ok(());
        }
        let node = || object.called.to_string();
        match self.holder(object, is_strong) {
            Some(holder) if !begins => {
                let holder = match holder {
                    Holder::Opening(opening) => self.history.processes[opening].name.to_string(),
                    Holder::Buffer => "a buffer".to_owned(),
                    Holder::Driver => "the driver, for want of an answer,".to_owned(),
                };
                return Err(
                    Violation::HeldStill { step: event.step, told: what, node: node(), holder }.into()
                );
            }
            None if begins => {
                return Err(Violation::HeldByNobody { step: event.step, told: what, node: node() }.into());
            }
            _ => {}
        }
        let Object { told, sender, .. } = &mut self.objects[id];
        *sender = None;
        match is_strong {
            true => (told.strong, told.strong_unanswered) = (begins, begins),
            false => (told.weak, told.weak_unanswered) = (begins, begins),
        }
        Ok(())
    }

    /// A thread sleeps. If it takes what there is for its process, there is nothing.
    fn parked(&mut self, event: &Event<'p>) -> Result<(), Stop> {
        for object in &mut self.objects {
            object.sender = object.sender.filter(|sender| *sender != event.thread);
        }
        if !self.serving[event.thread].is_empty() || self.awaiting[event.thread] > 0 {
            return Ok(());
        }
        for (id, object) in self.objects.iter().enumerate() {
            if object.owner != event.opening || self.manager == Some(id) || object.sender.is_some() {
                continue;
            }
            let owed = match (object.told.strong, object.told.weak) {
                (true, _) if self.holder(object, true).is_none() => "BR_RELEASE",
                (_, true) if self.holder(object, false).is_none() => "BR_DECREFS",
                _ => continue,
            };
            let (thread, node) = (self.history.name(event.thread), object.called.to_string());
            return Err(Violation::NeverTold { step: event.step, thread, owed, node }.into());
        }
        Ok(())
    }
}

/// Who holds an object.
enum Holder {
    Opening(OpeningIndex),
    /// A buffer of its owner.
    Buffer,
    /// The driver, until its owner answers.
    Driver,
}
