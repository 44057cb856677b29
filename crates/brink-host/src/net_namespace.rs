//! Reading within another network namespace, on a thread made for it: /proc/sys/net and
//! /proc/thread-self/net show the namespace of the thread that reads. Must not open sockets there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does `work` in a namespace, given by its file (`/proc/PID/ns/net`). No other thread is moved.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN (setns(2)); EAGAIN where no thread can be made.
pub(crate) fn within<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let moved = || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(work())
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, moved)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that reads there panicked")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_namespace_cannot_be_entered() {
        assert!(within(&File::open("/dev/null").unwrap(), || ()).is_err());
        assert!(within(&File::open("/proc/self/ns/user").unwrap(), || ()).is_err());
    }
}
