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
            let places = places.remove(&name).unwrap_or_default();
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
