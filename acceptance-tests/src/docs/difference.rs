//! What differs between a page and what it should be, as people read it.

use std::path::Path;

/// Lines that surround a difference.
const AROUND: usize = 2;

/// The lines that go and that come, with two around them; empty when there are none.
pub fn between(path: &Path, there: &str, wanted: &str) -> String {
    if there == wanted {
        return String::new();
    }
    let (old, new): (Vec<_>, Vec<_>) = (there.lines().collect(), wanted.lines().collect());
    let same_from = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old.len().min(new.len()) - same_from;
    let same_to = old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).take(rest).count();
    let before = same_from.saturating_sub(AROUND);
    let mut text = format!("--- {}, line {}\n", path.display(), same_from + 1);
    let mut add = |mark: char, lines: &[&str]| {
        for line in lines {
            text.push_str(&format!("{mark}{line}\n"));
        }
    };
    add(' ', &old[before..same_from]);
    add('-', &old[same_from..old.len() - same_to]);
    add('+', &new[same_from..new.len() - same_to]);
    add(' ', &new[new.len() - same_to..(new.len() - same_to + AROUND).min(new.len())]);
    if old == new {
        text.push_str("(the line at the end)\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(there: &str, wanted: &str) -> String {
        between(Path::new("a.md"), there, wanted)
    }

    #[test]
    fn only_what_differs_is_shown_with_its_surroundings() {
        assert_eq!(of("1\n2\n3\n4\n5\n", "1\n2\n3\n4\n5\n"), "");
        assert_eq!(
            of("1\n2\n3\n4\n5\n6\n7\n", "1\n2\n3\nfour\n5\n6\n7\n"),
            "--- a.md, line 4\n 2\n 3\n-4\n+four\n 5\n 6\n"
        );
        assert_eq!(of("", "1\n"), "--- a.md, line 1\n+1\n");
        assert_eq!(of("1\n1\n", "1\n1\n1\n"), "--- a.md, line 3\n 1\n 1\n+1\n");
        assert_eq!(of("1", "1\n"), "--- a.md, line 2\n 1\n(the line at the end)\n");
    }
}
