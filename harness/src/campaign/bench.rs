//! Benches: targets that are given the same programs, and must do the same with them.

use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use reference_driver::Profile;

use super::known::KnownDivergences;
use super::signature::Signature;
use crate::compare;
use crate::engine::{Run, SetUpError, Verdict};
use crate::generate::{Fault, settle};
use crate::minimise::Trial;
use crate::program::Program;
use crate::target::tape::{self, Reel};
use crate::target::{ReferenceTarget, Spent, Target};

/// Targets that must do the same.
pub struct Bench {
    targets: Vec<Box<dyn Target>>,
    /// What programs are settled for.
    profile: Profile,
    /// Whether all targets have the driver that programs are settled for. Else what they require is not theirs.
    are_alike: bool,
    /// The first target, if it is the model of the others.
    model: Option<ReferenceTarget>,
    /// Where they are known not to do what the model does.
    known: KnownDivergences,
}

/// What targets did that should have done the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What kind of difference it is.
    pub signature: Signature,
    /// The names of the targets, each with what it did.
    pub runs: Vec<(String, Run)>,
}

/// What comes of giving targets the same program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// All do the same.
    Same,
    /// One lacks what the program requires, or has another driver than it is about, and the others do the same.
    Skipped,
    /// They part ways.
    Differs(Difference),
}

/// What targets did with several programs.
#[derive(Debug, Default)]
pub struct Differences {
    /// What they did with each program: of the first ones, where nothing could be run behind these.
    pub found: Vec<Compared>,
    /// How long the first target took.
    pub by_first: Duration,
    /// How long the others took.
    pub by_others: Duration,
    /// Where that went, as far as they tell, for some of the programs.
    pub spent: Spent,
}

impl Bench {
    /// A target, and the model of its driver. Boots it.
    pub fn of_model_and(mut target: Box<dyn Target>) -> Result<Bench, SetUpError> {
        let profile = profile_of(target.as_mut())?;
        let mut model = ReferenceTarget::new(profile.clone());
        if let Some(context) = target.security_context() {
            model = model.with_security_context(&context);
        }
        let known =
            KnownDivergences::of_profile(profile.name).map_err(|error| SetUpError(error.to_string()))?;
        let of_others = Some(model.clone());
        let targets = vec![Box::new(model), target];
        Ok(Bench { targets, profile, are_alike: true, model: of_others, known })
    }

    /// Targets of which none is right. Programs are settled for the driver of the first one. Boots all of them.
    pub fn of_peers(mut targets: Vec<Box<dyn Target>>) -> Result<Bench, SetUpError> {
        let profiles = targets.iter_mut().map(|target| profile_of(target.as_mut()));
        let profiles: Vec<Profile> = profiles.collect::<Result<_, _>>()?;
        let are_alike = profiles.windows(2).all(|pair| pair[0] == pair[1]);
        let profile = profiles.into_iter().next().unwrap_or(Profile::C);
        Ok(Bench { targets, profile, are_alike, model: None, known: KnownDivergences::default() })
    }

    /// The model of a driver alone, which may have a planted bug.
    #[cfg(test)]
    pub(super) fn of_model(profile: Profile) -> Bench {
        let model = ReferenceTarget::new(profile.clone());
        let targets: Vec<Box<dyn Target>> = vec![Box::new(model.clone())];
        Bench { targets, profile, are_alike: true, model: Some(model), known: KnownDivergences::default() }
    }

    /// The same, of which this is known.
    #[cfg(test)]
    pub(super) fn knowing(self, known: KnownDivergences) -> Bench {
        Bench { known, ..self }
    }

    /// Why targets part ways so, if that is listed.
    pub fn known(&self, signature: &Signature) -> Option<&str> {
        self.known.reason(signature)
    }

    /// What has been run before makes no difference to what is run from here on, where targets can be made anew.
    pub fn renew(&mut self) {
        self.targets.iter_mut().for_each(|target| target.renew());
    }

    /// What makes programs for this bench.
    pub fn maker(&self) -> Maker {
        Maker {
            profile: self.profile.clone(),
            are_alike: self.are_alike,
            model: self.model.clone(),
            makes_tapes: self.targets.iter().any(|target| target.plays_tapes()),
        }
    }

    /// A program with what the driver that programs are settled for does with it, as the targets are given it. `None` if
    /// nothing of it makes sense.
    pub fn settled(&self, program: &Program) -> Option<Program> {
        let program = settle(program, &self.profile, &mut Unstructured::new(&[])).program;
        (!program.steps.is_empty()).then(|| self.maker().fit(program))
    }

    /// Has all targets run a program, and tells how they part ways, if they do. A program over which the model itself fails
    /// is not run.
    pub fn difference(&mut self, program: &Program) -> Result<Option<Difference>, SetUpError> {
        Ok(match self.compare(program)? {
            Compared::Differs(difference) => Some(difference),
            Compared::Same | Compared::Skipped => None,
        })
    }

    /// Has all targets run a program. One over which the model itself fails is not run.
    pub fn compare(&mut self, program: &Program) -> Result<Compared, SetUpError> {
        let settled = settle(program, &self.profile, &mut Unstructured::new(&[]));
        if let Some(signature) = fault_of_model(settled.fault.as_ref()) {
            return Ok(Compared::Differs(Difference { signature, runs: Vec::new() }));
        }
        let mut runs = Vec::with_capacity(self.targets.len());
        for target in &mut self.targets {
            runs.push((target.name(), target.run(program)?));
        }
        Ok(Compared::of(program, runs))
    }

    /// Has all targets run programs one after the other, quicker than one by one. What the first one does may be
    /// [known](Maker::foretell) already.
    pub fn differences(
        &mut self,
        programs: &[&Program],
        foretold: Option<Foretold>,
    ) -> Result<Differences, SetUpError> {
        let names: Vec<String> = self.targets.iter().map(|target| target.name()).collect();
        let Some((first, others)) = self.targets.split_first_mut() else {
            return Ok(Differences { found: vec![Compared::Same; programs.len()], ..Differences::default() });
        };
        let Foretold { runs: firsts, reel, time: by_first } = match foretold {
            Some(foretold) => foretold,
            None => Foretold::of(programs, |program| Ok((first.run(program)?, None)))?,
        };
        let started = Instant::now();
        let elsewhere: Vec<(&Program, &Run)> = programs.iter().copied().zip(&firsts).collect();
        let mut spent = Spent::default();
        let mut by_others = Vec::new();
        for other in others {
            by_others.push(other.compare(&elsewhere, &reel)?);
            spent += other.spent();
        }
        let time_of_others = started.elapsed();
        let done = by_others.iter().map(Vec::len).min().unwrap_or(programs.len());
        let mut found = Vec::with_capacity(done);
        for (place, program) in programs.iter().enumerate().take(done) {
            let is_done = matches!(firsts[place].verdict, Verdict::Pass | Verdict::Fail(_));
            if is_done && by_others.iter().all(|runs| runs[place].is_none()) {
                found.push(Compared::Same);
                continue;
            }
            let runs =
                by_others.iter_mut().map(|runs| runs[place].take().unwrap_or_else(|| firsts[place].clone()));
            let runs: Vec<(String, Run)> =
                names.iter().cloned().zip(std::iter::once(firsts[place].clone()).chain(runs)).collect();
            found.push(Compared::of(program, runs));
        }
        Ok(Differences { found, by_first, by_others: time_of_others, spent })
    }

    /// What is to be tried with smaller programs: whether they show this, in at most so many runs.
    pub fn trial<'b>(
        &'b mut self,
        signature: &'b Signature,
        repetitions: u32,
        most_runs: u32,
        is_stopped: &'b dyn Fn() -> bool,
    ) -> Repetition<'b> {
        Repetition { bench: self, signature, repetitions, runs_left: most_runs, is_stopped, error: None }
    }
}

/// Makes programs for a bench.
#[derive(Debug, Clone)]
pub struct Maker {
    profile: Profile,
    are_alike: bool,
    /// The first target, if it is the model of the others.
    model: Option<ReferenceTarget>,
    /// Whether one of the others plays tapes.
    makes_tapes: bool,
}

impl Maker {
    /// What programs are settled for.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// A settled program as the targets are given it.
    pub fn fit(&self, mut program: Program) -> Program {
        if !self.are_alike {
            program.driver = None;
        }
        program
    }

    /// What the model will do with programs. `None` where the first target is none. An error as of [`Target::run`].
    pub fn foretell(&mut self, programs: &[&Program]) -> Result<Option<Foretold>, SetUpError> {
        let makes_tapes = self.makes_tapes;
        let Some(model) = &mut self.model else { return Ok(None) };
        let foretold = Foretold::of(programs, |program| match makes_tapes {
            true => tape::record(program, model),
            false => Ok((model.run(program)?, None)),
        });
        foretold.map(Some)
    }
}

/// What a target does with several programs.
#[derive(Debug)]
pub struct Foretold {
    runs: Vec<Run>,
    /// The tapes of those of which there are any.
    reel: Reel,
    /// How long it took.
    time: Duration,
}

impl Foretold {
    fn of(
        programs: &[&Program],
        mut run: impl FnMut(&Program) -> Result<(Run, Option<Vec<u8>>), SetUpError>,
    ) -> Result<Foretold, SetUpError> {
        let started = Instant::now();
        let all = programs.iter().map(|program| run(program)).collect::<Result<Vec<_>, _>>()?;
        let (runs, tapes): (Vec<Run>, Vec<Option<Vec<u8>>>) = all.into_iter().unzip();
        Ok(Foretold { runs, reel: Reel::of(&tapes), time: started.elapsed() })
    }
}

impl Compared {
    /// What runs of one program come to.
    fn of(program: &Program, runs: Vec<(String, Run)>) -> Compared {
        let broken = runs.iter().find_map(|(name, run)| match &run.verdict {
            Verdict::Broken { reason } => Some(Signature::of_failure(name, reason)),
            _ => None,
        });
        // Who lacks something has done nothing.
        let is_done = |run: &Run| !matches!(run.verdict, Verdict::Skip { .. } | Verdict::OtherDriver { .. });
        let done = || runs.iter().filter(|(_, run)| is_done(run));
        let parted = || {
            let transcripts: Vec<_> = done().map(|(name, run)| (name.as_str(), &run.transcript)).collect();
            compare::divergence(&transcripts).map(|divergence| Signature::of(program, &divergence))
        };
        match broken.or_else(parted) {
            Some(signature) => Compared::Differs(Difference { signature, runs }),
            None if done().count() < runs.len() => Compared::Skipped,
            None => Compared::Same,
        }
    }
}

/// The profile of a target's driver, which is known once it has booted.
pub fn profile_of(target: &mut dyn Target) -> Result<Profile, SetUpError> {
    if target.profile().is_none() {
        // Whatever comes of it.
        target.run(&Program::default())?;
    }
    let profile = target.profile().and_then(|name| Profile::named(&name));
    profile.ok_or_else(|| SetUpError(format!("{} does not say which driver it has", target.name())))
}

/// What the model is at fault with, if it is: that is a finding whatever drivers do.
pub fn fault_of_model(fault: Option<&Fault>) -> Option<Signature> {
    match fault? {
        // There are programs of which what comes cannot be written as an expectation.
        Fault::Unspeakable(_) => None,
        fault => Some(Signature::of_failure("the model", &fault.to_string())),
    }
}

/// Whether smaller programs show the same difference.
pub struct Repetition<'b> {
    bench: &'b mut Bench,
    signature: &'b Signature,
    /// How often a program is run that does not show it.
    repetitions: u32,
    /// How often programs are still run.
    runs_left: u32,
    /// Whether somebody wants an end.
    is_stopped: &'b dyn Fn() -> bool,
    /// Why nothing can be run any more.
    pub error: Option<SetUpError>,
}

impl Trial for Repetition<'_> {
    fn settle(&mut self, candidate: &Program) -> Option<Program> {
        self.bench.settled(candidate)
    }

    fn shows(&mut self, candidate: &Program) -> bool {
        for _ in 0..self.repetitions {
            if self.is_over() {
                break;
            }
            self.runs_left -= 1;
            match self.bench.difference(candidate) {
                Ok(Some(difference)) if difference.signature == *self.signature => return true,
                Ok(_) => {}
                Err(error) => {
                    self.error = Some(error);
                    return false;
                }
            }
        }
        false
    }

    fn is_over(&self) -> bool {
        self.runs_left == 0 || self.error.is_some() || (self.is_stopped)()
    }
}
