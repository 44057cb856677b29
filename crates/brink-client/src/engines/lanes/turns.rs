//! Which connection of a lane is due next, as values. Must not read a clock.

use std::collections::VecDeque;

use crate::pacing::{AfterReply, Cursor, nanoseconds};
use std::time::Duration;

/// How long a connection rests that was lost and is made again: a server that refuses, or ports that are used up,
/// must not be hammered.
pub(super) const REST: Duration = Duration::from_millis(100);

/// Connections of one lane, and when they are due. Those that follow a reply all pause as long, so a FIFO queue is a
/// timer queue; so are those that rest.
#[derive(Debug)]
pub(super) struct Turns {
    cursor: Option<Cursor>,
    after_reply: AfterReply,
    queue: VecDeque<(u64, u32)>,
    resting: VecDeque<(u64, u32)>,
    /// Whether what is queued waits until nothing is kept for first turns any more.
    is_held: bool,
}

/// A turn of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) slot: usize,
    pub(super) due_ns: u64,
    /// Whether the cursor asks for it: no reply brought it about.
    pub(super) is_visit: bool,
}

impl Turns {
    pub(super) fn new(cursor: Option<Cursor>, after_reply: AfterReply, connections: usize) -> Self {
        let queued = if after_reply == AfterReply::Rest { 0 } else { connections };
        Self {
            cursor,
            after_reply,
            queue: VecDeque::with_capacity(queued),
            resting: VecDeque::new(),
            is_held: false,
        }
    }

    /// When the next is due. `is_free`: nothing is kept for first turns any more.
    pub(super) fn due_ns(&self, is_free: bool) -> Option<u64> {
        let visit = self.cursor.as_ref().and_then(Cursor::due_ns);
        let [queued, rested] = [&self.queue, &self.resting].map(|queue| queue.front().map(|&(ns, _)| ns));
        let queued = queued.filter(|_| is_free || !self.is_held);
        [visit, queued, rested].into_iter().flatten().min()
    }

    /// Takes the next.
    pub(super) fn take(&mut self, is_free: bool) -> Option<Turn> {
        let due_ns = self.due_ns(is_free)?;
        if let Some(cursor) = self.cursor.as_mut().filter(|cursor| cursor.due_ns() == Some(due_ns)) {
            return Some(Turn { slot: cursor.take(), due_ns, is_visit: true });
        }
        let is_next = |queue: &VecDeque<(u64, u32)>| queue.front().is_some_and(|&(ns, _)| ns == due_ns);
        let queue = if (is_free || !self.is_held) && is_next(&self.queue) {
            &mut self.queue
        } else {
            &mut self.resting
        };
        queue.pop_front().map(|(_, slot)| Turn { slot: slot as usize, due_ns, is_visit: false })
    }

    /// A connection was answered at `now_ns`: its next turn follows.
    pub(super) fn answered(&mut self, slot: usize, now_ns: u64) {
        let pause_ns = match self.after_reply {
            AfterReply::Rest => return,
            AfterReply::Send => 0,
            AfterReply::SendAfter { think_ns } => think_ns,
        };
        self.queue.push_back((now_ns.saturating_add(pause_ns), slot as u32));
    }

    /// What is left is kept for first turns: this connection has its turn, as all that were answered, when nothing is
    /// kept any more.
    pub(super) fn deny(&mut self, slot: usize, due_ns: u64) {
        self.is_held = true;
        self.queue.push_front((due_ns, slot as u32));
    }

    /// Whether a connection waits for that.
    pub(super) fn is_any_denied(&self) -> bool {
        self.is_held && !self.queue.is_empty()
    }

    /// A connection was lost at `now_ns` and is tried again later.
    pub(super) fn rest(&mut self, slot: usize, now_ns: u64) {
        self.resting.push_back((now_ns.saturating_add(nanoseconds(REST)), slot as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_the_order_in_which_they_are_due() {
        let mut turns = Turns::new(None, AfterReply::SendAfter { think_ns: 50 }, 3);
        turns.rest(2, 0);
        turns.answered(0, 10);
        turns.answered(1, 20);
        let taken: Vec<_> =
            std::iter::from_fn(|| turns.take(true)).map(|turn| (turn.due_ns, turn.slot)).collect();
        assert_eq!(taken, [(60, 0), (70, 1), (100_000_000, 2)]);
        let mut silent = Turns::new(None, AfterReply::Rest, 3);
        silent.answered(0, 10);
        assert_eq!(silent.due_ns(true), None);
    }

    #[test]
    fn who_was_denied_has_a_turn_once_all_is_free() {
        let mut turns = Turns::new(None, AfterReply::Send, 3);
        turns.answered(0, 10);
        turns.rest(2, 10);
        turns.deny(1, 5);
        assert!(turns.is_any_denied());
        assert_eq!((turns.due_ns(false), turns.due_ns(true)), (Some(100_000_010), Some(5)));
        assert_eq!(turns.take(false).unwrap().slot, 2);
        assert_eq!(turns.take(true).unwrap().slot, 1);
        assert_eq!((turns.take(true).unwrap().slot, turns.take(true)), (0, None));
    }

    #[test]
    fn the_cursor_and_the_answered_take_turns() {
        use crate::options::{LoadOptions, Workload, tests::options};
        let burst = LoadOptions { workload: Workload::Burst, requests: Some(9), ..options(2) };
        let pace = crate::pacing::Pace::new(&burst, 0, 1, 5);
        let mut turns = Turns::new(pace.cursor, pace.after_reply, 2);
        let first = turns.take(true).unwrap();
        assert_eq!(first, Turn { slot: 0, due_ns: 5, is_visit: true });
        turns.answered(0, 7);
        assert_eq!(turns.take(true).unwrap().slot, 1);
        assert_eq!(turns.take(true), Some(Turn { slot: 0, due_ns: 7, is_visit: false }));
        assert_eq!(turns.take(true), None);
    }
}
