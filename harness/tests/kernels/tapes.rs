//! Tapes, played by the drivers of real kernels.

use binderdrill::campaign::{Source, profile_of};
use binderdrill::engine::{Run, Verdict};
use binderdrill::generate::Emphasis;
use binderdrill::program::Program;
use binderdrill::suite;
use binderdrill::target::tape::{Reel, record};
use binderdrill::target::{ReferenceTarget, TargetOptions, named};
use libtest_mimic::Failed;
use reference_driver::Profile;

use super::Test;

pub(super) const ON_STOCK: &[Test] = &[("a_stock_kernel_plays_tapes", || plays("vm:debian-6.12"))];
pub(super) const IN_UML: &[Test] = &[("the_driver_in_c_plays_tapes", || plays("built:uml-c"))];
pub(super) const IN_RUST: &[Test] = &[("the_driver_in_rust_plays_tapes", || plays("built:uml-rust"))];

/// Nearly all programs are played, and those of which the tape tells something else are run from their scripts.
fn plays(name: &str) -> Result<(), Failed> {
    let mut target = named(name, &TargetOptions::default())?;
    let profile = profile_of(target.as_mut())?;
    let corpus = suite::embedded().into_iter().filter_map(|case| Some(case.script.ok()?.program)).collect();
    let source = Source { emphasis: Emphasis::Mix, corpus };
    let programs: Vec<Program> = (0..60).map(|seed| source.program(seed, &profile).program).collect();
    let context = target.security_context();
    let mut differing = |profile: Profile| -> Result<Vec<bool>, Failed> {
        let mut model = ReferenceTarget::new(profile);
        if let Some(context) = &context {
            model = model.with_security_context(context);
        }
        let recorded = programs.iter().map(|program| Ok(record(program, &mut model)?.1));
        let tapes = recorded.collect::<Result<Vec<Option<Vec<u8>>>, Failed>>()?;
        // What is run from its script does otherwise than this: only of what is played nobody looks there.
        let elsewhere = Run::without_steps(Verdict::Pass);
        let programs: Vec<(&Program, &Run)> = programs.iter().map(|program| (program, &elsewhere)).collect();
        let runs = target.compare(&programs, &Reel::of(&tapes))?;
        Ok(runs.iter().map(Option::is_some).collect())
    };
    let run = differing(profile.clone())?.into_iter().filter(|differs| *differs).count();
    if run > 6 {
        return Err(format!("{run} of 60 programs have not been played").into());
    }
    let other = if profile == Profile::RUST { Profile::C } else { Profile::RUST };
    let run = differing(other)?.into_iter().filter(|differs| *differs).count();
    if run < 20 {
        return Err(format!("{run} of 60 programs do otherwise than the other driver").into());
    }
    Ok(())
}
