//! Prometheus' text exposition format, version 0.0.4: what both ends answer to `GET /metrics`, and a strict reader of it
//! for tests. Source: prometheus.io/docs/instrumenting/exposition_formats.
//!
//! Must not know where a figure comes from.

mod check;
mod usage;

use std::fmt::Write;

pub use self::check::check;
pub use self::usage::{machine, process};

/// Content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Name and value of a label; the value may be any text.
pub type Label<'a> = (&'a str, &'a str);

/// What a family of figures is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, until what counts begins anew. Its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The text so far.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// One name with its figures. A family without figures leaves nothing behind.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: String,
    kind: Kind,
    help: &'a str,
    has_begun: bool,
}

/// A cumulative histogram.
#[derive(Debug, Clone, Copy)]
pub struct Buckets<'a> {
    /// Each bound, ascending, with how many were not above it.
    pub below: &'a [(f64, u64)],
    /// How many in all.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Exposition {
    /// Begins a family. Each name once.
    pub fn family<'a>(&'a mut self, name: impl Into<String>, kind: Kind, help: &'a str) -> Family<'a> {
        Family { text: &mut self.text, name: name.into(), kind, help, has_begun: false }
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// One figure. One that is not a number is left out.
    pub fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        if value.is_finite() {
            self.line("", labels, &value.to_string());
        }
    }

    /// One figure, if it is known.
    pub fn known(&mut self, labels: &[Label<'_>], value: Option<f64>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }

    /// One histogram.
    pub fn buckets(&mut self, labels: &[Label<'_>], buckets: &Buckets<'_>) {
        let mut bucket = |bound: &str, count: u64| {
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
            self.line("_bucket", &labels, &count.to_string());
        };
        for (bound, count) in buckets.below {
            bucket(&bound.to_string(), *count);
        }
        bucket("+Inf", buckets.count);
        self.line("_sum", labels, &buckets.sum.to_string());
        self.line("_count", labels, &buckets.count.to_string());
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], value: &str) {
        if !self.has_begun {
            self.has_begun = true;
            let (name, kind, help) = (&self.name, self.kind.name(), escaped(self.help, false));
            push(self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        push(self.text, format_args!("{}{suffix}", self.name));
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            push(self.text, format_args!("{before}{name}=\"{}\"", escaped(value, true)));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        push(self.text, format_args!("{end} {value}\n"));
    }
}

/// Backslashes and line feeds, and in a label's value quotes, are written with a backslash.
fn escaped(text: &str, is_label: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_label { text.replace('"', "\\\"") } else { text }
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String has no way to fail.
    let written = out.write_fmt(line);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_the_format_has_it() {
        let mut out = Exposition::default();
        out.family("brink_nothing_total", Kind::Counter, "Never seen.");
        let mut family = out.family("brink_x_total", Kind::Counter, "With \\ and\nmore.");
        family.sample(&[], 3.0);
        family.sample(&[("case", "a\"b\\c\nd"), ("repeat", "1")], 0.25);
        family.sample(&[("case", "e")], f64::NAN);
        out.family("brink_y", Kind::Gauge, "Y.").known(&[], None);
        let buckets = Buckets { below: &[(0.001, 1), (0.5, 4)], count: 5, sum: 2.5 };
        out.family("brink_z_seconds", Kind::Histogram, "Z.").buckets(&[("a", "b")], &buckets);
        let text = out.into_text();
        let expected = "# HELP brink_x_total With \\\\ and\\nmore.\n\
            # TYPE brink_x_total counter\n\
            brink_x_total 3\n\
            brink_x_total{case=\"a\\\"b\\\\c\\nd\",repeat=\"1\"} 0.25\n\
            # HELP brink_z_seconds Z.\n\
            # TYPE brink_z_seconds histogram\n\
            brink_z_seconds_bucket{a=\"b\",le=\"0.001\"} 1\n\
            brink_z_seconds_bucket{a=\"b\",le=\"0.5\"} 4\n\
            brink_z_seconds_bucket{a=\"b\",le=\"+Inf\"} 5\n\
            brink_z_seconds_sum{a=\"b\"} 2.5\n\
            brink_z_seconds_count{a=\"b\"} 5\n";
        assert_eq!(text, expected);
        check(&text).unwrap();
    }
}
