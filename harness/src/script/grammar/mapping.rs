//! The grammar of mappings: `4K at 0x300000000000`.

use strum::IntoEnumIterator;

use super::super::cursor::{Cursor, Parsed};
use super::super::diagnostics::Diagnostic;
use super::operand::{integer, size};
use crate::program::{PLACES, Pages, Place, Protection};

/// `0x300000000000`: where a mapping is to begin.
pub(super) fn place(cursor: &mut Cursor<'_>) -> Parsed<Place> {
    let number = integer::<u64>(cursor, "the address of a page", false)?;
    Place::new(number.value).ok_or_else(|| {
        let message = format!("`{:#x}` is no address for a mapping", number.value);
        Diagnostic::error(message, number.span, format!("expected the address of a page {}", places())).into()
    })
}

/// `4K at 0x300000000000`
pub(super) fn pages(cursor: &mut Cursor<'_>) -> Parsed<Pages> {
    let span = cursor.peek().span.clone();
    let size = size(cursor, "a number of bytes")?;
    cursor.expect_word("at")?;
    let place = place(cursor)?;
    Pages::new(place, size).ok_or_else(|| {
        let message = format!("{size} bytes at {:#x} are no pages for a mapping", place.address());
        Diagnostic::error(message, span, format!("expected one page of 4K or several, {}", places())).into()
    })
}

/// `none`, `read`, `write`
pub(super) fn protection(cursor: &mut Cursor<'_>) -> Parsed<Protection> {
    let known: Vec<(&'static str, Protection)> =
        Protection::iter().map(|protection| (protection.into(), protection)).collect();
    Ok(cursor.known_word("protection", &known)?.value)
}

fn places() -> String {
    format!("from {:#x} to {:#x}", PLACES.start, PLACES.end)
}
