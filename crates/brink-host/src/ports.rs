//! Which local ports the kernel gives to connections that ask for none.
//! Must not choose ports.

use crate::proc_tree::ProcTree;

/// First and last port of `net.ipv4.ip_local_port_range` (ip(7)), which holds for IPv6 too,
/// in this thread's network namespace. `None` where it cannot be read.
#[must_use]
pub fn ephemeral_range() -> Option<(u16, u16)> {
    range_in(&ProcTree::own())
}

/// Ports of `net.ipv4.ip_local_reserved_ports` within the ephemeral range, in rising order:
/// the kernel gives these to nobody who does not ask for them by number.
#[must_use]
pub fn reserved() -> Vec<u16> {
    reserved_in(&ProcTree::own())
}

/// Both bounds of the range, as a tree of files tells it.
pub(crate) fn range_in(tree: &ProcTree) -> Option<(u16, u16)> {
    let text = tree.read_net_sysctl("sys/net/ipv4/ip_local_port_range")?;
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) if low <= high => Some((low, high)),
        _ => None,
    }
}

/// Reserved ports within the range. A file that is absent reserves nothing.
pub(crate) fn reserved_in(tree: &ProcTree) -> Vec<u16> {
    let text = tree.read_net_sysctl("sys/net/ipv4/ip_local_reserved_ports");
    let (Some((low, high)), Some(text)) = (range_in(tree), text) else {
        return Vec::new();
    };
    let mut ports: Vec<u16> = text
        .trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.trim().parse::<u16>().ok()?.max(low)..=last.trim().parse::<u16>().ok()?.min(high))
        })
        .flatten()
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_tree::fixture;

    #[test]
    fn reserved_ports_are_those_inside_the_range() {
        let (_dir, tree) = fixture(&[
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", "80,32760-32770,40000,40000-40001,60999-65535\n"),
        ]);
        assert_eq!(range_in(&tree), Some((32768, 60999)));
        assert_eq!(reserved_in(&tree), [32768, 32769, 32770, 40000, 40001, 60999]);
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        for text in ["", "x y", "60999 32768", "1", "1 99999"] {
            let (_dir, tree) = fixture(&[("proc/sys/net/ipv4/ip_local_port_range", text)]);
            assert_eq!(range_in(&tree), None, "{text}");
            assert!(reserved_in(&tree).is_empty());
        }
        let (_dir, tree) = fixture(&[
            ("proc/sys/net/ipv4/ip_local_port_range", "100 200"),
            ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
        ]);
        assert!(reserved_in(&tree).is_empty());
    }
}
