//! The ceiling of a client that died on the way up, and took what it knew with it. Must not run a way up.

use brink_results::case::{Case, Origin};
use brink_results::schema::{After, CaseResult, Ceiling, StoppedBy};

use super::Floor;
use crate::{options, reach};

/// From what was seen of it before.
pub fn of_dead_client(result: &CaseResult, memory_floor_bytes: Option<u64>) -> Ceiling {
    let floor = Floor::new(memory_floor_bytes, result.facts.client.machine.memory_bytes);
    Ceiling {
        at_connections: result.connections.peak_live,
        stopped_by: StoppedBy::ClientDied,
        stop_at: result.connections.requested,
        memory_floor_bytes: floor.bytes(),
        climbs: Vec::new(),
        held: None,
        after: after_death(&result.case),
    }
}

/// A target that brink had started ended with the client; one that ran before is asked.
fn after_death(case: &Case) -> After {
    let Origin::Address { address, .. } = &case.target.origin else {
        let why = Some("it was started for this, and ended with the client".to_owned());
        return After { alive: Some(false), serving: Some(false), left: None, why };
    };
    let asked = reach::resolve("--target", address).and_then(|at| {
        let options = options::of_case(case, at, None)?;
        brink_client::probe(&options).map_err(|error| error.to_string())
    });
    let is_serving = asked.is_ok();
    After { alive: is_serving.then_some(true), serving: Some(is_serving), left: None, why: asked.err() }
}
