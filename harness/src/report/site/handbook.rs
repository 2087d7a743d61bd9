//! The handbook: the specification, in which each clause has the cases that show it, with what became of them.

use askama::Template;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::cases::CaseView;
use super::marks::Mark;
use super::{Head, Pages, Site, SiteError, case_page};
use crate::specification::{Page as SpecifiedPage, SpecifiedClause};
use crate::suite::{Case, Cell, Coverage, FamilyCoverage};

/// The list of pages.
pub(super) const CONTENTS: &str = "clauses.html";

#[derive(Template)]
#[template(path = "handbook.html")]
struct Contents<'a> {
    head: Head,
    pages: Vec<(String, &'a SpecifiedPage, usize)>,
}

#[derive(Template)]
#[template(path = "clauses.html")]
struct Clauses<'a> {
    head: Head,
    page: &'a SpecifiedPage,
    /// Made by us of what is escaped.
    text: String,
}

/// What stands below a clause.
#[derive(Template)]
#[template(path = "shown.html")]
struct Shown<'a> {
    cases: Vec<ShownCase<'a>>,
}

struct ShownCase<'a> {
    page: String,
    id: &'a str,
    title: &'a str,
    /// What each target made of it.
    marks: Vec<(&'a str, Mark)>,
}

#[derive(Template)]
#[template(path = "coverage.html")]
struct Covered {
    head: Head,
    families: Vec<FamilyCoverage>,
    cells: usize,
    empty: Vec<String>,
}

/// Where a clause stands, in the folder of the site.
pub(super) fn place(page: &SpecifiedPage, clause: &SpecifiedClause) -> String {
    format!("{}#{}", page_of(page), clause.name)
}

fn page_of(page: &SpecifiedPage) -> String {
    format!("clauses/{}.html", page.topic)
}

impl Site<'_> {
    pub(super) fn handbook(&self, pages: &mut Pages) -> Result<(), SiteError> {
        let contents = Contents {
            head: Head::new("Handbook", CONTENTS, "handbook"),
            pages: self
                .specification
                .pages
                .iter()
                .map(|page| (page_of(page), page, page.clauses.len()))
                .collect(),
        };
        pages.page(CONTENTS, &contents)?;
        let files = binderdrill_suites::specification();
        for page in &self.specification.pages {
            let name = page_of(page);
            let text = files.iter().find(|file| file.name == page.file).map_or("", |file| file.text);
            let clauses = Clauses {
                head: Head::new(page.title, &name, "handbook"),
                page,
                text: self.rendered(text, page)?,
            };
            pages.page(&name, &clauses)?;
        }
        self.coverage(pages)
    }

    /// A page of the specification as HTML, with the cases of each clause below it.
    fn rendered(&self, text: &str, page: &SpecifiedPage) -> Result<String, SiteError> {
        let mut events: Vec<Event<'_>> = Vec::new();
        let mut paragraph: Option<usize> = None;
        let mut is_in_dead_link = false;
        // The first heading stands in the template.
        let is_title = |event: &Event<'_>| *event == Event::End(TagEnd::Heading(HeadingLevel::H1));
        let parser =
            Parser::new_ext(text, Options::ENABLE_TABLES).skip_while(|event| !is_title(event)).skip(1);
        for event in parser {
            match event {
                Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
                Event::Start(Tag::Paragraph) => {
                    paragraph = Some(events.len());
                    events.push(event);
                }
                Event::End(TagEnd::Paragraph) => {
                    events.push(event);
                    let start = paragraph.take().unwrap_or(events.len());
                    let clause = match &events[start..] {
                        [_, Event::Start(Tag::Strong), Event::Text(name), ..] => {
                            page.clauses.iter().find(|clause| clause.name == name.as_ref())
                        }
                        _ => None,
                    };
                    if let Some(clause) = clause {
                        let open = format!("<section class=\"clause\" id=\"{}\">", clause.name);
                        events.insert(start, Event::Html(open.into()));
                        events.push(Event::Html(self.shown(clause)?.into()));
                        events.push(Event::Html("</section>".into()));
                    }
                }
                Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
                // Where files name each other, pages have titles.
                Event::Text(text) => events.push(Event::Text(match self.page_of_file(&text) {
                    Some(page) => page.title.into(),
                    None => text,
                })),
                Event::Start(Tag::Link { link_type, dest_url, title, id }) => match self.link(&dest_url) {
                    Some(url) => events.push(Event::Start(Tag::Link {
                        link_type,
                        dest_url: CowStr::from(url),
                        title,
                        id,
                    })),
                    None => is_in_dead_link = true,
                },
                Event::End(TagEnd::Link) if is_in_dead_link => is_in_dead_link = false,
                other => events.push(other),
            }
        }
        let mut out = String::new();
        html::push_html(&mut out, events.into_iter());
        Ok(out)
    }

    /// Where a link of the specification leads in the handbook; nowhere if it is to something else.
    fn link(&self, url: &str) -> Option<String> {
        if url.starts_with("https://") {
            return Some(url.to_owned());
        }
        let file = url.split_once('#').map_or(url, |(file, _)| file);
        self.page_of_file(file).map(|page| format!("{}.html", page.topic))
    }

    fn page_of_file(&self, file: &str) -> Option<&SpecifiedPage> {
        self.specification.pages.iter().find(|page| page.file == file)
    }

    fn shown(&self, clause: &SpecifiedClause) -> Result<String, SiteError> {
        let shows = |view: &&CaseView<'_>| view.clauses.iter().any(|cited| cited == clause.name);
        let cases = self.cases.iter().filter(shows);
        let cases = cases.map(|view| ShownCase {
            page: case_page(view.id),
            id: view.id,
            title: view.title,
            marks: view.marks(),
        });
        let cases = cases.collect();
        Ok(Shown { cases }.render()?)
    }

    fn coverage(&self, pages: &mut Pages) -> Result<(), SiteError> {
        let cases: Vec<Case> = self
            .programs
            .iter()
            .map(|(digest, script)| Case {
                id: String::new(),
                origin: String::new(),
                digest: (*digest).to_owned(),
                script: Ok(script.clone()),
            })
            .collect();
        let coverage = Coverage::of(&cases);
        let cells = coverage.words().flat_map(|word| word.cells());
        let cells = cells.filter(|cell| matches!(cell, Cell::Cases(_))).count();
        let empty = coverage.words().flat_map(|word| {
            let uses = word.cells().into_iter().zip(["good", "bad"]);
            let empty = uses.filter(|(cell, _)| *cell == Cell::Cases(0));
            empty.map(|(_, usage)| format!("{} ({usage} use)", word.word))
        });
        let empty = empty.collect();
        let head = Head::new("Coverage of the protocol", "coverage.html", "coverage");
        pages.page("coverage.html", &Covered { head, cells, empty, families: coverage.families })
    }
}
