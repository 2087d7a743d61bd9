//! Verdicts on patches: what became of each case on the base and on the patched kernel, and what that says of the patch.

use serde::{Deserialize, Serialize};

use super::OwnLines;
use crate::campaign::Tally;
use crate::engine::Verdict;
use crate::report::CaseResult;

/// The version of the format in which verdicts are written; it grows whenever a reader of the one before might be misled.
pub const PATCH_FORMAT_VERSION: u32 = 1;

/// What checking patches showed, as it is written in JSON.
#[derive(Debug, Clone, Serialize)]
pub struct PatchResults {
    /// [`PATCH_FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of binderdrill that ran.
    pub binderdrill: String,
    /// What was checked, in order: all patches together, or one after the other, each on top of those before it.
    pub patches: Vec<PatchVerdict>,
}

/// What checking a patch, or several together, showed.
#[derive(Debug, Clone, Serialize)]
pub struct PatchVerdict {
    /// What the patches are called.
    pub titles: Vec<String>,
    /// The files that they change.
    pub files: Vec<String>,
    /// Each kernel that was built with them beside the one without.
    pub kernels: Vec<KernelVerdict>,
    /// What ran of the lines that they add or alter, if that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_lines: Option<OwnLines>,
    /// What programs that nobody wrote have shown, if there was a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Tally>,
}

/// What a patched kernel did, beside its base.
#[derive(Debug, Clone, Serialize)]
pub struct KernelVerdict {
    /// What was patched, such as `built:uml-c` or `debian-6.12`.
    pub kernel: String,
    /// The base, as a target.
    pub base: String,
    /// The patched kernel, as a target.
    pub patched: String,
    /// Whether what the base did was kept from another time.
    pub base_was_kept: bool,
    /// Why the patched kernel cannot be booted at all, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub does_not_boot: Option<String>,
    /// How long it took until all cases had been run, in seconds, without building.
    pub seconds: f64,
    /// How long it took to build it, in seconds.
    pub building: f64,
    /// Cases that did the same on both.
    pub unchanged: usize,
    /// Cases that did not.
    pub changes: Vec<Change>,
    /// Cases that do now this, now that, on the base too.
    pub unsteady: Vec<String>,
    /// How many cases were not run, since guests had died over too many before them.
    pub left_out: usize,
}

/// Some cases once more, on both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeated {
    /// What they did on the base.
    pub base: Vec<CaseResult>,
    /// What they did on the patched kernel.
    pub patched: Vec<CaseResult>,
}

/// A case that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it amounts to.
    pub kind: ChangeKind,
    /// What the case did on the base.
    pub base: CaseResult,
    /// What it did on the patched kernel.
    pub patched: CaseResult,
}

/// What a change amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was as the suite expects, or could be run, and is no longer.
    Broken,
    /// It was not, and is now.
    Fixed,
    /// It does something else, which is as right or as wrong as what it did.
    Changed,
}

/// What the suite thinks of what a kernel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The guest died or hung.
    Dead,
    /// It is not what the suite expects, known or not.
    Wrong,
    /// It lacks something.
    Lacking,
    /// It is what the suite expects.
    Right,
}

impl Standing {
    fn of(verdict: &Verdict) -> Standing {
        match verdict {
            Verdict::Broken { .. } => Standing::Dead,
            Verdict::Fail(_) | Verdict::KnownDeviation { .. } => Standing::Wrong,
            Verdict::Skip { .. } | Verdict::OtherDriver { .. } => Standing::Lacking,
            Verdict::Pass | Verdict::UnexpectedPass { .. } => Standing::Right,
        }
    }
}

/// What a patch does to a case; `None` if that does the same. Of cases that race, runs differ, and only what came of all
/// of them counts.
fn change(base: &CaseResult, patched: &CaseResult) -> Option<ChangeKind> {
    let (before, after) = (Standing::of(&base.verdict), Standing::of(&patched.verdict));
    match (before, after) {
        // What a kernel has learnt to do is no worse for failing, and no mistake that is mended.
        (Standing::Lacking, Standing::Right | Standing::Wrong) => Some(ChangeKind::Changed),
        _ if after < before => Some(ChangeKind::Broken),
        _ if after > before && after == Standing::Right => Some(ChangeKind::Fixed),
        _ if after > before => Some(ChangeKind::Changed),
        (Standing::Dead | Standing::Lacking, _) => None,
        _ if base.seed.is_some() => None,
        _ => (base.transcript != patched.transcript).then_some(ChangeKind::Changed),
    }
}

/// Whether two runs of a case did the same, as far as that can be told.
pub(crate) fn did_the_same(one: &CaseResult, other: &CaseResult) -> bool {
    change(one, other).is_none() && change(other, one).is_none()
}

/// What a patched kernel does with a case in one of these runs that the base does in none of its own, the first of which this
/// is: the worst of it, or the best if nothing is worse. `None` if there is nothing, or if the base does now this, now that, and what the other does is as
/// right or as wrong. What is mended is so in every run.
fn news<'r>(
    first: &CaseResult,
    on_base: &[CaseResult],
    on_patched: &'r [CaseResult],
) -> Option<(ChangeKind, &'r CaseResult)> {
    let is_known = |patched: &&CaseResult| on_base.iter().any(|base| did_the_same(base, patched));
    let new = on_patched.iter().filter(|patched| !is_known(patched));
    let kinds = new.map(|patched| (change(first, patched).unwrap_or(ChangeKind::Changed), patched));
    let (kind, patched) = kinds.min_by_key(|(kind, _)| *kind)?;
    let is_unsteady = on_base.iter().any(|base| !did_the_same(first, base));
    match kind {
        ChangeKind::Changed if is_unsteady => None,
        ChangeKind::Fixed if on_patched.iter().any(|patched| change(first, patched) != Some(kind)) => {
            Some((ChangeKind::Changed, patched))
        }
        kind => Some((kind, patched)),
    }
}

impl KernelVerdict {
    /// Of these two targets nothing is known yet.
    pub fn between(kernel: String, base: &str, patched: &str) -> KernelVerdict {
        KernelVerdict {
            kernel,
            base: base.to_owned(),
            patched: patched.to_owned(),
            base_was_kept: false,
            does_not_boot: None,
            seconds: 0.0,
            building: 0.0,
            unchanged: 0,
            changes: Vec::new(),
            unsteady: Vec::new(),
            left_out: 0,
        }
    }

    /// Judges what both kernels did with the same cases in the same order. `again` runs cases once more on both, as often as
    /// it takes to see which of them do now this, now that.
    pub fn judge<E>(
        &mut self,
        base: &[CaseResult],
        patched: &[CaseResult],
        again: impl FnOnce(&[&str]) -> Result<Vec<Repeated>, E>,
    ) -> Result<(), E> {
        let is_left_out =
            |(one, other): &(&CaseResult, &CaseResult)| one.is_left_out() || other.is_left_out();
        self.left_out = base.iter().zip(patched).filter(is_left_out).count();
        let pairs = || base.iter().zip(patched).filter(|pair| !is_left_out(pair));
        let differing: Vec<&str> = pairs()
            .filter(|(one, other)| change(one, other).is_some())
            .map(|(one, _)| one.id.as_str())
            .collect();
        let repeated = if differing.is_empty() { Vec::new() } else { again(&differing)? };
        for (one, other) in pairs() {
            if change(one, other).is_none() {
                self.unchanged += 1;
                continue;
            }
            let of = |results: &[CaseResult]| results.iter().find(|result| result.id == one.id).cloned();
            let mut on_base: Vec<CaseResult> = repeated.iter().filter_map(|run| of(&run.base)).collect();
            let mut on_patched: Vec<CaseResult> =
                repeated.iter().filter_map(|run| of(&run.patched)).collect();
            on_base.push(one.clone());
            on_patched.push(other.clone());
            match news(one, &on_base, &on_patched) {
                None => self.unsteady.push(one.id.clone()),
                Some((kind, patched)) => {
                    self.changes.push(Change { kind, base: one.clone(), patched: patched.clone() });
                }
            }
        }
        self.changes.sort_by_key(|change| change.kind);
        Ok(())
    }

    /// How many changes are of this kind.
    pub fn count(&self, kind: ChangeKind) -> usize {
        self.changes.iter().filter(|change| change.kind == kind).count()
    }

    /// Whether the patch breaks something.
    pub fn is_broken(&self) -> bool {
        self.does_not_boot.is_some() || self.count(ChangeKind::Broken) > 0
    }
}

impl PatchResults {
    /// What these came to.
    pub fn of(patches: Vec<PatchVerdict>) -> PatchResults {
        let binderdrill = env!("CARGO_PKG_VERSION").to_owned();
        PatchResults { format_version: PATCH_FORMAT_VERSION, binderdrill, patches }
    }

    /// Whether one of the patches breaks something.
    pub fn is_broken(&self) -> bool {
        self.patches.iter().flat_map(|patch| &patch.kernels).any(KernelVerdict::is_broken)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::{Deviation, StepOutcome, StepRecord, Transcript};

    /// A case of one call that returned this.
    pub(crate) fn case(id: &str, errno: &str, verdict: Verdict) -> CaseResult {
        let step = StepRecord {
            step: 0,
            thread: "client".to_owned(),
            script: "client ! BINDER_SET_CONTEXT_MGR = EBUSY".to_owned(),
            outcome: StepOutcome::Failed { errno: errno.to_owned() },
            woke: Vec::new(),
            races: false,
        };
        CaseResult {
            id: id.to_owned(),
            origin: format!("suites/cases/{id}.drill"),
            digest: String::new(),
            title: "Only one process can be the context manager.".to_owned(),
            clauses: vec!["context.1".to_owned()],
            unconfirmed: None,
            seed: None,
            verdict,
            line: Some(6),
            transcript: Transcript { steps: vec![step], complaints: Vec::new() },
            log: Vec::new(),
            lines: vec![6],
            left_open: Vec::new(),
        }
    }

    pub(crate) fn fails(came: &str) -> Verdict {
        Verdict::Fail(Deviation {
            step: Some(0),
            expected: "EBUSY".to_owned(),
            came: came.to_owned(),
            difference: format!("{came} came, not EBUSY"),
        })
    }

    pub(crate) fn dies() -> Verdict {
        Verdict::Broken { reason: "the guest ended".to_owned() }
    }

    pub(crate) fn verdict() -> KernelVerdict {
        let between = KernelVerdict::between("built:uml-c".to_owned(), "built:uml-c", "patched:0123456789ab");
        KernelVerdict { seconds: 1.0, building: 2.0, ..between }
    }

    #[test]
    fn a_change_is_judged_by_what_the_suite_thinks_of_both() {
        let skip = || Verdict::Skip { reason: "it is not there".to_owned() };
        let known = Verdict::KnownDeviation {
            deviation: Deviation {
                step: None,
                expected: String::new(),
                came: String::new(),
                difference: String::new(),
            },
            reason: String::new(),
            source: String::new(),
        };
        let mended = Verdict::UnexpectedPass { reason: String::new() };
        for (before, after, kind) in [
            (("EBUSY", Verdict::Pass), ("EBUSY", Verdict::Pass), None),
            (("EBUSY", Verdict::Pass), ("EPERM", Verdict::Pass), Some(ChangeKind::Changed)),
            (("EBUSY", Verdict::Pass), ("EPERM", fails("EPERM")), Some(ChangeKind::Broken)),
            (("EPERM", fails("EPERM")), ("EBUSY", Verdict::Pass), Some(ChangeKind::Fixed)),
            (("EPERM", fails("EPERM")), ("EIO", fails("EIO")), Some(ChangeKind::Changed)),
            (("EPERM", known), ("EBUSY", mended), Some(ChangeKind::Fixed)),
            (("EBUSY", Verdict::Pass), ("", dies()), Some(ChangeKind::Broken)),
            (("", dies()), ("EBUSY", Verdict::Pass), Some(ChangeKind::Fixed)),
            (("", dies()), ("", dies()), None),
            (("EBUSY", Verdict::Pass), ("", skip()), Some(ChangeKind::Broken)),
            (("", skip()), ("EBUSY", Verdict::Pass), Some(ChangeKind::Changed)),
        ] {
            let said = format!("{before:?} {after:?}");
            let (before, after) = (case("a/b", before.0, before.1), case("a/b", after.0, after.1));
            assert_eq!(change(&before, &after), kind, "{said}");
        }
    }

    #[test]
    fn what_was_not_run_is_neither_broken_nor_unchanged() {
        let base = [case("a/one", "EBUSY", Verdict::Pass)];
        let embedded = crate::suite::embedded();
        let left_out = CaseResult { id: "a/one".to_owned(), ..CaseResult::left_out(&embedded[0]) };
        let mut verdict = verdict();
        verdict
            .judge(&base, &[left_out], |_| -> Result<Vec<Repeated>, ()> { unreachable!("nothing differs") })
            .unwrap();
        assert_eq!((verdict.left_out, verdict.unchanged, verdict.is_broken()), (1, 0, false));
    }

    #[test]
    fn of_a_race_only_what_came_of_it_counts() {
        let mut before = case("race/a", "EBUSY", Verdict::Pass);
        before.seed = Some(1);
        assert_eq!(change(&before, &case("race/a", "EPERM", Verdict::Pass)), None);
        assert_eq!(change(&before, &case("race/a", "EPERM", fails("EPERM"))), Some(ChangeKind::Broken));
    }

    #[test]
    fn what_the_base_does_too_is_no_change() {
        let base = [case("a/steady", "EBUSY", Verdict::Pass), case("a/unsteady", "EBUSY", Verdict::Pass)];
        let patched =
            [case("a/steady", "EPERM", fails("EPERM")), case("a/unsteady", "EPERM", fails("EPERM"))];
        let mut verdict = verdict();
        verdict
            .judge(&base, &patched, |ids| {
                assert_eq!(ids, ["a/steady", "a/unsteady"]);
                let once_more = vec![case("a/steady", "EBUSY", Verdict::Pass), patched[1].clone()];
                Ok::<_, ()>(vec![Repeated { base: once_more, patched: patched.to_vec() }])
            })
            .unwrap();
        assert_eq!(verdict.unsteady, ["a/unsteady"]);
        assert_eq!((verdict.count(ChangeKind::Broken), verdict.unchanged), (1, 0));
        assert!(verdict.is_broken());
    }

    #[test]
    fn what_the_patched_kernel_alone_does_now_and_then_is_a_change() {
        let pass = || case("race/a", "EBUSY", Verdict::Pass);
        let fail = || case("race/a", "EPERM", fails("EPERM"));
        let judged = |before: [CaseResult; 2], after: [CaseResult; 2]| {
            let ([base, base_again], [patched, patched_again]) = (before, after);
            let mut verdict = verdict();
            let again = Repeated { base: vec![base_again], patched: vec![patched_again] };
            verdict.judge(&[base], &[patched], |_| Ok::<_, ()>(vec![again])).unwrap();
            verdict.changes.first().map(|change| (change.kind, change.patched.verdict.clone()))
        };
        let broken = Some((ChangeKind::Broken, fails("EPERM")));
        assert_eq!(judged([pass(), pass()], [fail(), pass()]), broken);
        assert_eq!(judged([pass(), fail()], [fail(), pass()]), None);
        assert_eq!(judged([fail(), fail()], [pass(), fail()]), Some((ChangeKind::Changed, Verdict::Pass)));
        assert_eq!(judged([fail(), fail()], [pass(), pass()]), Some((ChangeKind::Fixed, Verdict::Pass)));
        let otherwise = case("race/a", "EIO", fails("EIO"));
        assert_eq!(judged([fail(), fail()], [pass(), otherwise]), Some((ChangeKind::Changed, Verdict::Pass)));
        let dead = case("race/a", "", dies());
        assert_eq!(judged([pass(), fail()], [fail(), dead]), Some((ChangeKind::Broken, dies())));
    }
}
