//! The grammar of operands: numbers, flags, handles, tokens, nodes and addresses.

use std::fmt;

use super::super::cursor::{Cursor, Parsed, Spanned, shortened};
use super::super::diagnostics::{Diagnostic, near_miss};
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use crate::program::{Address, Errno, Handle, HandlePattern, Name, Node, Token};

/// A type of number that can stand in a script.
pub(super) trait Number: TryFrom<i128> {
    /// The least and the greatest of them.
    const RANGE: (i128, i128);
}

macro_rules! numbers {
    ($($type:ty),*) => { $(impl Number for $type {
        const RANGE: (i128, i128) = (<$type>::MIN as i128, <$type>::MAX as i128);
    })* };
}
numbers!(u32, i32, u64, i64);

/// A number of bytes, which may end in K or M.
pub(super) fn size(cursor: &mut Cursor<'_>, what: &str) -> Parsed<u64> {
    Ok(integer(cursor, what, true)?.value)
}

/// A number, decimal or hexadecimal.
pub(super) fn number<T: Number>(cursor: &mut Cursor<'_>, what: &str) -> Parsed<T> {
    Ok(integer(cursor, what, false)?.value)
}

pub(super) fn integer<T: Number>(cursor: &mut Cursor<'_>, what: &str, suffixes: bool) -> Parsed<Spanned<T>> {
    let token = cursor.peek();
    if token.kind != Kind::Number {
        return Err(cursor.expected(what));
    }
    let text = cursor.text(token);
    let span = token.span.clone();
    let value = match read_integer(text, suffixes) {
        Some(value) => value,
        None => {
            let accepted = if suffixes {
                "digits, 0x and hexadecimal digits, or digits and K or M"
            } else {
                "digits, or 0x and hexadecimal digits"
            };
            let message = format!("`{}` is not a number", shortened(text));
            return Err(Diagnostic::error(message, span, format!("expected {what}: {accepted}")).into());
        }
    };
    let (least, greatest) = T::RANGE;
    match value.and_then(|value| T::try_from(value).ok()) {
        Some(value) => {
            cursor.advance();
            Ok(Spanned { value, span })
        }
        None => Err(Diagnostic::error(
            format!("`{}` is out of range", shortened(text)),
            span,
            format!("expected {what} from {least} to {greatest}"),
        )
        .into()),
    }
}

/// The number that a text is: `None` if it is none, and `Some(None)` if it is out of all ranges.
fn read_integer(text: &str, suffixes: bool) -> Option<Option<i128>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (radix, digits, factor) = match (digits.strip_prefix("0x"), digits.chars().last()) {
        (Some(hex), _) => (16, hex, 1),
        (None, Some('K')) if suffixes => (10, &digits[..digits.len() - 1], 1024),
        (None, Some('M')) if suffixes => (10, &digits[..digits.len() - 1], 1024 * 1024),
        (None, _) => (10, digits, 1),
    };
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // Only overflow is left as a reason to fail.
    let value = i128::from_str_radix(&digits, radix).ok().and_then(|value| value.checked_mul(factor));
    Some(value.map(|value| if negative { -value } else { value }))
}

/// `TF_ONE_WAY | 0x80`: flags by name or number.
pub(super) fn flags(cursor: &mut Cursor<'_>, known: &[(&'static str, u32)]) -> Parsed<u32> {
    let mut flags = 0;
    loop {
        let token = cursor.peek();
        if token.kind == Kind::Word {
            flags |= cursor.known_word("flag", known)?.value;
        } else {
            flags |= number::<u32>(cursor, "a flag or a number")?;
        }
        if !cursor.accept_joint() {
            return Ok(flags);
        }
    }
}

/// `foo`: a local object.
pub(super) fn object(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    mentioned(cursor, "the name of an object", MentionKind::Introduces(Meaning::Object))
}

/// A name, of which it is noted what it is there for.
pub(super) fn mentioned(cursor: &mut Cursor<'_>, what: &str, kind: MentionKind) -> Parsed<Name> {
    let name = cursor.name(what)?;
    cursor.mention(kind, &name);
    Ok(name.value)
}

/// `0`, `h`
pub(super) fn handle(cursor: &mut Cursor<'_>) -> Parsed<Handle> {
    if cursor.peek().kind == Kind::Number {
        return Ok(Handle::Number(number(cursor, "a handle")?));
    }
    Ok(Handle::Symbol(mentioned(cursor, "a handle", MentionKind::Uses(Meaning::Handle))?))
}

/// `0`, `h`, `?h`, `_`
pub(super) fn handle_pattern(cursor: &mut Cursor<'_>) -> Parsed<HandlePattern> {
    if cursor.accept("_") {
        return Ok(HandlePattern::Any);
    }
    if cursor.accept("?") {
        let name = mentioned(cursor, "a new name for the handle", MentionKind::Binds(Meaning::Handle))?;
        return Ok(HandlePattern::Bind(name));
    }
    Ok(HandlePattern::Is(handle(cursor)?))
}

/// `0x17`, `grave`
pub(super) fn token(cursor: &mut Cursor<'_>, what: &str, kind: MentionKind) -> Parsed<Token> {
    if cursor.peek().kind == Kind::Number {
        return Ok(Token::Number(number(cursor, what)?));
    }
    Ok(Token::Symbol(mentioned(cursor, what, kind)?))
}

#[derive(Clone, Copy, PartialEq)]
enum NodeField {
    Pointer,
    Cookie,
}

/// `foo`, `{ ptr foo, cookie 0x17 }`
pub(super) fn node(cursor: &mut Cursor<'_>) -> Parsed<Node> {
    if !cursor.is_sign("{") {
        let what = "the name of an object or `{ ptr …, cookie … }`";
        let name = mentioned(cursor, what, MentionKind::Introduces(Meaning::Object))?;
        return Ok(Node::Object(name));
    }
    let start = cursor.peek().span.start;
    let (mut pointer, mut cookie) = (None, None);
    cursor.fields(&[("ptr", NodeField::Pointer), ("cookie", NodeField::Cookie)], |cursor, field| {
        let value = token(cursor, "an object or a number", MentionKind::Introduces(Meaning::Object))?;
        *(match field {
            NodeField::Pointer => &mut pointer,
            NodeField::Cookie => &mut cookie,
        }) = Some(value);
        Ok(())
    })?;
    let pointer = required(cursor, start, "ptr", pointer)?;
    let cookie = required(cursor, start, "cookie", cookie)?;
    Ok(Node::Explicit { pointer, cookie })
}

/// The value of a field that must be there. The braces began at `start` and have just been closed.
pub(super) fn required<T>(
    cursor: &Cursor<'_>,
    start: usize,
    field: impl fmt::Display,
    value: Option<T>,
) -> Parsed<T> {
    value.ok_or_else(|| {
        let span = start..cursor.end_of_previous();
        Diagnostic::error(
            format!("the field `{field}` is missing"),
            span,
            format!("expected `{field} …` here"),
        )
        .into()
    })
}

/// `0x1000`, `call`, `call + 8`, `unmapped`
pub(super) fn address(cursor: &mut Cursor<'_>) -> Parsed<Address> {
    if cursor.peek().kind == Kind::Number {
        return Ok(Address::Number(number(cursor, "an address")?));
    }
    if cursor.accept_word("unmapped") {
        return Ok(Address::Unmapped);
    }
    let what = "a buffer, an address or `unmapped`";
    let buffer = mentioned(cursor, what, MentionKind::Uses(Meaning::Buffer))?;
    let offset = if cursor.accept("+") { size(cursor, "a number of bytes")? } else { 0 };
    Ok(Address::Buffer { buffer, offset })
}

/// `EINVAL`, `errno 7`
pub(super) fn errno(cursor: &mut Cursor<'_>, what: &str) -> Parsed<Errno> {
    let token = cursor.peek();
    let word = cursor.word(what)?;
    if word.value == "errno" {
        let number = integer::<i32>(cursor, "the number of an error", false)?;
        return match number.value {
            1..=4095 => Ok(Errno(number.value)),
            _ => Err(Diagnostic::error(
                "no error has this number",
                number.span,
                "expected the number of an error from 1 to 4095",
            )
            .into()),
        };
    }
    word.value.parse().map_err(|_| {
        let label = match near_miss(word.value, Errno::NAMED.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected {what}"),
        };
        let message = format!("unknown error `{}`", shortened(word.value));
        Diagnostic::error(message, token.span.clone(), label)
            .help("an error without a name here is written by its number: `errno 61`")
            .into()
    })
}
