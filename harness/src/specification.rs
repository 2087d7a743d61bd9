//! The specification: pages of numbered clauses, as `suites/spec/` holds them.
//!
//! `README.md` there lists the pages in the order in which they are to be read. A page begins with its title; a clause is
//! a paragraph that begins with its name, as in `**txn.3** The caller …`. Names outlive the order of a page: a clause that
//! comes later has the next number and stands where it belongs, and the number of one that was given up is not used again.

use binderdrill_suites::SpecificationFile;

use crate::script::near_miss;
use crate::suite::Case;

/// The page that lists the others.
const CONTENTS: &str = "README.md";

/// What the clauses are called that tell how drivers differ.
const DIFFERENCES: &str = "rust";

/// The whole specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specification {
    /// Its pages, in the order in which they are to be read.
    pub pages: Vec<Page>,
}

/// A page of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its file, such as `transactions.md`.
    pub file: &'static str,
    /// What its clauses are called, such as `txn`.
    pub topic: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What the list of pages says of it.
    pub about: &'static str,
    /// Its clauses, in order.
    pub clauses: Vec<SpecifiedClause>,
}

/// A clause, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecifiedClause {
    /// Its name, such as `txn.3`.
    pub name: &'static str,
    /// What it says, in the lines of the page.
    pub text: String,
}

/// What a word of a command line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'s> {
    /// A page, by its topic or its file.
    Page(&'s Page),
    /// A clause, and the page that it is on.
    Clause(&'s Page, &'s SpecifiedClause),
}

/// That the specification cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSpecification {
    /// The page that lists the others is not there.
    #[error("suites/spec/README.md is missing")]
    NoContents,
    /// A page is there, and not in the list; or the other way round.
    #[error("suites/spec/{0} is only there, or only in the list of suites/spec/README.md")]
    Unlisted(String),
    /// A page does not begin with its title.
    #[error("suites/spec/{0} does not begin with a title")]
    NoTitle(String),
    /// A clause stands on a page of another topic, is there twice, or says nothing.
    #[error("suites/spec/{file}: {name} is no clause of this page's topic, is there twice, or says nothing")]
    Clause {
        /// The page.
        file: String,
        /// The clause.
        name: String,
    },
}

/// That the specification has no such page and no such clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// The page has other clauses.
    #[error("there is no clause {word}: {title} has clauses up to {topic}.{last}")]
    Clause {
        /// What was asked for.
        word: String,
        /// The page's title.
        title: &'static str,
        /// What its clauses are called.
        topic: &'static str,
        /// The highest number of one.
        last: u32,
    },
    /// Nothing is called so.
    #[error("there is no page and no clause {word}{}", near.as_ref().map_or_else(
        || "; `binderdrill spec` lists them".to_owned(),
        |near| format!("; did you mean {near}?"),
    ))]
    Unknown {
        /// What was asked for.
        word: String,
        /// What may have been meant.
        near: Option<String>,
    },
}

impl Specification {
    /// The specification that is built into this program.
    pub fn embedded() -> Result<Specification, MalformedSpecification> {
        Specification::read(&binderdrill_suites::specification())
    }

    /// Reads a specification from its files.
    pub fn read(files: &[SpecificationFile]) -> Result<Specification, MalformedSpecification> {
        let text = |name: &str| files.iter().find(|file| file.name == name).map(|file| file.text);
        let listed = listed(text(CONTENTS).ok_or(MalformedSpecification::NoContents)?);
        let unlisted = files.iter().map(|file| file.name).find(|name| {
            *name != CONTENTS && listed.iter().filter(|listed| listed.file == *name).count() != 1
        });
        if let Some(name) = unlisted {
            return Err(MalformedSpecification::Unlisted(name.to_owned()));
        }
        let page = |Listed { file, topic, about }| {
            let text = text(file).ok_or_else(|| MalformedSpecification::Unlisted(file.to_owned()))?;
            let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
            let title = title.ok_or_else(|| MalformedSpecification::NoTitle(file.to_owned()))?;
            Ok(Page { file, topic, title, about, clauses: clauses(file, topic, text)? })
        };
        Ok(Specification { pages: listed.into_iter().map(page).collect::<Result<_, _>>()? })
    }

    /// The page or the clause that a word means.
    pub fn find(&self, word: &str) -> Result<Entry<'_>, NoEntry> {
        let mut clauses =
            self.pages.iter().flat_map(|page| page.clauses.iter().map(move |clause| (page, clause)));
        if let Some((page, clause)) = clauses.find(|(_, clause)| clause.name == word) {
            return Ok(Entry::Clause(page, clause));
        }
        let topic = word.trim_end_matches('.');
        if let Some(page) = self.pages.iter().find(|page| page.topic == topic || page.is_called(word)) {
            return Ok(Entry::Page(page));
        }
        let numbered = word.rsplit_once('.').filter(|(_, number)| number.parse::<u32>().is_ok());
        let page = numbered.and_then(|(topic, _)| self.pages.iter().find(|page| page.topic == topic));
        Err(match page {
            Some(page) => NoEntry::Clause {
                word: word.to_owned(),
                title: page.title,
                topic: page.topic,
                last: page
                    .clauses
                    .iter()
                    .filter_map(|clause| number(clause.name, page.topic))
                    .max()
                    .unwrap_or(0),
            },
            None => NoEntry::Unknown {
                word: word.to_owned(),
                near: self.near(numbered.map_or(word, |(topic, _)| topic)),
            },
        })
    }

    /// The clauses that say what a driver does of which this one does not hold: those of the differences between drivers
    /// that it names, or, if it is one of these, those that name it.
    pub fn counterparts(&self, clause: &SpecifiedClause) -> Vec<&'static str> {
        let is_difference = |name: &str| number(name, DIFFERENCES).is_some();
        let all = self.pages.iter().flat_map(|page| &page.clauses);
        let counterparts = all.filter(|other| match is_difference(clause.name) {
            true => !is_difference(other.name) && other.mentions(clause.name),
            false => is_difference(other.name) && clause.mentions(other.name),
        });
        counterparts.map(|other| other.name).collect()
    }

    /// The counterparts of all clauses that a case cites.
    pub fn counterparts_of_case(&self, case: &Case) -> Vec<&'static str> {
        let cited: Vec<String> = case.clauses().iter().map(ToString::to_string).collect();
        let all = self.pages.iter().flat_map(|page| &page.clauses);
        let cited = all.filter(|clause| cited.iter().any(|name| name == clause.name));
        cited.flat_map(|clause| self.counterparts(clause)).collect()
    }

    /// The page that may have been meant.
    fn near(&self, word: &str) -> Option<String> {
        let names = self.pages.iter().flat_map(|page| [page.topic, page.stem()]);
        near_miss(word, names).map(str::to_owned)
    }
}

impl SpecifiedClause {
    /// Whether its text names a clause.
    fn mentions(&self, name: &str) -> bool {
        let words = self.text.split(|letter: char| letter.is_whitespace() || "(),;:".contains(letter));
        words.map(|word| word.trim_end_matches('.')).any(|word| word == name)
    }
}

impl Page {
    /// The name of its file without the ending.
    fn stem(&self) -> &'static str {
        self.file.strip_suffix(".md").unwrap_or(self.file)
    }

    fn is_called(&self, word: &str) -> bool {
        word == self.file || word == self.stem() || word.eq_ignore_ascii_case(self.title)
    }
}

/// A line of the list of pages.
struct Listed {
    file: &'static str,
    topic: &'static str,
    about: &'static str,
}

/// The pages that a list names, as in ``| [devices.md](devices.md) | `dev` | opening … |``.
fn listed(contents: &'static str) -> Vec<Listed> {
    let row = |line: &'static str| {
        let (link, rest) = line.strip_prefix("| [")?.split_once(" | `")?;
        let (file, _) = link.split_once("](")?;
        let (topic, about) = rest.split_once("` | ")?;
        Some(Listed { file, topic, about: about.trim_end_matches([' ', '|']) })
    };
    contents.lines().filter_map(row).collect()
}

/// The number of a clause, if that is one of a topic.
fn number(clause: &str, topic: &str) -> Option<u32> {
    let digits = clause.strip_prefix(topic)?.strip_prefix('.')?;
    digits.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == digits)
}

/// The clauses of a page, in its order.
fn clauses(
    file: &str,
    topic: &str,
    text: &'static str,
) -> Result<Vec<SpecifiedClause>, MalformedSpecification> {
    let mut clauses: Vec<SpecifiedClause> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((name, first)) = line.strip_prefix("**").and_then(|rest| rest.split_once("**")) else {
            continue;
        };
        let first = first.trim();
        let is_there = clauses.iter().any(|clause| clause.name == name);
        if number(name, topic).is_none() || is_there || first.is_empty() {
            return Err(MalformedSpecification::Clause { file: file.to_owned(), name: name.to_owned() });
        }
        let rest = lines.by_ref().take_while(|line| !line.is_empty());
        let text: Vec<&str> = [first].into_iter().chain(rest).collect();
        clauses.push(SpecifiedClause { name, text: text.join("\n") });
    }
    Ok(clauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: SpecificationFile = SpecificationFile {
        name: "README.md",
        text: "# All\n\n| Page | Clauses | About |\n|---|---|---|\n\
               | [calls.md](calls.md) | `call` | what is called |\n| [ends.md](ends.md) | `end` | what ends |\n",
    };
    const CALLS: SpecificationFile = SpecificationFile {
        name: "calls.md",
        text: "# Calls\n\nIntroduction.\n\n**call.1** One\nand more.\n\n**call.2** Two.\n",
    };
    const ENDS: SpecificationFile =
        SpecificationFile { name: "ends.md", text: "# Ends\n\n**end.1** It ends.\n" };

    fn read(files: &[SpecificationFile]) -> Result<Specification, String> {
        Specification::read(files).map_err(|error| error.to_string())
    }

    #[test]
    fn pages_have_the_order_of_the_list() {
        let specification = read(&[ENDS, CALLS, CONTENTS]).unwrap();
        let pages: Vec<_> =
            specification.pages.iter().map(|page| (page.topic, page.title, page.about)).collect();
        assert_eq!(pages, [("call", "Calls", "what is called"), ("end", "Ends", "what ends")]);
        let texts: Vec<&str> =
            specification.pages[0].clauses.iter().map(|clause| clause.text.as_str()).collect();
        assert_eq!(texts, ["One\nand more.", "Two."]);
    }

    #[test]
    fn words_mean_clauses_and_pages() {
        let specification = read(&[CONTENTS, CALLS, ENDS]).unwrap();
        let name = |word: &str| {
            specification.find(word).map_err(|error| error.to_string()).map(|entry| match entry {
                Entry::Page(page) => page.file,
                Entry::Clause(_, clause) => clause.name,
            })
        };
        for word in ["call", "call.", "calls", "calls.md", "Calls"] {
            assert_eq!(name(word).as_deref(), Ok("calls.md"), "{word}");
        }
        assert_eq!(name("call.2").as_deref(), Ok("call.2"));
        assert_eq!(
            name("call.3"),
            Err("there is no clause call.3: Calls has clauses up to call.2".to_owned())
        );
        assert_eq!(name("cal.1"), Err("there is no page and no clause cal.1; did you mean call?".to_owned()));
        assert_eq!(
            name("xyzzy"),
            Err("there is no page and no clause xyzzy; `binderdrill spec` lists them".to_owned())
        );
    }

    #[test]
    fn a_clause_and_the_difference_that_it_names_are_counterparts() {
        let calls = "# Calls\n\n**call.1** One (call.2), end.1. In Rust: rust.1.\n\n**call.2** Two.\n";
        let rust = "# Rust\n\n**rust.1** Other.\n\n**rust.11** Another.\n";
        let contents = format!("{}| [rust.md](rust.md) | `rust` | what differs |\n", CONTENTS.text);
        let page = |name, text| SpecificationFile { name, text };
        let files =
            [page("README.md", contents.leak()), page("calls.md", calls), ENDS, page("rust.md", rust)];
        let specification = read(&files).unwrap();
        let counterparts = |word: &str| match specification.find(word) {
            Ok(Entry::Clause(_, clause)) => specification.counterparts(clause),
            _ => panic!("{word} is a clause"),
        };
        assert_eq!(counterparts("call.1"), ["rust.1"]);
        assert_eq!(counterparts("rust.1"), ["call.1"]);
        assert!(counterparts("call.2").is_empty() && counterparts("rust.11").is_empty());
    }

    #[test]
    fn numbers_need_not_ascend_and_some_may_be_given_up() {
        let text = "# Calls\n\n**call.4** Four.\n\n**call.1** One.\n";
        let specification = read(&[CONTENTS, SpecificationFile { name: "calls.md", text }, ENDS]).unwrap();
        let names: Vec<&str> = specification.pages[0].clauses.iter().map(|clause| clause.name).collect();
        assert_eq!(names, ["call.4", "call.1"]);
        let error = specification.find("call.2").unwrap_err().to_string();
        assert_eq!(error, "there is no clause call.2: Calls has clauses up to call.4");
    }

    #[test]
    fn a_specification_that_is_not_whole_is_refused() {
        let changed =
            |text| read(&[CONTENTS, SpecificationFile { name: "calls.md", text }, ENDS]).unwrap_err();
        assert!(read(&[CALLS, ENDS]).unwrap_err().contains("README.md is missing"));
        assert!(read(&[CONTENTS, CALLS]).unwrap_err().contains("ends.md"));
        assert!(read(&[CONTENTS, CALLS, ENDS, SpecificationFile { name: "x.md", text: "# X\n" }]).is_err());
        assert!(changed("Calls\n").contains("title"));
        for wrong in ["call.0", "call.01", "call.x", "call"] {
            assert!(changed(format!("# Calls\n\n**{wrong}** One.\n").leak()).contains(wrong), "{wrong}");
        }
        assert!(changed("# Calls\n\n**call.2** Two.\n\n**call.2** Once more.\n").contains("call.2"));
        assert!(changed("# Calls\n\n**call.1**\n").contains("call.1"));
        assert!(changed("# Calls\n\n**end.1** Another page's.\n").contains("end.1"));
    }
}
