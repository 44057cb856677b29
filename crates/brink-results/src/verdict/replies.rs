//! What the replies say against a result: failed requests by kind, and a fixed number that was not reached.
//!
//! Pure. Must not say why the target failed them.

use brink_wire::value::{format_count, format_duration};
use std::time::Duration;

use super::cycle::is_counted;
use crate::case::Protocol;
use crate::schema::{CaseResult, End, Failure, Verdict};

/// All that was wrong with requests and replies, each with how grave it is. `blame` is the verdict for what a
/// limit may explain.
pub(super) fn failed(result: &CaseResult, blame: Verdict) -> Vec<(Verdict, String)> {
    let requests = &result.requests;
    let mut found = Vec::new();
    let otherwise = requests.failed.saturating_sub(requests.non_2xx);
    if requests.non_2xx > 0 {
        let replies = format_count(requests.completed.saturating_add(requests.non_2xx));
        let bad = format_count(requests.non_2xx);
        found.push((blame, format!("{bad} of {replies} replies had a status outside 200..299")));
    }
    if otherwise > 0 {
        let intended = format_count(requests.intended);
        found.push((
            blame,
            format!("{} of {intended} requests in the window failed", format_count(otherwise)),
        ));
    }
    found.extend(mismatches(result).map(|reason| (Verdict::Failed, reason)));
    if requests.window_s <= 0.0 {
        found.push((Verdict::Failed, "it ended before its measuring window".to_owned()));
    } else {
        found.extend(incomplete(result).map(|reason| (Verdict::Failed, reason)));
    }
    found
}

/// Replies with other bytes than there had to be. No limit explains them.
fn mismatches(result: &CaseResult) -> Option<String> {
    let is_mismatch = |f: &&Failure| f.end == End::Client && f.errno == "mismatch";
    let count: u64 = result.failures.iter().filter(is_mismatch).map(|f| f.count).sum();
    let what = match result.case.load.protocol {
        Protocol::Bytes { .. } => "were other bytes than expected",
        Protocol::Frame | Protocol::Http { .. } => "echoed other bytes than were sent",
    };
    (count > 0).then(|| format!("{} replies {what} (mismatch)", format_count(count)))
}

/// Fewer requests than the number that was fixed; `duration_ns` then bounds the time they have.
fn incomplete(result: &CaseResult) -> Option<String> {
    if !is_counted(&result.case) {
        return None;
    }
    let requests = &result.requests;
    let asked = result.case.load.requests.unwrap_or(requests.intended);
    let missing = asked.saturating_sub(requests.completed.saturating_add(requests.failed));
    if missing > 0 {
        let bound = format_duration(Duration::from_nanos(result.case.load.duration_ns));
        let (missing, asked) = (format_count(missing), format_count(asked));
        return Some(format!("{missing} of {asked} requests were not answered; they had {bound}"));
    }
    let untold = requests.failed == 0 && result.makespan_ns.is_none();
    untold.then(|| "makespan_ns: all requests were answered, and how long that took is missing".to_owned())
}
