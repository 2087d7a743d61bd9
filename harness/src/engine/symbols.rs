//! Symbols: the numbers behind the names of a program, and the way back.
//!
//! The numbers of objects and cookies are chosen here, by the order in which a program first names them, so
//! that they are the same in every run. Those of handles and buffers are the driver's (`bindings.rs`).

use std::collections::BTreeMap;

use reference_driver::uapi::PointerCookie;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::cast::Cast;
use super::fault::ScriptFault;
use crate::program::*;
use crate::target::{FileId, InstanceId};

/// What a process is to the target that it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownProcess {
    pub(super) pid: i32,
    /// What a security module calls it, if the program is about that.
    pub(super) security_context: Option<Vec<u8>>,
}

/// The pointer of the first object of the first process.
const POINTERS: u64 = 0x7b00_0000_0000;
/// The cookie of that object.
const OBJECT_COOKIES: u64 = 0x7c00_0000_0000;
/// The first cookie of a notification.
const COOKIES: u64 = 0x7d00_0000_0000;
/// From the numbers of one process to those of the next.
const PROCESS_STRIDE: u64 = 0x1_0000_0000;
/// From one number to the next.
const STRIDE: u64 = 0x100;

/// What the harness chose, for a whole program.
#[derive(Debug)]
pub(super) struct Symbols {
    objects: FxHashMap<Name, PointerCookie>,
    /// The way back: the objects of each process by their pointers.
    names: FxHashMap<(usize, u64), Name>,
    cookies: FxHashMap<Name, u64>,
    files: BTreeMap<Name, FileId>,
    instances: BTreeMap<Name, InstanceId>,
    processes: Vec<(Name, i32)>,
    /// What a security module calls them.
    security_contexts: BTreeMap<Name, Vec<u8>>,
    /// How many objects each process has so far.
    object_counts: Vec<u64>,
}

/// A map with room for the names of a usual program, so that it does not grow again and again.
fn roomy<K, V>() -> FxHashMap<K, V> {
    const USUAL_NAMES: usize = 14;
    FxHashMap::with_capacity_and_hasher(USUAL_NAMES, FxBuildHasher)
}

/// The numbers that the harness chose, the same on every target.
pub(crate) struct Chosen {
    /// Of each object.
    pub(crate) objects: BTreeMap<Name, PointerCookie>,
    /// Of each cookie of a notification.
    pub(crate) cookies: BTreeMap<Name, u64>,
}

/// The numbers that the names of a program stand for.
pub(crate) fn chosen(program: &Program) -> Result<Chosen, ScriptFault> {
    let cast = Cast::of(program)?;
    let nobody = KnownProcess { pid: 0, security_context: None };
    let symbols = Symbols::of(program, &cast, vec![nobody; cast.processes().len()])?;
    Ok(Chosen {
        objects: symbols.objects.into_iter().collect(),
        cookies: symbols.cookies.into_iter().collect(),
    })
}

impl Symbols {
    /// The symbols of a program, whose processes are these to the target.
    pub(super) fn of(
        program: &Program,
        cast: &Cast,
        processes: Vec<KnownProcess>,
    ) -> Result<Symbols, ScriptFault> {
        let names = cast.processes().iter().map(|process| process.name.clone());
        let mut symbols = Symbols {
            objects: roomy(),
            names: roomy(),
            cookies: FxHashMap::default(),
            files: BTreeMap::new(),
            instances: BTreeMap::new(),
            processes: names.clone().zip(processes.iter().map(|process| process.pid)).collect(),
            security_contexts: names
                .zip(processes)
                .filter_map(|(name, process)| Some((name, process.security_context?)))
                .collect(),
            object_counts: vec![0; cast.processes().len()],
        };
        let mut aliases: BTreeMap<Name, usize> = BTreeMap::new();
        for step in program.steps.iter().flat_map(|noted| noted.value.steps()) {
            let (first, alias) = match &step.actor {
                Actor::Thread(name) => (name, None),
                Actor::AnyOf { candidates, alias } => match candidates.first() {
                    Some(first) => (first, Some(alias)),
                    None => return Err(ScriptFault::UnknownThread(alias.clone())),
                },
            };
            let process = match aliases.get(first) {
                Some(process) => *process,
                None => cast.thread(first)?.process,
            };
            if let Some(alias) = alias {
                aliases.insert(alias.clone(), process);
            }
            symbols.number(process, &step.action);
        }
        Ok(symbols)
    }

    /// Gives numbers to an object of a process, unless it has some.
    pub(super) fn add_object(&mut self, process: usize, name: &Name) {
        if self.objects.contains_key(name) {
            return;
        }
        let earlier = &mut self.object_counts[process];
        let place = process as u64 * PROCESS_STRIDE + *earlier * STRIDE;
        *earlier += 1;
        let numbers = PointerCookie { pointer: POINTERS + place, cookie: OBJECT_COOKIES + place };
        self.objects.insert(name.clone(), numbers);
        self.names.insert((process, numbers.pointer), name.clone());
    }

    /// Gives a number to the cookie of a notification, unless it has one.
    pub(super) fn add_cookie(&mut self, name: &Name) {
        let number = COOKIES + self.cookies.len() as u64 * STRIDE;
        self.cookies.entry(name.clone()).or_insert(number);
    }

    /// Gives a number to a file, unless it has one.
    pub(super) fn add_file(&mut self, name: &Name) {
        let number = self.files.len() as u32 + 1;
        self.files.entry(name.clone()).or_insert(FileId(number));
    }

    /// Gives a number to an instance of binderfs, unless it has one.
    pub(super) fn add_instance(&mut self, name: &Name) {
        let number = self.instances.len() as u32;
        self.instances.entry(name.clone()).or_insert(InstanceId(number));
    }

    /// A process has come to be known.
    pub(super) fn introduce(&mut self, process: usize, known: KnownProcess) {
        let (name, pid) = &mut self.processes[process];
        *pid = known.pid;
        self.security_contexts.extend(known.security_context.map(|context| (name.clone(), context)));
    }

    /// The numbers of an object.
    pub(super) fn object(&self, name: &Name) -> PointerCookie {
        *self.objects.get(name).expect("every object that a program names was given its numbers first")
    }

    /// The numbers of a node.
    pub(super) fn node(&self, node: &Node) -> PointerCookie {
        match node {
            Node::Object(name) => self.object(name),
            Node::Explicit { pointer, cookie } => PointerCookie {
                pointer: match pointer {
                    Token::Number(number) => *number,
                    Token::Symbol(name) => self.object(name).pointer,
                },
                cookie: match cookie {
                    Token::Number(number) => *number,
                    Token::Symbol(name) => self.object(name).cookie,
                },
            },
        }
    }

    /// The number of a notification's cookie.
    pub(super) fn cookie(&self, token: &Token) -> u64 {
        match token {
            Token::Number(number) => *number,
            Token::Symbol(name) => {
                *self.cookies.get(name).expect("every cookie that a program names was given its number first")
            }
        }
    }

    /// What worlds know a file by.
    pub(super) fn file(&self, name: &Name) -> FileId {
        *self.files.get(name).expect("every file that a program names was given its number first")
    }

    /// What worlds know an instance of binderfs by.
    pub(super) fn instance(&self, name: &Name) -> InstanceId {
        *self.instances.get(name).expect("every instance that a program names was given its number first")
    }

    /// The name of a file.
    pub(super) fn file_named(&self, file: FileId) -> Option<&Name> {
        self.files.iter().find(|(_, known)| **known == file).map(|(name, _)| name)
    }

    /// The object of a process that these numbers stand for.
    pub(super) fn object_of(&self, process: usize, numbers: PointerCookie) -> Option<&Name> {
        let name = self.names.get(&(process, numbers.pointer))?;
        (self.object(name) == numbers).then_some(name)
    }

    /// The node that these numbers stand for in a process, as a script would write it.
    pub(super) fn node_named(&self, process: usize, numbers: PointerCookie) -> Node {
        if let Some(name) = self.object_of(process, numbers) {
            return Node::Object(name.clone());
        }
        let token = |number: u64, part: fn(PointerCookie) -> u64| {
            let known = self.objects.iter().find(|(_, numbers)| part(**numbers) == number);
            known.map_or(Token::Number(number), |(name, _)| Token::Symbol(name.clone()))
        };
        Node::Explicit {
            pointer: token(numbers.pointer, |numbers| numbers.pointer),
            cookie: token(numbers.cookie, |numbers| numbers.cookie),
        }
    }

    /// The cookie of a notification, as a script would write it.
    pub(super) fn cookie_named(&self, number: u64) -> Token {
        let known = self.cookies.iter().find(|(_, known)| **known == number);
        known.map_or(Token::Number(number), |(name, _)| Token::Symbol(name.clone()))
    }

    /// The process that a process id stands for, as a script would write it.
    pub(super) fn pid_named(&self, pid: i32) -> PidPattern {
        let known = self.processes.iter().find(|(_, known)| pid != 0 && *known == pid);
        known.map_or(PidPattern::Number(pid), |(name, _)| PidPattern::Process(name.clone()))
    }

    /// What a security module calls a process, as a script would write it. Where several are called so, the one that it
    /// is most likely about stands first among those given.
    pub(super) fn security_context_named(&self, context: &[u8], likely: &[&Name]) -> SecurityContextPattern {
        let is_of =
            |name: &Name| self.security_contexts.get(name).is_some_and(|known| is_called(known, context));
        let others = self.processes.iter().map(|(name, _)| name);
        match likely.iter().copied().chain(others).find(|name| is_of(name)) {
            Some(name) => SecurityContextPattern::Process(name.clone()),
            None => SecurityContextPattern::Text(String::from_utf8_lossy(context).into_owned()),
        }
    }

    /// Whether a security context, which came up to its first 0, is what a pattern asks for.
    pub(super) fn is_security_context(&self, pattern: &SecurityContextPattern, came: &[u8]) -> bool {
        match pattern {
            SecurityContextPattern::Process(name) => {
                self.security_contexts.get(name).is_some_and(|known| is_called(known, came))
            }
            SecurityContextPattern::Text(text) => text.as_bytes() == came,
        }
    }

    /// The process id that a pattern asks for.
    pub(super) fn pid(&self, pattern: &PidPattern) -> Result<i32, ScriptFault> {
        match pattern {
            PidPattern::Number(number) => Ok(*number),
            PidPattern::Process(name) => {
                let known = self.processes.iter().find(|(known, _)| known == name);
                known.map(|(_, pid)| *pid).ok_or_else(|| ScriptFault::UnknownProcess(name.clone()))
            }
        }
    }
}

/// Whether what came is what the security module calls a process. A module that does not count a final 0 gives none: then
/// nothing in memory says where the context ends.
fn is_called(known: &[u8], came: &[u8]) -> bool {
    match known.split_last() {
        Some((0, context)) => context == came,
        _ => came.starts_with(known),
    }
}
