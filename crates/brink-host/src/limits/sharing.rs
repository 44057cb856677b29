//! Whether another process draws on the same limits of a user. Must not say what the limits are.

use crate::proc_tree::{ProcTree, field};

/// Whether that process has the real user of this one, in the same user namespace: the kernel counts processes,
/// threads (kernel/ucount.c) and epoll watches by both. `None`: that may not be looked at, or there is no such process.
#[must_use]
pub fn shares_user(pid: u32) -> Option<bool> {
    in_trees(&ProcTree::own(), &ProcTree::of(pid))
}

fn in_trees(own: &ProcTree, other: &ProcTree) -> Option<bool> {
    let user = |tree: &ProcTree| field(&tree.read_process("status")?, "Uid:");
    let is_same_user = user(own)? == user(other)?;
    // Another's namespace may be hidden; where users differ it does not matter.
    Some(is_same_user && (other.shares_namespace("user") != Some(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_shares_its_own_user_and_none_is_not_known() {
        assert_eq!(shares_user(std::process::id()), Some(true));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(shares_user(child.id()), None);
    }

    #[test]
    fn another_user_shares_nothing() {
        let (_dir, tree) = crate::proc_tree::fixture(&[
            ("proc/7/status", "Uid:\t1000\t1000\t1000\t1000\n"),
            ("proc/8/status", "Uid:\t1001\t1000\t1000\t1000\n"),
            ("proc/9/status", "Uid:\t1000\t0\t0\t0\n"),
        ]);
        assert_eq!(in_trees(&tree, &tree.with_pid(8)), Some(false));
        assert_eq!(in_trees(&tree, &tree.with_pid(9)), Some(true));
        assert_eq!(in_trees(&tree, &tree.with_pid(10)), None);
    }
}
