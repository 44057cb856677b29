//! Counters that several processes of one run share: a few words of memory behind a descriptor that children inherit
//! (memfd_create(2), mmap(2) with `MAP_SHARED`). Must not know what is counted.

use std::ffi::c_void;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Words that every process sees which has mapped them. All begin at 0.
#[derive(Debug)]
pub struct SharedCounts {
    words: NonNull<AtomicU64>,
    len: usize,
    /// What children inherit; not of who has inherited it.
    memory: Option<OwnedFd>,
}

// SAFETY: the words are atomics, which any thread may use at any time, and the mapping lives as long as this value.
unsafe impl Send for SharedCounts {}
// SAFETY: as for `Send`: a shared reference gives out nothing but atomics.
unsafe impl Sync for SharedCounts {}

impl SharedCounts {
    /// So many words, that no other process knows of yet. At least one.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and mmap(2).
    pub fn create(len: usize) -> io::Result<Self> {
        let memory = memfd_create("brink-counts", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, bytes(len) as u64)?;
        let words = map(memory.as_fd(), len)?;
        Ok(Self { words, len, memory: Some(memory) })
    }

    /// Those that a parent shares, behind a descriptor of that number, which was inherited and stays open.
    ///
    /// # Errors
    /// `InvalidInput` where it is no open descriptor, or holds fewer words; those of mmap(2).
    pub fn inherited(fd: RawFd, len: usize) -> io::Result<Self> {
        let refused =
            |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {fd} {why}"));
        // Standard streams belong to somebody else.
        if fd <= 2 {
            return Err(refused("is none that was inherited for this"));
        }
        // SAFETY: not -1. It is only borrowed for the calls below, which take any number: one that is no descriptor of
        // this process is EBADF. Nothing is closed, since a borrow owns nothing.
        let memory = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl_getfd(memory).map_err(|_| refused("is not open"))?;
        fcntl_setfd(memory, FdFlags::CLOEXEC)?;
        if u64::try_from(fstat(memory)?.st_size).unwrap_or(0) < bytes(len) as u64 {
            return Err(refused("does not hold the counts"));
        }
        Ok(Self { words: map(memory, len)?, len, memory: None })
    }

    /// Starts processes that inherit the descriptor, whose number is handed to `start`. Threads that start other
    /// processes meanwhile hand it to them, too, which do not know of it.
    ///
    /// # Errors
    /// Those of `start`, and of fcntl(2).
    pub fn lend<T>(&self, start: impl FnOnce(RawFd) -> io::Result<T>) -> io::Result<T> {
        let Some(memory) = self.memory.as_ref().map(AsFd::as_fd) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "who has inherited counts does not lend them",
            ));
        };
        fcntl_setfd(memory, FdFlags::empty())?;
        let started = start(memory.as_raw_fd());
        fcntl_setfd(memory, FdFlags::CLOEXEC)?;
        started
    }
}

impl Deref for SharedCounts {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds `len` words, aligned, zeroed by the kernel (ftruncate(2)), lives as long as `self`,
        // and is only ever used as atomics. Other processes change them as other threads would.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }
}

impl Drop for SharedCounts {
    fn drop(&mut self) {
        // SAFETY: made by [`map`] with this length, and no reference outlives `self`.
        let unmapped = unsafe { munmap(self.words.as_ptr().cast::<c_void>(), bytes(self.len)) };
        debug_assert!(unmapped.is_ok(), "munmap(2) of one's own mapping fails only for a wrong address");
    }
}

fn map(memory: BorrowedFd<'_>, len: usize) -> io::Result<NonNull<AtomicU64>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping where the kernel chooses, so that nothing that exists is overlaid. The file is as long as
    // it, and nobody shortens it: only processes of this program have it.
    let words = unsafe { mmap(ptr::null_mut(), bytes(len), access, MapFlags::SHARED, memory, 0)? };
    // mmap(2) returns whole pages, which are aligned for any word, and never null.
    NonNull::new(words.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn bytes(len: usize) -> usize {
    len * size_of::<AtomicU64>()
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;
    use std::process::Command;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn who_maps_the_same_words_sees_what_others_count() {
        let counts = SharedCounts::create(3).unwrap();
        let again = counts.memory.as_ref().unwrap().try_clone().unwrap().into_raw_fd();
        let other = SharedCounts::inherited(again, 3).unwrap();
        counts[1].fetch_add(7, Ordering::Relaxed);
        other[1].fetch_add(1, Ordering::Relaxed);
        let seen: Vec<_> = counts.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        assert_eq!(seen, [0, 8, 0]);
    }

    #[test]
    fn a_child_inherits_it_only_where_it_is_lent() {
        let counts = SharedCounts::create(1).unwrap();
        let has = |fd: RawFd| {
            Command::new("/bin/sh")
                .args(["-c", &format!("true <&{fd}")])
                .stderr(std::process::Stdio::null())
                .status()
        };
        let fd = counts.memory.as_ref().unwrap().as_raw_fd();
        assert!(counts.lend(has).unwrap().success());
        assert!(!has(fd).unwrap().success());
    }

    #[test]
    fn what_is_no_descriptor_of_counts_is_refused() {
        for fd in [-1, 0, 2, 1_000_000] {
            assert_eq!(SharedCounts::inherited(fd, 1).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        let mut small = SharedCounts::create(1).unwrap();
        let small = small.memory.take().unwrap().into_raw_fd();
        assert!(SharedCounts::inherited(small, 1_000).is_err());
    }
}
