//! Kept results: what one target did at another time, from a record or from a file, to compare others with.

use std::path::Path;

use super::reading::{UnreadableResults, read};
use super::results::{Results, TargetResults};
use crate::record::{self, NoRecord};

/// What records are named with, as targets are.
pub(super) const RECORD: &str = "record:";

/// Why there are no kept results of a name.
#[derive(Debug, thiserror::Error)]
pub enum NoKeptResults {
    /// There is no such record.
    #[error(transparent)]
    Record(#[from] NoRecord),
    /// The file cannot be read, or has something else.
    #[error(transparent)]
    File(#[from] UnreadableResults),
    /// It is neither a record nor a file.
    #[error(
        "{name} is no file; kept results are a file of `binderdrill run --format json`, FILE@TARGET, or one of these \
         records: {}", record::names().join(", ")
    )]
    Nothing {
        /// What the user wrote.
        name: String,
    },
    /// The file has results of several targets, or none of that one.
    #[error("{file} has results of {}{hint}", or_none(targets))]
    Target {
        /// The file.
        file: String,
        /// The targets that it has results of.
        targets: Vec<String>,
        /// What to do.
        hint: String,
    },
}

fn or_none(targets: &[String]) -> String {
    if targets.is_empty() { "no target".to_owned() } else { targets.join(", ") }
}

/// What is kept under a name: `record:debian-6.12`, a file with results of one target, or `FILE@TARGET`. The results are
/// named so, too.
pub fn kept(name: &str) -> Result<TargetResults, NoKeptResults> {
    let mut kept = match name.strip_prefix(RECORD) {
        Some(kernel) => record::whole(kernel)?,
        None => in_file(name)?,
    };
    kept.target = name.to_owned();
    Ok(kept)
}

fn in_file(name: &str) -> Result<TargetResults, NoKeptResults> {
    let (file, target) = match name.rsplit_once('@') {
        Some((file, target)) if !Path::new(name).exists() => (file, Some(target)),
        _ => (name, None),
    };
    if !Path::new(file).exists() {
        return Err(NoKeptResults::Nothing { name: name.to_owned() });
    }
    let Results { runs, provenance, .. } = read(Path::new(file))?;
    let targets: Vec<String> = runs.iter().map(|run| run.target.clone()).collect();
    let hint = match (target, targets.first()) {
        (None, Some(first)) => format!("; say of which, such as `{file}@{first}`"),
        (Some(target), Some(_)) => format!(", and not of {target}"),
        (_, None) => String::new(),
    };
    let mut meant: Vec<TargetResults> =
        runs.into_iter().filter(|run| target.is_none_or(|target| run.target == target)).collect();
    match (meant.pop(), meant.is_empty()) {
        (Some(run), true) => Ok(TargetResults { provenance: run.provenance.or(provenance), ..run }),
        _ => Err(NoKeptResults::Target { file: file.to_owned(), targets, hint }),
    }
}

#[cfg(test)]
mod tests {
    use reference_driver::Profile;

    use super::*;
    use crate::report::write_compressed;
    use crate::target::ReferenceTarget;

    #[test]
    fn every_record_is_read_whole() {
        for name in record::names() {
            let kept = kept(&name).unwrap();
            assert_eq!(kept.target, name);
            assert!(kept.cases.iter().any(|case| !case.transcript.steps.is_empty()), "{name}");
        }
    }

    #[test]
    fn a_record_goes_by_the_version_that_it_was_made_on_too() {
        let exact = kept("record:debian-7").unwrap();
        let version = exact.driver.as_deref().unwrap().trim_start_matches("linux-c-");
        let minor: Vec<&str> = version.split('.').take(2).collect();
        for version in [minor.join("."), version.to_owned()] {
            let name = format!("record:debian-{version}");
            let kept = kept(&name).unwrap();
            assert_eq!((kept.target, &kept.cases), (name, &exact.cases));
        }
    }

    #[test]
    fn what_there_is_not_is_told_with_what_there_is() {
        let refusal = |name: &str| kept(name).unwrap_err().to_string();
        assert!(refusal("record:debian-8.2").contains("record:debian-7"), "{}", refusal("record:debian-8.2"));
        let other = refusal("record:debian-7.99");
        assert!(other.contains("record:debian-7 is of linux-c-7."), "{other}");
        assert!(refusal("no-such.json").contains("record:debian-6.1"), "{}", refusal("no-such.json"));
    }

    #[test]
    fn of_several_targets_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("night.json.gz");
        let targets = [Profile::C, Profile::RUST].map(ReferenceTarget::new).into();
        let results = crate::report::tests::results(&["transaction/sync-call"], targets);
        write_compressed(&path, &results).unwrap();
        let name = path.to_str().unwrap();
        let refusal = |name: &str| kept(name).unwrap_err().to_string();
        assert!(refusal(name).ends_with("@reference`"), "{}", refusal(name));
        let other = refusal(&format!("{name}@vm:debian-7"));
        assert!(other.ends_with("of reference, reference:rust, and not of vm:debian-7"), "{other}");
        let named = format!("{name}@reference:rust");
        let kept = kept(&named).unwrap();
        assert_eq!((kept.target, &kept.cases), (named, &results.runs[1].cases));
    }
}
