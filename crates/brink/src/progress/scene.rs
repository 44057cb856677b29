//! What is shown, in words: one line, or a bar and a few lines that fit a terminal. Pure.

use std::time::Duration;

use brink_results::schema::{End, Failure};
use brink_wire::value::{format_bytes, format_count, format_ns};

use super::Snapshot;
use super::left::in_words;

/// Cells of the bar, at most.
const BAR_CELLS: usize = 24;
/// Fewer say nothing: then there is none.
const BAR_CELLS_MIN: usize = 4;
/// Its brackets, and the space after it.
const BESIDE_BAR: usize = 3;
/// Causes that are named, those that were seen most.
const CAUSES: usize = 4;
/// Before what goes on in the next line.
const INDENT: &str = "    ";

/// What is shown at one instant.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// Which case runs, from 1, of how many.
    pub number: usize,
    pub cases: usize,
    /// Its name.
    pub name: String,
    /// How much of all is done, from 0 to 1, as far as that is known.
    pub done: Option<f64>,
    /// How long it takes still, in seconds, as far as that is known.
    pub left_s: Option<f64>,
    /// Since the first case began.
    pub elapsed: Duration,
    /// The running case, once it has said anything.
    pub snapshot: Option<Snapshot>,
}

impl Scene {
    /// In one line.
    pub fn line(&self) -> String {
        let Some(snapshot) = &self.snapshot else { return String::new() };
        let left = self.left_s.map_or(String::new(), |left_s| format!(", {}", in_words(left_s)));
        let causes = causes(&snapshot.failures).map_or(String::new(), |causes| format!(", {causes}"));
        format!(
            "[{}/{}] {} {}, {}, {}{causes}{left}",
            self.number,
            self.cases,
            self.name,
            connections(snapshot),
            requests(snapshot),
            memory(snapshot)
        )
    }

    /// As lines of at most so many characters: a bar, and below it the running case.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let mut lines = vec![self.bar(width)];
        match &self.snapshot {
            None => lines.push(format!("{} starting", self.name)),
            Some(snapshot) => {
                lines.push(format!("{} {}", self.name, connections(snapshot)));
                lines.push(format!("  {}", requests(snapshot)));
                lines.push(format!("  {}", memory(snapshot)));
                lines.extend(causes(&snapshot.failures).map(|causes| format!("  errors: {causes}")));
            }
        }
        lines.iter().flat_map(|line| folded(line, width)).collect()
    }

    /// As many cells as the words leave room for: how long it takes still matters more than the bar.
    fn bar(&self, width: usize) -> String {
        let cases = match self.cases {
            1 => String::new(),
            cases => format!("{}/{cases} cases, ", self.number),
        };
        let elapsed = clock(self.elapsed);
        let left = self.left_s.map_or(String::new(), |left_s| format!(", {}", in_words(left_s)));
        let words = format!("{cases}{elapsed}{left}");
        let cells = BAR_CELLS.min(width.saturating_sub(words.len() + BESIDE_BAR));
        if cells < BAR_CELLS_MIN {
            return words;
        }
        let full = self.done.map_or(0, |done| (done.clamp(0.0, 1.0) * cells as f64) as usize);
        let head = if full < cells && self.done.is_some() { ">" } else { "" };
        let bar = format!("{}{head}", "=".repeat(full));
        format!("[{bar:cells$}] {words}")
    }
}

fn connections(snapshot: &Snapshot) -> String {
    let count = |name: &str, n: u64| match n {
        0 => String::new(),
        n => format!(", {} {name}", format_count(n)),
    };
    let (failed, lost) = (count("failed", snapshot.failed), count("lost", snapshot.lost));
    let rate = match snapshot.connects_per_s.round() as u64 {
        0 => String::new(),
        per_s => format!(", {} connects/s", format_count(per_s)),
    };
    format!(
        "{}: {} of {} connections{rate}{failed}{lost}",
        snapshot.phase,
        format_count(snapshot.live),
        format_count(snapshot.requested)
    )
}

fn requests(snapshot: &Snapshot) -> String {
    let p99 = snapshot.latency_p99_ns.map_or(String::new(), |ns| format!(", p99 {}", format_ns(ns as f64)));
    format!("{} requests/s{p99}", format_count(snapshot.requests_per_s.round() as u64))
}

fn memory(snapshot: &Snapshot) -> String {
    let end = |name: &str, bytes: Option<u64>, threads: Option<u64>| {
        let bytes = bytes.map_or("?".to_owned(), |bytes| format_bytes(bytes as f64));
        let threads = match threads {
            None => String::new(),
            Some(1) => ", 1 thread".to_owned(),
            Some(n) => format!(", {} threads", format_count(n)),
        };
        format!("{name} {bytes}{threads}")
    };
    let client = end("client", snapshot.client_user_bytes, snapshot.client_threads);
    let target = end("target", snapshot.target_user_bytes, snapshot.target_threads);
    format!("{client}; {target}")
}

/// `ECONNREFUSED 12, target EMFILE 3 and 2 more kinds`, most first.
fn causes(failures: &[Failure]) -> Option<String> {
    let mut most: Vec<_> = failures.iter().collect();
    most.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    let name = |failure: &&Failure| {
        let end = if failure.end == End::Target { "target " } else { "" };
        format!("{end}{} {} {}", failure.phase, failure.errno, format_count(failure.count))
    };
    let named: Vec<_> = most.iter().take(CAUSES).map(name).collect();
    let more = match most.len().saturating_sub(CAUSES) {
        0 => String::new(),
        more => format!(" and {more} more kinds"),
    };
    (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
}

/// `1:05`, `1:00:05`
fn clock(elapsed: Duration) -> String {
    let s = elapsed.as_secs();
    match s / 3_600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

/// A line over as many as it takes, broken between words: a figure that is cut is another figure. What is not ASCII
/// counts twice, since it may be as wide; what a terminal would act on is left out.
fn folded(line: &str, width: usize) -> Vec<String> {
    let cells = |c: char| if c.is_ascii() { 1 } else { 2 };
    let indent = if width > 4 * INDENT.len() { INDENT } else { "" };
    let mut lines = vec![String::new()];
    let (mut used, mut is_blank) = (0, true);
    for word in line.split_inclusive(' ') {
        let needs: usize = word.trim_end().chars().map(cells).sum();
        let mut fits = used + needs <= width || is_blank;
        for c in word.chars().filter(|c| !c.is_control()) {
            fits &= used + cells(c) <= width;
            if !fits && c != ' ' && cells(c) + indent.len() <= width {
                lines.push(indent.to_owned());
                (used, is_blank, fits) = (indent.len(), true, true);
            }
            if used + cells(c) <= width {
                used += cells(c);
                is_blank &= c == ' ';
                lines.last_mut().into_iter().for_each(|line| line.push(c));
            }
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        let failure = |end, errno: &str, count| Failure {
            end,
            phase: "accept".to_owned(),
            errno: errno.to_owned(),
            count,
            first_at_connections: 0,
        };
        let snapshot = Snapshot {
            phase: "window".into(),
            requested: 10_000,
            live: 9_990,
            failed: 10,
            requests_per_s: 9_812.4,
            connects_per_s: 17.2,
            latency_p99_ns: Some(1_234_567),
            client_user_bytes: Some(1 << 20),
            client_threads: Some(1),
            failures: vec![failure(End::Client, "ETIMEDOUT", 2), failure(End::Target, "EMFILE", 12)],
            ..Snapshot::default()
        };
        Scene {
            number: 3,
            cases: 12,
            name: "threads-c10000-r1".to_owned(),
            done: Some(0.25),
            left_s: Some(170.0),
            elapsed: Duration::from_secs(65),
            snapshot: Some(snapshot),
        }
    }

    #[test]
    fn a_line_says_what_matters_and_marks_the_unknown() {
        assert_eq!(
            scene().line(),
            "[3/12] threads-c10000-r1 window: 9,990 of 10,000 connections, 17 connects/s, 10 failed, 9,812 \
             requests/s, p99 1.23 ms, client 1 MiB, 1 thread; target ?, target accept EMFILE 12, accept ETIMEDOUT 2, \
             about 3 min left"
        );
    }

    #[test]
    fn a_terminal_has_a_bar_and_the_case_below() {
        let lines = scene().lines(200);
        assert_eq!(
            lines,
            [
                "[======>                 ] 3/12 cases, 1:05, about 3 min left",
                "threads-c10000-r1 window: 9,990 of 10,000 connections, 17 connects/s, 10 failed",
                "  9,812 requests/s, p99 1.23 ms",
                "  client 1 MiB, 1 thread; target ?",
                "  errors: target accept EMFILE 12, accept ETIMEDOUT 2",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut scene = scene();
        scene.name = "\u{1b}[2Jfähre-日本".to_owned();
        for width in 0..90 {
            for line in scene.lines(width) {
                let cells: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
                assert!(cells <= width && !line.contains('\u{1b}'), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_has_whole_figures_and_the_time_left() {
        for (width, expected) in [
            (
                39,
                "3/12 cases, 1:05, about 3 min left|threads-c10000-r1 window: 9,990 of|    10,000 connections, 17 \
                 connects/s,|    10 failed|  9,812 requests/s, p99 1.23 ms|  client 1 MiB, 1 thread; target ?|  errors: \
                 target accept EMFILE 12,|    accept ETIMEDOUT 2",
            ),
            (
                44,
                "[=>     ] 3/12 cases, 1:05, about 3 min left|threads-c10000-r1 window: 9,990 of 10,000|    \
                 connections, 17 connects/s, 10 failed|  9,812 requests/s, p99 1.23 ms|  client 1 MiB, 1 thread; target \
                 ?|  errors: target accept EMFILE 12, accept|    ETIMEDOUT 2",
            ),
        ] {
            assert_eq!(scene().lines(width).join("|"), expected, "{width}");
        }
        let words = |width| scene().lines(width).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(20).contains("9,990 of 10,000 connections, 17 connects/s, 10 failed"), "{}", words(20));
    }
}
