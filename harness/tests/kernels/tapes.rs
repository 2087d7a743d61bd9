//! Tapes, played by the drivers of real kernels.

use binderdrill::campaign::{Source, profile_of};
use binderdrill::engine::{Run, Verdict};
use binderdrill::generate::Emphasis;
use binderdrill::program::Program;
use binderdrill::script::parse;
use binderdrill::suite;
use binderdrill::target::tape::{Reel, record};
use binderdrill::target::{ReferenceTarget, TargetOptions, named};
use libtest_mimic::Failed;
use reference_driver::Profile;

use super::Test;

pub(super) const ON_STOCK: &[Test] = &[("a_stock_kernel_plays_tapes", || plays("vm:debian-6.12"))];
pub(super) const IN_UML: &[Test] = &[("the_driver_in_c_plays_tapes", || plays("built:uml-c"))];
pub(super) const IN_RUST: &[Test] = &[("the_driver_in_rust_plays_tapes", || plays("built:uml-rust"))];

/// Programs with tapes are played, and those of which the tape tells something else are run from their scripts.
fn plays(name: &str) -> Result<(), Failed> {
    let mut target = named(name, &TargetOptions::default())?;
    let profile = profile_of(target.as_mut())?;
    let corpus = suite::embedded().into_iter().filter_map(|case| Some(case.script.ok()?.program)).collect();
    let source = Source { emphasis: Emphasis::Mix, corpus };
    let context = target.security_context();
    // Of programs for such a driver that have a tape, how many there are, and how many do otherwise here.
    let mut differing = |profile: Profile| -> Result<(usize, usize), Failed> {
        let mut programs: Vec<Program> = (0..60).map(|seed| source.program(seed, &profile).program).collect();
        programs.extend(of_users(["uid 10001", "uid 10002", "", "uid 10001"])?);
        programs.iter_mut().for_each(|program| program.driver = None);
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
        let of_tapes = || runs.iter().zip(&tapes).filter(|(_, tape)| tape.is_some());
        Ok((of_tapes().count(), of_tapes().filter(|(run, _)| run.is_some()).count()))
    };
    // Some programs are about features that not every kernel has.
    let (tapes, run) = differing(profile.clone())?;
    if tapes < 50 || run > 3 {
        return Err(format!("{run} of {tapes} programs with tapes have not been played").into());
    }
    let other = if profile == Profile::RUST { Profile::C } else { Profile::RUST };
    let (tapes, run) = differing(other)?;
    if run < 15 {
        return Err(format!("{run} of {tapes} programs do otherwise than the other driver").into());
    }
    Ok(())
}

/// Programs in which a process of this user after the other has the same place, and is known to the driver.
fn of_users(users: [&str; 4]) -> Result<Vec<Program>, Failed> {
    let program = |user: &str| {
        let euid = user.strip_prefix("uid ").unwrap_or("0");
        let script = format!(
            "# A user.\n\nprocess server context-manager\nprocess client {user}\n\nclient > BC_TRANSACTION {{ handle 0 }}\n\
             server < BR_TRANSACTION {{ pid client, euid {euid} }}\n"
        );
        let parsed = parse(script.as_bytes()).map_err(|diagnostics| diagnostics.render("a test", false))?;
        Ok(parsed.program)
    };
    users.into_iter().map(program).collect()
}
