//! A cursor over the tokens of a script: what the grammar reads with, and says what it expected with.

use std::fmt;
use std::ops::Range;

use super::diagnostics::{Diagnostic, near_miss};
use super::names::{Branch, Mention, MentionKind};
use super::tokens::{Kind, Token};
use crate::program::Name;

/// That a statement could not be read. It holds no diagnostic if a broken token has one already.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) Option<Box<Diagnostic>>);

impl From<Diagnostic> for Unreadable {
    fn from(diagnostic: Diagnostic) -> Unreadable {
        Unreadable(Some(Box::new(diagnostic)))
    }
}

pub(super) type Parsed<T> = Result<T, Unreadable>;

/// Something of the script, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A place in the tokens of a script. Within brackets the ends of lines are passed over.
pub(super) struct Cursor<'s> {
    source: &'s str,
    tokens: &'s [Token],
    at: usize,
    /// The brackets that are open, innermost last.
    open: Vec<Range<usize>>,
    /// Which alternative of which `any of` is being read.
    branch: Option<Branch>,
    /// How many `any of` have been read.
    choices: usize,
    mentions: Vec<Mention>,
}

impl<'s> Cursor<'s> {
    /// The tokens must end in [`Kind::End`].
    pub(super) fn new(source: &'s str, tokens: &'s [Token]) -> Cursor<'s> {
        Cursor { source, tokens, at: 0, open: Vec::new(), branch: None, choices: 0, mentions: Vec::new() }
    }

    // Where it is.

    /// The token that comes next.
    pub(super) fn peek(&mut self) -> &'s Token {
        if !self.open.is_empty() {
            self.skip_newlines();
        }
        // The last token is the end, which is never passed.
        &self.tokens[self.at]
    }

    fn peek_second(&self) -> &'s Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)]
    }

    pub(super) fn text(&self, token: &Token) -> &'s str {
        &self.source[token.span.clone()]
    }

    /// The number of tokens that have been read.
    pub(super) fn index(&self) -> usize {
        self.at
    }

    /// The words among the tokens from this one to the next that will be read.
    pub(super) fn words_since(&self, index: usize) -> impl Iterator<Item = &'s str> {
        let words = self.tokens[index..self.at].iter().filter(|token| token.kind == Kind::Word);
        words.map(|token| &self.source[token.span.clone()])
    }

    /// Where the last token that was read ended, ends of lines aside.
    pub(super) fn end_of_previous(&self) -> usize {
        let mut read = self.tokens[..self.at].iter().rev();
        read.find(|token| token.kind != Kind::Newline).map_or(0, |token| token.span.end)
    }

    // Moving on.

    /// Passes the next token.
    pub(super) fn advance(&mut self) -> &'s Token {
        let token = self.peek();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    pub(super) fn skip_newlines(&mut self) {
        while self.tokens[self.at].kind == Kind::Newline {
            self.at += 1;
        }
    }

    /// Leaves a statement that could not be read, which began at this token, and goes on at the first line
    /// behind it that looks like a statement of its own. Returns advice, if it is plain why it came to that.
    pub(super) fn recover(&mut self, began: usize) -> Option<&'static str> {
        self.open.clear();
        self.branch = None;
        if self.text(&self.tokens[began]) == "race"
            && self.tokens[began + 1..].first().is_some_and(|token| token.kind == Kind::Number)
            && let Some(end) = self.end_of_block(began)
        {
            // Its lines look like statements, and are none.
            self.at = self.at.max(end);
            return None;
        }
        while self.at > began && !self.begins_line(self.at) {
            self.at -= 1;
        }
        if self.at <= began || !self.looks_like_statement(self.at) {
            self.at = began.max(self.at) + usize::from(self.tokens[began.max(self.at)].kind != Kind::End);
            while self.tokens[self.at].kind != Kind::End
                && !(self.begins_line(self.at) && self.looks_like_statement(self.at))
            {
                self.at += 1;
            }
            return None;
        }
        let mut before = self.tokens[..self.at].iter().rev();
        let last = before.find(|token| token.kind != Kind::Newline)?;
        (last.kind == Kind::Sign(",")).then_some("the line before ends in `,`, so its list goes on here")
    }

    /// The token behind the first bracket that opens after this token and is closed.
    fn end_of_block(&self, began: usize) -> Option<usize> {
        let mut open = 0;
        for (index, token) in self.tokens.iter().enumerate().skip(began) {
            match token.kind {
                Kind::Sign("{") => open += 1,
                Kind::Sign("}") if open == 1 => return Some(index + 1),
                Kind::Sign("}") if open > 1 => open -= 1,
                Kind::Newline if open == 0 => return None,
                _ => {}
            }
        }
        None
    }

    fn begins_line(&self, index: usize) -> bool {
        index == 0 || self.tokens[index - 1].kind == Kind::Newline
    }

    fn looks_like_statement(&self, index: usize) -> bool {
        let (first, second) = (&self.tokens[index], &self.tokens[(index + 1).min(self.tokens.len() - 1)]);
        match first.kind {
            Kind::Word if self.text(first) == "any" => self.text(second) == "of",
            Kind::Word => {
                matches!(second.kind, Kind::Sign(">" | "<" | "><" | "!" | ":"))
                    || is_keyword(self.text(first)) && second.kind == Kind::Word
            }
            _ => false,
        }
    }

    /// Whether the next line is not a step, but one that begins with this word.
    pub(super) fn is_line_of(&mut self, keyword: &str) -> bool {
        let operator = matches!(self.peek_second().kind, Kind::Sign(">" | "<" | "><" | "!"));
        self.is_word(keyword) && !operator
    }

    // Reading one token.

    pub(super) fn is_sign(&mut self, sign: &str) -> bool {
        matches!(self.peek().kind, Kind::Sign(found) if found == sign)
    }

    pub(super) fn is_word(&mut self, word: &str) -> bool {
        let token = self.peek();
        token.kind == Kind::Word && self.text(token) == word
    }

    /// Passes this sign if it comes next. Behind `,`, `|` and `->` a statement may go on in the next line.
    pub(super) fn accept(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
            if matches!(sign, "," | "|" | "->") {
                self.skip_newlines();
            }
        }
        found
    }

    /// Passes this word if it comes next.
    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// Passes a `|` that joins flags or events, and does not stand before the next step of a race.
    pub(super) fn accept_joint(&mut self) -> bool {
        self.is_sign("|") && !self.step_begins_behind(self.at) && self.accept("|")
    }

    fn step_begins_behind(&self, index: usize) -> bool {
        let mut next = self.tokens[index + 1..].iter().filter(|token| token.kind != Kind::Newline);
        let (actor, operator) = (next.next(), next.next());
        actor.is_some_and(|token| token.kind == Kind::Word)
            && operator.is_some_and(|token| matches!(token.kind, Kind::Sign(">" | "<" | "><" | "!")))
    }

    pub(super) fn expect(&mut self, sign: &'static str) -> Parsed<()> {
        if self.accept(sign) { Ok(()) } else { Err(self.expected(format_args!("`{sign}`"))) }
    }

    pub(super) fn expect_word(&mut self, word: &'static str) -> Parsed<()> {
        if self.accept_word(word) { Ok(()) } else { Err(self.expected(format_args!("`{word}`"))) }
    }

    /// Any word, of which the grammar will say whether it knows it.
    pub(super) fn word(&mut self, what: &str) -> Parsed<Spanned<&'s str>> {
        let token = self.peek();
        if token.kind != Kind::Word {
            return Err(self.expected(what));
        }
        self.advance();
        Ok(Spanned { value: self.text(token), span: token.span.clone() })
    }

    /// A name that the author chose.
    pub(super) fn name(&mut self, what: &str) -> Parsed<Spanned<Name>> {
        let token = self.peek();
        let word = self.word(what)?;
        if let Some(name) = Name::new(word.value) {
            return Ok(Spanned { value: name, span: word.span });
        }
        let why = if Name::is_reserved(word.value) {
            format!("`{}` cannot be a name", word.value)
        } else {
            format!("a name is at most {} characters long", Name::LONGEST)
        };
        Err(Diagnostic::error(why, token.span.clone(), format!("expected {what}")).into())
    }

    // Brackets and lists.

    pub(super) fn open(&mut self, bracket: &'static str) -> Parsed<()> {
        if !self.is_sign(bracket) {
            return Err(self.expected(format_args!("`{bracket}`")));
        }
        let span = self.advance().span.clone();
        self.open.push(span);
        Ok(())
    }

    /// Passes a closing bracket if it comes next.
    pub(super) fn close(&mut self, bracket: &'static str) -> bool {
        let found = self.is_sign(bracket);
        if found {
            self.advance();
            self.open.pop();
        }
        found
    }

    /// Items between brackets, separated by commas. A comma may stand behind the last one, too.
    pub(super) fn bracketed(
        &mut self,
        opening: &'static str,
        closing: &'static str,
        mut item: impl FnMut(&mut Self) -> Parsed<()>,
    ) -> Parsed<()> {
        self.open(opening)?;
        loop {
            if self.close(closing) {
                return Ok(());
            }
            item(self)?;
            if !self.accept(",") && !self.is_sign(closing) {
                return Err(self.expected(format_args!("`,` or `{closing}`")));
            }
        }
    }

    /// `{ field value, … }`: fields in any order, each at most once. Returns which of them were there.
    pub(super) fn fields<F: Copy + PartialEq>(
        &mut self,
        known: &[(&'static str, F)],
        mut value: impl FnMut(&mut Self, F) -> Parsed<()>,
    ) -> Parsed<()> {
        let mut seen: Vec<(F, Range<usize>)> = Vec::new();
        self.bracketed("{", "}", |cursor| {
            let field = cursor.known_word("field", known)?;
            if let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == field.value) {
                let word = &cursor.source[field.span.clone()];
                let twice = Diagnostic::error(
                    format!("the field `{word}` is given twice"),
                    field.span,
                    "each field stands at most once",
                );
                return Err(twice.related(first.clone(), "first given here").into());
            }
            seen.push((field.value, field.span));
            value(cursor, field.value)
        })
    }

    /// `any of { … | … }` or `in any order { … | … }`, whose first words have been read.
    pub(super) fn alternatives<T>(
        &mut self,
        construct: Spanned<&'static str>,
        exclusive: bool,
        mut alternative: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<Spanned<T>>> {
        if self.branch.is_some() && exclusive {
            let nested = Diagnostic::error(
                format!("`{}` within `any of`", construct.value),
                construct.span,
                "write out the alternatives of the outer one",
            );
            return Err(nested.into());
        }
        self.open("{")?;
        let outer = self.branch;
        self.choices += 1;
        let mut found = Vec::new();
        loop {
            if exclusive {
                self.branch = Some(Branch { choice: self.choices, alternative: found.len() });
            }
            let start = self.peek().span.start;
            let value = alternative(self)?;
            found.push(Spanned { value, span: start..self.end_of_previous() });
            if self.close("}") {
                break;
            }
            if !self.accept("|") {
                return Err(self.expected("`,`, `|` or `}`"));
            }
        }
        self.branch = outer;
        if found.len() < 2 {
            return Err(Diagnostic::error(
                format!("`{}` with a single alternative", construct.value),
                construct.span.start..self.end_of_previous(),
                "expected two or more, separated by `|`",
            )
            .into());
        }
        Ok(found)
    }

    /// One of these words, with what it stands for.
    pub(super) fn known_word<F: Copy>(
        &mut self,
        what: &str,
        known: &[(&'static str, F)],
    ) -> Parsed<Spanned<F>> {
        let expected = || one_of(known.iter().map(|(name, _)| *name));
        let token = self.peek();
        if token.kind != Kind::Word {
            return Err(self.expected(expected()));
        }
        let word = self.text(token);
        match known.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => {
                self.advance();
                Ok(Spanned { value: *value, span: token.span.clone() })
            }
            None => {
                let label = match near_miss(word, known.iter().map(|(name, _)| *name)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("expected {}", expected()),
                };
                Err(Diagnostic::error(
                    format!("unknown {what} `{}`", shortened(word)),
                    token.span.clone(),
                    label,
                )
                .into())
            }
        }
    }

    // What is said of names.

    /// Notes that a name stands here, for the rules about names.
    pub(super) fn mention(&mut self, kind: MentionKind, name: &Spanned<Name>) {
        let name = name.clone();
        self.mentions.push(Mention { kind, name: name.value, span: name.span, branch: self.branch });
    }

    /// What has been mentioned since this was last asked.
    pub(super) fn take_mentions(&mut self) -> Vec<Mention> {
        std::mem::take(&mut self.mentions)
    }

    // What is wrong.

    /// That something else was expected in place of the next token.
    pub(super) fn expected(&mut self, what: impl fmt::Display) -> Unreadable {
        let token = self.peek();
        match &token.kind {
            Kind::Broken => return Unreadable(None),
            Kind::Comment(_) if self.within_statement() => {
                return Diagnostic::error(
                    "a comment within a statement",
                    token.span.clone(),
                    "expected the statement to go on here",
                )
                .help("put it on a line of its own before the statement, or behind its end")
                .into();
            }
            _ => {}
        }
        let found = match token.kind {
            Kind::Word | Kind::Number => format!("`{}`", shortened(self.text(token))),
            _ => token.kind.to_string(),
        };
        let diagnostic = Diagnostic::error(
            format!("unexpected {found}"),
            // The end of a line is shown as the place behind its last token.
            match token.kind {
                Kind::Newline | Kind::End => self.end_of_previous()..self.end_of_previous(),
                _ => token.span.clone(),
            },
            format!("expected {what}"),
        );
        match self.open.last() {
            Some(open) if self.source[open.end..token.span.start].contains('\n') => {
                diagnostic.related(open.clone(), "this has not been closed").into()
            }
            _ => diagnostic.into(),
        }
    }

    fn within_statement(&self) -> bool {
        let goes_on = |token: &Token| matches!(token.kind, Kind::Sign("," | "|" | "->"));
        let mut before = self.tokens[..self.at].iter().rev().skip_while(|token| token.kind == Kind::Newline);
        !self.open.is_empty() || before.next().is_some_and(goes_on)
    }
}

/// Whether a word begins lines that are no steps.
fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "process" | "thread" | "race" | "clause" | "driver" | "requires" | "without" | "unconfirmed"
    )
}

/// Words as an author is to be told of them: "`a`, `b` or `c`".
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// A word that may be of any length, as it is shown in a message.
pub(super) fn shortened(word: &str) -> String {
    const SHOWN: usize = 70;
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}
