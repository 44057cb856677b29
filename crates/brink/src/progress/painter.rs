//! Lines at the bottom of a terminal that are drawn over again and again, in one write each time. Must not decide what
//! they say.
//!
//! Each line ends with a line feed and none reaches the margin, so that nothing wraps. Where a terminal became narrower,
//! it has folded those that are too long by then (most do: VTE, kitty, tmux, ..): that many rows more are cleared.

use std::io::{self, Write};

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines that fit.
    pub rows: usize,
    /// Characters that fit into one.
    pub columns: usize,
}

/// Of a terminal that does not say.
const USUAL: Size = Size { rows: 24, columns: 80 };

impl Size {
    /// Of the terminal on stderr.
    pub fn of_stderr() -> Self {
        match rustix::termios::tcgetwinsize(io::stderr()) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                Self { rows: size.ws_row.into(), columns: size.ws_col.into() }
            }
            _ => USUAL,
        }
    }
}

/// What is drawn now.
#[derive(Debug, Default)]
pub struct Painter {
    /// Widths of the lines that are on the screen.
    shown: Vec<usize>,
    /// Whether the terminal keeps long lines as they are where it becomes narrower: xterm and screen do.
    cuts: bool,
}

impl Painter {
    /// Nothing is drawn yet.
    pub fn new(cuts: bool) -> Self {
        Self { shown: Vec::new(), cuts }
    }

    /// Draws `lines` in place of those before; what is `said` goes above them and stays.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn draw(
        &mut self,
        said: &[String],
        lines: &[String],
        size: Size,
        to: &mut impl Write,
    ) -> io::Result<()> {
        // One row is the cursor's.
        let fitting = &lines[..lines.len().min(size.rows.saturating_sub(1))];
        let rows = self.rows(size.columns);
        let mut out = up(rows);
        out.push('\r');
        if !said.is_empty() || fitting.len() != rows {
            // Row by row: what is cleared from the top of its screen on tmux keeps, above it.
            out.push_str(&"\u{1b}[2K\r\n".repeat(rows));
            out.push_str(&up(rows));
        }
        for line in said {
            out.push_str(line);
            out.push_str("\u{1b}[K\r\n");
        }
        for line in fitting {
            out.push_str(line);
            out.push_str("\u{1b}[K\r\n");
        }
        out.push_str("\u{1b}[J");
        self.shown = fitting.iter().map(|line| line.chars().count()).collect();
        to.write_all(out.as_bytes())?;
        to.flush()
    }

    /// Rows that the lines take by now.
    fn rows(&self, columns: usize) -> usize {
        let folded = |width: &usize| width.div_ceil(columns.max(1)).max(1);
        if self.cuts { self.shown.len() } else { self.shown.iter().map(folded).sum() }
    }
}

/// To so many rows above.
fn up(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(painter: &mut Painter, said: &[&str], lines: &[&str], columns: usize) -> String {
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let mut out = Vec::new();
        painter.draw(&own(said), &own(lines), Size { rows: 4, columns }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_was_drawn_is_drawn_over_and_nothing_is_left() {
        let mut painter = Painter::new(false);
        assert_eq!(drawn(&mut painter, &[], &["ab", "c"], 80), "\rab\u{1b}[K\r\nc\u{1b}[K\r\n\u{1b}[J");
        let over = drawn(&mut painter, &["said"], &["d"], 80);
        let cleared = "\u{1b}[2A\r\u{1b}[2K\r\n\u{1b}[2K\r\n\u{1b}[2A";
        assert!(over.starts_with(&format!("{cleared}said\u{1b}[K\r\nd")), "{over:?}");
        assert_eq!(drawn(&mut painter, &[], &["e"], 80), "\u{1b}[1A\re\u{1b}[K\r\n\u{1b}[J");
        assert_eq!(drawn(&mut painter, &[], &[], 80), "\u{1b}[1A\r\u{1b}[2K\r\n\u{1b}[1A\u{1b}[J");
        assert_eq!(drawn(&mut painter, &[], &[], 80), "\r\u{1b}[J");
    }

    #[test]
    fn a_terminal_that_became_narrower_has_folded_what_is_too_long() {
        let lines = ["a".repeat(60), String::new(), "b".repeat(20)];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let mut painter = Painter::new(false);
        drawn(&mut painter, &[], &lines, 80);
        assert!(drawn(&mut painter, &[], &lines, 25).starts_with("\u{1b}[5A"), "3 + 1 + 1");
        let mut painter = Painter::new(true);
        drawn(&mut painter, &[], &lines, 80);
        assert!(drawn(&mut painter, &[], &lines, 25).starts_with("\u{1b}[3A"));
    }

    #[test]
    fn a_low_terminal_shows_what_fits() {
        let mut painter = Painter::new(false);
        let out = drawn(&mut painter, &[], &["1", "2", "3", "4", "5"], 80);
        assert_eq!(out.matches("\r\n").count(), 3);
    }
}
