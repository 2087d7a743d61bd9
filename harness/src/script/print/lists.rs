//! Printing lists: items with a sign between them, fields in braces, alternatives.

use super::layout::Statement;

/// Items with a sign between them.
pub(super) fn separated<T>(
    statement: &mut Statement,
    sign: &str,
    items: &[T],
    mut item: impl FnMut(&mut Statement, &T),
) {
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            if sign != "," {
                statement.put(" ");
            }
            statement.separate(sign);
        }
        item(statement, value);
    }
}

/// Fields in braces. Without any field there are no braces either.
pub(super) struct Braces<'s> {
    statement: &'s mut Statement,
    empty: bool,
}

impl<'s> Braces<'s> {
    pub(super) fn new(statement: &'s mut Statement) -> Braces<'s> {
        Braces { statement, empty: true }
    }

    /// The statement, ready for the value of this field.
    pub(super) fn field(&mut self, name: &str) -> &mut Statement {
        if self.empty {
            self.statement.open(" { ");
        } else {
            self.statement.separate(",");
        }
        self.empty = false;
        self.statement.put(name);
        self.statement.put(" ");
        self.statement
    }

    /// A field with a value, if there is one.
    pub(super) fn put<T>(&mut self, name: &str, value: Option<T>, put: impl FnOnce(&mut Statement, T)) {
        if let Some(value) = value {
            put(self.field(name), value);
        }
    }

    pub(super) fn close(self) {
        if !self.empty {
            self.statement.close(" }");
        }
    }
}

/// `any of { … | … }`
pub(super) fn choice_of<T>(
    statement: &mut Statement,
    words: &str,
    choice: &[T],
    item: impl Fn(&mut Statement, &T),
) {
    statement.put(words);
    statement.open(" { ");
    separated(statement, "|", choice, |statement, alternative| {
        // Lines are broken between alternatives rather than within them.
        statement.open("");
        item(statement, alternative);
        statement.close("");
    });
    statement.close(" }");
}
