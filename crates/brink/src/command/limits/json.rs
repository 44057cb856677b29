//! The limits, and what a plan needs of them, as one JSON object. Additive: fields come, none goes.

use brink_host::limits::{Binds, Limit, LimitReading};
use brink_results::schema::End;
use serde_json::{Value, json};

use super::Seen;
use super::plan::Fit;
use crate::preflight::{Known, Reckoned, Unknown, known, name};

/// Everything.
pub fn all(seen: &Seen, fit: Option<&Fit>) -> String {
    let mut whole = json!({
        "schema": "brink.limits/1",
        "client": rows(&seen.client, seen.end_here()),
        "target": seen.target.as_ref().map(|target| rows(&target.limits, Some(End::Target))),
    });
    if let Some(fit) = fit {
        whole["plan"] = plan(fit);
    }
    format!("{whole}\n")
}

fn rows(readings: &[LimitReading], end: Option<End>) -> Vec<Value> {
    super::rows_of(readings, end).map(|(row, reading)| of(row, reading)).collect()
}

fn of(row: &Limit, reading: &LimitReading) -> Value {
    let (state, why) = match known(row, reading) {
        Known::Value(_) => ("value", None),
        Known::NoLimit(why) => ("no_limit", Some(why)),
        Known::Unknown(why) => ("unknown", Some(why)),
    };
    json!({
        "name": row.name,
        "group": row.group.name(),
        "unit": row.unit,
        "binds": match row.binds {
            Binds::Client => "client",
            Binds::Target => "target",
            Binds::Both => "both",
        },
        "state": state,
        "why": why,
        "value": reading.value,
        "hard": reading.hard,
        "used": reading.used,
        "headroom": row.headroom(reading),
        "source": reading.source,
        "note": reading.note,
        "summary": row.summary,
    })
}

fn plan(fit: &Fit) -> Value {
    let (target, load) = (&fit.case.target, &fit.case.load);
    let ends = [End::Target, End::Client].map(|end| {
        json!({
            "end": name(end),
            "first": fit.of(end).next().map(reckoned),
            "limits": fit.of(end).map(reckoned).collect::<Vec<_>>(),
            "unknown": fit.unknown_of(end).map(unknown).collect::<Vec<_>>(),
        })
    });
    json!({
        "connections": load.connections,
        "model": target.model,
        "processes": target.processes,
        "target_threads": target.threads,
        "stack_bytes": target.stack_bytes,
        "engine": load.engine,
        "threads": load.threads,
        "source_ips": load.source_ips,
        "fits": fit.fits(),
        "short": fit.forecast.short,
        "ends": ends,
    })
}

fn reckoned(one: &Reckoned) -> Value {
    let prediction = &one.prediction;
    json!({
        "name": prediction.limit,
        "value": prediction.value,
        "used": prediction.used,
        "needed": prediction.needed,
        "carries_connections": prediction.connections_max,
        "short": prediction.short,
        "basis": one.basis.name(),
        "fix": prediction.fix,
        "lasting": prediction.lasting,
    })
}

fn unknown(one: &Unknown) -> Value {
    json!({ "name": one.limit, "why": one.why })
}
