//! The layout of a statement: it stands on one line if that is short enough, and is broken behind commas if not.

/// Columns that a line has, comments at its end aside.
const WIDTH: usize = 110;
/// Columns by which each open bracket indents what is broken.
const STEP: usize = 2;

/// The text of a statement, with the places at which it may be broken.
#[derive(Default)]
pub(super) struct Statement {
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
        if self.pieces.is_empty() || self.may_break {
            self.pieces.push((self.text.len(), self.open));
        }
        self.text.push_str(text);
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
        let pieces: Vec<&str> = self.pieces().map(|(piece, _)| piece).collect();
        pieces.join(" ")
    }

    /// The lines of the statement, the broken ones indented by so many columns and more.
    pub(super) fn lines(self, indentation: usize) -> String {
        let mut lines = Lines { text: String::new(), column: 0, indentation };
        // No character is shorter than a byte: most statements are known to fit before their columns are counted.
        if 1 + self.text.len() + self.pieces.len() <= WIDTH {
            lines.text.reserve(self.text.len() + self.pieces.len());
            self.pieces().for_each(|piece| lines.put(&piece));
        } else {
            lines.fill(&self.pieces().collect::<Vec<_>>());
        }
        lines.text
    }

    /// The pieces, with how many brackets are open where each begins.
    fn pieces(&self) -> impl Iterator<Item = (&str, usize)> {
        let ends = self.pieces.iter().skip(1).map(|(start, _)| *start).chain([self.text.len()]);
        self.pieces.iter().zip(ends).map(|((start, open), end)| (&self.text[*start..end], *open))
    }
}

struct Lines {
    text: String,
    column: usize,
    indentation: usize,
}

impl Lines {
    /// Adds pieces. Where they do not fit on a line, they are broken where the fewest brackets are open.
    fn fill(&mut self, pieces: &[(&str, usize)]) {
        let Some(fewest) = pieces.iter().skip(1).map(|(_, open)| *open).min() else {
            return pieces.iter().for_each(|piece| self.put(piece));
        };
        let mut rest = pieces;
        while !rest.is_empty() {
            let end = 1 + rest[1..].iter().take_while(|(_, open)| *open > fewest).count();
            let (group, others) = rest.split_at(end);
            let width = group.iter().map(|(piece, _)| piece.chars().count() + 1).sum::<usize>() - 1;
            let begins_line = self.indentation + group[0].1 * STEP;
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
    fn put(&mut self, (piece, open): &(&str, usize)) {
        let width = piece.chars().count();
        let begins_line = self.indentation + open * STEP;
        if self.column > begins_line && self.column + 1 + width > WIDTH {
            self.break_line(begins_line);
        } else if self.column > 0 && !self.text.ends_with([' ', '\n']) {
            self.text.push(' ');
            self.column += 1;
        }
        self.text.push_str(piece);
        self.column += width;
    }

    fn break_line(&mut self, indentation: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indentation));
        self.column = indentation;
    }
}
