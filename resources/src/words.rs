//! Numbers of things and sentences, as people say them.

use std::fmt::Display;

/// How many there are: `1 point`, `2 points`.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    if number == N::from(1) { format!("1 {one}") } else { format!("{number} {many}") }
}

/// A text that ends as a sentence does. One that ends with lines to copy stays as it is.
pub fn ended(text: impl Display) -> String {
    let mut text = text.to_string();
    if !text.ends_with(['.', '\n']) {
        text.push('.');
    }
    text
}

/// A text as a sentence of its own.
pub fn sentence(text: impl Display) -> String {
    let text = ended(text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_one_end() {
        let sentences = ["the disk is full", "The disk is full.", "run:\n\n    df\n"].map(sentence);
        assert_eq!(sentences, ["The disk is full.", "The disk is full.", "Run:\n\n    df\n"]);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(
            [0_u64, 1, 2].map(|number| counted(number, "entry", "entries")),
            ["0 entries", "1 entry", "2 entries"]
        );
    }
}
