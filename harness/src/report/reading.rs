//! Reading: results back from files, of this program or of older ones, and several of them put together.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::error::Category;

use super::kept::RECORD;
use super::results::{FORMAT_VERSION, Results};
use crate::input;

/// The most bytes of results, unpacked: many times those of a whole night.
const LARGEST: u64 = 512 << 20;

/// What files begin with that gzip has written.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Why a file does not give results.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableResults {
    /// It cannot be read at all.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ends in the middle.
    #[error(
        "{path} ends too early, in line {line}: it was cut off, or is still being written; run the cases again",
        path = path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The line at which it ends, from 1.
        line: usize,
    },
    /// It is from a newer program.
    #[error(
        "{path} has results of format {version}, and this binderdrill reads formats up to {FORMAT_VERSION}: take a newer one",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// It is something else.
    #[error("{path} has no results of `binderdrill run --format json`: {reason}", path = path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
}

/// Reads results from a file, be it compressed or not.
pub fn read(path: &Path) -> Result<Results, UnreadableResults> {
    let failed = |source| UnreadableResults::File { path: path.to_owned(), source };
    let mut bytes = input::read(path, LARGEST).map_err(failed)?;
    if bytes.starts_with(GZIP) {
        let mut whole = Vec::new();
        match GzDecoder::new(bytes.as_slice()).take(LARGEST + 1).read_to_end(&mut whole) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(failed(error)),
        }
        bytes = whole;
    }
    if bytes.len() as u64 > LARGEST {
        let reason = format!("it has more than {} MiB", LARGEST >> 20);
        return Err(UnreadableResults::Other { path: path.to_owned(), reason });
    }
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Results, UnreadableResults> {
    /// All that is sure of a format that is not known.
    #[derive(Deserialize)]
    struct Versioned {
        format_version: u32,
    }

    let wrong = |error: serde_json::Error| match error.classify() {
        Category::Eof => UnreadableResults::Truncated { path: path.to_owned(), line: error.line() },
        _ => {
            let beginning = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            let reason = match beginning {
                // What a parser says of these is about its types, which tells nobody anything.
                Some(b'[') => "it is a list; of several results, name each file".to_owned(),
                Some(b'{') => error.to_string(),
                _ => "it is no JSON object".to_owned(),
            };
            UnreadableResults::Other { path: path.to_owned(), reason }
        }
    };
    let parsed = serde_json::from_slice::<Results>(bytes);
    match parsed {
        Ok(results) if results.format_version <= FORMAT_VERSION => Ok(results),
        Ok(Results { format_version: version, .. }) => {
            Err(UnreadableResults::Newer { path: path.to_owned(), version })
        }
        Err(error) => match serde_json::from_slice::<Versioned>(bytes) {
            Ok(Versioned { format_version: version }) if version > FORMAT_VERSION => {
                Err(UnreadableResults::Newer { path: path.to_owned(), version })
            }
            _ => Err(wrong(error)),
        },
    }
}

/// Writes results to a file, compressed, wholly or not at all.
pub fn write_compressed(path: &Path, results: &Results) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut encoder = GzEncoder::new(io::BufWriter::new(&mut file), Compression::default());
    serde_json::to_writer(&mut encoder, results)?;
    encoder.finish()?.flush()?;
    file.persist(path)?;
    Ok(())
}

/// Puts results together, and says what does not fit. Of a target that is there twice, the first results count. Each target
/// keeps when and where it ran; the report is of the time of the newest.
pub fn merge(files: Vec<(PathBuf, Results)>) -> (Results, Vec<String>) {
    let mut notices = Vec::new();
    let mut runs: Vec<super::TargetResults> = Vec::new();
    let mut merged = Results::of(Vec::new());
    for (path, results) in files {
        for mut run in results.runs {
            if !run.target.starts_with(RECORD) {
                run.provenance = run.provenance.or_else(|| results.provenance.clone());
            }
            if runs.iter().any(|other| other.target == run.target) {
                notices.push(format!(
                    "{} has results of {} too, which are left out: a target can be there once",
                    path.display(),
                    run.target
                ));
            } else {
                runs.push(run);
            }
        }
        merged.scripts.extend(results.scripts);
        merged.replays.extend(results.replays);
        merged.found.extend(results.found);
        merged.unusable.extend(results.unusable);
        merged.campaign = merged.campaign.or(results.campaign);
        let is_newer = |other: &super::Provenance| {
            merged.provenance.as_ref().is_none_or(|one| one.started < other.started)
        };
        if results.provenance.as_ref().is_some_and(is_newer) {
            merged.provenance = results.provenance;
            merged.binderdrill = results.binderdrill;
        }
    }
    for run in &mut runs {
        // What is the same for all is told once.
        run.provenance = run.provenance.take().filter(|own| Some(own) != merged.provenance.as_ref());
    }
    let mut digests: HashMap<&str, &str> = HashMap::new();
    let mut mixed = 0;
    for case in runs.iter().flat_map(|run| &run.cases) {
        mixed += usize::from(*digests.entry(&case.id).or_insert(&case.digest) != case.digest);
    }
    if mixed > 0 {
        notices.push(format!(
            "these are results of different versions of the suite: {mixed} results are of another script than that of \
             the first target, and are not compared with it"
        ));
    }
    let compared = Results::of(runs);
    let merged = Results {
        runs: compared.runs,
        divergences: compared.divergences,
        choices: compared.choices,
        known: compared.known,
        ..merged
    };
    (merged.with_known_scripts(), notices)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::target::ReferenceTarget;
    use reference_driver::Profile;

    fn results() -> Results {
        super::super::tests::results(&["transaction/sync-call"], vec![ReferenceTarget::new(Profile::C)])
    }

    fn refusal(bytes: &[u8]) -> String {
        parse(Path::new("night.json"), bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("night.json.gz");
        write_compressed(&path, &results()).unwrap();
        assert_eq!(read(&path).unwrap(), results());
    }

    #[test]
    fn bad_files_are_refused_in_words() {
        let text = serde_json::to_vec_pretty(&results()).unwrap();
        assert!(refusal(&text[..text.len() / 2]).starts_with("night.json ends too early, in line "));
        assert!(refusal(b"").contains("ends too early"));
        let newer = br#"{"format_version": 9, "runs": "elsewhere"}"#;
        assert!(
            refusal(newer).contains("format 9, and this binderdrill reads formats up to 1"),
            "{}",
            refusal(newer)
        );
        assert!(refusal(b"{}").contains("format_version"), "{}", refusal(b"{}"));
        assert!(refusal(b"<html>").ends_with("it is no JSON object"), "{}", refusal(b"<html>"));
        assert!(refusal(b" [{}, 2]").ends_with("it is a list; of several results, name each file"));
        let missing = read(Path::new("/no/such/file.json")).unwrap_err().to_string();
        assert!(missing.starts_with("/no/such/file.json: "), "{missing}");
    }

    #[test]
    fn half_of_a_compressed_file_is_a_file_that_ends_too_early() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("night.json.gz");
        write_compressed(&path, &results()).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(read(&path), Err(UnreadableResults::Truncated { .. })), "{:?}", read(&path));
    }

    #[test]
    fn a_target_is_there_once_and_mixed_suites_are_told() {
        let (one, mut other, mut third) = (results(), results(), results());
        other.runs[0].target = "another".to_owned();
        other.runs[0].cases[0].digest = "0".repeat(64);
        other.runs[0].cases[0].transcript.steps.pop();
        third.runs[0].seconds = 99.0;
        let files =
            [("a", one), ("b", other), ("c", third)].map(|(name, results)| (PathBuf::from(name), results));
        let (merged, notices) = merge(files.into());
        assert_eq!(merged.runs.len(), 2);
        assert!(merged.divergences.is_empty(), "other scripts are not compared");
        assert_eq!(notices.len(), 2);
        assert!(notices[0].starts_with("c has results of reference too"), "{notices:?}");
        assert!(notices[1].contains("1 results are of another script"), "{notices:?}");
    }
}
