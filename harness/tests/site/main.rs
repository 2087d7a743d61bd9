//! The site: that its pages are whole, that what others wrote stays text in them, and that a browser can use them.

mod browser;
mod pages;

use std::fs;
use std::path::Path;

use binderdrill::campaign::{Signature, Steadiness};
use binderdrill::report::site::{Report, Summary};
use binderdrill::report::{
    Beside, CaseResult, Counts, FoundProgram, Provenance, Results, TargetResults, Unusable, Whence,
};
use binderdrill::suite::{self, Case};
use binderdrill::target::{ReferenceTarget, Target};
use reference_driver::{Bug, Profile};

/// A target of a model, called so, on some cases.
fn run(name: &str, profile: Profile, cases: &[Case]) -> TargetResults {
    let mut target = ReferenceTarget::new(profile);
    let cases: Vec<CaseResult> =
        cases.iter().map(|case| CaseResult::of(case, &mut target).unwrap()).collect();
    TargetResults {
        target: name.to_owned(),
        profile: target.profile(),
        driver: target.driver(),
        options: String::new(),
        seconds: 1.0,
        seconds_to_first_case: 0.5,
        counts: Counts::of(&cases),
        cases,
        provenance: None,
    }
}

/// A driver with a bug beside one without, on a part of the suite.
fn results() -> Results {
    let topics = ["oneway-spam/", "extended-error/", "scenarios/"].map(str::to_owned);
    let cases = suite::select(&topics).unwrap();
    let runs = vec![
        run("reference", Profile::C, &cases),
        run("planted", Profile::C.with_bug(Bug::MessageUncounted), &cases),
        run("reference:rust", Profile::RUST, &cases),
    ];
    let mut results = Results::of(runs).with_scripts(&cases);
    results.provenance = Some(Provenance {
        started: "2026-11-21T02:00:00Z".parse().unwrap(),
        commit: Some("0123456789ab".to_owned()),
        suite: suite::version(),
        machine: "Linux 6.12.0 x86_64, 2 processors".to_owned(),
        seed: Some(7),
    });
    results.keep_found(found());
    let reason =
        "it does not boot; the last lines of its console:\nKernel panic - not syncing: no init".to_owned();
    results.unusable = vec![Unusable { target: "vm:./bzImage".to_owned(), reason }];
    results
}

/// What a campaign found and what replaying showed, with the driver that has the bug.
fn found() -> Vec<(FoundProgram, String)> {
    let case = suite::select(&["oneway-spam/cve-2026-43435".to_owned()]).unwrap().remove(0);
    let text = case.script.as_ref().unwrap().source.to_string();
    let ran = |profile: Profile, name: &str| {
        let case = Case::new(
            format!("nightly/findings/{name}.drill"),
            format!("nightly/findings/{name}.drill"),
            text.as_bytes(),
        );
        CaseResult::of(&case, &mut ReferenceTarget::new(profile)).unwrap()
    };
    let program = |whence: Whence, name: &str| {
        let beside = Beside { target: "reference".to_owned(), case: ran(Profile::C, name) };
        let case = ran(Profile::C.with_bug(Bug::MessageUncounted), name);
        (FoundProgram { whence, target: "planted".to_owned(), case, beside: Some(beside) }, text.clone())
    };
    let campaign = Whence::Campaign {
        signature: Signature::of_failure("planted", "spam"),
        seed: 3000,
        steps: 40,
        steadiness: Steadiness { shown: 5, of: 5 },
        command: "binderdrill fuzz --target reference --target planted --seed 3000 --programs 1".to_owned(),
        known: None,
    };
    let replay = Whence::Replay {
        command: "binderdrill replay nightly/findings/old.drill --target planted".to_owned(),
    };
    vec![program(campaign, "spam"), program(replay, "old")]
}

/// The same the night before, when the bug was not there.
fn before() -> Results {
    let mut results = results();
    let mut sound = results.runs[0].clone();
    sound.target = "planted".to_owned();
    results.runs[1] = sound;
    results.found.clear();
    results.unusable.clear();
    if let Some(provenance) = &mut results.provenance {
        provenance.started = "2026-11-20T02:00:00Z".parse().unwrap();
    }
    results
}

/// A site on these results, with a night before.
fn site(results: Results, folder: &Path) {
    let before = Summary::of(&before());
    let report = Report { results, notices: Vec::new(), since: Some(before.clone()), past: vec![before] };
    report.write(folder).unwrap();
}

/// All pages of a site, by their path in it.
fn pages(folder: &Path) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                pages.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    pages.sort();
    pages
}
