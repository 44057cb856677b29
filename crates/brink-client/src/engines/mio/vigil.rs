//! Whether a worker that has nothing to do sleeps, or stays awake and asks the kernel again and again: waking up takes
//! tens of microseconds of a CPU that has gone to sleep, above all in a virtual machine, and they would be in what is
//! recorded.
//!
//! Must not decide what is due.

use std::time::Duration;

use crate::pacing::nanoseconds;

/// One worker's.
#[derive(Debug)]
pub(super) struct Vigil {
    /// How long it stays awake after something happened, and before something is due. 0: not at all.
    linger_ns: u64,
    /// Until when it stays awake after what happened last.
    until_ns: u64,
    /// What was due next when it asked last.
    due_ns: Option<u64>,
    has_events: bool,
    /// When it asked last, if it did not sleep then.
    asked_ns: Option<u64>,
}

impl Vigil {
    pub(super) fn new(linger: Duration) -> Self {
        let linger_ns = nanoseconds(linger);
        Self { linger_ns, until_ns: 0, due_ns: None, has_events: false, asked_ns: None }
    }

    /// What the kernel had to say.
    pub(super) fn heard(&mut self, has_events: bool) {
        self.has_events = has_events;
    }

    /// Time that was spent asking in vain since the step before, in nanoseconds.
    pub(super) fn note(&mut self, now_ns: u64) -> u64 {
        if self.linger_ns == 0 {
            return 0;
        }
        let came_due = self.due_ns.is_some_and(|due_ns| due_ns <= now_ns);
        if self.has_events || came_due {
            self.until_ns = now_ns.saturating_add(self.linger_ns);
        }
        let asked_ns = self.asked_ns.take().filter(|_| !self.has_events);
        asked_ns.map_or(0, |asked_ns| now_ns.saturating_sub(asked_ns))
    }

    /// When to wake up for what is due then.
    pub(super) fn wakes_ns(&self, due_ns: u64) -> u64 {
        due_ns.saturating_sub(self.linger_ns)
    }

    /// Whether it does not sleep now. `due_ns`: what is due next.
    pub(super) fn is_kept(&mut self, now_ns: u64, due_ns: Option<u64>) -> bool {
        let is_near = due_ns.is_some_and(|due_ns| self.wakes_ns(due_ns) <= now_ns);
        let is_kept = self.linger_ns > 0 && (now_ns < self.until_ns || is_near);
        self.due_ns = due_ns;
        self.asked_ns = is_kept.then_some(now_ns);
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vigil(linger_ns: u64) -> Vigil {
        Vigil::new(Duration::from_nanos(linger_ns))
    }

    #[test]
    fn it_is_kept_after_what_happened_and_before_what_is_due() {
        let mut vigil = vigil(100);
        assert_eq!((vigil.note(1_000), vigil.is_kept(1_000, None)), (0, false), "nothing happened");
        vigil.heard(true);
        vigil.note(2_000);
        assert!(vigil.is_kept(2_000, None) && vigil.is_kept(2_099, None) && !vigil.is_kept(2_100, None));
        assert!(!vigil.is_kept(2_500, Some(2_700)) && vigil.is_kept(2_600, Some(2_700)));
        assert_eq!(vigil.wakes_ns(2_700), 2_600);
        vigil.heard(false);
        vigil.note(2_700);
        assert!(vigil.is_kept(2_799, Some(9_000)), "it came due at 2,700: there may be an answer soon");
        assert!(!vigil.is_kept(2_800, Some(9_000)));
    }

    #[test]
    fn time_is_in_vain_where_nothing_was_heard() {
        let mut vigil = vigil(1_000);
        vigil.heard(true);
        assert_eq!((vigil.note(100), vigil.is_kept(110, None)), (0, true));
        vigil.heard(false);
        assert_eq!((vigil.note(140), vigil.is_kept(150, None)), (30, true));
        vigil.heard(true);
        assert_eq!(vigil.note(190), 0, "that was worth it");
        assert!(!vigil.is_kept(9_000, None));
        vigil.heard(false);
        assert_eq!(vigil.note(99_000), 0, "it slept");
    }

    #[test]
    fn without_it_nothing_changes() {
        let mut vigil = vigil(0);
        vigil.heard(true);
        assert_eq!((vigil.note(100), vigil.is_kept(100, Some(100)), vigil.wakes_ns(500)), (0, false, 500));
    }
}
