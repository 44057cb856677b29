//! Asks a run to end early, or to open no more connections. Must not end anything itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a run to end early; clones ask the same run. The conductor looks at it at least every 50 ms and
/// dismisses the workers; what was measured until then is kept.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
}

impl Stop {
    /// Nothing asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks. Any thread may, any number of times; it only stores a flag.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// Asks that no more connections are opened; the workload runs on those that are there.
    pub fn ask_enough(&self) {
        self.enough.store(true, Ordering::Release);
    }

    /// For another run that ends with this one, and has not enough yet.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self { requested: Arc::clone(&self.requested), enough: Arc::default() }
    }

    /// Whether somebody asked for that.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Acquire)
    }

    /// Whether somebody asked to end.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_ask_the_same_run() {
        let stop = Stop::new();
        let clone = stop.clone();
        assert!(!stop.requested());
        clone.request();
        assert!(stop.requested() && !stop.is_enough());
        clone.ask_enough();
        assert!(stop.is_enough());
    }
}
