//! Text to lines of a width for a terminal.
//!
//! Counts characters. Must not break a command that is there to be copied.

use crate::answer::failures::{FOR_GOOD, TO_LIFT};

/// Columns of the text answer.
pub const COLUMNS: usize = 100;

/// Breaks text at spaces into lines of at most [`COLUMNS`] columns, of which `taken` are left free on each.
/// A word longer than that has a line of its own. A command after [`TO_LIFT`], and one
/// after [`FOR_GOOD`], begins a line and is not broken.
#[must_use]
pub fn lines(text: &str, taken: usize) -> Vec<String> {
    let width = COLUMNS.saturating_sub(taken);
    let (words, command) = match text.find(TO_LIFT) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let mut lines: Vec<String> = Vec::new();
    for word in glued(words) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    match command.map(|command| (command, command.find(FOR_GOOD))) {
        Some((both, Some(at))) => lines.extend([both[..at].trim_end().to_owned(), both[at..].to_owned()]),
        Some((command, None)) => lines.push(command.to_owned()),
        None => {}
    }
    lines
}

/// Units as `brink_wire::value` writes them after a space.
const UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "ns", "us", "ms", "s"];

/// The words of a text, with a unit as a part of its figure.
fn glued(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let unit = UNITS.contains(&word.trim_end_matches(['.', ',', ';', ':', ')']));
        match words.last_mut() {
            Some(last) if unit && last.ends_with(|c: char| c.is_ascii_digit()) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_full_but_not_too_long() {
        let text = "ab ".repeat(100);
        let broken = lines(&text, 0);
        assert_eq!(broken[0].len(), 98, "33 words and their spaces; one more would be 101");
        assert_eq!(broken.join(" "), text.trim_end());
        assert_eq!(lines(&text, 90)[0], "ab ab ab");
    }

    #[test]
    fn a_figure_keeps_its_unit() {
        let text = format!("{} 1.50 KiB, s", "x".repeat(94));
        assert_eq!(lines(&text, 0)[1], "1.50 KiB, s");
    }

    #[test]
    fn long_words_and_commands_stay_whole() {
        let word = "x".repeat(120);
        assert_eq!(lines(&format!("a {word} b"), 0), ["a", &word, "b"]);
        let both = lines(&format!("Gave way. {TO_LIFT}one {FOR_GOOD}two three"), 0);
        assert_eq!(both, ["Gave way.", "To lift it: one", "For good: two three"]);
        let command = format!("{TO_LIFT}sysctl -w {}", "y ".repeat(80));
        assert_eq!(lines(&format!("Gave way. {command}"), 0), ["Gave way.", &command]);
        assert!(lines("", 0).is_empty());
    }
}
