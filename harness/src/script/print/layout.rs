//! The layout of a statement: it stands on one line if that is short enough, and is broken behind commas if not.

use std::fmt::{self, Write};

/// Columns that a line has, comments at its end aside.
const WIDTH: usize = 110;
/// Columns by which each open bracket indents what is broken.
const STEP: usize = 2;

/// The text of a statement, with the places at which it may be broken.
#[derive(Default)]
pub(crate) struct Statement {
    /// All pieces, one behind the other.
    text: String,
    /// Where in the text each piece begins, and how many brackets are open there. Between pieces there is a blank, or the
    /// end of a line.
    pieces: Vec<(usize, usize)>,
    open: usize,
    may_break: bool,
}

impl Statement {
    /// Adds text behind which a line does not end.
    pub(super) fn put(&mut self, text: &str) {
        self.begin();
        self.text.push_str(text);
    }

    /// The same, formatted.
    pub(super) fn put_formatted(&mut self, text: fmt::Arguments<'_>) {
        self.begin();
        self.text.write_fmt(text).expect("writing to a string cannot fail");
    }

    /// Adds a number in decimal.
    pub(super) fn put_decimal(&mut self, number: impl itoa::Integer) {
        self.put(itoa::Buffer::new().format(number));
    }

    /// Adds a byte as two hexadecimal digits.
    pub(super) fn put_hexadecimal_byte(&mut self, byte: u8) {
        let mut digits = [0; 2];
        hex::encode_to_slice([byte], &mut digits).expect("a byte has two digits");
        self.begin();
        self.text.extend(digits.map(char::from));
    }

    /// Adds text and blanks behind it, to be so many columns wide at least.
    pub(super) fn pad(&mut self, width: usize, put: impl FnOnce(&mut Statement)) {
        let start = self.text.len();
        put(self);
        let columns = self.text[start..].chars().count();
        self.text.extend(std::iter::repeat_n(' ', width.saturating_sub(columns)));
    }

    /// Adds a sign behind which a line may end; a blank otherwise.
    pub(super) fn separate(&mut self, sign: &str) {
        self.put(sign);
        self.may_break = true;
    }

    /// Adds an opening bracket.
    pub(super) fn open(&mut self, bracket: &str) {
        self.put(bracket);
        self.open += 1;
    }

    /// Adds a closing bracket.
    pub(super) fn close(&mut self, bracket: &str) {
        self.put(bracket);
        self.open -= 1;
    }

    /// Whether a bracket is open, so that a line may end anywhere.
    pub(super) fn is_within_brackets(&self) -> bool {
        self.open > 0
    }

    /// Sees to it that there is a piece for what is added next.
    fn begin(&mut self) {
        if self.pieces.is_empty() || self.may_break {
            self.pieces.push((self.text.len(), self.open));
        }
        self.may_break = false;
    }

    /// The statement on one line.
    pub(super) fn line(self) -> String {
        if self.pieces.len() <= 1 {
            return self.text;
        }
        let mut line = String::with_capacity(self.text.len() + self.pieces.len());
        for (index, piece) in self.pieces().enumerate() {
            if index > 0 {
                line.push(' ');
            }
            line.push_str(piece.text);
        }
        line
    }

    /// Adds the lines of the statement to a text, the broken ones indented by so many columns and more. The statement is
    /// empty then.
    pub(super) fn write_lines(&mut self, text: &mut String, indentation: usize) {
        let mut lines = Lines { text, column: 0, indentation };
        // No character is shorter than a byte: most statements are known to fit before their columns are counted.
        if 1 + self.text.len() + self.pieces.len() <= WIDTH {
            self.pieces().for_each(|piece| lines.put(&piece));
        } else {
            lines.fill(&self.pieces().collect::<Vec<_>>());
        }
        self.text.clear();
        self.pieces.clear();
        self.may_break = false;
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let is_ascii = self.text.is_ascii();
        let ends = self.pieces.iter().skip(1).map(|(start, _)| *start).chain([self.text.len()]);
        self.pieces.iter().zip(ends).map(move |((start, open), end)| {
            let text = &self.text[*start..end];
            Piece { text, width: if is_ascii { text.len() } else { text.chars().count() }, open: *open }
        })
    }
}

/// A part of a statement within which no line ends.
struct Piece<'s> {
    text: &'s str,
    /// In columns.
    width: usize,
    /// How many brackets are open where it begins.
    open: usize,
}

struct Lines<'t> {
    text: &'t mut String,
    column: usize,
    indentation: usize,
}

impl Lines<'_> {
    /// Adds pieces. Where they do not fit on a line, they are broken where the fewest brackets are open.
    fn fill(&mut self, pieces: &[Piece<'_>]) {
        let Some(fewest) = pieces.iter().skip(1).map(|piece| piece.open).min() else {
            return pieces.iter().for_each(|piece| self.put(piece));
        };
        let mut rest = pieces;
        while !rest.is_empty() {
            let end = 1 + rest[1..].iter().take_while(|piece| piece.open > fewest).count();
            let (group, others) = rest.split_at(end);
            let width = group.iter().map(|piece| piece.width + 1).sum::<usize>() - 1;
            let begins_line = self.indentation + group[0].open * STEP;
            if self.column + 1 + width <= WIDTH {
                group.iter().for_each(|piece| self.put(piece));
            } else if self.column > begins_line && begins_line + width <= WIDTH {
                self.break_line(begins_line);
                group.iter().for_each(|piece| self.put(piece));
            } else if group.len() == 1 {
                self.put(&group[0]);
            } else {
                self.fill(group);
            }
            rest = others;
        }
    }

    /// Adds one piece, on a line of its own if it does not fit on the last.
    fn put(&mut self, piece: &Piece<'_>) {
        let begins_line = self.indentation + piece.open * STEP;
        if self.column > begins_line && self.column + 1 + piece.width > WIDTH {
            self.break_line(begins_line);
        } else if self.column > 0 && !self.text.ends_with([' ', '\n']) {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(piece.text);
        self.column += piece.width;
    }

    fn break_line(&mut self, indentation: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indentation));
        self.column = indentation;
    }
}
