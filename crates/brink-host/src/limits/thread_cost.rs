//! What a thread of Rust's standard library maps beside its stack, which this machine's CPU decides.

use std::sync::OnceLock;

use crate::proc_tree::page_bytes;

/// `AT_MINSIGSTKSZ` of include/uapi/linux/auxvec.h.
const AT_MINSIGSTKSZ: u64 = 51;
/// `SIGSTKSZ` of the C library where it is a constant.
const SIGSTKSZ: u64 = 8 << 10;

/// Address space of one thread beside its stack, in bytes: the guard page that glibc puts below the stack
/// (nptl/allocatestack.c), and the signal stack that std gives each thread, with a guard page of its own (library/std,
/// sys/pal/unix/stack_overflow.rs). A signal stack has to hold the CPU's registers, which getauxval(3) tells.
#[must_use]
pub fn beside_stack_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    *BYTES.get_or_init(|| of(std::fs::read("/proc/self/auxv").ok().as_deref().and_then(least_signal_stack)))
}

fn of(least_bytes: Option<u64>) -> u64 {
    let signal_stack = least_bytes.unwrap_or(0).max(SIGSTKSZ).next_multiple_of(page_bytes());
    signal_stack + 2 * page_bytes()
}

/// Pairs of key and value, a word each: proc_pid_auxv(5).
fn least_signal_stack(vector: &[u8]) -> Option<u64> {
    let word = |bytes: &[u8]| bytes.try_into().ok().map(usize::from_ne_bytes).map(|word| word as u64);
    vector
        .chunks_exact(2 * size_of::<usize>())
        .map(|pair| pair.split_at(size_of::<usize>()))
        .find(|(key, _)| word(key) == Some(AT_MINSIGSTKSZ))
        .and_then(|(_, value)| word(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_stack_holds_what_the_cpu_asks_for() {
        let page = page_bytes();
        assert_eq!(of(None), SIGSTKSZ.next_multiple_of(page) + 2 * page);
        assert_eq!(of(Some(2 << 10)), of(None));
        assert_eq!(of(Some((64 << 10) - 1)), (64 << 10) + 2 * page);
    }

    #[test]
    fn the_vector_is_read_in_words() {
        let words = |words: &[usize]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        assert_eq!(least_signal_stack(&words(&[6, 4096, 51, 3_632, 0, 0])), Some(3_632));
        assert_eq!(least_signal_stack(&words(&[6, 51, 0, 0])), None);
        assert_eq!(least_signal_stack(&[1, 2, 3]), None);
        assert!(beside_stack_bytes() >= SIGSTKSZ);
    }
}
