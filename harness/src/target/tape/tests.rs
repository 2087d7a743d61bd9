//! Tapes are played here on worlds of the model: what was recorded on one must be so on another, and nothing else may.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use proptest::prelude::*;
use reference_driver::{Bug, Profile};
use strum::VariantArray;

use super::*;
use crate::engine::{self, Run, inapplicable};
use crate::generate::Emphasis;
use crate::program::{Context, Name, Pages, Place, Program, Protection};
use crate::target::device::message::*;
use crate::target::{
    Answer, Image, Outcome, ProcessSpecification, ReferenceTarget, SystemCall, World, Worlds,
};

/// A tape that is played on a world.
struct Play<'t, 'w> {
    tape: &'t Tape<'t>,
    world: Box<dyn World + 'w>,
    /// Threads that sleep in a call: what must come of it, and what they do then.
    asleep: BTreeMap<ThreadIndex, (u32, Comes, Acts<'t>)>,
}

/// Something else has come than what is on the tape.
struct Otherwise;

/// Whether a world does as on a tape.
fn plays(bytes: &[u8], worlds: &mut dyn Worlds) -> bool {
    let tape = Tape::read(bytes).unwrap();
    let process = |role: &Role<'_>| ProcessSpecification {
        name: Name::new("player").unwrap(),
        uid: role.uid,
        threads: vec![Name::new("thread").unwrap(); role.threads as usize],
        forked: false,
    };
    let processes: Vec<ProcessSpecification> = tape.roles.iter().map(process).collect();
    let world = worlds.world(&processes).unwrap();
    let mut play = Play { tape: &tape, world, asleep: BTreeMap::new() };
    let is_same = tape.turns.iter().all(|turn| play.turn(turn).is_ok());
    is_same && play.world.close().is_ok_and(|closing| closing.left.is_empty())
}

impl<'t> Play<'t, '_> {
    fn turn(&mut self, turn: &Turn) -> Result<(), Otherwise> {
        let process = turn.thread.process;
        match turn.deed {
            Deed::Part { start, .. } | Deed::Last { start } => {
                let acts = Acts::at(self.tape.roles[process].parts, start as usize).unwrap();
                self.go_on(turn, turn.thread, acts)?;
                let returns = matches!(turn.deed, Deed::Part { returns: true, .. });
                let sleeps = self.asleep.contains_key(&turn.thread);
                ensure(matches!(turn.deed, Deed::Last { .. }) || returns != sleeps)?;
            }
            Deed::Signal => ensure(self.world.signal(turn.thread).unwrap().is_ok())?,
            Deed::Count { counter, count } => ensure(self.world.count(process, counter).unwrap() == count)?,
        }
        if let Deed::Last { .. } = turn.deed {
            self.asleep.retain(|thread, _| thread.process != process);
        }
        for thread in self.asleep.keys().copied().collect::<Vec<_>>() {
            match self.world.collect(thread).unwrap() {
                Outcome::Parked => ensure(!turn.woken.contains(&thread))?,
                Outcome::Done(result) => {
                    ensure(turn.woken.contains(&thread))?;
                    let (operation, comes, acts) = self.asleep.remove(&thread).unwrap();
                    ensure(comes.is(number(operation, 0, result)))?;
                    self.go_on(turn, thread, acts)?;
                }
            }
        }
        for (process, number, state) in &turn.descriptors {
            ensure(self.world.descriptor(*process as usize, *number).unwrap() == *state)?;
        }
        Ok(())
    }

    fn go_on(&mut self, turn: &Turn, thread: ThreadIndex, mut acts: Acts<'t>) -> Result<(), Otherwise> {
        let mut image = Image::default();
        loop {
            match acts.take().unwrap() {
                Act::Put { address, bytes } => image.put(address, bytes),
                Act::Clear { address, length } => {
                    image.put_zeroes(address, 0, length as usize);
                }
                Act::PutPid { address, process } => {
                    image.put(address, &self.world.pid(process as usize).to_le_bytes());
                }
                Act::Call { operation, detail, argument, address, comes } => {
                    let memory = std::mem::take(&mut image);
                    let call = system_call(turn, (operation, detail, argument, address), memory);
                    match self.world.call(thread, call).unwrap() {
                        Outcome::Parked => {
                            self.asleep.insert(thread, (operation, comes, acts));
                            return Ok(());
                        }
                        Outcome::Done(_) if operation == OP_EXIT => return Ok(()),
                        Outcome::Done(result) => ensure(comes.is(number(operation, address, result)))?,
                    }
                }
                Act::Look { address, bytes } => {
                    ensure(self.memory(thread, address, bytes.len()).as_deref() == Some(bytes))?;
                }
                Act::LookForPid { address, process } => {
                    let pid = self.world.pid(process as usize).to_le_bytes();
                    ensure(self.memory(thread, address, 4).as_deref() == Some(&pid))?;
                }
                Act::LookForNumber { address } => {
                    ensure(self.memory(thread, address, 4).is_some_and(|bytes| bytes != [0; 4]))?;
                }
                Act::Yield => {}
                Act::Stop => return Ok(()),
            }
        }
    }

    fn memory(&mut self, thread: ThreadIndex, address: u64, length: usize) -> Option<Vec<u8>> {
        self.world.read_memory(thread.process, address, length).unwrap()
    }
}

fn ensure(is_same: bool) -> Result<(), Otherwise> {
    is_same.then_some(()).ok_or(Otherwise)
}

/// The call that a request asks for.
fn system_call(
    turn: &Turn,
    (operation, detail, argument, address): (u32, u32, u64, u64),
    memory: Image,
) -> SystemCall {
    let pages = || Pages::new(Place::new(address).unwrap(), argument).unwrap();
    match operation {
        OP_OPEN => {
            SystemCall::Open { context: Context::VARIANTS[argument as usize], nonblock: detail & 1 != 0 }
        }
        OP_CLOSE => SystemCall::Close,
        OP_FLUSH => SystemCall::Flush,
        OP_MMAP => SystemCall::Mmap {
            size: argument,
            write: detail & MMAP_WRITE != 0,
            shared: detail & MMAP_SHARED != 0,
            at: (detail & MMAP_FREE == 0).then(|| Place::new(address).unwrap()),
        },
        OP_MUNMAP => SystemCall::Munmap(Place::new(address).and_then(|place| Pages::new(place, argument))),
        OP_MPROTECT => {
            let protections = [
                (nix::libc::PROT_NONE, Protection::None),
                (nix::libc::PROT_READ, Protection::Read),
                (nix::libc::PROT_READ | nix::libc::PROT_WRITE, Protection::Write),
            ];
            let protection = protections.into_iter().find(|(number, _)| *number as u32 == detail);
            SystemCall::Mprotect { pages: pages(), protection: protection.unwrap().1 }
        }
        OP_POLL => SystemCall::Poll { timeout_ms: argument as u32 },
        OP_EPOLL => SystemCall::Epoll,
        OP_EPOLL_WAIT => SystemCall::EpollWait { timeout_ms: argument as u32 },
        OP_EPOLL_CLOSE => SystemCall::EpollClose,
        OP_EXIT => SystemCall::Exit,
        OP_SET_PRIORITY => SystemCall::SetPriority(argument as i32),
        OP_GET_PRIORITY => SystemCall::GetPriority,
        OP_MEMFD => SystemCall::Memfd { file: FileId(argument as u32) },
        OP_PIPE => SystemCall::Pipe { reading: turn.files[0].1, writing: turn.files[1].1 },
        OP_CLOSE_DESCRIPTOR => SystemCall::CloseDescriptor(argument as u32),
        OP_POLL_DESCRIPTOR => SystemCall::PollDescriptor(argument as u32),
        OP_LIMIT_DESCRIPTORS => SystemCall::LimitDescriptors(argument as u32),
        OP_IOCTL => SystemCall::Ioctl { request: detail, argument, memory },
        other => panic!("operation {other} is on a tape"),
    }
}

/// The number that an agent's system call returns.
fn number(operation: u32, address: u64, result: Result<Answer, reference_driver::uapi::Errno>) -> i64 {
    match result {
        Err(errno) => -i64::from(errno.0),
        Ok(_) if operation == OP_MMAP => address as i64,
        Ok(Answer::Success) => 0,
        Ok(Answer::Events(events)) => super::cut::events_number(events) as i64,
        Ok(Answer::Nice(nice)) => i64::from(20 - nice),
        Ok(Answer::Descriptor(number)) => number.into(),
        Ok(Answer::Pipe { reading, writing }) => i64::from(reading) | i64::from(writing) << 32,
        Ok(other) => panic!("{other:?} is on a tape"),
    }
}

fn cases() -> Vec<Program> {
    crate::suite::embedded().into_iter().filter_map(|case| Some(case.script.ok()?.program)).collect()
}

/// Programs of all sources.
fn programs(seeds: std::ops::Range<u64>) -> Vec<Program> {
    let source = crate::campaign::Source { emphasis: Emphasis::Mix, corpus: cases() };
    seeds.map(|seed| source.program(seed, &Profile::C).program).collect()
}

fn recorded(program: &Program, profile: &Profile) -> (Run, Option<Vec<u8>>) {
    record(program, &mut ReferenceTarget::new(profile.clone())).unwrap()
}

#[test]
fn nearly_all_programs_have_tapes_which_other_worlds_play() {
    let programs = [programs(0..100), cases()].concat();
    let mut tapes = 0;
    for program in &programs {
        let (run, tape) = recorded(program, &Profile::C);
        assert_eq!(
            run,
            engine::run(program, &mut ReferenceTarget::new(Profile::C)).unwrap(),
            "recording changes nothing"
        );
        let Some(tape) = tape else { continue };
        tapes += 1;
        let read = Tape::read(&tape).unwrap();
        for turn in &read.turns {
            let (Deed::Part { start, returns: false } | Deed::Last { start }) = turn.deed else { continue };
            let acts = Acts::at(read.roles[turn.thread.process].parts, start as usize).unwrap();
            assert_eq!(calls(acts), 1, "of who does not come back it is not seen where it is");
        }
        assert!(plays(&tape, &mut ReferenceTarget::new(Profile::C)), "{}", crate::script::print(program));
    }
    assert!(tapes * 10 > programs.len() * 7, "{tapes} of {}", programs.len());
}

/// How many system calls are done in a part.
fn calls(mut acts: Acts<'_>) -> usize {
    std::iter::from_fn(|| Some(acts.take().unwrap()).filter(|act| *act != Act::Stop))
        .filter(|act| matches!(act, Act::Call { .. }))
        .count()
}

/// The other way round: what does something else does not play the tape.
#[test]
fn where_a_tape_is_played_the_run_is_the_same() {
    // Those about the bugs are the ones that are likely to tell.
    let about_bugs = crate::suite::embedded()
        .into_iter()
        .filter(|case| Bug::ALL.iter().any(|bug| case.title().starts_with(bug.published_as())));
    let about_bugs = about_bugs.filter_map(|case| Some(case.script.ok()?.program));
    let programs: Vec<Program> = programs(300..320).into_iter().chain(about_bugs).collect();
    let buggy = Bug::ALL.into_iter().map(|bug| Profile::C.with_bug(bug));
    let others: Vec<Profile> = Profile::ALL.into_iter().chain(buggy).collect();
    let mut noticed = 0;
    for program in &programs {
        let (run, Some(tape)) = recorded(program, &Profile::C) else { continue };
        for other in &others {
            let other = || ReferenceTarget::new(other.clone());
            let is_another_driver = program.driver.is_some_and(|driver| driver != other().kind());
            if is_another_driver || inapplicable(program, &other()).is_some() {
                continue;
            }
            // A model with a bug may fall over.
            let Ok(elsewhere) = catch_unwind(|| engine::run(program, &mut other()).unwrap()) else {
                continue;
            };
            let is_same = catch_unwind(AssertUnwindSafe(|| plays(&tape, &mut other()))).unwrap_or(false);
            assert!(!is_same || elsewhere == run, "{}", crate::script::print(program));
            noticed += usize::from(elsewhere != run);
        }
    }
    assert!(noticed > 5, "{noticed}");
}

/// A tape with one of its acts changed.
fn tampered(tape: &Tape<'_>, role: usize, place: usize, change: impl Fn(Act<'_>) -> Vec<u8>) -> Vec<u8> {
    let old = tape.roles[role].parts;
    let mut acts = Acts::at(old, 0).unwrap();
    let (mut new, mut starts, mut count) = (Vec::new(), BTreeMap::new(), 0);
    while !acts.rest.is_empty() {
        starts.insert((old.len() - acts.rest.len()) as u32, new.len() as u32);
        let act = acts.take().unwrap();
        new.extend(if count == place { change(act) } else { written(&act) });
        count += 1;
    }
    let mut turns = tape.turns.clone();
    for turn in turns.iter_mut().filter(|turn| turn.thread.process == role) {
        if let Deed::Part { start, .. } | Deed::Last { start } = &mut turn.deed {
            *start = starts[start];
        }
    }
    let parts = |index: usize| if index == role { new.as_slice() } else { tape.roles[index].parts };
    let roles = tape.roles.iter().enumerate().map(|(index, role)| Role {
        parts: parts(index),
        touched: role.touched.clone(),
        ..*role
    });
    Tape {
        driver: tape.driver,
        requires: tape.requires.clone(),
        without: tape.without.clone(),
        security_context: tape.security_context,
        roles: roles.collect(),
        turns,
    }
    .written()
}

fn written(act: &Act<'_>) -> Vec<u8> {
    postcard::to_allocvec(act).unwrap()
}

/// An act that asks for something else than this one.
fn otherwise(act: Act<'_>) -> Option<Vec<u8>> {
    Some(match act {
        Act::Look { address, bytes } => {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut()? ^= 1;
            written(&Act::Look { address, bytes: &bytes })
        }
        Act::LookForPid { address, process } => {
            written(&Act::LookForPid { address, process: 1 - process.min(1) })
        }
        Act::LookForNumber { address } => written(&Act::LookForNumber { address: address + 0x800 }),
        Act::Call { operation, detail, argument, address, comes } if operation != OP_EXIT => {
            let comes = match comes {
                Comes::Number { .. } => Comes::Errno(22),
                Comes::Errno(errno) => Comes::Errno(errno + 1),
                Comes::Nothing => return None,
            };
            written(&Act::Call { operation, detail, argument, address, comes })
        }
        Act::Call { .. }
        | Act::Put { .. }
        | Act::Clear { .. }
        | Act::PutPid { .. }
        | Act::Yield
        | Act::Stop => return None,
    })
}

#[test]
fn whatever_else_comes_is_noticed() {
    let mut tried = BTreeMap::new();
    for program in programs(0..20).into_iter().chain(cases()) {
        let (_, Some(bytes)) = recorded(&program, &Profile::C) else { continue };
        let tape = Tape::read(&bytes).unwrap();
        for (index, role) in tape.roles.iter().enumerate() {
            let mut acts = Acts::at(role.parts, 0).unwrap();
            for place in 0.. {
                if acts.rest.is_empty() {
                    break;
                }
                let act = acts.take().unwrap();
                // All of a kind are alike: some of each are enough.
                let kind: &str = match act {
                    Act::Look { .. } => "memory",
                    Act::LookForPid { .. } => "an id",
                    Act::LookForNumber { .. } => "a number",
                    Act::Call { comes: Comes::Errno(_), .. } => "an error",
                    _ => "a success",
                };
                let Some(_) = otherwise(act).filter(|_| tried.get(kind).is_none_or(|times| *times < 60))
                else {
                    continue;
                };
                *tried.entry(kind).or_insert(0) += 1;
                let other = tampered(&tape, index, place, |act| otherwise(act).unwrap());
                assert!(!plays(&other, &mut ReferenceTarget::new(Profile::C)), "{act:?}");
            }
        }
        for place in (0..tape.turns.len()).filter(|place| !tape.turns[*place].woken.is_empty()) {
            if *tried.entry("who is woken").and_modify(|times| *times += 1).or_insert(1) > 60 {
                break;
            }
            let mut other = Tape::read(&bytes).unwrap();
            other.turns[place].woken.pop();
            assert!(!plays(&other.written(), &mut ReferenceTarget::new(Profile::C)));
        }
    }
    assert_eq!(tried.len(), 6, "{tried:?}");
}

#[test]
fn threads_that_are_not_there_are_refused() {
    let program = programs(0..20).into_iter().find_map(|program| recorded(&program, &Profile::C).1);
    let bytes = program.unwrap();
    for change in [|turn: &mut Turn| turn.thread.process = 40, |turn: &mut Turn| turn.thread.thread = 1 << 20]
    {
        let mut tape = Tape::read(&bytes).unwrap();
        change(&mut tape.turns[0]);
        assert_eq!(Tape::read(&tape.written()), Err(Malformed));
    }
    assert!(Tape::read(&bytes[..bytes.len() / 2]).is_err() && Reel::tapes(&[9, 1, 2]).is_err());
}

proptest! {
    #[test]
    fn whatever_bytes_are_read_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Reel::tapes(&bytes);
        let _ = Tape::read(&bytes);
        for start in 0..bytes.len() + 2 {
            let Ok(mut acts) = Acts::at(&bytes, start) else { continue };
            while acts.take().is_ok() {}
        }
    }

    #[test]
    fn a_tape_that_is_damaged_is_refused_or_whole(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        static TAPES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            programs(0..30).iter().filter_map(|program| recorded(program, &Profile::C).1).collect()
        });
        let mut bytes = which.get(&TAPES).clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(tape) = Tape::read(&bytes) {
            for turn in &tape.turns {
                let role = &tape.roles[turn.thread.process];
                assert!(turn.thread.thread < role.threads as usize);
                if let Deed::Part { start, .. } | Deed::Last { start } = turn.deed {
                    let mut acts = Acts::at(role.parts, start as usize).unwrap();
                    while acts.take().is_ok() {}
                }
            }
        }
    }
}

/// Why a script, which passes, has no tape; `None` if it has one.
fn why_not(script: &str) -> Option<&'static str> {
    let program = crate::script::parse(format!("# A title.\n\n{script}").as_bytes()).unwrap().program;
    let mut model = ReferenceTarget::new(Profile::C);
    let mut recorder = record::Recorder { worlds: &mut model, recording: record::Recording::default() };
    let run = engine::run(&program, &mut recorder).unwrap();
    assert_eq!(run.verdict, crate::engine::Verdict::Pass, "{run:?}");
    cut::cut(&program, &recorder.recording).err().map(|cut::Unplayable(what)| what)
}

#[test]
fn who_could_tell_that_others_share_his_addresses_has_no_tape() {
    let other = crate::target::Area::Payload.addresses(ThreadIndex { process: 0, thread: 0 }).start;
    let sends = |address: u64| {
        format!(
            "process server context-manager\nprocess client\n\n\
             client > BC_TRANSACTION {{ handle 0, data [ u32 7 ], buffer {address:#x} }}\n\
             client < BR_FAILED_REPLY\n"
        )
    };
    assert_eq!(why_not(&sends(other)), Some("a look at what another process may have"));
    assert_eq!(why_not(&sends(crate::target::UNMAPPED)), None);
    let chosen = |second: &str| {
        format!(
            "process one unmapped\nprocess two unmapped\n\n\
             one ! mmap 64K at 0x300000000000\ntwo ! {second}\n"
        )
    };
    let several = Some("places that several processes choose");
    assert_eq!(why_not(&chosen("mmap 64K at 0x300001000000")), several);
    assert_eq!(why_not(&chosen("munmap 64K at 0x300000000000")), several);
    assert_eq!(why_not(&chosen("mmap 64K")), None);
}

#[test]
fn a_mapping_beyond_the_addresses_of_its_process_is_not_played() {
    let beyond = Some("a mapping that goes beyond the addresses of its process");
    let first = "process one unmapped\n\none ! mmap ";
    assert_eq!(why_not(&format!("{first}0x700000000\n")), None);
    assert_eq!(why_not(&format!("{first}0x800000000\n")), beyond);
}
