//! The limits, and what a plan needs of them, as one JSON object. Additive: fields come, none goes.

use brink_host::limits::{Binds, Limit, LimitReading};
use brink_results::schema::{
    BoundEnd, End, EndTold, LIMITS_SCHEMA, LimitState, LimitTold, LimitsTold, NotReckoned, PlanTold,
    Reckoning,
};

use super::Seen;
use super::plan::Fit;
use crate::exit::Failure;
use crate::preflight::{Known, Reckoned, Unknown, known};

/// Everything.
///
/// # Errors
/// A failure when it is not to be written as JSON.
pub fn all(seen: &Seen, fit: Option<&Fit>) -> Result<String, Failure> {
    let whole = LimitsTold {
        schema: LIMITS_SCHEMA.to_owned(),
        client: rows(&seen.client, seen.end_here()),
        target: seen.target.as_ref().map(|target| rows(&target.limits, Some(End::Target))),
        plan: fit.map(plan),
    };
    let json = serde_json::to_string(&whole).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(format!("{json}\n"))
}

fn rows(readings: &[LimitReading], end: Option<End>) -> Vec<LimitTold> {
    super::rows_of(readings, end).map(|(row, reading)| of(row, reading)).collect()
}

fn of(row: &Limit, reading: &LimitReading) -> LimitTold {
    let (state, why) = match known(row, reading) {
        Known::Value(_) => (LimitState::Value, None),
        Known::NoLimit(why) => (LimitState::NoLimit, Some(why.to_owned())),
        Known::Unknown(why) => (LimitState::Unknown, Some(why.to_owned())),
    };
    LimitTold {
        name: row.name.to_owned(),
        group: row.group.name().to_owned(),
        unit: row.unit.to_owned(),
        binds: match row.binds {
            Binds::Client => BoundEnd::Client,
            Binds::Target => BoundEnd::Target,
            Binds::Both => BoundEnd::Both,
        },
        state,
        why,
        value: reading.value,
        hard: reading.hard,
        used: reading.used,
        headroom: row.headroom(reading),
        source: reading.source.clone(),
        note: reading.note.clone(),
        summary: row.summary.to_owned(),
    }
}

fn plan(fit: &Fit) -> PlanTold {
    let (target, load) = (&fit.case.target, &fit.case.load);
    let ends = [End::Target, End::Client].map(|end| EndTold {
        end,
        first: fit.of(end).next().map(reckoned),
        limits: fit.of(end).map(reckoned).collect(),
        unknown: fit.unknown_of(end).map(unknown).collect(),
    });
    PlanTold {
        connections: load.connections,
        model: target.model.clone(),
        processes: target.processes,
        target_threads: target.threads,
        stack_bytes: target.stack_bytes,
        engine: load.engine.clone(),
        threads: load.threads,
        source_ips: load.source_ips.clone(),
        fits: fit.fits(),
        short: fit.forecast.short.clone(),
        ends: ends.to_vec(),
    }
}

fn reckoned(one: &Reckoned) -> Reckoning {
    let prediction = &one.prediction;
    Reckoning {
        name: prediction.limit.to_owned(),
        value: prediction.value,
        used: prediction.used,
        needed: prediction.needed,
        carries_connections: prediction.connections_max,
        short: prediction.short,
        basis: one.basis.name().to_owned(),
        fix: prediction.fix.clone(),
        lasting: prediction.lasting.clone(),
    }
}

fn unknown(one: &Unknown) -> NotReckoned {
    NotReckoned { name: one.limit.to_owned(), why: one.why.clone() }
}
