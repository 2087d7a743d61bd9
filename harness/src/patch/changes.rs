//! Changes: what patches make of the files of a source, apart from the source itself, which stays as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use diffy::patch_set::{FileOperation, PatchKind};
use diffy::{Hunk, Line};
use sha2::{Digest, Sha256};

use super::Patch;

/// Files that are not as they are in a source, by their paths from its folder: their text, or that they are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<String, Option<String>>);

/// Why a patch cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum DoesNotApply {
    /// It changes a file that is not there.
    #[error("\"{title}\" does not apply: it changes {path}, which the source does not have")]
    NoFile {
        /// The patch.
        title: String,
        /// The file.
        path: String,
    },
    /// Its paths are not as a patch has them.
    #[error(
        "\"{title}\" does not apply: it changes {path}, and of a path the first folder is left out, as a/ and b/ are which \
         git puts before it: make the patch without --no-prefix (git -c diff.noprefix=false)"
    )]
    NoPrefix {
        /// The patch.
        title: String,
        /// The file.
        path: String,
    },
    /// It makes a file that is there.
    #[error("\"{title}\" does not apply: it makes {path}, which the source has already")]
    IsThere {
        /// The patch.
        title: String,
        /// The file.
        path: String,
    },
    /// What a hunk changes is not there.
    #[error("\"{title}\" does not apply: {path}, hunk {hunk} of {hunks}\n{what}")]
    Hunk {
        /// The patch.
        title: String,
        /// The file.
        path: String,
        /// Which of its hunks, from 1.
        hunk: usize,
        /// Of how many.
        hunks: usize,
        /// What the hunk expects, and what is there.
        what: String,
    },
    /// It is no whole patch.
    #[error("\"{title}\": {reason}")]
    Malformed {
        /// The patch.
        title: String,
        /// What is the matter.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        error: io::Error,
    },
}

impl Changes {
    /// These, and those of a further patch.
    pub fn and(&self, patch: &Patch, source: &Path) -> Result<Changes, DoesNotApply> {
        let mut changes = self.clone();
        let malformed = |reason: String| DoesNotApply::Malformed { title: patch.title.clone(), reason };
        for file in patch.files().map_err(malformed)? {
            let PatchKind::Text(diff) = file.patch() else { continue };
            let whole = file.operation().strip_prefix(0);
            let no_file = |path: &str| {
                let (title, path) = (patch.title.clone(), path.to_owned());
                match &whole {
                    FileOperation::Modify { modified, .. } if source.join(modified.as_ref()).is_file() => {
                        DoesNotApply::NoPrefix { title, path: modified.as_ref().to_owned() }
                    }
                    _ => DoesNotApply::NoFile { title, path },
                }
            };
            let operation = match file.operation() {
                // git names these without a/ and b/.
                FileOperation::Rename { .. } | FileOperation::Copy { .. } => file.operation().strip_prefix(0),
                other => other.strip_prefix(1),
            };
            let (from, to) = match &operation {
                FileOperation::Create(path) => (None, Some(path.as_ref())),
                FileOperation::Delete(path) => (Some(path.as_ref()), None),
                FileOperation::Modify { original, modified } => {
                    (Some(original.as_ref()), Some(modified.as_ref()))
                }
                FileOperation::Rename { from, to } | FileOperation::Copy { from, to } => {
                    (Some(from.as_ref()), Some(to.as_ref()))
                }
            };
            let path = to.or(from).unwrap_or_default();
            let before = match from {
                None if changes.text(path, source)?.is_some() => {
                    return Err(DoesNotApply::IsThere { title: patch.title.clone(), path: path.to_owned() });
                }
                None => String::new(),
                // What plain diffs call the file that they take from is often its name with something behind it.
                Some(from) => match (changes.text(from, source)?, to) {
                    (Some(text), _) => text,
                    (None, Some(to)) if operation.is_modify() => {
                        changes.text(to, source)?.ok_or_else(|| no_file(to))?
                    }
                    (None, _) => return Err(no_file(from)),
                },
            };
            let after = apply(&before, diff).map_err(|(hunk, what)| DoesNotApply::Hunk {
                title: patch.title.clone(),
                path: path.to_owned(),
                hunk,
                hunks: diff.hunks().len(),
                what,
            })?;
            if let (Some(from), true) = (from, operation.is_rename() || operation.is_delete()) {
                changes.0.insert(from.to_owned(), None);
            }
            if let Some(to) = to {
                changes.0.insert(to.to_owned(), Some(after));
            }
        }
        Ok(changes)
    }

    /// The text of a file as it is with these changes; `None` if there is no such file.
    pub(super) fn text(&self, path: &str, source: &Path) -> Result<Option<String>, DoesNotApply> {
        if let Some(changed) = self.0.get(path) {
            return Ok(changed.clone());
        }
        let path = source.join(path);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DoesNotApply::File { path, error }),
        }
    }

    /// The files, each with its text, or `None` where it is gone.
    pub fn files(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_deref()))
    }

    /// Whether a file, or one under a folder, is changed.
    pub fn touch(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.0.contains_key(path)
            || self.0.range(folder.clone()..).next().is_some_and(|(touched, _)| touched.starts_with(&folder))
    }

    /// The same number for the same changes.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for (path, text) in &self.0 {
            hasher.update((path.len() as u64).to_le_bytes());
            hasher.update(path);
            hasher.update(text.as_ref().map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            hasher.update(text.as_deref().unwrap_or_default());
        }
        hex::encode(hasher.finalize())
    }
}

/// A text with a diff applied, wherever its hunks fit; or which hunk fits nowhere, and what is there instead.
fn apply(before: &str, diff: &diffy::Patch<'_, str>) -> Result<String, (usize, String)> {
    diffy::apply(before, diff).map_err(|error| {
        // It says no more than the number of the hunk, and that only in words.
        let said = error.to_string();
        let number = said.rsplit('#').next().and_then(|number| number.parse().ok()).unwrap_or(1);
        let hunk = &diff.hunks()[number - 1];
        (number, misfit(before, hunk))
    })
}

/// What a hunk expects, and what is there where it fits best.
fn misfit(text: &str, hunk: &Hunk<'_, str>) -> String {
    let expected: Vec<&str> = hunk
        .lines()
        .iter()
        .filter_map(|line| match line {
            Line::Context(text) | Line::Delete(text) => Some(text.trim_end_matches('\n')),
            Line::Insert(_) => None,
        })
        .collect();
    let there: Vec<&str> = text.lines().collect();
    let aimed = hunk.old_range().start().saturating_sub(1);
    let fit = |place: usize| expected.iter().zip(&there[place..]).filter(|(one, other)| one == other).count();
    // Of places that fit alike, the one nearest to where it should be.
    let best = (0..there.len()).max_by_key(|place| (fit(*place), std::cmp::Reverse(place.abs_diff(aimed))));
    let best = best.unwrap_or(0);
    let mut what = format!(
        "  the hunk is for line {}; this is where it fits best (- it expects, + is there):\n",
        aimed + 1
    );
    for (place, line) in expected.iter().enumerate() {
        let number = best + place + 1;
        let is_there = there.get(best + place);
        // Nothing can go wrong in writing to a string.
        let _ = match is_there {
            Some(is_there) if is_there == line => writeln!(what, "  {number:>6}   {line}"),
            Some(is_there) => writeln!(what, "  {number:>6} - {line}\n         + {is_there}"),
            None => writeln!(what, "  {number:>6} - {line}\n         + (the file ends before)"),
        };
    }
    what.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("drivers/android")).unwrap();
        let text: String = (1..=20).map(|line| format!("line {line}\n")).collect();
        fs::write(folder.path().join("drivers/android/binder.c"), text).unwrap();
        folder
    }

    fn diff(from: &str, to: &str, hunks: &str) -> Patch {
        Patch::of_diff(&format!("--- {from}\n+++ {to}\n{hunks}"))
    }

    const BINDER: &str = "a/drivers/android/binder.c";

    #[test]
    fn a_hunk_is_applied_where_it_fits_and_others_on_top_of_it() {
        let source = source();
        let hunk = "@@ -9,3 +9,3 @@\n line 11\n-line 12\n+twelve\n line 13\n";
        let first = diff(BINDER, "b/drivers/android/binder.c", hunk);
        let once = Changes::default().and(&first, source.path()).unwrap();
        assert!(once.files().next().unwrap().1.unwrap().contains("line 11\ntwelve\nline 13"));
        let second =
            diff(BINDER, "b/drivers/android/binder.c", "@@ -11,2 +11,2 @@\n line 11\n-twelve\n+dozen\n");
        let twice = once.and(&second, source.path()).unwrap();
        assert!(twice.files().next().unwrap().1.unwrap().contains("dozen"));
        assert_ne!(once.digest(), twice.digest());
        assert!(once.touch("drivers") && once.touch("drivers/android/binder.c") && !once.touch("driver"));
    }

    #[test]
    fn files_are_made_and_deleted() {
        let source = source();
        let made = diff("/dev/null", "b/drivers/android/new.c", "@@ -0,0 +1 @@\n+new\n");
        let changes = Changes::default().and(&made, source.path()).unwrap();
        assert_eq!(changes.files().collect::<Vec<_>>(), [("drivers/android/new.c", Some("new\n"))]);
        assert!(matches!(changes.and(&made, source.path()), Err(DoesNotApply::IsThere { .. })));
        let gone = diff("a/drivers/android/new.c", "/dev/null", "@@ -1 +0,0 @@\n-new\n");
        let changes = changes.and(&gone, source.path()).unwrap();
        assert_eq!(changes.files().collect::<Vec<_>>(), [("drivers/android/new.c", None)]);
        let lost = diff("a/no.c", "b/no.c", "@@ -1 +1 @@\n-a\n+b\n");
        let error = changes.and(&lost, source.path()).unwrap_err().to_string();
        assert!(error.contains("no.c, which the source does not have"), "{error}");
    }

    #[test]
    fn paths_without_a_and_b_are_told_of() {
        let source = source();
        let path = "drivers/android/binder.c";
        let patch = diff(path, path, "@@ -1 +1 @@\n-line 1\n+one\n");
        let error = Changes::default().and(&patch, source.path()).unwrap_err().to_string();
        assert!(
            error.contains("it changes drivers/android/binder.c") && error.contains("--no-prefix"),
            "{error}"
        );
    }

    #[test]
    fn what_does_not_fit_is_shown() {
        let source = source();
        let hunk = "@@ -5,3 +5,3 @@ f\n line 5\n-line six\n+6\n line 7\n";
        let patch = diff(BINDER, "b/drivers/android/binder.c", hunk);
        let error = Changes::default().and(&patch, source.path()).unwrap_err();
        insta::assert_snapshot!(error);
    }
}
