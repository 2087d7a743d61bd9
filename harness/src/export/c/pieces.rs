//! The parts of an exported program that are the same in all of them. Of these it has what it uses.

use std::collections::BTreeSet;

/// The parts, each after a line with the words that it is for.
const PARTS: &str = include_str!("runtime.c");

struct Piece {
    words: Vec<&'static str>,
    text: &'static str,
    /// It is in every program.
    is_needed: bool,
}

/// The whole program: what the script is made of (`head`) in its place among the parts that are needed, and what is done
/// (`body`) behind them.
pub(super) fn assemble(head: &str, body: &str) -> String {
    let mut pieces: Vec<Piece> = PARTS
        .split("//@ ")
        .skip(1)
        .map(|part| {
            let (words, text) = part.split_once('\n').unwrap_or((part, ""));
            let words: Vec<&str> = words.split(' ').collect();
            let is_needed = words.iter().any(|word| ["always", "head"].contains(word));
            Piece { words, text, is_needed }
        })
        .collect();
    let mut used = words(head);
    used.extend(words(body));
    pieces.iter().filter(|piece| piece.is_needed).for_each(|piece| used.extend(words(piece.text)));
    while let Some(piece) = pieces
        .iter_mut()
        .find(|piece| !piece.is_needed && piece.words.iter().any(|word| used.contains(*word)))
    {
        piece.is_needed = true;
        used.extend(words(piece.text));
    }
    let mut text = String::new();
    for piece in pieces.iter().filter(|piece| piece.is_needed) {
        text.push_str(if piece.words == ["head"] { head } else { piece.text });
    }
    text.push_str(body);
    text
}

/// The words of a program that mean something to the compiler.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|character| {
                    let ends = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |end| end + 2)
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                let is_outside = |character: char| !character.is_ascii_alphanumeric() && character != '_';
                let end = rest.find(is_outside).unwrap_or(rest.len());
                words.insert(rest[..end].to_owned());
                end
            }
            other => other.len_utf8(),
        };
        rest = &rest[length..];
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_comments_and_strings_mean_nothing() {
        let found = words("/* put */ int a = f(\"put \\\" put\"); put_1");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "f", "int", "put_1"]);
    }

    #[test]
    fn a_program_has_what_it_uses_and_no_more() {
        let program = assemble("HEAD\n", "put_node(1, 2, 3);\n");
        let place = |text: &str| program.find(text);
        assert!(place("static void put(").unwrap() < place("static void put_node(").unwrap());
        assert!(place("HEAD").unwrap() < place("static void put(").unwrap());
        assert_eq!(place("static void put_handle_cookie("), None);
    }
}
