//! Whether a worker that has nothing to do sleeps, or stays awake and asks the kernel again and again: waking up takes
//! tens of microseconds of a CPU that has gone to sleep, above all in a virtual machine, and they would be in what is
//! recorded.
//!
//! Must not decide what is due.

use std::time::Duration;

use crate::pacing::nanoseconds;

/// The longest that a turn in vain counts as. One takes a microsecond or two; what is longer was taken by somebody else
/// who had the CPU meanwhile.
const VAIN_NS_MAX: u64 = 10_000;

/// One worker's.
#[derive(Debug)]
pub(super) struct Linger {
    /// How long it stays awake after something happened, and before something is due. 0: not at all.
    linger_ns: u64,
    /// Until when it stays awake after what happened last.
    until_ns: u64,
    /// What was due next when it asked last.
    due_ns: Option<u64>,
    has_events: bool,
    /// When this turn began, if there was nothing to do in it.
    began_ns: Option<u64>,
    /// The same of the turn before, if it did not sleep in that.
    stayed_ns: Option<u64>,
}

impl Linger {
    pub(super) fn new(linger: Duration) -> Self {
        let linger_ns = nanoseconds(linger);
        Self { linger_ns, until_ns: 0, due_ns: None, has_events: false, began_ns: None, stayed_ns: None }
    }

    /// What the kernel had to say.
    pub(super) fn heard(&mut self, has_events: bool) {
        self.has_events = has_events;
    }

    /// A turn begins. Returns how long the one before was, in nanoseconds, if all it did was to ask in vain.
    pub(super) fn begin(&mut self, now_ns: u64) -> u64 {
        if self.linger_ns == 0 {
            return 0;
        }
        let came_due = self.due_ns.is_some_and(|due_ns| due_ns <= now_ns);
        if self.has_events || came_due {
            self.until_ns = now_ns.saturating_add(self.linger_ns);
        }
        let stayed_ns = self.stayed_ns.take().filter(|_| !self.has_events);
        self.began_ns = (!came_due).then_some(now_ns);
        stayed_ns.map_or(0, |stayed_ns| now_ns.saturating_sub(stayed_ns).min(VAIN_NS_MAX))
    }

    /// When to wake up for what is due then.
    pub(super) fn wakes_ns(&self, due_ns: u64) -> u64 {
        due_ns.saturating_sub(self.linger_ns)
    }

    /// The turn ends: whether without sleeping. `due_ns`: what is due next.
    pub(super) fn stays_awake(&mut self, now_ns: u64, due_ns: Option<u64>) -> bool {
        let is_near = due_ns.is_some_and(|due_ns| self.wakes_ns(due_ns) <= now_ns);
        let stays = self.linger_ns > 0 && (now_ns < self.until_ns || is_near);
        self.due_ns = due_ns;
        self.stayed_ns = self.began_ns.take().filter(|_| stays);
        stays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linger(linger_ns: u64) -> Linger {
        Linger::new(Duration::from_nanos(linger_ns))
    }

    #[test]
    fn it_stays_awake_after_what_happened_and_before_what_is_due() {
        let mut linger = linger(100);
        assert_eq!((linger.begin(1_000), linger.stays_awake(1_000, None)), (0, false), "nothing happened");
        linger.heard(true);
        linger.begin(2_000);
        assert!(linger.stays_awake(2_000, None) && linger.stays_awake(2_099, None));
        assert!(!linger.stays_awake(2_100, None));
        assert!(!linger.stays_awake(2_500, Some(2_700)) && linger.stays_awake(2_600, Some(2_700)));
        assert_eq!(linger.wakes_ns(2_700), 2_600);
        linger.heard(false);
        linger.begin(2_700);
        assert!(linger.stays_awake(2_799, Some(9_000)), "it came due at 2,700: there may be an answer soon");
        assert!(!linger.stays_awake(2_800, Some(9_000)));
    }

    #[test]
    fn a_turn_is_in_vain_where_nothing_was_heard_and_nothing_due() {
        let mut linger = linger(100_000);
        let mut turn = |has_events, now_ns, due_ns| {
            linger.heard(has_events);
            let vain_ns = linger.begin(now_ns);
            assert!(linger.stays_awake(now_ns + 1, due_ns));
            vain_ns
        };
        assert_eq!(turn(true, 100, None), 0, "the first");
        assert_eq!(turn(false, 140, None), 40);
        assert_eq!(turn(true, 190, Some(200)), 0, "that was worth it");
        assert_eq!(turn(false, 205, Some(9_000)), 15, "it waited for what is due");
        assert_eq!(turn(false, 305, Some(9_000)), 0, "what was due was done");
        assert_eq!(turn(false, 405, Some(9_000)), 100);
        assert_eq!(turn(false, 90_000, None), VAIN_NS_MAX, "somebody else had the CPU");
        linger.heard(false);
        linger.begin(400_000);
        assert!(!linger.stays_awake(400_000, None));
        assert_eq!(linger.begin(900_000), 0, "it slept");
    }

    #[test]
    fn without_it_nothing_changes() {
        let mut linger = linger(0);
        linger.heard(true);
        assert_eq!(
            (linger.begin(100), linger.stays_awake(100, Some(100)), linger.wakes_ns(500)),
            (0, false, 500)
        );
    }
}
