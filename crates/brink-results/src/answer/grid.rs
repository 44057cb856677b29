//! A small table: heads, rows of cells, notes below. One value for the text answer and for the report.
//!
//! Lays out cells. Must not compute figures.

use maud::{Markup, html};

use crate::answer::wrap;

const GAP: &str = "  ";

/// A table with what is said above and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// What it shows; empty for none.
    pub title: String,
    /// One for each column. The first is of words.
    pub heads: Vec<String>,
    /// Cells, as many as heads.
    pub rows: Vec<Vec<String>>,
    /// Whether the last column, too, is of words.
    pub last_is_words: bool,
    /// What the heads stand for, and what must be known of the figures.
    pub notes: Vec<String>,
}

impl Grid {
    /// Aligned text of lines that end with a newline, at most [`wrap::COLUMNS`] columns wide as far as the figures
    /// allow: a first cell that is too long has a line of its own.
    #[must_use]
    pub fn text(&self) -> String {
        let width = |i: usize| {
            let cells = self.rows.iter().map(|row| row[i].chars().count());
            cells.chain([self.heads[i].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let figures: usize = widths.iter().skip(1).map(|w| w + GAP.len()).sum();
        let room = wrap::COLUMNS.saturating_sub(figures).max(self.heads[0].chars().count());
        let first = widths[0].min(room);
        let mut out = String::new();
        for line in self.title_lines() {
            push(&mut out, &line);
        }
        for row in std::iter::once(&self.heads).chain(&self.rows) {
            let mut name = row[0].as_str();
            if name.chars().count() > first {
                push(&mut out, name);
                name = "";
            }
            let mut line = format!("{name:<first$}");
            for (i, cell) in row.iter().enumerate().skip(1) {
                let width = widths[i];
                line.push_str(GAP);
                if self.last_is_words && i + 1 == row.len() {
                    line.push_str(cell);
                } else {
                    line.push_str(&format!("{cell:>width$}"));
                }
            }
            push(&mut out, line.trim_end());
        }
        for line in self.notes.iter().flat_map(|note| wrap::lines(note, 0)) {
            push(&mut out, &line);
        }
        out
    }

    /// Without its last column, if that is of words and has none.
    #[must_use]
    pub fn without_empty_last(mut self) -> Self {
        let last = self.heads.len().saturating_sub(1);
        if self.last_is_words && last > 0 && self.rows.iter().all(|row| row[last].is_empty()) {
            self.heads.truncate(last);
            self.rows.iter_mut().for_each(|row| row.truncate(last));
            self.last_is_words = false;
        }
        self
    }

    fn title_lines(&self) -> Vec<String> {
        if self.title.is_empty() { Vec::new() } else { wrap::lines(&self.title, 0) }
    }

    /// The table as HTML, without its title.
    #[must_use]
    pub fn html(&self) -> Markup {
        let is_words = |i: usize| i == 0 || (self.last_is_words && i + 1 == self.heads.len());
        let class = |i: usize| if is_words(i) { "k" } else { "n" };
        html! {
            div.box { table {
                thead { tr { @for (i, head) in self.heads.iter().enumerate() { th class=(class(i)) { (head) } } } }
                tbody { @for row in &self.rows { tr {
                    @for (i, cell) in row.iter().enumerate() { td class=(class(i)) { (cell) } }
                } } }
            } }
            @if !self.notes.is_empty() { p.sub { (self.notes.join(" ")) } }
        }
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// Words as cells or heads.
pub(crate) fn cells<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_has_a_line_of_its_own() {
        let long = "n".repeat(90);
        let grid = Grid {
            title: "t".to_owned(),
            heads: cells(["name", "count", "verdict"]),
            rows: vec![cells(["a", "1", "failed"]), vec![long.clone(), "12,345".to_owned(), String::new()]],
            last_is_words: true,
            notes: vec!["n ".repeat(80)],
        };
        let text = grid.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "t");
        assert!(lines[1].starts_with("name") && lines[1].ends_with("   count  verdict"), "{text}");
        assert_eq!(lines[3], long);
        assert!(lines[4].ends_with("  12,345") && lines[4].starts_with("   "), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= wrap::COLUMNS), "{text}");
    }
}
