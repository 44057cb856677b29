//! Whether this process has room for one more thread: address space, where RLIMIT_AS
//! bounds it, and memory maps, which vm.max_map_count bounds.
//!
//! A thread maps memory after it was made (its signal stack, its first allocations), and when
//! that is refused the standard library ends the whole process. So the last bit under both
//! limits is left alone. Far from them it reads nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::limits::MAPPINGS_PER_THREAD;

/// Address space left alone: room for some two hundred threads to begin at once, at 20 KiB each.
pub(crate) const LEFT_ALONE_BYTES: u64 = 4 * 1024 * 1024;
/// Maps left alone: room for some sixty threads to begin at once.
pub(crate) const LEFT_ALONE_MAPS: u64 = 256;
/// Counting maps costs tens of milliseconds where there are many, so: not more often than this.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Both bounds; absent where there is none.
#[derive(Debug)]
pub struct Headroom {
    space: Option<Space>,
    maps: Option<Maps>,
}

#[derive(Debug)]
struct Space {
    bytes_max: u64,
    /// /proc/self/statm, kept open: descriptors may run out first.
    statm: File,
    page_bytes: u64,
}

#[derive(Debug)]
struct Maps {
    maps_max: u64,
    /// /proc/self/maps, kept open likewise.
    list: File,
    /// Threads that there is room for, as of the last count.
    threads_max: u64,
    counted: Option<Instant>,
}

impl Headroom {
    /// Reads the limits. Holds up to two descriptors.
    ///
    /// # Errors
    /// If a file of /proc/self cannot be opened.
    pub fn new() -> io::Result<Self> {
        let space = match getrlimit(Resource::As).current {
            None => None,
            Some(bytes_max) => {
                let page_bytes = rustix::param::page_size() as u64;
                Some(Space { bytes_max, statm: File::open("/proc/self/statm")?, page_bytes })
            }
        };
        // Where the limit cannot be read it cannot be heeded either.
        let maps_max = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let maps = match maps_max.and_then(|text| text.trim().parse().ok()) {
            None => None,
            Some(maps_max) => Some(Maps::new(maps_max, File::open("/proc/self/maps")?)),
        };
        Ok(Self { space, maps })
    }

    /// Whether one more thread with this stack can begin beside `threads` others.
    ///
    /// # Errors
    /// ENOMEM if not, as mmap(2) would say; whatever keeps /proc from being read.
    pub fn check(&mut self, stack_bytes: u64, threads: u64) -> io::Result<()> {
        let has_space = self.space.as_ref().map_or(Ok(true), |space| space.has(stack_bytes))?;
        let has_maps = self.maps.as_mut().map_or(Ok(true), |maps| maps.have_room(threads))?;
        if has_space && has_maps { Ok(()) } else { Err(Errno::NOMEM.into()) }
    }
}

impl Space {
    fn has(&self, bytes: u64) -> io::Result<bool> {
        let used_bytes = self.used_pages()?.saturating_mul(self.page_bytes);
        Ok(used_bytes.saturating_add(bytes).saturating_add(LEFT_ALONE_BYTES) <= self.bytes_max)
    }

    /// The first field of statm, proc_pid_statm(5): all that is mapped, in pages.
    fn used_pages(&self) -> io::Result<u64> {
        let mut text = [0; 128];
        let len = self.statm.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..len]);
        let first = text.split(' ').next().and_then(|field| field.parse().ok());
        first.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "statm is not as proc(5) has it"))
    }
}

impl Maps {
    fn new(maps_max: u64, list: File) -> Self {
        // Half of the limit is far enough from it: what else is mapped is a few hundred.
        Self { maps_max, list, threads_max: maps_max / MAPPINGS_PER_THREAD / 2, counted: None }
    }

    fn have_room(&mut self, threads: u64) -> io::Result<bool> {
        if threads >= self.threads_max && self.counted.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL) {
            let left = self.maps_max.saturating_sub(self.count()? + LEFT_ALONE_MAPS);
            self.threads_max = threads + left / MAPPINGS_PER_THREAD;
            self.counted = Some(Instant::now());
        }
        Ok(threads < self.threads_max)
    }

    /// One line each, proc_pid_maps(5).
    fn count(&self) -> io::Result<u64> {
        let mut buffer = vec![0; 64 * 1024];
        let (mut offset, mut lines) = (0, 0);
        loop {
            let len = self.list.read_at(&mut buffer, offset)?;
            if len == 0 {
                return Ok(lines);
            }
            offset += len as u64;
            lines += buffer[..len].iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(bytes_max: u64, maps_max: u64) -> Headroom {
        let statm = File::open("/proc/self/statm").unwrap();
        let page_bytes = rustix::param::page_size() as u64;
        let list = File::open("/proc/self/maps").unwrap();
        let maps = Some(Maps::new(maps_max, list));
        Headroom { space: Some(Space { bytes_max, statm, page_bytes }), maps }
    }

    #[test]
    fn refuses_only_what_a_limit_leaves_no_room_for() {
        assert!(Headroom { space: None, maps: None }.check(u64::MAX, u64::MAX - 1).is_ok());
        assert!(bounded(1 << 46, 1 << 30).check(1 << 20, 10).is_ok());
        let refused = bounded(1 << 46, 1 << 30).check(1 << 46, 10).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::NOMEM.raw_os_error()));
        assert!(bounded(LEFT_ALONE_BYTES, 1 << 30).check(0, 0).is_err());
    }

    #[test]
    fn leaves_maps_alone_and_recovers_as_threads_end() {
        let mapped = Maps::new(0, File::open("/proc/self/maps").unwrap()).count().unwrap();
        assert!(mapped > 5, "{mapped}");
        // Room for something like a hundred threads by the count; other tests map a little meanwhile.
        let maps_max = mapped + LEFT_ALONE_MAPS + 100 * MAPPINGS_PER_THREAD;
        let mut headroom = bounded(u64::MAX, maps_max);
        let first = maps_max / MAPPINGS_PER_THREAD / 2;
        assert!(headroom.check(0, first).is_ok());
        let last = headroom.maps.as_ref().unwrap().threads_max;
        assert!((first + 50..=first + 100).contains(&last), "{first} {last}");
        assert!(headroom.check(0, last).is_err());
        assert!(headroom.check(0, last - 1).is_ok());
    }
}
