//! Whether this process has room for one more thread: memory maps, which vm.max_map_count bounds, and address space,
//! where RLIMIT_AS bounds it.
//!
//! A thread maps memory after it was made (its signal stack, its first allocations), and when that is refused the
//! standard library ends the whole process. So the last bit under both limits is left alone. Must not be asked from
//! several threads.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// A Rust thread's maps: its stack, its signal stack, and the guard page of each.
const MAPS_PER_THREAD: u64 = 4;
/// Maps left alone: room for some sixty threads to begin at once.
const MAPS_LEFT_ALONE: u64 = 256;
/// Address space of a thread beside its stack: signal stack, guard pages, thread-local data.
const BYTES_BESIDE_STACK: u64 = 32 * 1024;
/// Address space left alone.
const BYTES_LEFT_ALONE: u64 = 4 * 1024 * 1024;

/// Where there was no room, it is not looked for again sooner.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Threads that may be made. What is used is counted when half of the room that there was is taken, since counting
/// takes tens of milliseconds where there are many maps.
#[derive(Debug)]
pub(in crate::engines) struct Room {
    bytes_per_thread: u64,
    /// Threads that may be made before the next count.
    granted: u64,
    /// When there was no room.
    refused: Option<Instant>,
}

impl Room {
    pub(in crate::engines) fn new(stack_bytes: usize) -> Self {
        Self { bytes_per_thread: stack_bytes as u64 + BYTES_BESIDE_STACK, granted: 0, refused: None }
    }

    /// Takes the room of one thread.
    ///
    /// # Errors
    /// ENOMEM if there is none, as mmap(2) would say.
    pub(in crate::engines) fn take(&mut self) -> io::Result<()> {
        if self.granted == 0 && self.refused.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL) {
            self.granted = grant(self.left());
            self.refused = (self.granted == 0).then(Instant::now);
        }
        match self.granted.checked_sub(1) {
            Some(left) => {
                self.granted = left;
                Ok(())
            }
            None => Err(Errno::NOMEM.into()),
        }
    }

    /// Threads that fit under both limits. A limit that cannot be read cannot be heeded either.
    fn left(&self) -> u64 {
        let maps_max = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let maps_max: Option<u64> = maps_max.and_then(|text| text.trim().parse().ok());
        let maps =
            maps_max.zip(maps_used()).map(|(max, used)| room(max, used, MAPS_LEFT_ALONE, MAPS_PER_THREAD));
        let bytes_max = getrlimit(Resource::As).current;
        let bytes = bytes_max.zip(bytes_used());
        let bytes = bytes.map(|(max, used)| room(max, used, BYTES_LEFT_ALONE, self.bytes_per_thread));
        maps.into_iter().chain(bytes).min().unwrap_or(u64::MAX)
    }
}

/// How many of `each` fit between what is used and what is left alone.
fn room(max: u64, used: u64, left_alone: u64, each: u64) -> u64 {
    max.saturating_sub(used.saturating_add(left_alone)) / each
}

/// How many threads may be made before the next count: those that were made meanwhile may not all have mapped what
/// they will.
fn grant(left: u64) -> u64 {
    if left > 64 { left / 2 } else { left.min(16) }
}

/// One line each, proc_pid_maps(5).
fn maps_used() -> Option<u64> {
    let maps = fs::read("/proc/self/maps").ok()?;
    Some(maps.iter().filter(|&&byte| byte == b'\n').count() as u64)
}

/// The first field of statm, proc_pid_statm(5): all that is mapped, in pages.
fn bytes_used() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').next()?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_before_the_limit() {
        assert_eq!(room(65_530, 1_000, MAPS_LEFT_ALONE, MAPS_PER_THREAD), 16_068);
        assert_eq!(room(1_000, 900, MAPS_LEFT_ALONE, MAPS_PER_THREAD), 0);
        assert_eq!((grant(16_068), grant(20), grant(0)), (8_034, 16, 0));
        let (mut left, mut made) = (16_068, 0);
        while left > 0 {
            let granted = grant(left);
            (left, made) = (left - granted, made + granted);
        }
        assert_eq!(made, 16_068, "all of the room is used");
    }

    #[test]
    fn this_process_has_some_and_none_while_it_was_refused() {
        assert!(maps_used().unwrap() > 5 && bytes_used().unwrap() > 0);
        assert!(Room::new(64 * 1024).take().is_ok());
        let mut none = Room { bytes_per_thread: 1, granted: 1, refused: Some(Instant::now()) };
        assert!(none.take().is_ok());
        let refused = none.take().unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::NOMEM.raw_os_error()));
    }
}
