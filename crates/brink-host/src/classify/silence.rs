//! A connection that nobody answered, that was reset or refused: no errno of the client's own kernel
//! says why, so what the target's machine counted meanwhile has to, or nothing does.

use super::evidence::at_limit;
use super::foreign::{self, Fate};
use super::{
    Confidence, FIREWALL, Inference, Scene, TARGET_BACKLOG, TARGET_NOT_SCHEDULED, TARGET_POOL_WORKERS,
};
use crate::usage::ProcessState;

const SOMAXCONN: &str = "net.core.somaxconn";
const SYN_BACKLOG: &str = "net.ipv4.tcp_max_syn_backlog";
const ABORT_ON_OVERFLOW: &str = "net.ipv4.tcp_abort_on_overflow";
const TCP_MEM: &str = "net.ipv4.tcp_mem";
const MAX_ORPHANS: &str = "net.ipv4.tcp_max_orphans";
const CONNTRACK: &str = "net.netfilter.nf_conntrack_max";
const SHOW_RULES: &str =
    "as root: `nft list ruleset` and `iptables-save` show the rules; accept the target's port";
/// From here on a target counts as starved: most of its threads' time is waiting for a CPU.
const STARVED_RATIO: f64 = 0.5;

pub(super) fn is_timeout(errno: &str) -> bool {
    matches!(errno, "timeout" | "ETIMEDOUT" | "slow")
}

pub(super) fn is_reset(errno: &str) -> bool {
    matches!(errno, "ECONNRESET" | "EPIPE" | "ECONNABORTED")
}

/// By the other side, in order, and before it was due.
pub(super) fn is_closing(errno: &str) -> bool {
    matches!(errno, "closed" | "unexpected_eof")
}

pub(super) fn is_refusal(errno: &str) -> bool {
    matches!(errno, "ECONNREFUSED" | "EHOSTUNREACH" | "ENETUNREACH")
}

/// Nobody answered: a handshake that was dropped, for good or at first, or a connection that nobody serves.
pub(super) fn unanswered(scene: &mut Scene<'_>) -> Inference {
    let is_connect = scene.observation.phase == "connect";
    if scene.observation.errno == "slow" {
        scene.note(
            "a connect takes a second or more where a packet of it was dropped and sent again (RFC 6298)",
        );
    }
    if let Some(stopped) = stopped(scene) {
        return stopped;
    }
    if !is_connect && let Some(starved) = pool_is_full(scene) {
        return starved;
    }
    let queue = queue_overflowed(scene);
    // A server without descriptors leaves connections where they are, and the queue runs over in turn.
    if let Some(inference) = foreign::used_up(scene, Fate::Unanswered { has_overflowed: queue && is_connect })
    {
        return inference;
    }
    // Only what is new needs an entry: packets of a tracked connection pass a full table.
    let tracking = if is_connect { conntrack_is_full(scene) } else { None };
    match (queue, tracking) {
        (true, Some(_)) => {
            return scene.unknown("both would silence a handshake, and which came first cannot be told");
        }
        (true, None) => {
            let mut inference = full_queue(scene);
            if !is_connect && inference.confidence == Confidence::Confirmed {
                // It was in the queue, or its last packet was dropped at it; and was not accepted in time either way.
                inference.confidence = Confidence::Likely;
                inference
                    .evidence
                    .push("it was not accepted in time: a longer queue alone would not do".to_owned());
            }
            return inference;
        }
        (false, Some((value, confidence))) => return scene.named(CONNTRACK, value, confidence),
        (false, None) => {}
    }
    if is_connect && let Some(value) = handshakes_dropped(scene) {
        return scene.named(SYN_BACKLOG, Some(value), Confidence::Likely);
    }
    if let Some(inference) = out_of_tcp_memory(scene) {
        return inference;
    }
    let ratio = scene.observation.target.run_wait_ratio;
    if let Some(ratio) = ratio.filter(|&ratio| ratio >= STARVED_RATIO) {
        scene.note(format!(
            "the target's threads stood in line for a CPU for {:.0}% of their time",
            ratio * 100.0
        ));
        return not_scheduled(
            scene,
            Confidence::Likely,
            "give the target CPUs of its own (`--cpus`), or fewer neighbours",
        );
    }
    note_what_waits(scene);
    let mut inference = scene.unknown(match scene.counters {
        None => "the target machine's drop counters are not known",
        Some((_, after)) if after.listen_overflows.is_none() => "ListenOverflows could not be read",
        Some(_) => {
            "no accept queue overflowed and nothing else that is counted dropped it: a packet filter that drops, a lost \
             network or a target that is busy would look like this"
        }
    });
    // The kernel shows no count of what a rule drops but in the rule itself.
    inference.fix = is_connect.then(|| SHOW_RULES.to_owned());
    inference
}

/// What was seen on the way that names nothing by itself.
fn note_what_waits(scene: &mut Scene<'_>) {
    scene.grown("TCPSynRetrans", |usage| usage.tcp_syn_retransmits);
    match scene.observation.target.accept_queue {
        None => {}
        Some(0) => scene.note("no connection waited to be accepted"),
        Some(waiting) => scene.note(format!(
            "up to {waiting} connections waited to be accepted, and the queue did not run over: the target accepts slowly, or not at all"
        )),
    }
}

/// The other side closed it. A limit of its own is a reason, if one is used up; so is anything else.
pub(super) fn closed(scene: &mut Scene<'_>) -> Inference {
    match foreign::used_up(scene, Fate::Closed) {
        Some(inference) => inference,
        None => scene.unknown("the other side closed it, and no limit of its own is known to be used up"),
    }
}

/// A reset is the kernel's answer to a full queue only where it is told so; or it is short of memory.
pub(super) fn reset(scene: &mut Scene<'_>) -> Inference {
    if scene.value(ABORT_ON_OVERFLOW) == Some(1) && queue_overflowed(scene) {
        scene.note("net.ipv4.tcp_abort_on_overflow is on: a full accept queue resets");
        return full_queue(scene);
    }
    let inference = out_of_tcp_memory(scene).or_else(|| foreign::used_up(scene, Fate::Closed));
    match inference {
        Some(inference) => inference,
        None => scene.unknown("no limit in the table looks like this; the other side may have closed it"),
    }
}

/// TCP itself refuses only where nobody listens (RFC 9293, 3.10.7.1). A packet filter can refuse for it.
pub(super) fn refused(scene: &mut Scene<'_>) -> Inference {
    match scene.observation.target.is_listening {
        None => return scene.unknown("whether anything listens there is not known"),
        Some(false) => return scene.unknown("nothing listens at the target's address"),
        Some(true) => scene.note("the target listens at its address"),
    }
    let unreachable = scene.grown("ICMP OutDestUnreachs", |usage| usage.icmp_unreachable_sent);
    if unreachable.is_some_and(|count| count > 0) {
        return by_firewall(scene);
    }
    if scene.observation.errno != "ECONNREFUSED" {
        return scene
            .unknown("its machine sent no such answer: no route to it, or a host on the way refused");
    }
    if scene.grown("OutRsts", |usage| usage.tcp_resets_sent) == Some(0) {
        scene.note("its TCP sent no reset, so something else refused");
        return by_firewall(scene);
    }
    scene.unknown("who refused cannot be told")
}

/// connect(2). A packet filter that drops what goes out is not heard of (net/ipv4/tcp_output.c, tcp_connect): EPERM is the
/// word of a program attached to a control group (BPF_CGROUP_INET4_CONNECT), EACCES that of others.
pub(super) fn forbidden(scene: &mut Scene<'_>) -> Inference {
    if scene.observation.errno == "EPERM" {
        scene.note("connect(2): a local rule refused it");
        return by_firewall(scene);
    }
    let mut inference =
        scene.unknown("connect(2): a route that prohibits, SELinux or a broadcast address look like this");
    inference.fix = Some("`ip route get ADDRESS` shows a route that prohibits".to_owned());
    inference
}

fn by_firewall(scene: &mut Scene<'_>) -> Inference {
    let mut inference = scene.named(FIREWALL, None, Confidence::Likely);
    inference.fix = Some(SHOW_RULES.to_owned());
    inference
}

fn stopped(scene: &mut Scene<'_>) -> Option<Inference> {
    let target = scene.observation.target;
    if target.state != Some(ProcessState::Stopped) {
        return target.was_stopped.then(|| was_stopped(scene));
    }
    let pid = target.pid.map_or("PID".to_owned(), |pid| pid.to_string());
    scene.note(format!("the target's process {pid} is stopped (state T)"));
    Some(not_scheduled(scene, Confidence::Confirmed, &format!("`kill -CONT {pid}`")))
}

/// What it left unanswered for so long may have given up by the time it runs again.
fn was_stopped(scene: &mut Scene<'_>) -> Inference {
    scene.note(
        "a process of the target was seen stopped (state T) while the run went on, though it runs now; whoever waited \
         for it meanwhile got no answer",
    );
    not_scheduled(
        scene,
        Confidence::Likely,
        "find what stopped it: a signal (SIGSTOP, SIGTSTP), or a debugger",
    )
}

fn not_scheduled(scene: &mut Scene<'_>, confidence: Confidence, fix: &str) -> Inference {
    let mut inference = scene.named(TARGET_NOT_SCHEDULED, None, confidence);
    inference.fix = Some(fix.to_owned());
    inference
}

/// Each worker serves one connection until it closes, and all are taken.
fn pool_is_full(scene: &mut Scene<'_>) -> Option<Inference> {
    let reading = scene.reading(TARGET_POOL_WORKERS)?;
    let workers = reading.value?;
    let observation = scene.observation;
    let told = observation.target.live.or(reading.used);
    let live = told.unwrap_or(observation.at_connections);
    if live < workers || observation.connections_wanted.is_some_and(|wanted| wanted <= workers) {
        return None;
    }
    scene.note(format!(
        "the target has {workers} workers for {live} connections, and each keeps one until it closes"
    ));
    // One that was served before may be silent for another reason.
    let is_first = observation.phase == "verify";
    let confidence = if told.is_some() && is_first { Confidence::Confirmed } else { Confidence::Likely };
    Some(scene.named(TARGET_POOL_WORKERS, Some(workers), confidence))
}

/// A full accept queue makes the kernel drop the handshake, or its last part
/// (net/ipv4/tcp_input.c, tcp_conn_request; net/ipv4/tcp_ipv4.c, tcp_v4_syn_recv_sock).
fn queue_overflowed(scene: &mut Scene<'_>) -> bool {
    let overflows = scene.grown("ListenOverflows", |usage| usage.listen_overflows);
    let full = scene.grown("TCPReqQFullDrop", |usage| usage.tcp_request_queue_drops);
    let has_any = overflows.unwrap_or(0) > 0 || full.unwrap_or(0) > 0;
    if has_any && scene.observation.target.accept_queue == Some(0) {
        scene.note("nobody was ever seen in the target's accept queue: that of another socket ran over");
        return false;
    }
    has_any
}

/// The queue is as long as the smaller of what the target asked and net.core.somaxconn (listen(2)), and
/// full with one more than that (include/net/sock.h, sk_acceptq_is_full).
fn full_queue(scene: &mut Scene<'_>) -> Inference {
    let somaxconn = scene.value(SOMAXCONN);
    let asked = scene.observation.backlog.or(scene.value(TARGET_BACKLOG));
    let waiting = scene.observation.target.accept_queue;
    if let Some(waiting) = waiting {
        scene.note(format!("up to {waiting} connections waited to be accepted"));
    }
    let is_full = |bound: u64| waiting.is_some_and(|waiting| waiting > bound);
    let sure = |bound: u64| if is_full(bound) { Confidence::Confirmed } else { Confidence::Likely };
    match (asked, somaxconn) {
        (Some(asked), Some(somaxconn)) if asked < somaxconn => {
            scene.note(format!("the backlog asked, {asked}, is below net.core.somaxconn, {somaxconn}"));
            scene.named(TARGET_BACKLOG, Some(asked), sure(asked))
        }
        (Some(_), Some(somaxconn)) => scene.named(SOMAXCONN, Some(somaxconn), sure(somaxconn)),
        (None, Some(somaxconn)) if is_full(somaxconn) => {
            scene.named(SOMAXCONN, Some(somaxconn), Confidence::Confirmed)
        }
        // Far below what the kernel permits: it can only be the target's own.
        (None, Some(somaxconn)) if waiting.is_some_and(|waiting| waiting > 0 && waiting <= somaxconn / 2) => {
            scene.named(TARGET_BACKLOG, waiting.map(|waiting| waiting - 1), Confidence::Likely)
        }
        _ => {
            let mut inference = scene.unknown(
                "an accept queue was full, but whether by the target's own backlog or by net.core.somaxconn cannot be told",
            );
            inference.fix = Some(
                "raise the backlog that the target asks of listen(2), and net.core.somaxconn to no less; or accept faster"
                    .to_owned(),
            );
            inference
        }
    }
}

/// Value and confidence, where connection tracking had no room.
fn conntrack_is_full(scene: &mut Scene<'_>) -> Option<(Option<u64>, Confidence)> {
    let drops = scene.grown("drop of nf_conntrack", |usage| usage.conntrack_drops);
    let reading = scene.reading(CONNTRACK);
    let value = reading.and_then(|reading| reading.value);
    let entries = scene.counters.and_then(|(_, after)| after.conntrack_entries);
    let used = reading.and_then(|reading| reading.used).max(entries);
    let is_full = used.zip(value).map(|(used, value)| at_limit(used, value));
    if let (Some(used), Some(value)) = (used, value)
        && (is_full == Some(true) || drops.unwrap_or(0) > 0)
    {
        scene.note(format!("{used} of {value} entries of connection tracking in use"));
    }
    match (drops, is_full) {
        (Some(1..), Some(true)) => Some((value, Confidence::Confirmed)),
        // Its namespace may not be ours to see; but a table that is far from full drops for other reasons.
        (Some(1..), None) => Some((value, Confidence::Likely)),
        (None, Some(true)) => Some((value, Confidence::Likely)),
        _ => None,
    }
}

/// Dropped before it came to an accept queue, where a bound on handshakes is in force.
fn handshakes_dropped(scene: &mut Scene<'_>) -> Option<u64> {
    let value = scene.value(SYN_BACKLOG)?;
    let drops = scene.grown("ListenDrops", |usage| usage.listen_drops)?;
    (drops > 0).then_some(value)
}

/// TCPAbortOnMemory counts resets for want of memory and for too many orphans alike
/// (net/ipv4/tcp_timer.c, tcp_out_of_resources).
fn out_of_tcp_memory(scene: &mut Scene<'_>) -> Option<Inference> {
    let aborted = scene.grown("TCPAbortOnMemory", |usage| usage.tcp_abort_on_memory)?;
    scene.grown("TCPMemoryPressures", |usage| usage.tcp_memory_pressures);
    if aborted == 0 {
        return None;
    }
    let full = |name: &str| {
        let reading = scene.reading(name)?;
        Some((reading.value?, at_limit(reading.used?, reading.value?)))
    };
    let (memory, orphans) = (full(TCP_MEM), full(MAX_ORPHANS));
    Some(match (memory, orphans) {
        (Some((value, true)), None | Some((_, false))) => {
            scene.named(TCP_MEM, Some(value), Confidence::Confirmed)
        }
        (None | Some((_, false)), Some((value, true))) => {
            scene.named(MAX_ORPHANS, Some(value), Confidence::Confirmed)
        }
        _ => scene
            .unknown("TCP was short of memory or had too many orphans, and neither is at its limit alone"),
    })
}
