//! Diagnostics: what is wrong with a script, where, and what was expected there.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// The most diagnostics that are shown; of the others only the number is.
const SHOWN: usize = 20;
/// The most characters of a line that are marked.
const MARKED: usize = 100;
/// Columns of a diagnostic on the screen.
const WIDTH: usize = 120;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The script is not one.
    Error,
    /// The script may well not mean what its author thinks.
    Warning,
}

/// One thing that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    place: Option<Place>,
    related: Option<Place>,
    help: Option<String>,
}

/// Bytes of the script, and what is to be said about them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    span: Range<usize>,
    label: String,
}

impl Diagnostic {
    /// An error at a place of the script. The label says what was expected there.
    pub(super) fn error(
        message: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Diagnostic {
        let place = Place { span, label: label.into() };
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            place: Some(place),
            related: None,
            help: None,
        }
    }

    /// A warning about a place of the script.
    pub(super) fn warning(
        message: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(message, span, label) }
    }

    /// An error of the file as a whole.
    pub(super) fn of_file(message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            related: None,
            help: None,
        }
    }

    /// The same, pointing also at a second place that has to do with it.
    pub(super) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Diagnostic {
        self.related = Some(Place { span, label: label.into() });
        self
    }

    /// The same, with advice.
    pub(super) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The same, with advice if it has none yet.
    pub(super) fn help_if_none(mut self, help: Option<&str>) -> Diagnostic {
        self.help = self.help.or(help.map(str::to_owned));
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where it is, in bytes of the script; `None` if it is wrong as a whole.
    pub fn span(&self) -> Option<Range<usize>> {
        self.place.as_ref().map(|place| place.span.clone())
    }
}

/// All that is wrong with a script, in the order of its lines. Shown by [`Diagnostics::render`].
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source: Arc<str>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Sorts what was found in this script.
    pub(super) fn new(source: Arc<str>, mut list: Vec<Diagnostic>) -> Diagnostics {
        list.sort_by_key(|diagnostic| diagnostic.span().map_or(0, |span| span.start));
        Diagnostics { source, list }
    }

    /// One diagnostic of a file that is no text.
    pub(super) fn without_source(diagnostic: Diagnostic) -> Diagnostics {
        Diagnostics { source: Arc::from(""), list: vec![diagnostic] }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// The line and column, from 1 and in characters, at which a byte of the script stands.
    pub fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let before = &self.source[..byte];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (1 + before.matches('\n').count(), 1 + before[line_start..].chars().count())
    }

    /// The text to be shown to the author: each diagnostic with its line of the script and a caret.
    ///
    /// `origin` is what the author calls the script, as a rule its path. Colours only if `styled`.
    pub fn render(&self, origin: &str, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
        let mut text = String::new();
        for diagnostic in self.list.iter().take(SHOWN) {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&renderer.render(&[self.group(diagnostic, origin)]));
        }
        if self.list.len() > SHOWN {
            text.push_str(&format!("\n\n{origin}: {} more", self.list.len() - SHOWN));
        }
        text.push('\n');
        text
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic, origin: &'a str) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let Some(place) = &diagnostic.place else {
            let title = level.primary_title(format!("{origin}: {}", diagnostic.message));
            return Group::with_title(title)
                .elements(diagnostic.help.iter().map(|help| Level::HELP.message(help.as_str())));
        };
        // Only the lines that are spoken of are handed over, lest a long script be searched again and again.
        let spans = [Some(place), diagnostic.related.as_ref()].into_iter().flatten().map(|place| &place.span);
        let (start, end) =
            spans.fold((usize::MAX, 0), |(start, end), span| (start.min(span.start), end.max(span.end)));
        let start = self.source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.source[end..].find('\n').map_or(self.source.len(), |newline| end + newline);
        let shifted = |span: &Range<usize>| {
            let shown = self.source[span.clone()].char_indices().take(MARKED).take_while(|(_, c)| *c != '\n');
            let length = shown.last().map_or(0, |(index, c)| index + c.len_utf8());
            span.start - start..span.start - start + length
        };

        let mut snippet = Snippet::source(&self.source[start..end])
            .line_start(self.line_and_column(start).0)
            .path(origin)
            .annotation(AnnotationKind::Primary.span(shifted(&place.span)).label(place.label.as_str()));
        if let Some(related) = &diagnostic.related {
            snippet = snippet.annotation(
                AnnotationKind::Context.span(shifted(&related.span)).label(related.label.as_str()),
            );
        }
        Group::with_title(level.primary_title(diagnostic.message.as_str()))
            .element(snippet)
            .elements(diagnostic.help.iter().map(|help| Level::HELP.message(help.as_str())))
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render("script", false))
    }
}

/// The word among `known` that the author may have meant by `word`.
pub(crate) fn near_miss<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer word is no near miss of anything, and would take its time.
    if word.len() > 64 {
        return None;
    }
    let allowed = word.chars().count().div_ceil(3);
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
