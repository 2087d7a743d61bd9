//! The grammar: how tokens make up a program. A statement that cannot be read is reported, and the next one read.

mod binderfs;
mod call;
mod command;
mod header;
mod ioctl;
mod mapping;
mod operand;
mod payload;
mod race;
mod report;
mod returns;
mod scheduling;
mod step;

pub(super) use payload::{LARGEST_PAYLOAD, end_of};

use std::ops::Range;

use super::cursor::{Cursor, Parsed};
use super::diagnostics::Diagnostic;
use super::names::Mention;
use super::tokens::{Kind, Token};
use super::{Position, Positions};
use crate::program::{CommentLine, Noted, Program};

/// What the grammar made of a script.
pub(super) struct Reading<'s> {
    pub(super) program: Program,
    pub(super) positions: Positions,
    /// Where the actors stand of what is done at each time.
    pub(super) actors: Vec<Vec<Range<usize>>>,
    pub(super) mentions: Vec<Mention>,
    /// The words of statements that could not be read.
    pub(super) unread: Vec<&'s str>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Reads tokens, the last of which is the end. Gives up after so many diagnostics.
pub(super) fn read<'s>(source: &'s str, tokens: &'s [Token], most_diagnostics: usize) -> Reading<'s> {
    let mut reader = Reader {
        source,
        cursor: Cursor::new(source, tokens),
        header: header::HeaderLines::default(),
        before: Vec::new(),
        newlines: Newlines { at: 0, line: 1 },
        reading: Reading {
            program: Program::default(),
            positions: Positions::default(),
            actors: Vec::new(),
            mentions: Vec::new(),
            unread: Vec::new(),
            diagnostics: Vec::new(),
        },
    };
    reader.opening();
    while reader.cursor.peek().kind != Kind::End && reader.reading.diagnostics.len() < most_diagnostics {
        reader.line();
    }
    let mut closing = reader.before;
    while closing.last() == Some(&CommentLine::Blank) {
        closing.pop();
    }
    reader.reading.program.closing = closing;
    reader.reading
}

struct Reader<'s> {
    source: &'s str,
    cursor: Cursor<'s>,
    header: header::HeaderLines,
    /// The comment lines that belong to the next statement.
    before: Vec<CommentLine>,
    newlines: Newlines,
    reading: Reading<'s>,
}

/// Counts lines up to a byte.
struct Newlines {
    at: usize,
    line: usize,
}

impl Newlines {
    /// The line of a byte that is not before the last one asked for.
    fn line_of(&mut self, source: &str, byte: usize) -> usize {
        self.line += source[self.at..byte].matches('\n').count();
        self.at = byte;
        self.line
    }
}

impl<'s> Reader<'s> {
    /// The comment lines that open the script.
    fn opening(&mut self) {
        self.cursor.skip_newlines();
        while let Kind::Comment(text) = &self.cursor.peek().kind {
            self.reading.program.opening.push(text.clone());
            self.cursor.advance();
            if self.cursor.peek().kind == Kind::Newline {
                self.cursor.advance();
            }
        }
        let opening = &mut self.reading.program.opening;
        while opening.last().is_some_and(String::is_empty) {
            opening.pop();
        }
    }

    fn line(&mut self) {
        let began = self.cursor.index();
        match &self.cursor.peek().kind {
            Kind::Newline => {
                self.cursor.advance();
                if self.before.last() != Some(&CommentLine::Blank) {
                    self.before.push(CommentLine::Blank);
                }
            }
            Kind::Comment(text) => {
                self.cursor.advance();
                self.before.push(CommentLine::Text(text.clone()));
                if self.cursor.peek().kind == Kind::Newline {
                    self.cursor.advance();
                }
            }
            _ => {
                if let Err(unreadable) = self.statement() {
                    self.cursor.take_mentions();
                    let help = self.cursor.recover(began);
                    let diagnostic = unreadable.0.map(|diagnostic| diagnostic.help_if_none(help));
                    self.reading.diagnostics.extend(diagnostic);
                    self.reading.unread.extend(self.cursor.words_since(began));
                    self.before.clear();
                } else {
                    self.reading.mentions.extend(self.cursor.take_mentions());
                }
            }
        }
    }

    fn statement(&mut self) -> Parsed<()> {
        let first = self.cursor.peek().span.clone();
        let before = std::mem::take(&mut self.before);
        if header::is_header(&mut self.cursor) {
            if before.iter().any(|line| *line != CommentLine::Blank) {
                return Err(Diagnostic::error(
                    "a comment before a header line, apart from the opening comment",
                    first,
                    "expected this line directly behind the opening comment",
                )
                .help("move the comment into the one that opens the script, or behind the header lines")
                .into());
            }
            if !self.reading.program.declarations.is_empty() || !self.reading.program.steps.is_empty() {
                let label = "expected this line before the first declaration";
                return Err(Diagnostic::error("a header line too late", first, label).into());
            }
            header::header(&mut self.cursor, &mut self.header, &mut self.reading.program)?;
            if let Kind::Comment(_) = self.cursor.peek().kind {
                let span = self.cursor.peek().span.clone();
                let label = "expected the end of the line";
                return Err(Diagnostic::error("a comment behind a header line", span, label)
                    .help("put it into the comment that opens the script")
                    .into());
            }
            self.end_of_statement()?;
            return Ok(());
        }
        if header::is_declaration(&mut self.cursor) {
            if !self.reading.program.steps.is_empty() {
                let label = "expected this line before the first step";
                return Err(Diagnostic::error("a declaration too late", first, label).into());
            }
            let value = header::declaration(&mut self.cursor)?;
            let bytes = first.start..self.cursor.end_of_previous();
            let after = self.end_of_statement()?;
            let before = section(before, self.reading.program.declarations.is_empty());
            self.reading.program.declarations.push(Noted { before, value, after });
            let line = self.newlines.line_of(self.source, bytes.start);
            self.reading.positions.declarations.push(Position { line, bytes });
            return Ok(());
        }
        let (value, actors) = race::moment(&mut self.cursor)?;
        let bytes = first.start..self.cursor.end_of_previous();
        let after = self.end_of_statement()?;
        let before = section(before, self.reading.program.steps.is_empty());
        self.reading.program.steps.push(Noted { before, value, after });
        let line = self.newlines.line_of(self.source, bytes.start);
        self.reading.positions.steps.push(Position { line, bytes });
        self.reading.actors.push(actors);
        Ok(())
    }

    /// The end of the line, and the comment before it.
    fn end_of_statement(&mut self) -> Parsed<Option<String>> {
        let after = match &self.cursor.peek().kind {
            Kind::Comment(text) => {
                self.cursor.advance();
                Some(text.clone())
            }
            _ => None,
        };
        match self.cursor.peek().kind {
            Kind::Newline => {
                self.cursor.advance();
                Ok(after)
            }
            Kind::End => Ok(after),
            _ => Err(self.cursor.expected("`,` or the end of the line")),
        }
    }
}

/// The comment lines before a statement. A section begins with a blank line, which need not be noted.
fn section(mut before: Vec<CommentLine>, first: bool) -> Vec<CommentLine> {
    if first && before.first() == Some(&CommentLine::Blank) {
        before.remove(0);
    }
    before
}
