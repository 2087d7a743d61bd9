//! Trials of patches: kernels are built without and with them, and run the same cases.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use super::counting::Counting;
use super::run::{Plan, run_on};
use super::{CommandError, GuestArguments, tell};
use crate::kernel::{
    BUILT_PREFIX, BuiltFor, Choices, DriverKind, Instrument, KernelError, ModuleKind, Order, Patched, Source,
    SourceChoice, Store, Told,
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

impl Base {
    /// The driver that it has.
    pub(super) fn driver(&self) -> DriverKind {
        match self {
            Base::Source(order) => order.choices.driver,
            Base::Stock(_) => DriverKind::C,
        }
    }

    /// Makes sure that patches change its driver, if they change one; warns of what they change of another.
    pub(super) fn check(&self, name: &str, patches: &[Patch]) -> Result<(), CommandError> {
        let (own, changed) = (self.driver(), drivers(patches));
        let Some(other) = changed.iter().find(|driver| **driver != own) else { return Ok(()) };
        let (own, other) = (own.title(), other.title());
        if changed.len() > 1 {
            tell(&format!(
                "warning: {name} has the driver in {own}: what changes that in {other} is not looked at"
            ));
            return Ok(());
        }
        Err(CommandError::Options(format!(
            "what is changed is the driver in {other}, and {name} has the one in {own}: take another --base, or none, \
             which builds the newest source with the driver that is changed"
        )))
    }
}

/// Which driver a file of the source belongs to; `None` if to neither alone.
pub(super) fn driver_of(path: &str) -> Option<DriverKind> {
    let inside = path.strip_prefix(DRIVER)?;
    let is_c = inside.ends_with(".c") || inside.ends_with(".h");
    match inside {
        // The one in Rust has some C with it.
        _ if inside.ends_with(".rs") || is_c && inside.starts_with("binder/") => Some(DriverKind::Rust),
        _ if is_c => Some(DriverKind::C),
        _ => None,
    }
}

/// The drivers that patches change.
fn drivers(patches: &[Patch]) -> BTreeSet<DriverKind> {
    patches.iter().flat_map(Patch::touched).filter_map(|path| driver_of(&path)).collect()
}

/// A kernel for each driver that the patches change.
pub(super) fn of_source(source: &SourceChoice, patches: &[Patch]) -> Vec<Order> {
    let mut changed = drivers(patches);
    if changed.is_empty() {
        changed.insert(DriverKind::C);
    }
    changed
        .into_iter()
        .map(|driver| Order {
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
    let watched = with(plain, &[Instrument::Kasan, Instrument::Lockdep]);
    let is_whole = watched.choices.check().is_ok();
    Some(if is_whole { watched } else { with(plain, &[Instrument::Kasan]) })
}

/// How it is counted which lines of a base's driver run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CountedAs {
    /// In C: by the same kernel, built from its beginning so that it counts.
    Base(Order),
    /// In Rust: by the base itself, of which only the driver is built so that it counts.
    Driver(Order),
    /// In a stock kernel of this name: by another module.
    Module(String),
}

/// How it is counted which lines of its driver run; `None` if it cannot be.
pub(super) fn counting(base: &Base) -> Option<CountedAs> {
    match base {
        Base::Source(order) => counting_source(order),
        Base::Stock(name) => Some(CountedAs::Module(name.clone())),
    }
}

fn counting_source(plain: &Order) -> Option<CountedAs> {
    match (plain.choices.driver, plain.choices.kind) {
        (DriverKind::Rust, BuiltFor::Uml) => return Some(CountedAs::Driver(plain.clone())),
        (DriverKind::Rust, BuiltFor::Qemu) => return None,
        (DriverKind::C, _) => {}
    }
    let order = with(plain, &[Instrument::Gcov]);
    order.choices.check().is_ok().then_some(CountedAs::Base(order))
}

/// The same kernel, built with these and nothing else.
fn with(plain: &Order, instruments: &[Instrument]) -> Order {
    let mut order = plain.clone();
    order.choices.with = instruments.iter().copied().collect();
    if order.choices == plain.choices {
        return order;
    }
    let with: String = order.choices.with.iter().map(|instrument| format!("-{instrument}")).collect();
    // Whoever gave the plain one a name of its own has room for these words in it, or hears that it is too long.
    order.name = plain.name.as_ref().and_then(|name| format!("{name}{with}").parse().ok());
    order
}

/// What is built and run, and how.
pub(super) struct Trial<'a> {
    /// Where kernels are.
    store: &'a Store,
    /// How guests are run.
    guests: &'a GuestArguments,
    /// Whether bases run anew of which it is kept what they did.
    again: bool,
    /// When all of it began.
    started: Instant,
}

impl<'a> Trial<'a> {
    /// It begins now.
    pub(super) fn new(store: &'a Store, guests: &'a GuestArguments, again: bool) -> Trial<'a> {
        Trial { store, guests, again, started: Instant::now() }
    }

    /// What a base is built from.
    pub(super) fn source(&self, base: &Base) -> Result<Source, KernelError> {
        let choice = match base {
            Base::Source(order) => order.source.clone(),
            Base::Stock(name) => self.store.source_of_stock(name)?,
        };
        self.store.source(&choice, &mut |what| self.say("the source", what))
    }

    /// What a source is with these patches.
    pub(super) fn apply(
        &self,
        base: &Base,
        before: &Changes,
        patches: &[Patch],
    ) -> Result<Changes, CommandError> {
        let source = self.source(base)?;
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

    /// The target that is a base with some changes, counting which lines run.
    pub(super) fn build_counting(
        &self,
        counted: &CountedAs,
        changes: &Changes,
        title: &str,
    ) -> Result<String, KernelError> {
        let tell = &mut |told: Told<'_>| self.tell("with the patch, counting", told);
        let patched = match counted {
            CountedAs::Base(order) => self.store.build_patched(order, changes, title, tell)?,
            CountedAs::Driver(order) => self.store.build_counting(order, changes, title, tell)?,
            CountedAs::Module(name) => {
                self.store.build_module(name, ModuleKind::Counting, changes, title, tell)?
            }
        };
        Ok(patched.target())
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
                let tell = &mut |told: Told<'_>| self.tell(name, told);
                self.store.build_module(name, ModuleKind::Plain, changes, title, tell)
            }
        }
    }

    /// What a base does with these cases, and whether that was kept.
    pub(super) fn run_base(
        &self,
        target: &str,
        cases: &[Case],
    ) -> Result<(TargetResults, bool), CommandError> {
        let options = &self.guests.options;
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
        run_on(&self.plan(target, cases), &mut io::sink())
    }

    /// Nothing has been counted yet on a target that counts.
    pub(super) fn counting(&self, target: &str) -> Result<Counting, CommandError> {
        let counting = Counting::of(&self.store.notes(target)?)?;
        counting.boot(target, &self.guests.options)?;
        Ok(counting)
    }

    /// How cases are run on a target.
    pub(super) fn plan<'p>(&'p self, target: &'p str, cases: &'p [Case]) -> Plan<'p> {
        Plan {
            name: target,
            cases,
            options: &self.guests.options,
            jobs: self.guests.jobs,
            tells: false,
            most_dead: Some(MOST_DEAD),
            observer: None,
        }
    }

    pub(super) fn say(&self, what: &str, said: &str) {
        tell(&format!("{:>5.1} s  {what}: {said}", self.started.elapsed().as_secs_f64()));
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
    fn a_file_belongs_to_one_driver_or_to_neither() {
        let of = |path: &str| driver_of(&format!("{DRIVER}{path}"));
        assert_eq!([of("binder.c"), of("binder_alloc.h")], [Some(DriverKind::C); 2]);
        assert_eq!([of("binder/node.rs"), of("binder/rust_binderfs.c")], [Some(DriverKind::Rust); 2]);
        assert_eq!([of("Kconfig"), driver_of("include/uapi/linux/android/binder.h")], [None; 2]);
    }

    #[test]
    fn a_patch_of_the_other_driver_is_refused() {
        let patch = |file: &str| {
            Patch::of_diff(&format!("--- a/{DRIVER}{file}\n+++ b/{DRIVER}{file}\n@@ -1 +1 @@\n-a\n+b\n"))
        };
        let (c, rust) = (patch("binder.c"), patch("binder/node.rs"));
        let stock = Base::Stock("debian-6.12".to_owned());
        assert!(stock.check("debian-6.12", std::slice::from_ref(&c)).is_ok());
        assert!(stock.check("debian-6.12", &[c, rust.clone()]).is_ok(), "half of it is");
        let refused = stock.check("debian-6.12", &[rust]).unwrap_err().to_string();
        assert!(refused.contains("the driver in Rust, and debian-6.12 has the one in C"), "{refused}");
    }

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

    #[test]
    fn the_kernel_that_counts_is_of_the_same_source() {
        let order = |driver, with: &[Instrument], name: Option<&str>| Order {
            source: SourceChoice::Newest,
            choices: Choices { kind: BuiltFor::Uml, driver, with: with.iter().copied().collect() },
            name: name.map(|name| name.parse().unwrap()),
        };
        let name = |order: &Order| match counting_source(order) {
            Some(CountedAs::Base(order)) => order.name().unwrap().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(name(&order(DriverKind::C, &[], None)), "uml-c-gcov");
        assert_eq!(name(&order(DriverKind::C, &[Instrument::Kasan], None)), "uml-c-gcov");
        assert_eq!(name(&order(DriverKind::C, &[], Some("mine"))), "mine-gcov");
        assert_eq!(name(&order(DriverKind::C, &[Instrument::Gcov], Some("mine-gcov"))), "mine-gcov");
        let rust = order(DriverKind::Rust, &[], None);
        assert_eq!(
            counting_source(&rust),
            Some(CountedAs::Driver(rust.clone())),
            "only the driver is another"
        );
        let mut emulated = rust;
        emulated.choices.kind = BuiltFor::Qemu;
        assert_eq!(counting_source(&emulated), None);
    }
}
