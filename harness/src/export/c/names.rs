//! Names: what the names of a script are called in C, and what they stand for.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::engine::Chosen;
use crate::program::*;

/// What the words for processes, threads and further names of threads begin with.
const PROCESS: &str = "PROCESS";
const THREAD: &str = "THREAD";
const ALIAS: &str = "ALIAS";

/// The names of a script.
pub(super) struct Names {
    processes: Vec<Process>,
    /// The process of each thread, by the order in which they are declared.
    threads: Vec<(Name, usize)>,
    /// Names that steps give to threads, with the process that those are of.
    aliases: Vec<(Name, usize)>,
    objects: BTreeMap<Name, (u64, u64)>,
    cookies: BTreeMap<Name, u64>,
    handles: Vec<Name>,
    buffers: Vec<Name>,
    files: Vec<Name>,
    /// Which word is taken for which name.
    words: BTreeMap<String, Name>,
}

impl Names {
    /// Those of a program.
    pub(super) fn of(program: &Program, chosen: &Chosen) -> Names {
        let declarations = || program.declarations.iter().map(|noted| &noted.value);
        let processes: Vec<Process> = declarations()
            .filter_map(|declaration| match declaration {
                Declaration::Process(process) => Some(process.clone()),
                Declaration::Thread { .. } => None,
            })
            .collect();
        let of = |name: &Name| processes.iter().position(|process| process.name == *name).unwrap_or_default();
        let threads = declarations()
            .map(|declaration| match declaration {
                Declaration::Process(process) => (process.name.clone(), of(&process.name)),
                Declaration::Thread { name, process } => (name.clone(), of(process)),
            })
            .collect();
        let mut names = Names {
            threads,
            aliases: Vec::new(),
            objects: chosen
                .objects
                .iter()
                .map(|(name, numbers)| (name.clone(), (numbers.pointer, numbers.cookie)))
                .collect(),
            cookies: chosen.cookies.clone(),
            handles: Vec::new(),
            buffers: Vec::new(),
            files: Vec::new(),
            words: BTreeMap::new(),
            processes,
        };
        for name in names.processes.iter().map(|process| process.name.clone()).collect::<Vec<_>>() {
            names.claim(PROCESS, &name);
        }
        for name in names.threads.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            names.claim(THREAD, &name);
        }
        names
    }

    /// From here on a name stands for one of these threads.
    pub(super) fn add_alias(&mut self, alias: &Name, candidates: &[Name]) {
        let process = candidates.first().map_or(0, |name| self.process_of(name));
        self.aliases.push((alias.clone(), process));
        self.claim(ALIAS, alias);
    }

    /// The process of a thread.
    pub(super) fn process_of(&self, thread: &Name) -> usize {
        let known = self.threads.iter().chain(&self.aliases).rev().find(|(name, _)| name == thread);
        known.map_or(0, |(_, process)| *process)
    }

    /// A thread.
    pub(super) fn thread(&self, name: &Name) -> String {
        let is_alias = self.aliases.iter().any(|(alias, _)| alias == name);
        self.word(if is_alias { ALIAS } else { THREAD }, name)
    }

    /// A process.
    pub(super) fn process(&self, name: &Name) -> String {
        self.word(PROCESS, name)
    }

    /// The id of a process.
    pub(super) fn pid(&self, name: &Name) -> String {
        format!("shared->threads[{}].pid", self.word(THREAD, name))
    }

    /// The id of the process of a thread.
    pub(super) fn pid_of_actor(&self, thread: &Name) -> String {
        self.pid(&self.processes[self.process_of(thread)].name.clone())
    }

    /// The pointer and the cookie of a node.
    pub(super) fn node(&mut self, node: &Node) -> (String, String) {
        match node {
            Node::Object(name) => (self.pointer(name), self.cookie_of(name)),
            Node::Explicit { pointer, cookie } => {
                let pointer = match pointer {
                    Token::Number(number) => long(*number),
                    Token::Symbol(name) => self.pointer(name),
                };
                let cookie = match cookie {
                    Token::Number(number) => long(*number),
                    Token::Symbol(name) => self.cookie_of(name),
                };
                (pointer, cookie)
            }
        }
    }

    /// The pointer of an object.
    pub(super) fn pointer(&mut self, name: &Name) -> String {
        self.claim("POINTER", name)
    }

    /// The cookie of an object.
    pub(super) fn cookie_of(&mut self, name: &Name) -> String {
        self.claim("COOKIE", name)
    }

    /// The cookie of a notification.
    pub(super) fn token(&mut self, token: &Token) -> String {
        match token {
            Token::Number(number) => long(*number),
            Token::Symbol(name) => self.claim("NOTIFICATION", name),
        }
    }

    /// A handle, which the driver chooses.
    pub(super) fn handle(&mut self, handle: &Handle) -> String {
        match handle {
            Handle::Number(number) => format!("{number}u"),
            Handle::Symbol(name) => self.bound_handle(name),
        }
    }

    /// The same, by its name.
    pub(super) fn bound_handle(&mut self, name: &Name) -> String {
        if !self.handles.contains(name) {
            self.handles.push(name.clone());
        }
        format!("names->{}", self.claim("handle", name))
    }

    /// The address of a buffer, which the driver chooses.
    pub(super) fn buffer(&mut self, name: &Name) -> String {
        if !self.buffers.contains(name) {
            self.buffers.push(name.clone());
        }
        format!("names->{}", self.claim("buffer", name))
    }

    /// An address that a process hands to the driver.
    pub(super) fn address(&mut self, address: &Address) -> String {
        match address {
            Address::Number(number) => long(*number),
            Address::Unmapped => "UNMAPPED".to_owned(),
            Address::Buffer { buffer, offset: 0 } => self.buffer(buffer),
            Address::Buffer { buffer, offset } => format!("{} + {}", self.buffer(buffer), long(*offset)),
        }
    }

    /// A file of the script.
    pub(super) fn file(&mut self, name: &Name) -> String {
        if !self.files.contains(name) {
            self.files.push(name.clone());
        }
        self.claim("FILE", name)
    }

    /// The number of the descriptor that the process which does the step has.
    pub(super) fn descriptor(&mut self, descriptor: &Descriptor) -> String {
        match descriptor {
            Descriptor::Number(number) => format!("{number}u"),
            Descriptor::File(name) => {
                let file = self.file(name);
                format!("names->files[{file}].descriptors[process]")
            }
        }
    }

    /// The word for a name of this kind. Two names may differ in a sign that C does not have.
    fn claim(&mut self, kind: &str, name: &Name) -> String {
        let word = self.word(kind, name);
        self.words.insert(word.clone(), name.clone());
        word
    }

    /// The same, which has been claimed before.
    fn word(&self, kind: &str, name: &Name) -> String {
        let mut candidate = format!("{kind}_{}", word(name));
        while self.words.get(&candidate).is_some_and(|taken| taken != name) {
            candidate.push('_');
        }
        candidate
    }

    /// What must be declared before everything else. `used` is what may use it.
    pub(super) fn head(&mut self, used: &str) -> String {
        let mut head = String::new();
        let list = |names: Vec<String>, count: &str| {
            let separator = if names.is_empty() { "" } else { ", " };
            format!("enum {{ {}{separator}{count} }};\n", names.join(", "))
        };
        head.push_str("/* Who takes part. */\n");
        let processes = self.processes.iter().map(|process| self.process(&process.name)).collect();
        head.push_str(&list(processes, "PROCESSES"));
        let threads = self.threads.iter().map(|(name, _)| self.word(THREAD, name)).collect();
        head.push_str(&list(threads, "THREADS"));
        let mut aliases = vec!["ALIASES_BEGIN = THREADS - 1".to_owned()];
        aliases.extend(self.aliases.iter().map(|(name, _)| self.word(ALIAS, name)));
        let _ = writeln!(head, "enum {{ {}, ALIASES = {} }};", aliases.join(", "), self.aliases.len());
        let needs_files = !self.files.is_empty()
            || ["count_descriptors", "fork_process"].iter().any(|word| used.contains(word));
        if needs_files {
            let files = self.files.clone();
            let files: Vec<String> = files.iter().map(|name| self.claim("FILE", name)).collect();
            let separator = if files.is_empty() { "" } else { ", " };
            let _ = writeln!(head, "enum {{ {}{separator}FILES }};", files.join(", "));
        }
        let mut constants = String::new();
        for (name, (pointer, cookie)) in self.objects.clone() {
            for (kind, number) in [("POINTER", pointer), ("COOKIE", cookie)] {
                let word = self.claim(kind, &name);
                if used.contains(&word) {
                    let _ = writeln!(constants, "#define {word} {}", long(number));
                }
            }
        }
        for (name, number) in self.cookies.clone() {
            let word = self.claim("NOTIFICATION", &name);
            if used.contains(&word) {
                let _ = writeln!(constants, "#define {word} {}", long(number));
            }
        }
        if !constants.is_empty() {
            let _ = write!(head, "\n/* What processes call their objects and notifications. */\n{constants}");
        }
        head.push_str("\n/* What the driver chooses. */\nstruct names {\n");
        for name in self.handles.clone() {
            let _ = writeln!(head, "\t__u32 {};", self.claim("handle", &name));
        }
        for name in self.buffers.clone() {
            let _ = writeln!(head, "\tbinder_uintptr_t {};", self.claim("buffer", &name));
        }
        if needs_files {
            head.push_str(
                "\tstruct {\n\t\tbool known;\n\t\tstruct identity identity;\n\t\tint descriptors[PROCESSES]; /* the last one \
                 that each process got */\n\t} files[FILES + 1];\n",
            );
        } else if self.handles.is_empty() && self.buffers.is_empty() {
            head.push_str("\tint none;\n");
        }
        head.push_str("};\n\n");
        head
    }

    /// How threads are called.
    pub(super) fn table_of_threads(&self) -> String {
        let names: Vec<String> = self.threads.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("static const char *const thread_names[THREADS] = {{ {} }};\n\n", names.join(", "))
    }

    /// The calls that start the processes.
    pub(super) fn processes(&self) -> String {
        let mut text = String::new();
        for (index, process) in self.processes.iter().enumerate() {
            if process.device == DeviceSetUp::Forked {
                continue;
            }
            let others = self.threads.iter().filter(|(name, of)| *of == index && *name != process.name);
            let mut others: Vec<String> = others.map(|(name, _)| self.thread(name)).collect();
            others.push("-1".to_owned());
            let _ = writeln!(
                text,
                "\tstart_process({}, {}, (const int[]){{ {} }}, {});",
                self.process(&process.name),
                self.thread(&process.name),
                others.join(", "),
                process.uid.map_or(-1, i64::from)
            );
        }
        text
    }
}

/// A name without what C does not have in one.
fn word(name: &Name) -> String {
    name.as_str().replace('-', "_")
}

/// A number of 64 bits.
pub(super) fn long(number: u64) -> String {
    if number < 10 { format!("{number}") } else { format!("0x{number:x}ULL") }
}
