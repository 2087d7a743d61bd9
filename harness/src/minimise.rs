//! Minimising: the same with less. Of a program that shows something, steps are left out, and then parts of steps, for as
//! long as what is left still shows it.
//!
//! Each candidate is settled before it is tried, as its steps may refer to what is gone. So it is the settled candidate that
//! shows it, and not what it was made of.

use crate::program::*;
use crate::script::print;

/// What a candidate must pass.
pub trait Trial {
    /// The candidate with all that it needs; `None` if nothing is left of it.
    fn settle(&mut self, candidate: &Program) -> Option<Program>;

    /// Whether a settled candidate still shows what the program did.
    fn shows(&mut self, candidate: &Program) -> bool;

    /// Whether no more candidates are to be tried.
    fn is_over(&self) -> bool;
}

/// What is left of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minimised {
    /// The program, which has no more steps than the one that was given.
    pub program: Program,
    /// How many candidates were tried.
    pub tried: u32,
    /// Whether all were that there are: then no single step of it can be left out.
    pub is_minimal: bool,
}

/// Makes a settled program smaller, until it cannot be or the trial is over.
pub fn minimise(program: &Program, trial: &mut dyn Trial) -> Minimised {
    let mut search = Search { best: program.clone(), tried: 0, trial };
    loop {
        search.steps();
        if !search.parts() {
            break;
        }
    }
    let is_minimal = !search.trial.is_over();
    Minimised { program: search.best, tried: search.tried, is_minimal }
}

struct Search<'t> {
    best: Program,
    tried: u32,
    trial: &'t mut dyn Trial,
}

impl Search<'_> {
    /// Leaves out steps: large pieces first, the last ones first, and in the end one at a time until none can be.
    fn steps(&mut self) {
        let mut piece = self.best.steps.len().div_ceil(2);
        while piece > 0 {
            let mut has_shrunk = false;
            let mut end = self.best.steps.len();
            while end > 0 && !self.trial.is_over() {
                let start = end.saturating_sub(piece);
                let mut candidate = self.best.clone();
                candidate.steps.drain(start..end);
                if self.attempt(&candidate, |candidate, best| candidate.steps.len() < best.steps.len()) {
                    has_shrunk = true;
                    end = start.min(self.best.steps.len());
                } else {
                    end = start;
                }
            }
            match (piece, has_shrunk) {
                // What was needed by a step that is gone may be needed no more.
                (1, true) if !self.trial.is_over() => {}
                (1, _) => return,
                _ => piece = piece.div_ceil(2),
            }
        }
    }

    /// Leaves out parts of steps, and who takes no part. Whether anything was.
    fn parts(&mut self) -> bool {
        let mut has_shrunk = false;
        let mut place = 0;
        while !self.trial.is_over() {
            let candidates = lesser(&self.best, place);
            let Some(candidates) = candidates else { break };
            let is_less = |candidate: &Program, best: &Program| {
                candidate.steps.len() <= best.steps.len() && print(candidate).len() < print(best).len()
            };
            let found =
                candidates.iter().any(|candidate| !self.trial.is_over() && self.attempt(candidate, is_less));
            has_shrunk |= found;
            place += usize::from(!found);
        }
        has_shrunk
    }

    /// Takes a candidate for the best one if it is less, and shows the same.
    fn attempt(&mut self, candidate: &Program, is_less: impl Fn(&Program, &Program) -> bool) -> bool {
        let Some(settled) = self.trial.settle(candidate) else { return false };
        if !is_less(&settled, &self.best) {
            return false;
        }
        self.tried += 1;
        let shows = self.trial.shows(&settled);
        if shows {
            self.best = settled;
        }
        shows
    }
}

/// Programs in which this step has less in it. Behind the last step come those with fewer or simpler processes; `None`
/// behind these.
fn lesser(program: &Program, place: usize) -> Option<Vec<Program>> {
    if place < program.steps.len() {
        let Moment::Step(step) = &program.steps[place].value else { return Some(Vec::new()) };
        let with = |action: Action| {
            let mut candidate = program.clone();
            candidate.steps[place].value = Moment::Step(Step { actor: step.actor.clone(), action });
            candidate
        };
        return Some(lesser_actions(&step.action).into_iter().map(with).collect());
    }
    let place = place - program.steps.len();
    (place < program.declarations.len()).then(|| lesser_declarations(program, place))
}

fn lesser_declarations(program: &Program, place: usize) -> Vec<Program> {
    let mut candidates = Vec::new();
    let name = name_of(&program.declarations[place].value).clone();
    let is_of = |declaration: &Declaration| match declaration {
        Declaration::Process(process) => process.name == name,
        Declaration::Thread { name: thread, process } => *thread == name || *process == name,
    };
    let is_thread_of = |actor: &Name| {
        let declarations = program.declarations.iter().map(|noted| &noted.value);
        declarations.filter(|declaration| is_of(declaration)).any(|declaration| name_of(declaration) == actor)
    };
    let acts = |step: &Step| match &step.actor {
        Actor::Thread(actor) => is_thread_of(actor),
        Actor::AnyOf { candidates, .. } => candidates.iter().any(is_thread_of),
    };
    // Of a process that acts each step is needed, and so is the process. Whether one is that others name, the trial says.
    let is_idle = !program.steps.iter().flat_map(|noted| noted.value.steps()).any(acts);
    if is_idle || matches!(program.declarations[place].value, Declaration::Thread { .. }) {
        let mut candidate = program.clone();
        candidate.declarations.retain(|noted| !is_of(&noted.value));
        candidates.push(candidate);
    }
    if let Declaration::Process(process) = &program.declarations[place].value {
        let plain = Process {
            context: Context::default(),
            uid: None,
            nonblock: false,
            device: DeviceSetUp::Mapped(DeviceSetUp::DEFAULT_MAPPING),
            ..process.clone()
        };
        let simpler = [
            plain.clone(),
            Process { context: plain.context, ..process.clone() },
            Process { uid: None, ..process.clone() },
            Process { nonblock: false, ..process.clone() },
            Process { device: plain.device, ..process.clone() },
            Process { context_manager: false, ..process.clone() },
        ];
        for process in simpler {
            let mut candidate = program.clone();
            candidate.declarations[place].value = Declaration::Process(process);
            candidates.push(candidate);
        }
    }
    candidates
}

fn name_of(declaration: &Declaration) -> &Name {
    match declaration {
        Declaration::Process(process) => &process.name,
        Declaration::Thread { name, .. } => name,
    }
}

fn lesser_actions(action: &Action) -> Vec<Action> {
    let mut candidates = Vec::new();
    match action {
        Action::Call { .. } => {}
        Action::Read { options, expected } => {
            for options in lesser_options(options) {
                candidates.push(Action::Read { options, expected: expected.clone() });
            }
        }
        Action::Write { options, commands, written } => {
            for options in lesser_options(options) {
                candidates.push(Action::Write {
                    options,
                    commands: commands.clone(),
                    written: written.clone(),
                });
            }
            for commands in lesser_commands(commands) {
                candidates.push(Action::Write {
                    options: options.clone(),
                    commands,
                    written: written.clone(),
                });
            }
        }
        Action::WriteRead { options, commands, written, expected } => {
            candidates.push(Action::Write {
                options: options.clone(),
                commands: commands.clone(),
                written: written.clone(),
            });
            candidates.push(Action::Read {
                options: options.clone(),
                expected: expected.clone().unwrap_or(ReadExpectation::Parked),
            });
            let with = |options: WriteReadOptions, commands: Vec<Command>| Action::WriteRead {
                options,
                commands,
                written: written.clone(),
                expected: expected.clone(),
            };
            candidates
                .extend(lesser_options(options).into_iter().map(|options| with(options, commands.clone())));
            candidates.extend(
                lesser_commands(commands).into_iter().map(|commands| with(options.clone(), commands)),
            );
        }
    }
    candidates
}

fn lesser_options(options: &WriteReadOptions) -> Vec<WriteReadOptions> {
    let all = [
        WriteReadOptions::default(),
        WriteReadOptions { write_size: None, ..options.clone() },
        WriteReadOptions { write_consumed: None, ..options.clone() },
        WriteReadOptions { write_buffer_unmapped: false, ..options.clone() },
        WriteReadOptions { read_size: None, ..options.clone() },
        WriteReadOptions { read_consumed: None, ..options.clone() },
        WriteReadOptions { read_buffer_unmapped: false, ..options.clone() },
    ];
    all.into_iter().filter(|lesser| lesser != options).collect()
}

fn lesser_commands(commands: &[Command]) -> Vec<Vec<Command>> {
    let mut candidates = Vec::new();
    for place in 0..commands.len() {
        if commands.len() > 1 {
            let mut fewer = commands.to_vec();
            fewer.remove(place);
            candidates.push(fewer);
        }
        for command in lesser_command(&commands[place]) {
            let mut simpler = commands.to_vec();
            simpler[place] = command;
            candidates.push(simpler);
        }
    }
    candidates
}

fn lesser_command(command: &Command) -> Vec<Command> {
    let transactions = |transaction: &Transaction, with: &dyn Fn(Transaction) -> Command| {
        lesser_transactions(transaction).into_iter().map(with).collect::<Vec<Command>>()
    };
    match command {
        Command::Transaction { target, transaction } => {
            let with = |transaction| Command::Transaction { target: target.clone(), transaction };
            transactions(transaction, &with)
        }
        Command::TransactionSg { target, transaction, buffers_size } => {
            let with = |transaction| Command::TransactionSg {
                target: target.clone(),
                transaction,
                buffers_size: *buffers_size,
            };
            let mut candidates = transactions(transaction, &with);
            candidates
                .push(Command::Transaction { target: target.clone(), transaction: transaction.clone() });
            candidates
        }
        Command::Reply(transaction) => transactions(transaction, &Command::Reply),
        Command::ReplySg { transaction, buffers_size } => {
            let with = |transaction| Command::ReplySg { transaction, buffers_size: *buffers_size };
            let mut candidates = transactions(transaction, &with);
            candidates.push(Command::Reply(transaction.clone()));
            candidates
        }
        Command::Bytes(bytes) if bytes.len() > 4 => vec![Command::Bytes(bytes[..4].to_vec())],
        _ => Vec::new(),
    }
}

fn lesser_transactions(transaction: &Transaction) -> Vec<Transaction> {
    let mut candidates = vec![
        Transaction { code: transaction.code, flags: transaction.flags, ..Transaction::default() },
        Transaction { data: transaction.data.clone(), ..Transaction::default() },
        Transaction { flags: 0, ..transaction.clone() },
        Transaction { code: 0, ..transaction.clone() },
        Transaction { offsets: None, ..transaction.clone() },
        Transaction { data_size: None, ..transaction.clone() },
        Transaction { offsets_size: None, ..transaction.clone() },
        Transaction { buffer: None, offsets_buffer: None, ..transaction.clone() },
        Transaction { cookie: None, sender_pid: None, sender_euid: None, ..transaction.clone() },
    ];
    for place in 0..transaction.data.len() {
        let mut fewer = transaction.clone();
        fewer.data.remove(place);
        candidates.push(fewer);
        let simpler = match &transaction.data[place] {
            DataItem::At(_, item) => (**item).clone(),
            DataItem::Object(Object::Binder { weak, object, flags: Some(_) }) => {
                DataItem::Object(Object::Binder { weak: *weak, object: object.clone(), flags: None })
            }
            DataItem::Object(Object::Handle { weak, handle, flags: Some(_) }) => {
                DataItem::Object(Object::Handle { weak: *weak, handle: handle.clone(), flags: None })
            }
            _ => continue,
        };
        let mut with = transaction.clone();
        with.data[place] = simpler;
        candidates.push(with);
    }
    candidates.retain(|lesser| lesser != transaction);
    candidates
}

#[cfg(test)]
mod tests {
    use arbitrary::Unstructured;
    use reference_driver::Profile;

    use super::*;
    use crate::generate::{Emphasis, bytes_of_seed, generate, settle};
    use crate::oracle;
    use crate::script::parse;

    /// Settles for the model of C, and looks whether that of Rust does something else.
    struct Otherwise;

    impl Trial for Otherwise {
        fn settle(&mut self, candidate: &Program) -> Option<Program> {
            let mut program = settle(candidate, &Profile::C, &mut Unstructured::new(&[])).program;
            program.driver = None;
            (!program.steps.is_empty()).then_some(program)
        }

        fn shows(&mut self, candidate: &Program) -> bool {
            oracle::compare(candidate, &Profile::RUST).is_err()
        }

        fn is_over(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_is_left_still_shows_it_and_no_step_can_be_spared() {
        let mut shown = 0;
        for seed in 0..60 {
            let bytes = bytes_of_seed(seed);
            let generated = generate(Emphasis::Mix, &Profile::C, &mut Unstructured::new(&bytes));
            let mut trial = Otherwise;
            let Some(program) = trial.settle(&generated.program) else { continue };
            if !trial.shows(&program) {
                continue;
            }
            shown += 1;
            let Minimised { program: minimised, is_minimal, .. } = minimise(&program, &mut trial);
            let text = print(&minimised);
            assert!(is_minimal, "seed {seed}");
            assert!(trial.shows(&minimised), "seed {seed}\n{text}");
            assert!(minimised.steps.len() <= program.steps.len(), "seed {seed}\n{text}");
            for place in 0..minimised.steps.len() {
                let mut fewer = minimised.clone();
                fewer.steps.remove(place);
                let Some(fewer) = trial.settle(&fewer) else { continue };
                let is_shorter = fewer.steps.len() < minimised.steps.len();
                assert!(!(is_shorter && trial.shows(&fewer)), "seed {seed}, step {place}\n{text}");
            }
        }
        assert!(shown > 5, "{shown} programs show a difference");
    }

    #[test]
    fn who_does_nothing_goes_whatever_its_name_is() {
        /// Shows that the application opens its device.
        struct Opened;
        impl Trial for Opened {
            fn settle(&mut self, candidate: &Program) -> Option<Program> {
                Some(candidate.clone())
            }
            fn shows(&mut self, candidate: &Program) -> bool {
                print(candidate).contains("app-x  ! open")
            }
            fn is_over(&self) -> bool {
                false
            }
        }
        let text = "# An app opens a device.\n\nprocess app-x\nthread x of app-x\nprocess a\nthread idle of a\n\
            process app\n\napp-x  ! open\n";
        let script =
            parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{}", wrong.render("script", false)));
        let minimised = minimise(&script.program, &mut Opened).program;
        let names: Vec<&str> =
            minimised.declarations.iter().map(|noted| name_of(&noted.value).as_str()).collect();
        assert_eq!(names, ["app-x"]);
    }

    #[test]
    fn no_more_is_tried_when_the_trial_is_over() {
        struct Limited(u32);
        impl Trial for Limited {
            fn settle(&mut self, candidate: &Program) -> Option<Program> {
                Otherwise.settle(candidate)
            }
            fn shows(&mut self, _: &Program) -> bool {
                self.0 -= 1;
                false
            }
            fn is_over(&self) -> bool {
                self.0 == 0
            }
        }
        let program = generate(Emphasis::Mix, &Profile::C, &mut Unstructured::new(&bytes_of_seed(1))).program;
        let minimised = minimise(&program, &mut Limited(7));
        assert_eq!((minimised.tried, minimised.is_minimal), (7, false));
        assert_eq!(minimised.program, program);
    }
}
