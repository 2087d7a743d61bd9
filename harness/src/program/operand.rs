//! Operands: how programs name handles, objects, buffers and cookies.

use std::borrow::Borrow;
use std::fmt;

use compact_str::CompactString;

pub use reference_driver::uapi::Errno;

/// A word that the script's author chose: a letter, then letters, digits, `_` and, within it, `-`. A word that
/// the language needs where a name can stand is none: see [`Name::is_reserved`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(CompactString);

impl Name {
    /// The most characters that a name can have.
    pub const LONGEST: usize = 64;

    /// Whether a word means something else wherever a name can stand: `any`, `unmapped`, and the names of
    /// commands and returns.
    pub fn is_reserved(text: &str) -> bool {
        matches!(text, "any" | "unmapped") || text.starts_with("BC_") || text.starts_with("BR_")
    }

    /// The name, if the text is one.
    pub fn new(text: impl Into<CompactString>) -> Option<Name> {
        let text = text.into();
        let mut characters = text.chars();
        let well_formed = characters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            && !text.ends_with('-')
            && text.len() <= Name::LONGEST
            && !Name::is_reserved(&text);
        well_formed.then_some(Name(text))
    }

    /// A letter or a few, and a number behind them.
    pub(crate) fn numbered(letters: &'static str, number: usize) -> Name {
        debug_assert!(Name::new(letters).is_some(), "letters are a name by themselves");
        let mut text = CompactString::new(letters);
        text.push_str(itoa::Buffer::new().format(number));
        Name(text)
    }

    /// Another name, of which it can be seen where it comes from.
    pub(crate) fn another(&self) -> Name {
        // All of its characters are of one byte.
        let kept = self.0.len().min(Name::LONGEST - 2);
        let mut text = CompactString::new(&self.0[..kept]);
        text.push_str("-x");
        Name(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A handle that is given to the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handle {
    /// `0`, `17`: the number itself.
    Number(u32),
    /// `h`: the number that an earlier `handle ?h` found.
    Symbol(Name),
}

/// A handle that must come from the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandlePattern {
    /// `0`, `h`: this one.
    Is(Handle),
    /// `?h`: any, and from here on `h` stands for it.
    Bind(Name),
    /// `_`: any.
    Any,
}

/// A 64-bit number that the process chose and the driver hands back: a cookie, or an object's pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `0x17`: the number itself.
    Number(u64),
    /// `grave`, `foo`: the number that the harness chose for the symbol. The symbol of a cookie is of its own
    /// kind; where an object's pointer or cookie is asked for, the symbol is the object's.
    Symbol(Name),
}

/// A local object as its process and the driver name it: a pointer and a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// `foo`: the local object of this name, with its pointer and its cookie.
    Object(Name),
    /// `{ ptr foo, cookie 0x17 }`: spelt out. A name stands for that object's pointer, or its cookie.
    Explicit {
        /// The pointer.
        pointer: Token,
        /// The cookie.
        cookie: Token,
    },
}

/// An address that a process hands to the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `0x1000`: the address itself.
    Number(u64),
    /// `call`, `call + 8`: a place in the buffer that an earlier `as call` named.
    Buffer {
        /// The buffer.
        buffer: Name,
        /// Bytes from its start.
        offset: u64,
    },
    /// `unmapped`: where the process has no memory.
    Unmapped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_that_mean_nothing_else() {
        let longest = "x".repeat(Name::LONGEST);
        for name in ["a", "w1", "context-manager", "A_b-c", "bytes", "parked", &longest] {
            assert_eq!(Name::new(name).as_ref().map(Name::as_str), Some(name));
        }
        assert_eq!(Name::new("a").map(|name| name.another()), Name::new("a-x"));
        let another = Name::new(longest.as_str()).map(|name| name.another());
        assert_eq!(another.clone(), Name::new(another.as_ref().map_or("", Name::as_str)));
        let too_long = "x".repeat(Name::LONGEST + 1);
        for word in
            ["", "1a", "_", "a-", "-a", "a b", "\u{e4}", "any", "unmapped", "BC_X", "BR_OK", &too_long]
        {
            assert_eq!(Name::new(word), None, "{word}");
        }
    }
}
