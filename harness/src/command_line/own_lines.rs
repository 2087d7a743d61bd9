//! A patch's own lines: the patched kernel is built once more so that it counts, and everything is run on it.

use std::path::PathBuf;
use std::time::Instant;

use reference_driver::Profile;

use super::CommandError;
use super::corpus::corpus;
use super::counting::Counted;
use super::trial::{Base, CountedAs, Trial, counting, driver_of};
use crate::campaign::{Source, Tally};
use crate::coverage::Origin;
use crate::generate::Emphasis;
use crate::patch::{Changes, CountedLines, OwnLine, OwnLines};
use crate::script::print;
use crate::suite::{self, Case};
use crate::target::qemu;

/// Of a campaign, so many programs are run again on the kernel that counts: the first ones. All would take too long.
const MOST_OF_CAMPAIGN: u64 = 300;

/// Why nothing is known of lines of Rust in a kernel for QEMU, and what to do.
const ONLY_IN_MEMORY: &str = "what rustc counts is read out of the memory of User-mode Linux, and not of QEMU: --base \
                              built:uml-rust counts them";

/// Patches on top of others, by what they make of a source.
pub(super) struct Patched<'a> {
    /// What they are for.
    pub(super) base: &'a Base,
    /// What the source is without them.
    pub(super) before: &'a Changes,
    /// What it is with them.
    pub(super) after: &'a Changes,
    /// What they are called.
    pub(super) title: &'a str,
}

/// What is run on the kernel that counts.
pub(super) struct Programs<'a> {
    /// Cases.
    pub(super) suite: &'a [Case],
    /// Where there are programs to replay besides those that are built in.
    pub(super) corpus: &'a [PathBuf],
    /// A campaign, if there was one.
    pub(super) campaign: Option<&'a Tally>,
}

/// What runs of the lines that patches add or alter in a base's driver.
pub(super) fn own_lines_of(
    trial: &Trial<'_>,
    patched: &Patched<'_>,
    programs: &Programs<'_>,
) -> Result<OwnLines, CommandError> {
    let source = trial.source(patched.base)?;
    let driver = patched.base.driver();
    let mut lines = patched.after.own_lines(patched.before, &source.folder)?;
    // Those of the other driver are no part of this kernel.
    lines.retain(|line| driver_of(&line.file).is_none_or(|of| of == driver));
    if lines.is_empty() {
        return Ok(OwnLines::Counted(CountedLines {
            counted_on: None,
            building: 0.0,
            seconds: 0.0,
            lines,
            lost: Vec::new(),
        }));
    }
    let Some(counted_as) = counting(patched.base) else {
        return Ok(OwnLines::Unknown { why: ONLY_IN_MEMORY.to_owned() });
    };
    match counted(trial, patched, &counted_as, lines, programs) {
        Ok(counted) => Ok(OwnLines::Counted(counted)),
        // The verdict is had without it.
        Err(error) => Ok(OwnLines::Unknown { why: error.to_string() }),
    }
}

fn counted(
    trial: &Trial<'_>,
    patched: &Patched<'_>,
    counted_as: &CountedAs,
    mut lines: Vec<OwnLine>,
    programs: &Programs<'_>,
) -> Result<CountedLines, CommandError> {
    let building = Instant::now();
    let target = trial.build_counting(counted_as, patched.after, patched.title)?;
    let building = building.elapsed().as_secs_f64();
    let running = Instant::now();
    let counting = trial.counting(&target)?;
    trial.say(&target, &format!("{} cases, while the lines are counted that run", programs.suite.len()));
    let ran = counting.run(&trial.plan(&target, programs.suite), Origin::Suite)?;
    let mut others = corpus(programs.corpus, ran.profile.as_deref())?;
    others.extend(programs.campaign.into_iter().flat_map(|tally| of_campaign(tally, ran.profile.as_deref())));
    counting.run(&trial.plan(&target, &others), Origin::Corpus)?;
    let Counted { coverage, lost } = counting.counted();
    lines.iter_mut().for_each(|line| line.look_up(&coverage));
    // Nobody boots it again so soon that this would be worth its room.
    qemu::forget_snapshots(&target)?;
    let seconds = running.elapsed().as_secs_f64();
    Ok(CountedLines { counted_on: Some(target), building, seconds, lines, lost })
}

/// The first programs of a campaign, as the model of a driver does them.
fn of_campaign(tally: &Tally, profile: Option<&str>) -> Vec<Case> {
    let Some(profile) = profile.and_then(Profile::named) else {
        return Vec::new();
    };
    let corpus = suite::embedded().into_iter().filter_map(|case| Some(case.script.ok()?.program)).collect();
    let source = Source { emphasis: Emphasis::Mix, corpus };
    let programs = tally.programs().min(MOST_OF_CAMPAIGN);
    let settled = (0..programs).map(|place| {
        let seed = tally.seed.wrapping_add(place);
        (format!("seed {seed}"), source.program(seed, &profile).program)
    });
    let cases = settled.filter(|(_, program)| !program.steps.is_empty());
    cases.map(|(name, program)| Case::new(name.clone(), name, print(&program).as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_campaign_the_first_programs_are_run_again() {
        let mut tally = Tally::new(7, ["a".to_owned()]);
        assert!(of_campaign(&tally, Some("c")).is_empty());
        tally.lanes[0].programs = 5;
        let cases = of_campaign(&tally, Some(Profile::C.name));
        assert!((1..=5).contains(&cases.len()), "{} cases", cases.len());
        assert!(cases.iter().all(|case| case.script.is_ok()));
        assert!(of_campaign(&tally, None).is_empty());
    }
}
