//! Which local ports a worker asks the kernel for, so that opening stays O(1) as ports fill.
//!
//! A plain connect(2) searches the ephemeral range for a port that is free for its destination: one parity
//! first, then the other, port by port (`__inet_hash_connect`, net/ipv4/inet_hashtables.c), which gets slow
//! once half of them is used. Asked for a window of 64 ports (IP_LOCAL_PORT_RANGE, ip(7), Linux 6.3), it
//! searches at most 64. Each worker walks its own windows, then those of the others. Pure: must not touch a socket.

/// Ports of one window.
const WINDOW_PORTS: u32 = 64;

/// One worker's walk over its windows, for one source address.
#[derive(Debug, Clone)]
pub struct PortWindows {
    low: u32,
    high: u32,
    windows: u32,
    rotation: u32,
    index: u32,
    workers: u32,
    step: u32,
    left: u32,
}

impl PortWindows {
    /// Windows of worker `index` of `workers` in the range `low..=high`. The windows of different workers are
    /// disjoint; `rotation` moves the first one, so that clients with other connections start elsewhere.
    #[must_use]
    pub fn new((low, high): (u16, u16), index: u32, workers: u32, rotation: u64) -> Self {
        let (low, high) = (u32::from(low), u32::from(high));
        let windows = (high + 1).saturating_sub(low).div_ceil(WINDOW_PORTS);
        let rotation = (rotation / u64::from(WINDOW_PORTS) % u64::from(windows.max(1))) as u32;
        Self { low, high, windows, rotation, index, workers, step: 0, left: WINDOW_PORTS }
    }

    /// The window to ask for: the worker's own, then what others may have left of theirs, beginning with its
    /// neighbour's. `None` once all were tried: a plain connect finds what is still free.
    #[must_use]
    pub fn current(&self) -> Option<(u16, u16)> {
        let (mut step, mut index) = (self.step, self.index);
        for _ in 0..self.workers {
            let windows = self.windows_of(index);
            if step < windows {
                return self.bounds(step * self.workers + index);
            }
            step -= windows;
            index = (index + 1) % self.workers;
        }
        None
    }

    /// How many windows are a worker's own.
    fn windows_of(&self, index: u32) -> u32 {
        self.windows.saturating_sub(index).div_ceil(self.workers)
    }

    fn bounds(&self, ordinal: u32) -> Option<(u16, u16)> {
        let low = self.low + (ordinal + self.rotation) % self.windows * WINDOW_PORTS;
        let high = (low + WINDOW_PORTS - 1).min(self.high);
        Some((low as u16, high as u16))
    }

    /// A port of the current window was taken. After as many as it has, the next is due, without asking the
    /// kernel to find out.
    pub fn took(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.full();
        }
    }

    /// Begins anew with the first window.
    pub fn rewind(&mut self) {
        (self.step, self.left) = (0, WINDOW_PORTS);
    }

    /// The kernel found no free port in the current window.
    pub fn full(&mut self) {
        self.step += 1;
        self.left = WINDOW_PORTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: (u16, u16) = (32_768, 60_999);

    #[test]
    fn windows_of_all_workers_cover_the_range_once() {
        for rotation in [0, 64, 6_400, u64::MAX] {
            let mut ports = Vec::new();
            for index in 0..3 {
                let mut windows = PortWindows::new(RANGE, index, 3, rotation);
                for _ in 0..windows.windows_of(index) {
                    let (low, high) = windows.current().unwrap();
                    ports.extend(low..=high);
                    windows.full();
                }
            }
            ports.sort_unstable();
            assert_eq!(ports, (RANGE.0..=RANGE.1).collect::<Vec<_>>(), "rotation {rotation}");
        }
    }

    #[test]
    fn after_its_own_windows_a_worker_tries_what_others_left() {
        for (workers, index) in [(1, 0), (3, 2), (102, 101), (1_000, 999)] {
            let mut windows = PortWindows::new(RANGE, index, workers, 6_400);
            let mut ports = Vec::new();
            while let Some((low, high)) = windows.current() {
                ports.extend(low..=high);
                windows.full();
            }
            ports.sort_unstable();
            assert_eq!(ports, (RANGE.0..=RANGE.1).collect::<Vec<_>>(), "{index} of {workers}");
        }
    }

    #[test]
    fn a_used_up_window_is_left_without_asking() {
        let mut windows = PortWindows::new(RANGE, 0, 2, 0);
        for _ in 0..64 {
            assert_eq!(windows.current(), Some((32_768, 32_831)));
            windows.took();
        }
        assert_eq!(windows.current(), Some((32_896, 32_959)));
    }

    #[test]
    fn a_walk_can_begin_anew() {
        let mut windows = PortWindows::new((40_000, 40_009), 0, 1, 0);
        windows.full();
        assert_eq!(windows.current(), None);
        windows.rewind();
        assert_eq!(windows.current(), Some((40_000, 40_009)));
    }

    #[test]
    fn a_worker_without_windows_of_its_own_takes_what_there_is() {
        assert_eq!(PortWindows::new((40_000, 40_009), 0, 2, 7).current(), Some((40_000, 40_009)));
        assert_eq!(PortWindows::new((40_000, 40_009), 1, 2, 7).current(), Some((40_000, 40_009)));
        assert_eq!(PortWindows::new((40_000, 40_009), 5, 9, 7).current(), Some((40_000, 40_009)));
        assert_eq!(PortWindows::new((65_500, 65_535), 0, 1, 0).current(), Some((65_500, 65_535)));
    }
}
