//! Memory that is to stay available, on the machine of either end and in the client's control group. Must not open or
//! close anything: it says when there is enough.

use std::sync::{Arc, Mutex};

use brink_results::schema::End;

use crate::ends::{Look, lock};

/// Of the machine's memory, where no floor was named; and at least so many bytes.
const SHARE_OF_MACHINE: u64 = 16;
const BYTES_MIN: u64 = 256 << 20;
/// Of a control group's limit.
const SHARE_OF_GROUP: u64 = 8;

/// See the module. Clones share what they met.
#[derive(Debug, Clone)]
pub struct Floor {
    bytes: u64,
    met: Arc<Mutex<Option<Met>>>,
}

/// Where memory ran low.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// Whose.
    pub end: End,
    /// Connections that were open then.
    pub at_connections: u64,
}

impl Floor {
    /// A floor as asked, or one that suits the machine.
    pub fn new(asked: Option<u64>, memory_bytes: Option<u64>) -> Self {
        let suitable = memory_bytes.map_or(0, |bytes| bytes / SHARE_OF_MACHINE).max(BYTES_MIN);
        Self { bytes: asked.unwrap_or(suitable), met: Arc::default() }
    }

    /// In bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it was met, if it was.
    pub fn met(&self) -> Option<Met> {
        *lock(&self.met)
    }

    /// Whether an end's memory is at the floor now, with so many connections open.
    pub fn is_met(&self, look: &Look, live: u64) -> bool {
        let is_low = |usage: Option<u64>| usage.is_some_and(|available| available < self.bytes);
        let target = look.target_machine.as_ref().and_then(|machine| machine.usage.available_bytes);
        let end = match () {
            () if is_low(look.machine.usage.available_bytes) || self.is_group_low() => End::Client,
            () if is_low(target) => End::Target,
            () => return false,
        };
        lock(&self.met).get_or_insert(Met { end, at_connections: live });
        true
    }

    /// Whether the client's own control groups have little left: less than the floor, and less than a part of the
    /// limit, so that a small group can be filled, too.
    fn is_group_low(&self) -> bool {
        let reading = brink_host::limits::read_one("cgroup.memory.max", std::process::id());
        let Some((value, used)) = reading.and_then(|reading| reading.value.zip(reading.used)) else {
            return false;
        };
        value.saturating_sub(used) < self.bytes.min(value / SHARE_OF_GROUP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brink_results::schema::MachineSample;
    use brink_wire::control::MachineUsage;

    fn machine(available_bytes: u64) -> MachineSample {
        let usage = MachineUsage { available_bytes: Some(available_bytes), ..MachineUsage::default() };
        MachineSample { usage, ..MachineSample::default() }
    }

    #[test]
    fn the_first_end_that_runs_low_is_told() {
        let floor = Floor::new(Some(100), None);
        let look = |client, target| Look {
            machine: machine(client),
            target_machine: Some(machine(target)),
            ..Look::default()
        };
        assert!(!floor.is_met(&look(100, 100), 5) && floor.met().is_none());
        assert!(floor.is_met(&look(100, 99), 7));
        assert!(floor.is_met(&look(99, 99), 9));
        assert_eq!(floor.met(), Some(Met { end: End::Target, at_connections: 7 }));
        assert!(!Floor::new(Some(100), None).is_met(&Look::default(), 5), "not known is not low");
    }

    #[test]
    fn a_floor_suits_the_machine() {
        assert_eq!(Floor::new(None, Some(64 << 30)).bytes(), 4 << 30);
        assert_eq!(Floor::new(None, Some(1 << 30)).bytes(), BYTES_MIN);
        assert_eq!(Floor::new(None, None).bytes(), BYTES_MIN);
        assert_eq!(Floor::new(Some(0), Some(1)).bytes(), 0);
    }
}
