//! A module that counts while its kernel does not (`kernel/counting_module.rs`): a guest reads the memory in which its
//! counters are, and here that becomes what gcov reads. Symbols of the module say where the counters of each function are,
//! and gcc's notes which functions there are.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::gcda::{NoNotes, ObjectNotes};
use super::gcov::GcovError;
use crate::target::guest::{Counters, MODULE_COUNTERS};

/// What gcc calls the array of a function's counters, before the function's name.
const ARRAY: &str = "__gcov0.";

/// Where the counters of a module are.
#[derive(Debug)]
pub struct CountingModule {
    /// By the name of gcc's notes, without its ending.
    objects: BTreeMap<String, CountingObject>,
}

/// Where those of an object that it is linked of are.
#[derive(Debug)]
struct CountingObject {
    notes: ObjectNotes,
    /// By functions, in bytes from the beginning of the section.
    places: BTreeMap<String, Range<usize>>,
}

/// Why nothing can be made of what a module has counted.
#[derive(Debug, thiserror::Error)]
pub enum NoCounters {
    /// The module cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Module {
        /// The module.
        path: PathBuf,
        /// What is the matter.
        error: object::Error,
    },
    /// The notes cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Notes {
        /// The notes.
        path: PathBuf,
        /// What is the matter.
        error: NoNotes,
    },
    /// A counter is not in what the guest has read.
    #[error("the guest has not read all of the module's counters: those of {function} are missing")]
    Missing {
        /// The function that it belongs to.
        function: String,
    },
}

impl CountingModule {
    /// Reads the file of a module and gcc's notes of the objects that it is linked of.
    pub fn read(module: &Path, notes: &[PathBuf]) -> Result<CountingModule, GcovError> {
        let file =
            |path: &Path| fs::read(path).map_err(|error| GcovError::File { path: path.to_owned(), error });
        let unreadable = |error| NoCounters::Module { path: module.to_owned(), error };
        let mut places = places(&file(module)?).map_err(unreadable)?;
        let mut objects = BTreeMap::new();
        for path in notes {
            let unreadable = |error| NoCounters::Notes { path: path.clone(), error };
            let notes = ObjectNotes::parse(&file(path)?).map_err(unreadable)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let places = match (places.remove(&name), notes.functions.first()) {
                (Some(places), _) => places,
                (None, None) => Default::default(),
                (None, Some(_)) => {
                    return Err(NoCounters::Missing { function: format!("all functions of {name}.c") }.into());
                }
            };
            objects.insert(name, CountingObject { notes, places });
        }
        Ok(CountingModule { objects })
    }

    /// What gcov reads, of what a guest has read.
    pub fn counters(&self, read: &Counters) -> Result<Counters, NoCounters> {
        let section = read.files.iter().find(|(name, _)| name == MODULE_COUNTERS);
        let section = section.map_or(&[][..], |(_, bytes)| bytes);
        let files =
            self.objects.iter().map(|(name, object)| Ok((format!("{name}.gcda"), object.counters(section)?)));
        Ok(Counters { files: files.collect::<Result<_, _>>()? })
    }
}

impl CountingObject {
    fn counters(&self, section: &[u8]) -> Result<Vec<u8>, NoCounters> {
        let of = |function: &str| Some(section.get(self.places.get(function)?.clone()));
        let missing = self.places.keys().find(|function| of(function) == Some(None));
        if let Some(function) = missing {
            return Err(NoCounters::Missing { function: function.clone() });
        }
        Ok(self.notes.counters(|function| Some(of(&function.name)??.as_chunks().0)))
    }
}

/// Where the counters of each function are, by the names of their sources without ending.
fn places(module: &[u8]) -> Result<BTreeMap<String, BTreeMap<String, Range<usize>>>, object::Error> {
    let module = object::File::parse(module)?;
    let section = module.section_by_name(MODULE_COUNTERS).map(|section| section.index());
    let mut places: BTreeMap<String, BTreeMap<String, Range<usize>>> = BTreeMap::new();
    let mut source = String::new();
    // Symbols that are an object's own stand behind the one that names its source.
    for symbol in module.symbols() {
        let Ok(name) = symbol.name() else { continue };
        if symbol.kind() == SymbolKind::File {
            let file = Path::new(name);
            source = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        } else if let Some(function) = name.strip_prefix(ARRAY)
            && symbol.section_index() == section
        {
            let start = symbol.address() as usize;
            let place = start..start.saturating_add(symbol.size() as usize);
            places.entry(source.clone()).or_default().insert(function.to_owned(), place);
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What gcc and ld made of two sources, both of which have a function of their own called `sum`, and what the program
    /// of the first one wrote when it had run.
    const MODULE: &[u8] = include_bytes!("notes/module.ko");
    const NOTES: [(&str, &[u8]); 2] =
        [("driver", include_bytes!("notes/gcc-12.gcno")), ("other", include_bytes!("notes/other.gcno"))];
    const WRITTEN: &[u8] = include_bytes!("notes/gcc-12.gcda");

    /// The module and its notes, each changed by this.
    fn module(change: impl Fn(&str, &[u8]) -> Vec<u8>) -> Result<CountingModule, GcovError> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("module.ko"), change("module.ko", MODULE)).unwrap();
        let notes = NOTES.map(|(name, notes)| {
            let name = format!("{name}.gcno");
            fs::write(path(&name), change(&name, notes)).unwrap();
            path(&name)
        });
        CountingModule::read(&path("module.ko"), &notes)
    }

    fn as_it_is(_: &str, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    /// A section in which functions of one object have counted.
    fn section(object: &CountingObject, counted: &[(&str, &[u64])]) -> Counters {
        let mut section = vec![0; 200];
        for (function, counters) in counted {
            let bytes: Vec<u8> = counters.iter().flat_map(|counter| counter.to_le_bytes()).collect();
            section[object.places[*function].clone()].copy_from_slice(&bytes);
        }
        Counters { files: vec![(MODULE_COUNTERS.to_owned(), section)] }
    }

    #[test]
    fn what_lies_in_memory_is_what_a_program_would_have_written() {
        let module = module(as_it_is).unwrap();
        let driver = &module.objects["driver"];
        let ran: &[(&str, &[u64])] = &[("main", &[1, 1, 1]), ("sum", &[1, 3]), ("twice", &[1, 1])];
        let counters = module.counters(&section(driver, ran)).unwrap();
        let [(driver, written), (other, nothing)] = &counters.files[..] else { panic!("{counters:?}") };
        assert_eq!((driver.as_str(), other.as_str()), ("driver.gcda", "other.gcda"));
        // But for how often the program ran, which is before the functions, and a zero at the end.
        assert_eq!(written[16..], WRITTEN[32..WRITTEN.len() - 4]);
        // 16 bytes at the beginning, and 28 of each function besides its counters.
        assert_eq!(nothing.len(), 16 + 2 * 28 + 4 * 8);
    }

    #[test]
    fn functions_that_are_called_alike_count_for_themselves() {
        let module = module(as_it_is).unwrap();
        let other = &module.objects["other"];
        let with = module.counters(&section(other, &[("sum", &[5, 6])])).unwrap();
        let without = module.counters(&section(other, &[])).unwrap();
        let differ: Vec<&str> = with
            .files
            .iter()
            .zip(&without.files)
            .filter(|(with, without)| with != without)
            .map(|((name, _), _)| name.as_str())
            .collect();
        assert_eq!(differ, ["other.gcda"]);
    }

    #[test]
    fn too_little_memory_and_files_that_are_none_are_refused() {
        let whole = module(as_it_is).unwrap();
        let error = whole.counters(&Counters::default()).unwrap_err();
        assert!(matches!(&error, NoCounters::Missing { function } if function == "main"), "{error}");
        let without = |file: &'static str| {
            let error = module(|name, bytes| if name == file { b"nothing".to_vec() } else { bytes.to_vec() });
            error.unwrap_err().to_string()
        };
        assert!(without("module.ko").contains("module.ko: "));
        assert!(without("other.gcno").contains("other.gcno: these are no notes of a gcc"));
    }
}
