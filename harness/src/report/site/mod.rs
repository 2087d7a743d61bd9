//! The site: results as pages that a browser shows without a server and without a network.
//!
//! [`Report`] is what there is to say, [`Report::write`] writes it into a folder: an overview, the matrix of clauses and
//! targets, a page for each case and for each [`Departure`] from what is expected, the specification with its cases, and
//! what of the protocol is covered. All text of others is escaped by the templates, and no page but the matrix has a
//! script.

mod cases;
mod changes;
mod comparison;
mod departures;
mod handbook;
mod headline;
mod marks;
mod matrix;
mod overview;
mod past;
mod stand_ins;
mod trend;

pub use changes::{Cause, Change, Changes, Direction};
pub use departures::{Departure, Kind, to_look_at};
pub use headline::Headline;
pub use past::{PAST, Past, Summary, TargetSummary, UnreadablePast, file_stem};

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use askama::Template;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use self::cases::CaseView;
use self::stand_ins::StandIns;
use super::results::Results;
use crate::script;
use crate::specification::{MalformedSpecification, Specification};

pub(super) const STYLE: &str = include_str!("../../../templates/style.css");

/// Folders that hold nothing but pages.
const FOLDERS: [&str; 3] = ["case", "deviation", "clauses"];

/// All that a report tells of.
#[derive(Debug)]
pub struct Report {
    /// What was found.
    pub results: Results,
    /// What could not be read, or does not fit.
    pub notices: Vec<String>,
    /// What is compared with: the last report, or the one that somebody named.
    pub since: Option<Summary>,
    /// The reports before, from the oldest on.
    pub past: Vec<Summary>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How many files.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: usize,
}

/// Why there is no site.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// A file or a folder cannot be written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is something else, which might be overwritten.
    #[error("{0} has other things in it than a report: name a folder of its own")]
    Occupied(PathBuf),
    /// A page cannot be made: a mistake of ours.
    #[error("a page cannot be made, which is a mistake of binderdrill: {0}")]
    Page(#[from] askama::Error),
    /// The specification that is built in is broken.
    #[error(transparent)]
    Specification(#[from] MalformedSpecification),
}

impl Report {
    /// What has changed since the report before, if there was one.
    pub fn changes(&self) -> Option<Changes> {
        let since = self.since.as_ref()?;
        Some(Changes::between(since, &Summary::of(&self.results)))
    }

    /// What there is to know in ten seconds.
    pub fn headline(&self) -> Headline {
        Headline::of(self, self.changes().as_ref(), to_look_at(&self.results))
    }

    /// The page that shows what departs in a case, if something does: its way from the folder of the site.
    pub fn page_of(&self, case: &str) -> Option<String> {
        // What is shown beside a case makes no difference to where its page is.
        let nothing_beside = StandIns::default();
        let departures = departures::all(&self.results, &nothing_beside);
        departures.iter().find(|departure| departure.case.id == case).map(Departure::page)
    }

    /// Writes the site into a folder, over the one that was there.
    pub fn write(&self, folder: &Path) -> Result<Written, SiteError> {
        let mut pages = Pages::clear(folder)?;
        let stand_ins = StandIns::of(&self.results);
        let site = Site::of(self, &stand_ins)?;
        pages.put("style.css", STYLE)?;
        site.overview(&mut pages)?;
        site.matrix(&mut pages)?;
        site.cases(&mut pages)?;
        site.departures(&mut pages)?;
        site.handbook(&mut pages)?;
        Ok(pages.written)
    }
}

/// What all pages are made of.
struct Site<'r> {
    report: &'r Report,
    specification: Specification,
    departures: Vec<Departure<'r>>,
    cases: Vec<CaseView<'r>>,
    /// The scripts of cases that can be read, by their digests.
    programs: HashMap<&'r str, script::Script>,
}

impl<'r> Site<'r> {
    fn of(report: &'r Report, stand_ins: &'r StandIns) -> Result<Site<'r>, SiteError> {
        let read = |(digest, text): (&'r String, &'r String)| {
            Some((digest.as_str(), script::parse(text.as_bytes()).ok()?))
        };
        Ok(Site {
            report,
            specification: Specification::embedded()?,
            departures: departures::all(&report.results, stand_ins),
            cases: cases::all(&report.results),
            programs: report.results.scripts.iter().filter_map(read).collect(),
        })
    }

    fn targets(&self) -> Vec<&'r str> {
        self.report.results.runs.iter().map(|run| run.target.as_str()).collect()
    }

    /// The departures of a case.
    fn departures_of(&self, id: &str) -> impl Iterator<Item = &Departure<'r>> {
        self.departures.iter().filter(move |departure| departure.case.id == id)
    }
}

/// Makes the folder of a site, unless it holds what is none of ours, which would be written over.
pub fn prepare(folder: &Path) -> Result<(), SiteError> {
    claim(folder, PAST)?;
    let past = folder.join(PAST);
    fs::create_dir_all(&past).map_err(|source| SiteError::File { path: past, source })
}

/// The files of a site, as they are written.
struct Pages {
    folder: PathBuf,
    written: Written,
    /// Locked until all is written: whoever writes into the same folder waits.
    _turn: Flock<fs::File>,
}

impl Pages {
    /// Takes the pages away that were there before.
    fn clear(folder: &Path) -> Result<Pages, SiteError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SiteError::File { path, source }
        };
        prepare(folder)?;
        let past = folder.join(PAST);
        let turn = fs::File::open(&past)
            .and_then(|file| Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into()));
        let turn = turn.map_err(failed(&past))?;
        for name in FOLDERS {
            let path = folder.join(name);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path)(error)),
                _ => fs::create_dir(&path).map_err(failed(&path))?,
            }
        }
        Ok(Pages { folder: folder.to_owned(), written: Written { files: 0, bytes: 0 }, _turn: turn })
    }

    fn page(&mut self, name: &str, page: &impl Template) -> Result<(), SiteError> {
        self.put(name, &page.render()?)
    }

    fn put(&mut self, name: &str, text: &str) -> Result<(), SiteError> {
        let path = self.folder.join(name);
        let written = match fs::write(&path, text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text))
            }
            other => other,
        };
        written.map_err(|source| SiteError::File { path, source })?;
        self.written.files += 1;
        self.written.bytes += text.len();
        Ok(())
    }
}

/// Makes a folder for pages, unless it holds what is none of ours: in ours there is something of this name.
pub(crate) fn claim(folder: &Path, mark: &str) -> Result<(), SiteError> {
    let failed = |source| SiteError::File { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let is_empty = fs::read_dir(folder).map_err(failed)?.next().is_none();
    if is_empty || folder.join(mark).exists() {
        return Ok(());
    }
    Err(SiteError::Occupied(folder.to_owned()))
}

/// What stands at the head of every page.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) title: String,
    /// The way from the page to the folder of the site.
    pub(super) root: String,
    /// Which part of the site it belongs to.
    pub(super) part: &'static str,
}

impl Head {
    pub(super) fn new(title: impl Into<String>, page: &str, part: &'static str) -> Head {
        Head { title: title.into(), root: "../".repeat(page.matches('/').count()), part }
    }
}

/// What the page of something is called: as itself, if that is a name as the suite's cases have.
fn page_name(id: &str) -> String {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    match id.split('/').all(is_plain) && id.len() < 200 {
        true => id.to_owned(),
        false => format!("other/{}", &hex::encode(Sha256::digest(id))[..16]),
    }
}

/// The page of a case, in the folder of the site.
fn case_page(id: &str) -> String {
    format!("case/{}.html", page_name(id))
}
