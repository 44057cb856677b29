//! Bounds that a target sets itself. No file of the kernel shows them: the target tells, or whoever
//! started it knows. They are rows so that preflight, attribution and advice treat them like all others.

use super::{Binds, Figures, Group, Limit, LimitReading, Scope, Symptom};
use crate::proc_tree::ProcTree;

pub(super) const MAX_CONNECTIONS: &str = "target.max_connections";
pub(super) const POOL_WORKERS: &str = "target.pool_workers";
pub(super) const BACKLOG: &str = "target.backlog";

const SOURCE: &str = "the target itself";

pub(super) const MAX_CONNECTIONS_ROW: Limit = Limit {
    name: MAX_CONNECTIONS,
    unit: "connections",
    binds: Binds::Target,
    scope: Scope::Shared,
    group: Group::Target,
    summary: "connections that the target accepts in all; it refuses more, cleanly",
    read: untold,
    need: |need| Some(need.connections),
    symptoms: &[Symptom::proves("*", "max_connections")],
    fix: |lift| format!("start the target with `--max-connections {}`, or without it", lift.to),
    lasting: |lift| format!("`--max-connections {}` in what starts the target", lift.to),
};

pub(super) const POOL_WORKERS_ROW: Limit = Limit {
    name: POOL_WORKERS,
    unit: "connections",
    binds: Binds::Target,
    scope: Scope::Shared,
    group: Group::Target,
    summary: "connections that a pool serves at once, over all its processes; the rest wait until one closes",
    read: untold,
    need: |need| Some(need.connections),
    // Nothing is refused: a connection opens and is never answered. See classify.
    symptoms: &[],
    fix: |lift| format!("give the target {} workers in all (`--threads`)", lift.to),
    lasting: |lift| format!("{} workers in what starts the target (`--threads`)", lift.to),
};

pub(super) const BACKLOG_ROW: Limit = Limit {
    name: BACKLOG,
    unit: "connections",
    binds: Binds::Target,
    scope: Scope::Process,
    group: Group::Target,
    summary: "connections that wait to be accepted, as the target asked of listen(2); net.core.somaxconn cuts it",
    read: untold,
    need: |_| None,
    // Seen through counters: ListenOverflows beside a connect that times out.
    symptoms: &[],
    fix: |lift| format!("start the target with `--backlog {}`", lift.to),
    lasting: |lift| format!("`--backlog {}` in what starts the target", lift.to),
};

fn untold(_: &ProcTree) -> Figures {
    Figures::unknown(SOURCE, "the target has not said")
}

/// What a target bounds by itself, all its processes together. `None`: no such bound; of the rest, not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnBounds {
    /// Connections that it accepts.
    pub connections_max: Option<u64>,
    /// Connections that it serves at once: workers of a pool.
    pub pool_workers: Option<u64>,
    /// Asked of listen(2).
    pub backlog: Option<u64>,
    /// Connections open now.
    pub live: Option<u64>,
    /// Connections that wait to be accepted now.
    pub accept_queue: Option<u64>,
}

/// The readings with the rows of [`OwnBounds`] in place of what was there; other rows stay as they are.
#[must_use]
pub fn with_own_bounds(mut readings: Vec<LimitReading>, bounds: &OwnBounds) -> Vec<LimitReading> {
    for (name, value, used) in [
        (MAX_CONNECTIONS, bounds.connections_max, bounds.live),
        (POOL_WORKERS, bounds.pool_workers, bounds.live),
        (BACKLOG, bounds.backlog, bounds.accept_queue),
    ] {
        let (name, source) = (name.to_owned(), SOURCE.to_owned());
        let unbounded =
            if name == BACKLOG { "the target has not said" } else { "no limit of the target's own" };
        let note = value.is_none().then(|| unbounded.to_owned());
        let reading = LimitReading { name, value, hard: None, used, source, note };
        match readings.iter_mut().find(|one| one.name == reading.name) {
            Some(one) => *one = reading,
            None => readings.push(reading),
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{End, LIMITS, Need, predict, read};

    #[test]
    fn what_a_target_says_takes_the_place_of_what_was_unknown() {
        let bounds = OwnBounds {
            connections_max: Some(50),
            pool_workers: Some(8),
            live: Some(3),
            ..OwnBounds::default()
        };
        for readings in
            [with_own_bounds(read(std::process::id()), &bounds), with_own_bounds(Vec::new(), &bounds)]
        {
            let find = |name| readings.iter().find(|reading| reading.name == name).unwrap();
            assert_eq!((find(MAX_CONNECTIONS).value, find(MAX_CONNECTIONS).used), (Some(50), Some(3)));
            assert!(find(BACKLOG).value.is_none() && find(BACKLOG).note.is_some());
            assert!(readings.len() == LIMITS.len() || readings.len() == 3);
        }
    }

    #[test]
    fn own_bounds_are_predicted_like_any_other() {
        let bounds = OwnBounds { pool_workers: Some(8), live: Some(3), ..OwnBounds::default() };
        let readings = with_own_bounds(Vec::new(), &bounds);
        let need = Need { connections: 20, ..Need::default() };
        let got = predict(&readings, End::Target, &need);
        assert_eq!((got[0].limit, got[0].connections_max, got[0].needed), (POOL_WORKERS, 5, 23));
        assert!(got[0].fix.as_ref().unwrap().contains("23 workers"));
        assert!(predict(&readings, End::Client, &need).is_empty());
    }
}
