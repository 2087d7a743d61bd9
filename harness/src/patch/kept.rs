//! What a base did, kept for the next patch on it: with the same kernel, cases and program it would do the same again.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::report::TargetResults;
use crate::suite::Case;

/// How many results are kept at most. The oldest go first.
const MOST: usize = 40;

/// A place for what a kernel does with some cases.
pub struct Kept {
    folder: PathBuf,
    path: PathBuf,
}

impl Kept {
    /// The place for a target that is made of these files, with these cases and whatever else counts.
    pub fn of(
        folder: &Path,
        target: &str,
        files: &[PathBuf],
        cases: &[Case],
        besides: &str,
    ) -> io::Result<Kept> {
        let mut hasher = DefaultHasher::new();
        (target, besides).hash(&mut hasher);
        // Another build of this program may write down other things.
        let program = PathBuf::from("/proc/self/exe");
        for file in files.iter().chain([&program]) {
            let metadata = fs::metadata(file)?;
            (file, metadata.len(), metadata.modified()?).hash(&mut hasher);
        }
        cases.iter().for_each(|case| (&case.id, &case.digest).hash(&mut hasher));
        let path = folder.join(format!("{:016x}.json.gz", hasher.finish()));
        Ok(Kept { folder: folder.to_owned(), path })
    }

    /// What is kept. What cannot be read is as good as nothing.
    pub fn read(&self) -> Option<TargetResults> {
        serde_json::from_reader(GzDecoder::new(io::BufReader::new(File::open(&self.path).ok()?))).ok()
    }

    /// Keeps results, wholly or not at all.
    pub fn write(&self, results: &TargetResults) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        let mut encoder = GzEncoder::new(&mut file, Compression::fast());
        serde_json::to_writer(&mut encoder, results)?;
        encoder.finish()?;
        file.persist(&self.path)?;
        let entries = fs::read_dir(&self.folder)?.flatten();
        let mut all: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        all.sort();
        // Somebody else may have been quicker.
        all[..all.len().saturating_sub(MOST)].iter().for_each(|(_, old)| drop(fs::remove_file(old)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Counts;

    #[test]
    fn results_are_kept_for_the_same_kernel_and_cases_only() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("linux");
        fs::write(&kernel, "one").unwrap();
        let place = |cases: &[Case]| {
            Kept::of(&folder.path().join("results"), "built:a", std::slice::from_ref(&kernel), cases, "")
                .unwrap()
        };
        let results = TargetResults {
            target: "built:a".to_owned(),
            profile: None,
            driver: None,
            options: String::new(),
            seconds: 1.0,
            seconds_to_first_case: 1.0,
            counts: Counts::default(),
            cases: Vec::new(),
            provenance: None,
        };
        assert_eq!(place(&[]).read(), None);
        place(&[]).write(&results).unwrap();
        assert_eq!(place(&[]).read(), Some(results));
        assert_eq!(place(&[Case::new("a", "a", b"# A.\n")]).read(), None);
        fs::write(&kernel, "another").unwrap();
        assert_eq!(place(&[]).read(), None);
    }
}
