//! Trials of patches: kernels are built without and with them, and run the same cases.

use std::io;
use std::time::Instant;

use super::run::{Plan, run_on};
use super::{CommandError, TargetArguments};
use crate::kernel::{
    BUILT_PREFIX, BuiltFor, Choices, DriverKind, Instrument, KernelError, Order, Patched, SourceChoice,
    Store, Told,
};
use crate::patch::{Changes, DRIVER, Kept, Patch};
use crate::report::{CaseResult, TargetResults};
use crate::suite::Case;

/// A kernel over which guests die in more cases than this is not tried with the others.
const MOST_DEAD: usize = 20;

/// What is patched.
pub(super) enum Base {
    /// A kernel that is built from source.
    Source(Order),
    /// A stock kernel, of which the driver is built.
    Stock(String),
}

/// A kernel for each driver that the patches change.
pub(super) fn of_source(source: &SourceChoice, patches: &[Patch]) -> Vec<Order> {
    let touched: Vec<String> = patches.iter().flat_map(Patch::touched).collect();
    let rust = touched.iter().any(|path| path.starts_with(DRIVER) && path.ends_with(".rs"));
    let c = !rust
        || touched
            .iter()
            .any(|path| path.starts_with(DRIVER) && (path.ends_with(".c") || path.ends_with(".h")));
    let drivers = [(c, DriverKind::C), (rust, DriverKind::Rust)].into_iter().filter(|(is, _)| *is);
    drivers
        .map(|(_, driver)| Order {
            source: source.clone(),
            choices: Choices { kind: BuiltFor::Uml, driver, with: [].into() },
            name: None,
        })
        .collect()
}

/// The same kernel, watching itself; `None` if it does.
pub(super) fn watched(plain: &Order) -> Option<Order> {
    if !plain.choices.with.is_empty() {
        return None;
    }
    let mut watched = plain.clone();
    watched.choices.with = [Instrument::Kasan, Instrument::Lockdep].into();
    if watched.choices.check().is_err() {
        watched.choices.with = [Instrument::Kasan].into();
    }
    let with: String = watched.choices.with.iter().map(|instrument| format!("-{instrument}")).collect();
    // Whoever gave the plain one a name of its own has room for these words in it, or hears that it is too long.
    watched.name = plain.name.as_ref().and_then(|name| format!("{name}{with}").parse().ok());
    Some(watched)
}

/// What is built and run, and how.
pub(super) struct Trial<'a> {
    /// Where kernels are.
    pub(super) store: &'a Store,
    /// What guests are given.
    pub(super) options: &'a TargetArguments,
    /// How many of them run cases at a time.
    pub(super) jobs: Option<u16>,
    /// Whether bases run anew of which it is kept what they did.
    pub(super) again: bool,
    /// When all of it began.
    pub(super) started: Instant,
}

impl Trial<'_> {
    /// What a source is with these patches.
    pub(super) fn apply(
        &self,
        base: &Base,
        before: &Changes,
        patches: &[Patch],
    ) -> Result<Changes, CommandError> {
        let choice = match base {
            Base::Source(order) => order.source.clone(),
            Base::Stock(name) => self.store.source_of_stock(name)?,
        };
        let source = self.store.source(&choice, &mut |what| self.say("the source", what))?;
        patches.iter().try_fold(before.clone(), |changes, patch| Ok(changes.and(patch, &source.folder)?))
    }

    /// The target that is a base with some changes, or none.
    pub(super) fn build(&self, base: &Base, changes: &Changes, title: &str) -> Result<String, KernelError> {
        match base {
            Base::Source(order) if *changes == Changes::default() => {
                let built = self.store.build(order, &mut |told| self.tell(title, told))?.kernel;
                Ok(format!("{BUILT_PREFIX}{}", built.name))
            }
            _ => Ok(self.build_patched(base, changes, title)?.target()),
        }
    }

    pub(super) fn build_patched(
        &self,
        base: &Base,
        changes: &Changes,
        title: &str,
    ) -> Result<Patched, KernelError> {
        match base {
            Base::Source(order) => {
                self.store.build_patched(order, changes, title, &mut |told| self.tell("with the patch", told))
            }
            Base::Stock(name) => {
                self.store.build_module(name, changes, title, &mut |told| self.tell(name, told))
            }
        }
    }

    /// What a base does with these cases, and whether that was kept.
    pub(super) fn run_base(
        &self,
        target: &str,
        cases: &[Case],
    ) -> Result<(TargetResults, bool), CommandError> {
        let options = self.options;
        let besides = format!("{:?} {:?} {}", options.append, options.cpus, options.patience);
        let files = self.store.files_of(target)?;
        let kept = Kept::of(&self.store.results_folder(), target, &files, cases, &besides)?;
        if let Some(results) = kept.read().filter(|_| !self.again) {
            return Ok((results, true));
        }
        let mut results = self.run(target, cases)?;
        results.cases = in_order(cases, results.cases);
        // A guest that died of something else than the case would have died for all patches to come.
        if results.counts.broken == 0 {
            kept.write(&results)?;
        }
        Ok((results, false))
    }

    pub(super) fn run(&self, target: &str, cases: &[Case]) -> Result<TargetResults, CommandError> {
        self.say(target, &format!("{} cases", cases.len()));
        let plan = Plan {
            name: target,
            cases,
            options: self.options,
            jobs: self.jobs,
            tells: false,
            most_dead: Some(MOST_DEAD),
            observer: None,
        };
        run_on(&plan, &mut io::sink())
    }

    pub(super) fn say(&self, what: &str, said: &str) {
        eprintln!("{:>5.1} s  {what}: {said}", self.started.elapsed().as_secs_f64());
    }

    pub(super) fn tell(&self, what: &str, told: Told<'_>) {
        if let Told::Begun(begun) = told {
            self.say(what, begun);
        }
    }
}

/// Results in the order of their cases: those that race ran first.
pub(super) fn in_order(cases: &[Case], results: Vec<CaseResult>) -> Vec<CaseResult> {
    let mut by_id: std::collections::HashMap<String, CaseResult> =
        results.into_iter().map(|result| (result.id.clone(), result)).collect();
    cases.iter().filter_map(|case| by_id.remove(&case.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_that_watches_itself_is_of_the_same_source() {
        let order = |driver, name: Option<&str>| Order {
            source: SourceChoice::Newest,
            choices: Choices { kind: BuiltFor::Uml, driver, with: [].into() },
            name: name.map(|name| name.parse().unwrap()),
        };
        let name = |order: &Order| watched(order).unwrap().name().unwrap().to_string();
        assert_eq!(name(&order(DriverKind::C, None)), "uml-c-kasan-lockdep");
        assert_eq!(name(&order(DriverKind::Rust, None)), "uml-rust-kasan");
        assert_eq!(name(&order(DriverKind::C, Some("mine"))), "mine-kasan-lockdep");
        assert!(watched(&watched(&order(DriverKind::C, None)).unwrap()).is_none());
    }
}
