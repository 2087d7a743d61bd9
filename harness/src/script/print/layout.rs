//! The layout of a statement: it stands on one line if that is short enough, and is broken behind commas if not.

/// Columns that a line has, comments at its end aside.
const WIDTH: usize = 110;
/// Columns by which each open bracket indents what is broken.
const STEP: usize = 2;

/// The text of a statement, with the places at which it may be broken.
#[derive(Default)]
pub(super) struct Statement {
    /// Pieces of text between which there is a blank, or the end of a line, and how many brackets are open
    /// where each begins.
    pieces: Vec<(String, usize)>,
    open: usize,
    may_break: bool,
}

impl Statement {
    /// Adds text behind which a line does not end.
    pub(super) fn put(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some((piece, _)) if !self.may_break => piece.push_str(text),
            _ => self.pieces.push((text.to_owned(), self.open)),
        }
        self.may_break = false;
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

    /// The statement on one line.
    pub(super) fn line(self) -> String {
        let pieces: Vec<String> = self.pieces.into_iter().map(|(piece, _)| piece).collect();
        pieces.join(" ")
    }

    /// The lines of the statement, the broken ones indented by so many columns and more.
    pub(super) fn lines(self, indentation: usize) -> String {
        let mut text = String::new();
        let mut column = 0;
        for (piece, open) in self.pieces {
            let length = piece.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                let indentation = indentation + open * STEP;
                text.push('\n');
                text.extend(std::iter::repeat_n(' ', indentation));
                column = indentation;
            } else if column > 0 {
                text.push(' ');
                column += 1;
            }
            text.push_str(&piece);
            column += length;
        }
        text
    }
}
