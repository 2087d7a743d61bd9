//! Inert text: what others wrote, as it stands in pages. It is no HTML, and it neither turns the text around it nor hides in
//! it: characters that nobody sees are spelled out.

use std::fmt::{self, Write};

use askama::filters::{Escaper, Html};

/// Escapes text for pages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inert;

impl Escaper for Inert {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(place) = rest.find(is_unseen) {
            let (plain, odd) = rest.split_at(place);
            Html.write_escaped_str(&mut dest, plain)?;
            let mut letters = odd.chars();
            if let Some(letter) = letters.next() {
                write!(dest, "\\u{{{:x}}}", u32::from(letter))?;
            }
            rest = letters.as_str();
        }
        Html.write_escaped_str(dest, rest)
    }
}

/// Whether a character shows nothing itself, and changes how others are shown.
fn is_unseen(letter: char) -> bool {
    let is_control = letter.is_control() && !matches!(letter, '\n' | '\t' | '\r');
    let turns = matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    is_control || turns || letter == '\u{feff}'
}

/// Text in which what stands between backticks is code, as HTML.
pub(crate) fn prose(text: &str) -> String {
    let mut html = String::new();
    let escape = |html: &mut String, piece: &str| {
        // Writing to memory does not fail.
        let _ = Inert.write_escaped_str(html, piece);
    };
    let mut rest = text;
    while let Some((plain, code, after)) = rest
        .split_once('`')
        .and_then(|(plain, rest)| rest.split_once('`').map(|(code, after)| (plain, code, after)))
    {
        escape(&mut html, plain);
        html.push_str("<code>");
        escape(&mut html, code);
        html.push_str("</code>");
        rest = after;
    }
    escape(&mut html, rest);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_text_around_is_spelled_out() {
        let mut text = String::new();
        Inert.write_escaped_str(&mut text, "a<b\u{202e}c\u{1b}[1m\n\u{e9}").unwrap();
        assert_eq!(text, "a&#60;b\\u{202e}c\\u{1b}[1m\n\u{e9}");
    }

    #[test]
    fn what_stands_between_backticks_is_code_and_still_text() {
        assert_eq!(prose("`--seed 7` repeats"), "<code>--seed 7</code> repeats");
        assert_eq!(prose("one ` alone, and `<b>`"), "one <code> alone, and </code>&#60;b&#62;`");
        assert_eq!(prose("`<script>`"), "<code>&#60;script&#62;</code>");
    }
}
