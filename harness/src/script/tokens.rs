//! Tokens: the words, numbers, strings and signs that a script is made of, each with its place.

use std::fmt;
use std::ops::Range;

use winnow::combinator::{alt, delimited, opt, preceded, repeat, terminated};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, literal, one_of, take_till, take_while};

use super::diagnostics::Diagnostic;

/// A token, and which bytes of the script it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A letter, then letters, digits, `_` and `-`.
    Word,
    /// A digit, perhaps with a `-` before it, then digits, letters and `_`.
    Number,
    /// A string, with its escapes resolved.
    Text(String),
    /// A comment, without the `#` and a blank after it.
    Comment(String),
    /// The words of `unconfirmed:`, to the end of the line.
    Reason(String),
    /// The end of a line.
    Newline,
    /// The end of the script.
    End,
    /// One of the signs in [`SIGNS`].
    Sign(&'static str),
    /// Something that is no token, about which a diagnostic exists.
    Broken,
}

/// The signs; where one begins with another, the longer stands first.
const SIGNS: &[&str] =
    &["><", "->", ">", "<", "!", "=", ",", "|", "{", "}", "[", "]", "(", ")", "?", "_", "+", ":", "."];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Word => f.write_str("word"),
            Kind::Number => f.write_str("number"),
            Kind::Text(_) => f.write_str("string"),
            Kind::Comment(_) => f.write_str("comment"),
            Kind::Reason(_) => f.write_str("reason"),
            Kind::Newline => f.write_str("end of the line"),
            Kind::End => f.write_str("end of the script"),
            Kind::Sign(sign) => write!(f, "`{sign}`"),
            Kind::Broken => f.write_str("token"),
        }
    }
}

type Input<'s> = LocatingSlice<&'s str>;
type Lexed<T> = Result<T, EmptyError>;

/// All tokens of a script, the last of them [`Kind::End`], and what is wrong with those that are broken.
pub(super) fn tokens(source: &str, most_diagnostics: usize) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut input = LocatingSlice::new(source);
    let mut tokens: Vec<Token> = Vec::new();
    let mut diagnostics = Vec::new();
    loop {
        let Ok(()) = blanks(&mut input) else { unreachable!("no blank at all is fine") };
        let wants_reason = matches!(tokens.as_slice(), [.., word, colon]
            if colon.kind == Kind::Sign(":") && &source[word.span.clone()] == "unconfirmed");
        let lexed = if wants_reason {
            reason.with_span().parse_next(&mut input)
        } else {
            token.with_span().parse_next(&mut input)
        };
        // Every character begins some token, if only a broken one: what fails here is the end.
        let Ok((outcome, span)) = lexed else { break };
        let kind = match outcome {
            Ok(kind) => kind,
            Err(Flaw { message, label, place }) => {
                if diagnostics.len() < most_diagnostics {
                    diagnostics.push(Diagnostic::error(message, place.unwrap_or(span.clone()), label));
                }
                Kind::Broken
            }
        };
        tokens.push(Token { kind, span });
    }
    tokens.push(Token { kind: Kind::End, span: source.len()..source.len() });
    (tokens, diagnostics)
}

/// What is wrong with a token.
#[derive(Clone)]
struct Flaw {
    message: String,
    label: String,
    /// Where the flaw is, if not all of the token.
    place: Option<Range<usize>>,
}

fn blanks(input: &mut Input<'_>) -> Lexed<()> {
    take_while(0.., (' ', '\t')).void().parse_next(input)
}

fn token(input: &mut Input<'_>) -> Lexed<Result<Kind, Flaw>> {
    alt((
        word.value(Ok(Kind::Word)),
        number.value(Ok(Kind::Number)),
        alt(("\n", "\r\n")).value(Ok(Kind::Newline)),
        comment,
        string,
        quoted.map(|()| Err(stray('\''))),
        sign.map(|sign| Ok(Kind::Sign(sign))),
        any.map(|character| Err(stray(character))),
    ))
    .parse_next(input)
}

fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A hyphen belongs to a word only if the word goes on behind it, so that `a->` is a word and an arrow.
fn word(input: &mut Input<'_>) -> Lexed<()> {
    let more = (take_while(1.., '-'), take_while(1.., is_word_character));
    (
        one_of(|c: char| c.is_ascii_alphabetic()),
        take_while(0.., is_word_character),
        repeat::<_, _, (), _, _>(0.., more.void()),
    )
        .void()
        .parse_next(input)
}

fn number(input: &mut Input<'_>) -> Lexed<()> {
    (opt('-'), one_of(|c: char| c.is_ascii_digit()), take_while(0.., is_word_character))
        .void()
        .parse_next(input)
}

fn till_line_ending<'s>(input: &mut Input<'s>) -> Lexed<&'s str> {
    take_till(0.., '\n').parse_next(input)
}

fn comment(input: &mut Input<'_>) -> Lexed<Result<Kind, Flaw>> {
    preceded(('#', opt(' ')), till_line_ending)
        .map(|text: &str| printable(text.trim_end()).map(Kind::Comment))
        .parse_next(input)
}

fn reason(input: &mut Input<'_>) -> Lexed<Result<Kind, Flaw>> {
    till_line_ending
        .map(|text: &str| match text.trim() {
            "" => Err(Flaw {
                message: "no reason is given".into(),
                label: "expected why no real kernel has confirmed this yet".into(),
                place: None,
            }),
            reason => printable(reason).map(Kind::Reason),
        })
        .parse_next(input)
}

/// The text, unless it has something in it that would act on a terminal.
fn printable(text: &str) -> Result<String, Flaw> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(control) => Err(stray(control)),
        None => Ok(text.to_owned()),
    }
}

fn sign(input: &mut Input<'_>) -> Lexed<&'static str> {
    let rest: &str = input;
    let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) else { return Err(EmptyError) };
    literal(*sign).value(*sign).parse_next(input)
}

fn stray(character: char) -> Flaw {
    let (message, label) = match character {
        '\r' => ("a carriage return within a line".into(), "lines end in LF or CR LF"),
        '\'' => ("a string stands in double quotes".into(), "expected `\"`"),
        ';' => ("`;` means nothing here".into(), "a statement ends with its line"),
        '\u{feff}' => ("a byte order mark".into(), "save the script without it"),
        c if c.is_control() => {
            (format!("the control character U+{:04X}", c as u32), "not allowed in a script")
        }
        c => (format!("the character `{c}` means nothing here"), "expected a word, a number or a sign"),
    };
    Flaw { message, label: label.into(), place: None }
}

/// A piece of a string: its text, or what is wrong with an escape.
type Piece = Result<char, Flaw>;

fn string(input: &mut Input<'_>) -> Lexed<Result<Kind, Flaw>> {
    let plain = one_of(|c: char| c != '"' && c != '\n')
        .map(|c: char| if c.is_control() && c != '\t' { Err(stray(c)) } else { Ok(c) });
    let piece = alt((escape, plain));
    let pieces = repeat(0.., piece).fold(
        || Ok(String::new()),
        |text: Result<String, Flaw>, piece: Piece| match (text, piece) {
            (Ok(mut text), Ok(character)) => {
                text.push(character);
                Ok(text)
            }
            (Err(flaw), _) | (_, Err(flaw)) => Err(flaw),
        },
    );
    (preceded('"', pieces), opt('"'))
        .map(|(text, quote)| match quote {
            Some(_) => text.map(Kind::Text),
            None => Err(Flaw {
                message: "a string without an end".into(),
                label: "expected `\"` before the end of the line".into(),
                place: None,
            }),
        })
        .parse_next(input)
}

/// A string as other languages write it, which is none here.
fn quoted(input: &mut Input<'_>) -> Lexed<()> {
    ('\'', take_till(0.., ('\'', '\n')), opt('\'')).void().parse_next(input)
}

fn escape(input: &mut Input<'_>) -> Lexed<Piece> {
    let unicode = delimited("{", take_while(1..=6, |c: char| c.is_ascii_hexdigit()), "}");
    let known = alt((
        '"'.value(Some('"')),
        '\\'.value(Some('\\')),
        'n'.value(Some('\n')),
        't'.value(Some('\t')),
        preceded('u', unicode)
            .map(|digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)),
        terminated(take_while(0.., |c: char| c.is_ascii_alphanumeric()), "").value(None),
    ));
    preceded('\\', known)
        .with_span()
        .map(|(character, span)| {
            character.ok_or_else(|| Flaw {
                message: "an unknown escape in a string".into(),
                label: r#"expected `\"`, `\\`, `\n`, `\t` or `\u{…}` with a character's number in hex"#
                    .into(),
                place: Some(span),
            })
        })
        .parse_next(input)
}
