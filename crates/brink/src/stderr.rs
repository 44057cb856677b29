//! Lines for people on stderr. A stderr that is full or gone must not end a run: what is
//! measured counts, not who watches.

use std::io::Write;

/// Writes one line.
pub fn say(line: &str) {
    let _nobody_reads = writeln!(std::io::stderr(), "{line}");
}
