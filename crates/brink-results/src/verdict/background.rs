//! Whether the other load of the target was there as asked: what is measured beside less of it is not what was asked.
//!
//! Pure. Must not look at the figures of the load that is measured.

use brink_wire::value::format_count;

use super::RATE_SHARE_MIN;
use crate::schema::{Background, CaseResult, Verdict};

/// All that was wrong with it, each with how grave it is. `blame` is the verdict for what a limit may explain.
pub(super) fn failed(result: &CaseResult, blame: Verdict) -> Vec<(Verdict, String)> {
    if result.case.load.background.is_none() {
        return Vec::new();
    }
    let Some(seen) = &result.background else {
        // Where nothing was measured there is nothing that it could be missing beside.
        let is_missing = result.requests.window_s > 0.0;
        let why = is_missing.then(|| (Verdict::Failed, "background: it did not run".to_owned()));
        return why.into_iter().collect();
    };
    let faults = seen.faults.iter().map(|fault| (Verdict::Failed, format!("background: {fault}")));
    faults.chain(connections(seen, blame)).chain(requests(seen, blame)).collect()
}

fn connections(seen: &Background, blame: Verdict) -> Vec<(Verdict, String)> {
    let counts = &seen.connections;
    let mut found = Vec::new();
    if counts.opened < counts.requested {
        let (opened, requested) = (format_count(counts.opened), format_count(counts.requested));
        let first = seen.failures.first();
        let why = first.map_or(String::new(), |f| format!(" ({} {})", f.phase, f.errno));
        found.push((blame, format!("background: {opened} of {requested} connections opened{why}")));
    }
    if counts.closed_early > 0 {
        let lost = format_count(counts.closed_early);
        found.push((blame, format!("background: {lost} connections were lost before they were closed")));
    }
    found
}

fn requests(seen: &Background, blame: Verdict) -> Vec<(Verdict, String)> {
    let counts = &seen.requests;
    let mut found = Vec::new();
    if counts.failed > 0 {
        let (failed, intended) = (format_count(counts.failed), format_count(counts.intended));
        found.push((blame, format!("background: {failed} of {intended} requests failed")));
    }
    if counts.not_sent as f64 > (1.0 - RATE_SHARE_MIN) * counts.intended as f64 {
        let (not_sent, due) = (format_count(counts.not_sent), format_count(counts.intended));
        let why =
            format!("background: it did not keep its rate: {not_sent} of {due} requests were never sent");
        found.push((Verdict::Unsteady, why));
    }
    if counts.window_s > 0.0 && counts.intended == 0 && seen.connections.opened > 0 {
        let why = "background: none of its requests was sent within the window".to_owned();
        found.push((Verdict::Valid, why));
    }
    found
}
