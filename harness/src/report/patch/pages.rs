//! Verdicts on patches, as pages: one that tells of all patches and of their own lines, and for each patched kernel a site
//! about the cases that it does otherwise than its base.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use askama::Template;

use super::own_lines::{summary, told};
use crate::patch::{Change, ChangeKind, KernelVerdict, OwnLines, PatchResults, PatchVerdict, Ran};
use crate::report::case_result::CaseResult;
use crate::report::results::{Counts, Results, TargetResults};
use crate::report::site::{Head, Report, STYLE, SiteError, claim};
use crate::suite::Case;

/// All of it, which also tells that a folder is one of a verdict.
const RESULTS: &str = "patch.json";

#[derive(Template)]
#[template(path = "patch.html")]
struct Index<'a> {
    head: Head,
    sentence: String,
    is_broken: bool,
    patches: Vec<PatchPart<'a>>,
}

struct PatchPart<'a> {
    verdict: &'a PatchVerdict,
    kernels: Vec<KernelPart<'a>>,
    own_lines: Option<OwnPart<'a>>,
}

struct KernelPart<'a> {
    verdict: &'a KernelVerdict,
    /// How much is fixed, broken and changed.
    counts: [usize; 3],
    changes: Vec<ChangePart<'a>>,
}

struct ChangePart<'a> {
    change: &'a Change,
    word: &'static str,
    class: &'static str,
    page: Option<String>,
}

struct OwnPart<'a> {
    summary: String,
    lost: &'a [String],
    files: Vec<OwnFile<'a>>,
}

struct OwnFile<'a> {
    name: &'a str,
    lines: Vec<OwnRow<'a>>,
}

struct OwnRow<'a> {
    number: u32,
    text: &'a str,
    class: &'static str,
    told: String,
}

/// Writes the pages into a folder, and gives the first of them.
pub fn write_patch_pages(
    folder: &Path,
    results: &PatchResults,
    cases: &[Case],
) -> Result<PathBuf, SiteError> {
    prepare_patch_pages(folder)?;
    let mut patches = Vec::new();
    for verdict in &results.patches {
        let kernels = verdict.kernels.iter().map(|kernel| KernelPart::written(folder, kernel, cases));
        let kernels = kernels.collect::<Result<_, _>>()?;
        patches.push(PatchPart { verdict, kernels, own_lines: verdict.own_lines.as_ref().map(OwnPart::of) });
    }
    let index = Index {
        head: Head::new("Verdict on a patch", "index.html", ""),
        sentence: sentence(results),
        is_broken: results.is_broken(),
        patches,
    };
    put(&folder.join("style.css"), STYLE)?;
    let json = serde_json::to_string_pretty(results).map_err(io::Error::from);
    let path = folder.join(RESULTS);
    let json = json.map_err(|source| SiteError::File { path: path.clone(), source })?;
    put(&path, &json)?;
    let path = folder.join("index.html");
    put(&path, &index.render()?)?;
    Ok(path)
}

/// Makes the folder, unless it holds what is none of ours.
pub fn prepare_patch_pages(folder: &Path) -> Result<(), SiteError> {
    claim(folder, RESULTS)
}

fn put(path: &Path, text: &str) -> Result<(), SiteError> {
    fs::write(path, text).map_err(|source| SiteError::File { path: path.to_owned(), source })
}

/// What became of all patches.
fn sentence(results: &PatchResults) -> String {
    let kernels = || results.patches.iter().flat_map(|patch| &patch.kernels);
    // A case that several kernels do otherwise is one.
    let count = |kind| {
        let changes = kernels().flat_map(|kernel| &kernel.changes).filter(|change| change.kind == kind);
        changes.map(|change| &change.base.id).collect::<BTreeSet<_>>().len()
    };
    if let Some(dead) = kernels().find(|kernel| kernel.does_not_boot.is_some()) {
        return format!("{} does not boot", dead.patched);
    }
    let counts =
        [(ChangeKind::Broken, "broken"), (ChangeKind::Fixed, "fixed"), (ChangeKind::Changed, "changed")]
            .map(|(kind, word)| (count(kind), word));
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match told.is_empty() {
        true => "Nothing is done otherwise".to_owned(),
        false => told.join(", "),
    }
}

impl<'a> KernelPart<'a> {
    /// A kernel, whose site is written.
    fn written(
        folder: &Path,
        verdict: &'a KernelVerdict,
        cases: &[Case],
    ) -> Result<KernelPart<'a>, SiteError> {
        let kinds = [ChangeKind::Fixed, ChangeKind::Broken, ChangeKind::Changed];
        let counts = kinds.map(|kind| verdict.count(kind));
        let site = verdict.patched.replace(':', "-");
        let report = Report {
            results: results_of(verdict).with_scripts(cases).with_known_scripts(),
            notices: Vec::new(),
            since: None,
            past: Vec::new(),
        };
        if !verdict.changes.is_empty() {
            report.write(&folder.join(&site))?;
        }
        let changes = verdict.changes.iter().map(|change| {
            let (word, class) = match change.kind {
                ChangeKind::Broken => ("broken", "bad"),
                ChangeKind::Fixed => ("fixed", "ok"),
                ChangeKind::Changed => ("changed", "known"),
            };
            let page = report.page_of(&change.base.id).map(|page| format!("{site}/{page}"));
            ChangePart { change, word, class, page }
        });
        Ok(KernelPart { verdict, counts, changes: changes.collect() })
    }
}

/// The cases that a patch changes, as both kernels did them.
fn results_of(verdict: &KernelVerdict) -> Results {
    let run = |target: &str, side: fn(&Change) -> &CaseResult| {
        let cases: Vec<CaseResult> = verdict.changes.iter().map(side).cloned().collect();
        TargetResults {
            target: target.to_owned(),
            profile: None,
            driver: Some(verdict.kernel.clone()),
            options: String::new(),
            seconds: 0.0,
            seconds_to_first_case: 0.0,
            counts: Counts::of(&cases),
            cases,
            provenance: None,
        }
    };
    Results::of(vec![
        run(&verdict.base, |change| &change.base),
        run(&verdict.patched, |change| &change.patched),
    ])
}

impl<'a> OwnPart<'a> {
    fn of(own_lines: &'a OwnLines) -> OwnPart<'a> {
        let lines = match own_lines {
            OwnLines::Counted(lines) => lines,
            OwnLines::Unknown { why } => {
                let summary = format!("It is not known which of them ran: {why}");
                return OwnPart { summary, lost: &[], files: Vec::new() };
            }
        };
        let files = lines.lines.chunk_by(|one, other| one.file == other.file);
        let files = files.map(|of_file| OwnFile {
            name: &of_file[0].file,
            lines: of_file
                .iter()
                .map(|line| OwnRow {
                    number: line.line,
                    text: &line.text,
                    class: if line.ran == Ran::Never { "bad" } else { "" },
                    told: told(&line.ran),
                })
                .collect(),
        });
        OwnPart { summary: summary(lines), lost: &lines.lost, files: files.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Verdict;
    use crate::patch::own_lines_tests::own_lines;
    use crate::patch::verdict_tests::{case, dies, fails, verdict};

    #[test]
    fn pages_show_changes_and_own_lines() {
        let mut kernel = verdict();
        let base = ["context/one", "death/two", "object/three"].map(|id| case(id, "EBUSY", Verdict::Pass));
        let patched = [
            case("context/one", "EPERM", fails("EPERM")),
            case("death/two", "", dies()),
            case("object/three", "EIO", Verdict::Pass),
        ];
        kernel.judge(&base, &patched, |_| Ok::<_, ()>(Vec::new())).unwrap();
        let patch = PatchVerdict {
            titles: vec!["binder: <say> EPERM".to_owned()],
            files: vec!["drivers/android/binder.c".to_owned()],
            kernels: vec![kernel],
            own_lines: Some(own_lines()),
            campaign: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let results = PatchResults::of(vec![patch]);
        let index = write_patch_pages(folder.path(), &results, &[]).unwrap();
        let text = fs::read_to_string(&index).unwrap();
        for told in [
            "2 broken, 1 changed",
            "binder: &#60;say&#62; EPERM",
            "class=\"bad\">NEVER",
            "/* &#60;once&#62; is enough */",
            "4 times, by context/one, context/two and 2 more",
        ] {
            assert!(text.contains(told), "{told:?} is not in {text}");
        }
        let links: Vec<&str> =
            text.split("href=\"patched-").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(links.len(), 3, "{text}");
        for link in links {
            let page = folder.path().join(format!("patched-{link}"));
            assert!(page.is_file(), "{}", page.display());
        }
        write_patch_pages(folder.path(), &results, &[]).unwrap();
        fs::remove_file(folder.path().join(RESULTS)).unwrap();
        assert!(matches!(write_patch_pages(folder.path(), &results, &[]), Err(SiteError::Occupied(_))));
    }
}
