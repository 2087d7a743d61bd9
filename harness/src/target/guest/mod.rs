//! Guests: kernels in a machine of their own, with this very program inside as their first process.
//!
//! How a machine is started is a [`Launcher`]'s business: QEMU's, or User-mode Linux'. The rest is alike.

mod counters;
mod execute;
pub mod init;
mod initramfs;
mod machine;
mod mailbox;
mod memory;
mod message;
mod module;
mod module_memory;
mod packed;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tape::Reel;
use super::{Spent, Target};
use crate::compare::masked;
use crate::engine::{Run, SetUpError, Verdict};
use crate::program::Program;
use crate::script;
pub use counters::{Counters, MODULE_COUNTERS, Since};
pub use init::CHANNEL;
pub use initramfs::Initramfs;
pub use machine::{Machine, Silence, channel, inherited};
pub use mailbox::Mailbox;
use memory::MemoryCounters;
use message::{Compared, Introduction, Reply, Request, digest};
pub use message::{Executed, Way};
pub use module::{Module, ModuleError, with_needs};

/// One of so many programs that have been played is run from its script, too. A driver that confuses the address spaces of
/// processes does the same to those who play, for they have one.
const RUN_TOO: u64 = 200;

/// How long a guest may take, in each step, to see to it that one thread is at rest.
const TIME_TO_LOOK: Duration = Duration::from_millis(20);

/// How much a kernel says on its console: warnings and what is worse. The rest is in its log only.
pub const CONSOLE: &str = "loglevel=5";

/// The modules that a guest needs, where they are not built into its kernel.
pub const GUEST_MODULES: &[&str] = &["virtio_pci", "virtio_console", "binder_linux"];

/// A kernel in a machine of its own. It is started for the first program, and again whenever it has died.
pub struct GuestTarget {
    name: String,
    launcher: Box<dyn Launcher>,
    patience: Duration,
    /// It has one processor, which playing tapes takes.
    plays_tapes: bool,
    machine: Option<Machine>,
    /// The machine's counters, if they lie in its memory, or why they cannot be read.
    counters: Option<io::Result<MemoryCounters>>,
    /// What the guest says of its kernel, once that has booted.
    introduction: Option<Introduction>,
    /// Where the time of some programs has gone in the guest.
    spent: Spent,
    /// How many programs have been played.
    played: u64,
    /// The program that the guest has been given to keep.
    kept: Vec<u8>,
}

/// What a guest is made of.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// The kernel.
    pub kernel: PathBuf,
    /// Modules, in the order in which they are loaded.
    pub modules: Vec<Module>,
    /// What its command line needs that the user has not asked for.
    pub switches: &'static [&'static str],
    /// More words for its command line.
    pub append: Vec<String>,
    /// How many processors it has.
    pub cpus: u32,
    /// How long nothing may happen in the guest before something is said to hang.
    pub patience: Duration,
}

/// Starts guests.
pub trait Launcher: Send {
    /// A guest that waits for a script.
    fn launch(&mut self) -> Result<Launched, SetUpError>;

    /// Where in the memory of the machine, as a process, its kernel counts which lines of its driver run, if it does it there.
    fn counters(&self) -> Option<Range<u64>> {
        None
    }
}

/// What is known of programs once their tapes have been played.
struct Played {
    /// For each, what came of it, if that is known: as of [`Target::compare`].
    runs: Vec<Option<Option<Run>>>,
    /// What is told of the last of them if nothing comes of any when they are run one by one: the guest died or complained, or
    /// something was left.
    trouble: Option<Trouble>,
}

/// A guest that waits for a script, and what it says of its kernel.
pub struct Launched {
    machine: Machine,
    introduction: Introduction,
}

impl Launched {
    /// The same, asked by what is put into this mailbox if it can look there.
    pub fn with_mailbox(mut self, mailbox: Option<Mailbox>) -> Launched {
        if let Some(mailbox) = mailbox.filter(|_| self.introduction.has_mailbox) {
            self.machine.ask_by(Way::Mailbox(mailbox));
        }
        self
    }
}

/// Why a guest that has been started does not say that it is ready.
pub enum NoGreeting {
    /// It says why.
    Unusable(String),
    /// It does not.
    Silent(String),
}

impl NoGreeting {
    /// Why this kernel is of no use.
    pub fn of(self, kernel: &Path) -> SetUpError {
        SetUpError(match self {
            NoGreeting::Unusable(reason) => reason,
            NoGreeting::Silent(reason) => format!("{} does not boot: {reason}", kernel.display()),
        })
    }
}

impl GuestOptions {
    /// The words on the kernel's command line that are for the program in the guest, and those of the user.
    pub fn command_line(&self) -> String {
        let patience = format!("binderdrill.patience={}", self.patience.as_secs());
        // Of words that contradict each other the last one counts.
        let words = self.switches.iter().copied().chain(self.append.iter().map(String::as_str));
        words.chain([patience.as_str()]).collect::<Vec<&str>>().join(" ")
    }

    /// The initramfs of the guest.
    pub fn initramfs(&self) -> Result<Initramfs, SetUpError> {
        initramfs::make(&self.modules).map_err(|error| SetUpError(error.to_string()))
    }

    /// How much longer than usual everything may take.
    pub fn scale(&self) -> f64 {
        (self.patience.as_secs_f64() / super::device::PATIENCE.as_secs_f64()).max(1.0)
    }
}

impl GuestTarget {
    /// Prepares a guest.
    pub fn new(name: &str, options: &GuestOptions, launcher: impl Launcher + 'static) -> GuestTarget {
        GuestTarget {
            name: name.to_owned(),
            launcher: Box::new(launcher),
            patience: options.patience,
            plays_tapes: options.cpus == 1,
            machine: None,
            counters: None,
            introduction: None,
            spent: Spent::default(),
            played: 0,
            kept: Vec::new(),
        }
    }

    /// A guest that waits for a script.
    fn machine(&mut self) -> Result<&mut Machine, SetUpError> {
        if self.machine.is_none() {
            let Launched { machine, introduction } = self.launcher.launch()?;
            self.introduction = Some(introduction);
            self.counters =
                self.launcher.counters().map(|place| MemoryCounters::of(machine.process(), place));
            self.machine = Some(machine);
            self.kept.clear();
        }
        Ok(self.machine.as_mut().expect("it has been started above"))
    }

    /// What a guest answers that is asked for something. If it dies over that, the next question goes to a fresh one.
    fn answer(&mut self, request: &Request) -> Result<Reply, SetUpError> {
        let patience = self.patience * 6;
        let machine = self.machine()?;
        let answer = machine.ask(request, patience).and_then(|()| machine.receive(patience));
        answer.map_err(|silence| SetUpError(self.last_words(&silence)))
    }

    /// Asks the guest to run a script. If it dies or its kernel complains over it, the next one gets a fresh guest.
    fn ask(&mut self, request: &Request, patience: Duration) -> Result<Run, SetUpError> {
        let machine = self.machine()?;
        let answer = machine.ask(request, patience).and_then(|()| machine.receive(patience));
        let silence = match answer {
            Ok(Reply::Ran { run, spoilt }) => {
                if spoilt {
                    self.machine = None;
                }
                return Ok(run);
            }
            Ok(other) => Silence::Garbled(std::io::Error::other(format!("{other:?}"))),
            Err(silence) => silence,
        };
        Ok(self.died(&silence))
    }

    /// What came of a program over which the guest died.
    fn died(&mut self, silence: &Silence) -> Run {
        let reason = self.last_words(silence);
        Run::without_steps(Verdict::Broken { reason })
    }

    /// What is to be told of a guest that answers no more. The next question goes to a fresh one.
    fn last_words(&mut self, silence: &Silence) -> String {
        let console = self.machine.take().map(|mut machine| machine.console()).unwrap_or_default();
        format!("{silence}{}", last_lines(&console))
    }

    /// Has the guest play all tapes that there are. For each program, what came of it, where that is known by now: the same as
    /// elsewhere, but for one over which the kernel has complained. If the guest dies over that, it is not known over which.
    fn play(&mut self, elsewhere: &[(&Program, &Run)], reel: &Reel) -> Result<Played, SetUpError> {
        let mut runs = vec![None; elsewhere.len()];
        let Reel { places, bytes } = reel;
        if places.is_empty() {
            return Ok(Played { runs, trouble: None });
        }
        let looks = places.iter().map(|place| time_to_look(elsewhere[*place].0));
        let patience = self.patience * 6 + looks.sum::<Duration>();
        let machine = self.machine()?;
        let asked = machine.ask_with(&Request::Play, bytes, patience);
        let silence = match asked.and_then(|()| machine.receive(patience)) {
            Ok(Reply::Played { same, complaints, log, left, spent }) => {
                self.spent += spent;
                for (place, _) in places.iter().zip(&same).filter(|(_, same)| **same) {
                    runs[*place] = Some(None);
                }
                let trouble = match (complaints.is_empty(), left.is_empty()) {
                    (false, _) => {
                        self.machine = None;
                        Some(Trouble::Complaints { complaints, log })
                    }
                    (true, false) => Some(Trouble::Left(left)),
                    (true, true) => None,
                };
                return Ok(Played { runs, trouble });
            }
            Ok(other) => Silence::Garbled(io::Error::other(format!("{other:?}"))),
            Err(silence) => silence,
        };
        let trouble = Some(Trouble::Death(self.died(&silence)));
        Ok(Played { runs, trouble })
    }

    /// Has the guest run programs until one of them spoils it or is its death, which is the last of which it is given what
    /// came.
    fn compare_some(&mut self, elsewhere: &[(&Program, &Run)]) -> Result<Vec<Option<Run>>, SetUpError> {
        let patience_for = |program: &Program| patience_for(program, self.patience);
        let patiences: Vec<Duration> = elsewhere.iter().map(|(program, _)| patience_for(program)).collect();
        let scripts = elsewhere
            .iter()
            .map(|(program, run)| Compared { script: script::print(program), digest: digest(run) });
        let request = Request::Compare { scripts: scripts.collect() };
        let mut runs = Vec::new();
        let patience = self.patience * 6;
        let asked = self.machine()?.ask(&request, patience);
        let mut silence = asked.err();
        for patience in patiences {
            let said = match silence.take() {
                None => self.machine()?.receive(patience),
                Some(silence) => Err(silence),
            };
            match said {
                Ok(Reply::Compared { run, spent, spoilt }) => {
                    self.spent += spent;
                    runs.push(run);
                    if spoilt {
                        self.machine = None;
                        break;
                    }
                }
                Ok(other) => {
                    let garbled = Silence::Garbled(std::io::Error::other(format!("{other:?}")));
                    runs.push(Some(self.died(&garbled)));
                    break;
                }
                Err(silence) => {
                    runs.push(Some(self.died(&silence)));
                    break;
                }
            }
        }
        Ok(runs)
    }
}

/// What went wrong while tapes were played, it is not known over which of them.
enum Trouble {
    /// The guest died.
    Death(Run),
    /// The kernel complained.
    Complaints { complaints: Vec<String>, log: Vec<String> },
    /// All did the same, and something was left of them.
    Left(Vec<String>),
}

impl Trouble {
    /// Whether the same came again when a program was run.
    fn came_again_in(&self, run: &Run) -> bool {
        match self {
            Trouble::Death(_) => {
                matches!(run.verdict, Verdict::Broken { .. }) && run.transcript.steps.is_empty()
            }
            Trouble::Complaints { complaints, .. } => {
                let again: Vec<String> = run.transcript.complaints.iter().map(|line| masked(line)).collect();
                complaints.iter().all(|line| again.iter().any(|again| again.contains(&masked(line))))
            }
            // Of many programs more may be left than of each.
            Trouble::Left(left) => {
                let is_left = |line: &String| line.ends_with(super::LEFT_AFTER_ALL);
                left.iter().any(is_left) && run.transcript.complaints.iter().any(is_left)
            }
        }
    }

    /// What is to be told of a program with which it may have to do, and which did this elsewhere.
    fn of_program(self, elsewhere: &Run) -> Run {
        match self {
            Trouble::Death(run) => run,
            Trouble::Complaints { complaints, log } => elsewhere.but_for(complaints, log),
            Trouble::Left(left) => elsewhere.leaving(left),
        }
    }
}

impl Target for GuestTarget {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&mut self, program: &Program) -> Result<Run, SetUpError> {
        let patience = patience_for(program, self.patience);
        self.ask(&Request::Run { script: script::print(program) }, patience)
    }

    fn renew(&mut self) {
        self.machine = None;
    }

    fn plays_tapes(&self) -> bool {
        self.plays_tapes
    }

    /// Programs of which a tape does not tell that they do the same are run from their scripts.
    fn compare(
        &mut self,
        elsewhere: &[(&Program, &Run)],
        tapes: &Reel,
    ) -> Result<Vec<Option<Run>>, SetUpError> {
        let Played { mut runs, trouble } = self.play(elsewhere, tapes)?;
        // Of those that have been played, some are run from their scripts, too.
        for known in runs.iter_mut().filter(|run| **run == Some(None)) {
            self.played += 1;
            if self.played.is_multiple_of(RUN_TOO) {
                *known = None;
            }
        }
        let unknown: Vec<usize> = (0..runs.len()).filter(|place| runs[*place].is_none()).collect();
        let rest: Vec<(&Program, &Run)> = unknown.iter().map(|place| elsewhere[*place]).collect();
        let mut done = 0;
        while done < rest.len() {
            let some = match self.compare_some(&rest[done..]) {
                Ok(some) => some,
                Err(error) if unknown[done] == 0 => match trouble {
                    // What has been seen is told, and the next time it is tried anew.
                    Some(trouble) if tapes.places.first() == Some(&0) => {
                        return Ok(vec![Some(trouble.of_program(elsewhere[0].1))]);
                    }
                    _ => return Err(error),
                },
                // Nor is lost what came of those before.
                Err(_) => {
                    runs.truncate(unknown[done]);
                    break;
                }
            };
            for run in some {
                runs[unknown[done]] = Some(run);
                done += 1;
            }
        }
        let mut runs: Vec<Option<Run>> = runs.into_iter().map(Option::flatten).collect();
        // It belongs to none of them, but to one that did the same rather than to one of which there is more to tell.
        let news = trouble.filter(|trouble| !runs.iter().flatten().any(|run| trouble.came_again_in(run)));
        let played = || tapes.places.iter().rev().filter(|place| **place < runs.len());
        let did_the_same = played().find(|place| runs[**place].is_none());
        if let (Some(trouble), Some(place)) = (news, did_the_same.or(played().next())) {
            runs[*place] = Some(trouble.of_program(elsewhere[*place].1));
        }
        Ok(runs)
    }

    fn spent(&mut self) -> Spent {
        std::mem::take(&mut self.spent)
    }

    fn execute(&mut self, program: &[u8], words: &[String]) -> Result<Executed, SetUpError> {
        self.machine()?;
        if self.kept != program {
            let packed = packed::pack(program).map_err(|error| SetUpError(error.to_string()))?;
            match self.answer(&Request::Keep { program: packed })? {
                Reply::Kept => self.kept = program.to_vec(),
                other => return Err(SetUpError(format!("the guest keeps no program: {other:?}"))),
            }
        }
        let patience = self.patience * 6;
        let machine = self.machine()?;
        let request = Request::Execute { words: words.to_vec() };
        let mut answer = machine.ask(&request, patience).and_then(|()| machine.receive(patience));
        let mut output = Vec::new();
        loop {
            match answer {
                Ok(Reply::Wrote { bytes }) => {
                    let bytes = packed::unpack(&bytes);
                    output.extend(bytes.map_err(|error| SetUpError(format!("what it wrote: {error}")))?);
                    answer = machine.receive(patience);
                }
                Ok(Reply::Executed { status, complaints, spoilt }) => {
                    if spoilt {
                        self.machine = None;
                    }
                    return Ok(Executed { status, output, complaints });
                }
                Ok(other) => return Err(SetUpError(format!("the guest runs no program: {other:?}"))),
                // That is what a program may be meant to show.
                Err(silence) => {
                    let status =
                        Err("its guest died over it, and may not have told all that it wrote".to_owned());
                    let complaints = vec![self.last_words(&silence)];
                    return Ok(Executed { status, output, complaints });
                }
            }
        }
    }

    fn counted(&mut self, since: Since) -> Result<Option<Counters>, SetUpError> {
        if since == Since::Last && self.machine.is_none() {
            return Ok(None);
        }
        self.machine()?;
        if let Some(counters) = &mut self.counters {
            let unreadable = |error: &io::Error| {
                SetUpError(format!("{}: what it has counted cannot be read: {error}", self.name))
            };
            let counters = counters.as_mut().map_err(|error| unreadable(error))?;
            return Ok(Some(counters.take(since).map_err(|error| unreadable(&error))?));
        }
        match self.answer(&Request::Count { since })? {
            Reply::Counted { counters: Some(counters) } => {
                let unreadable =
                    |error| SetUpError(format!("what the guest has counted cannot be read: {error}"));
                Ok(Some(counters.unpack().map_err(unreadable)?))
            }
            Reply::Counted { counters: None } => Err(super::counts_nothing(&self.name)),
            Reply::Unusable { reason } => Err(SetUpError(reason)),
            other => Err(SetUpError(format!("the guest does not say what it has counted: {other:?}"))),
        }
    }

    fn driver(&self) -> Option<String> {
        self.introduction.as_ref().map(|introduction| introduction.driver.clone())
    }

    fn profile(&self) -> Option<String> {
        self.introduction.as_ref().map(|introduction| introduction.profile.clone())
    }

    fn security_context(&self) -> Option<Vec<u8>> {
        self.introduction.as_ref().and_then(|introduction| introduction.security_context.clone())
    }
}

/// How long a guest may take for a program. It guards against hanging itself, so it gets all the time that it might take.
fn patience_for(program: &Program, patience: Duration) -> Duration {
    patience * 6 + time_to_look(program)
}

/// How long it may take a guest to see that all is at rest, again and again.
fn time_to_look(program: &Program) -> Duration {
    let (steps, threads) = (program.steps.len() as u32, program.declarations.len() as u32);
    let times = program.race().map_or(1, |race| race.times);
    let looks = steps.saturating_add(threads).saturating_mul(threads).saturating_mul(times);
    TIME_TO_LOOK.saturating_mul(looks)
}

/// Waits until a guest is there that has been started, and whose channel is a terminal. What a terminal is given
/// before it says that it is listening is spoilt.
pub fn greet_by_terminal(mut machine: Machine, patience: Duration) -> Result<Launched, NoGreeting> {
    match machine.receive(patience) {
        Ok(Reply::Listening) => greet(machine, patience),
        Ok(_) => Err(NoGreeting::Silent("the guest answers before it is asked".to_owned())),
        Err(silence) => Err(silent(machine, &silence)),
    }
}

/// Waits until a guest that has been started is there.
pub fn greet(mut machine: Machine, patience: Duration) -> Result<Launched, NoGreeting> {
    let answer = machine.ask(&Request::Hello, patience).and_then(|()| machine.receive(patience));
    match answer {
        Ok(Reply::Ready(introduction)) => Ok(Launched { machine, introduction }),
        Ok(Reply::Unusable { reason }) => Err(NoGreeting::Unusable(reason)),
        Ok(
            Reply::Ran { .. }
            | Reply::Compared { .. }
            | Reply::Played { .. }
            | Reply::Listening
            | Reply::Kept
            | Reply::Counted { .. }
            | Reply::Wrote { .. }
            | Reply::Executed { .. },
        ) => Err(NoGreeting::Silent("the guest answers what it was not asked".to_owned())),
        Err(silence) => Err(silent(machine, &silence)),
    }
}

fn silent(mut machine: Machine, silence: &Silence) -> NoGreeting {
    NoGreeting::Silent(format!("{silence}{}", last_lines(&machine.console())))
}

/// The end of a console, for a message.
fn last_lines(console: &[String]) -> String {
    const SHOWN: usize = 40;
    if console.is_empty() {
        return "; its console stayed empty".to_owned();
    }
    let lines = &console[console.len().saturating_sub(SHOWN)..];
    format!("; the last lines of its console:\n  {}", lines.join("\n  "))
}
