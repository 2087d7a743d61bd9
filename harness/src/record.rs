//! Records: what the whole suite showed on a real kernel, kept so that it can be looked up where there is no such kernel.

use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use binderdrill_reports::{EXTENSION, RecordFile};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::engine::Verdict;
use crate::report::{FORMAT_VERSION, Provenance, Results, TargetResults};

/// What the suite showed on one kernel, without the transcripts.
#[derive(Debug, Clone)]
pub struct Record {
    /// The kernel, such as `debian-6.12`.
    pub kernel: &'static str,
    /// Its driver, such as `linux-c-6.12.117+deb12-amd64`.
    pub driver: String,
    /// The name of the reference driver's profile that its driver is nearest to.
    pub profile: String,
    /// The cases that were run on it.
    pub cases: Vec<RecordedCase>,
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedCase {
    /// Its id.
    pub id: String,
    /// The digest of its script at that time (see [`crate::suite::Case::digest`]).
    pub digest: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// That a record which is built in cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("reports/records/{kernel}.{EXTENSION}: {reason}; make it anew with `binderdrill run --records`")]
pub struct MalformedRecord {
    kernel: &'static str,
    reason: String,
}

/// Why there is no record of a kernel.
#[derive(Debug, thiserror::Error)]
pub enum NoRecord {
    /// None has been kept.
    #[error("there is no record of {kernel:?}; there are {}", names().join(", "))]
    Unknown {
        /// What the user wrote.
        kernel: String,
    },
    /// There is one of the same series, but of another version.
    #[error("there is no record of {kernel:?}: record:{record} is of {driver}; there are {}", names().join(", "))]
    Other {
        /// What the user wrote.
        kernel: String,
        /// The record.
        record: &'static str,
        /// Its driver.
        driver: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] MalformedRecord),
}

/// Why a record cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum UnwrittenRecord {
    /// There is nothing to record.
    #[error(
        "records are of kernels that have a name, such as vm:debian-6.12 or built:uml-c, and none of these is one: {0}"
    )]
    NoKernel(String),
    /// Its file, or the folder of that, cannot be.
    #[error("the record {path} cannot be written: {source}", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// All records that are built in.
pub fn all() -> Result<Vec<Record>, MalformedRecord> {
    binderdrill_reports::records().iter().map(without_transcripts).collect()
}

/// The names of all records that are built in, such as `record:debian-6.12`.
pub fn names() -> Vec<String> {
    binderdrill_reports::records().iter().map(|file| format!("record:{}", file.kernel)).collect()
}

/// All that the record of a kernel has, transcripts and all. A record of `debian-7` is one of `debian-7.2`, too, if that is
/// the Linux that it was made on.
pub fn whole(kernel: &str) -> Result<TargetResults, NoRecord> {
    let records = binderdrill_reports::records();
    let unknown = || NoRecord::Unknown { kernel: kernel.to_owned() };
    if let Some(file) = records.iter().find(|file| file.kernel == kernel) {
        return Ok(whole_of(file)?);
    }
    let (distribution, version) = kernel.split_once('-').ok_or_else(unknown)?;
    let is_less_exact = |file: &&RecordFile| {
        let parts = file.kernel.split_once('-');
        parts.is_some_and(|(other, shorter)| other == distribution && begins_with(version, shorter))
    };
    let file = records.iter().find(is_less_exact).ok_or_else(unknown)?;
    let run = whole_of(file)?;
    let driver = run.driver.clone().unwrap_or_default();
    let is_of = driver.match_indices('-').any(|(at, _)| begins_with(&driver[at + 1..], version));
    is_of.then_some(run).ok_or_else(|| NoRecord::Other {
        kernel: kernel.to_owned(),
        record: file.kernel,
        driver,
    })
}

fn whole_of(file: &RecordFile) -> Result<TargetResults, MalformedRecord> {
    let Recorded { run, provenance } = read::<TargetResults>(file)?;
    Ok(TargetResults { provenance, ..run })
}

/// Whether a version is another one or a part of that: `7.2.12+deb14` is of `7.2`, and `7.21` is not.
fn begins_with(version: &str, shorter: &str) -> bool {
    version.strip_prefix(shorter).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn without_transcripts(file: &RecordFile) -> Result<Record, MalformedRecord> {
    /// As much of [`TargetResults`] as is looked at.
    #[derive(Deserialize)]
    struct RecordedRun {
        driver: String,
        profile: String,
        cases: Vec<RecordedCase>,
    }

    let Recorded { run, .. } = read::<RecordedRun>(file)?;
    Ok(Record { kernel: file.kernel, driver: run.driver, profile: run.profile, cases: run.cases })
}

/// What is read of a record.
struct Recorded<Run> {
    run: Run,
    /// When and where it was made; none in old records.
    provenance: Option<Provenance>,
}

/// Reads of a record what `Run` has of its only run.
fn read<Run: DeserializeOwned>(file: &RecordFile) -> Result<Recorded<Run>, MalformedRecord> {
    /// As much of [`Results`] as is looked at.
    #[derive(Deserialize)]
    struct InFile<Run> {
        format_version: u32,
        runs: Vec<Run>,
        provenance: Option<Provenance>,
    }

    let kernel = file.kernel;
    let malformed = |reason: String| MalformedRecord { kernel, reason };
    let mut text = String::new();
    GzDecoder::new(file.compressed)
        .read_to_string(&mut text)
        .map_err(|error| malformed(error.to_string()))?;
    let recorded: InFile<Run> = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    if recorded.format_version != FORMAT_VERSION {
        let version = recorded.format_version;
        return Err(malformed(format!("its format is version {version}, and not {FORMAT_VERSION}")));
    }
    let [run] = <[Run; 1]>::try_from(recorded.runs)
        .map_err(|runs| malformed(format!("it is of {} targets, and not of one", runs.len())))?;
    Ok(Recorded { run, provenance: recorded.provenance })
}

/// Makes sure, before anything is run, that there will be something to record, and a place for it.
pub fn prepare(folder: &Path, targets: &[String]) -> Result<(), UnwrittenRecord> {
    if !targets.iter().any(|target| kernel(target).is_some()) {
        return Err(UnwrittenRecord::NoKernel(targets.join(", ")));
    }
    let unwritten = |source| UnwrittenRecord::File { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(unwritten)?;
    tempfile::tempfile_in(folder).map(drop).map_err(unwritten)
}

/// Writes a record for each real kernel among the targets of a run of the whole suite, with when and where that was.
pub fn write(folder: &Path, results: &Results) -> Result<Vec<PathBuf>, UnwrittenRecord> {
    let mut written = Vec::new();
    for run in &results.runs {
        let Some(kernel) = kernel(&run.target) else { continue };
        let path = folder.join(format!("{kernel}.{EXTENSION}"));
        let record = Results { provenance: results.provenance.clone(), ..Results::of(vec![run.clone()]) };
        write_whole(&path, &record).map_err(|source| UnwrittenRecord::File { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

/// Writes a file wholly or not at all.
fn write_whole(path: &Path, record: &Results) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(folder)?;
    let mut encoder = GzEncoder::new(&mut file, Compression::best());
    serde_json::to_writer(&mut encoder, record)?;
    encoder.finish()?;
    file.persist(path)?;
    Ok(())
}

/// What the kernel of a target is called, if it is one that others have too.
pub(crate) fn kernel(target: &str) -> Option<&str> {
    let (kind, name) = target.split_once(':')?;
    (matches!(kind, "vm" | "built") && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn records_are_of_kernels_and_go_where_there_is_room() {
        let error = prepare(Path::new("/tmp"), &["reference".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("reference"), "{error}");
        let error = prepare(Path::new("/proc/nope"), &["built:uml-c".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("/proc/nope"), "{error}");
    }

    #[test]
    fn only_kernels_that_have_a_name_have_records() {
        assert_eq!(kernel("vm:debian-6.12"), Some("debian-6.12"));
        assert_eq!(kernel("built:uml-rust"), Some("uml-rust"));
        for target in ["reference", "reference:rust", "vm:./bzImage", "uml:/boot/linux", "device:/dev/binder"]
        {
            assert_eq!(kernel(target), None, "{target}");
        }
    }

    #[test]
    fn a_record_says_when_and_where_it_was_made_and_an_old_one_is_read_without() {
        use crate::report::tests::of_all_kinds;
        let folder = tempfile::tempdir().unwrap();
        let read_back = |results: &Results| {
            let paths = write(folder.path(), results).unwrap();
            let compressed = fs::read(&paths[0]).unwrap().leak();
            read::<TargetResults>(&RecordFile { kernel: "debian-6.12", compressed }).unwrap()
        };
        let mut results = of_all_kinds();
        let Recorded { run, provenance } = read_back(&results);
        assert_eq!((&run, &provenance), (&results.runs[1], &results.provenance));
        results.provenance = None;
        assert_eq!(read_back(&results).provenance, None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let whole_error =
            |file: &RecordFile| read::<TargetResults>(file).map(|_| ()).unwrap_err().to_string();
        let refused = |text: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).unwrap();
            let compressed = encoder.finish().unwrap().leak();
            whole_error(&RecordFile { kernel: "debian-6.12", compressed })
        };
        let text = whole_error(&RecordFile { kernel: "debian-6.12", compressed: b"{}" });
        assert!(text.starts_with("reports/records/debian-6.12.json.gz: "), "{text}");
        assert!(refused(b"{\"format_version\": 1").contains("EOF"));
        assert!(refused(b"{\"format_version\": 99, \"runs\": []}").contains("version 99"));
        assert!(refused(b"{\"format_version\": 1, \"runs\": []}").contains("of 0 targets"));
    }
}
