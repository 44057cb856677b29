//! What the control plane knows of machines and processes, as families of figures. Both ends tell them by the same
//! names behind their own prefix. Source of each figure: the fields of [`MachineUsage`] and [`ProcessUsage`].

use super::Kind::{self, Counter, Gauge};
use super::{Exposition, Label};
use crate::control::{CgroupUsage, MachineUsage, ProcessUsage};

type OfMachine = (&'static str, Kind, &'static str, fn(&MachineUsage) -> Option<f64>);
type OfProcess = (&'static str, Kind, &'static str, fn(&ProcessUsage) -> Option<f64>);

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn cgroup(machine: &MachineUsage, figure: fn(&CgroupUsage) -> Option<u64>) -> Option<f64> {
    float(machine.cgroup.as_ref().and_then(figure))
}

static OF_MACHINE: &[OfMachine] = &[
    ("memory_available_bytes", Gauge, "MemAvailable of /proc/meminfo.", |m| float(m.available_bytes)),
    ("slab_bytes", Gauge, "Slab of /proc/meminfo: sockets, files, epoll items.", |m| float(m.slab_bytes)),
    ("kernel_stack_bytes", Gauge, "KernelStack of /proc/meminfo.", |m| float(m.kernel_stack_bytes)),
    ("page_table_bytes", Gauge, "PageTables of /proc/meminfo.", |m| float(m.page_table_bytes)),
    ("tcp_memory_bytes", Gauge, "Socket buffers of TCP, /proc/net/sockstat.", |m| float(m.tcp_bytes)),
    ("tcp_sockets", Gauge, "TCP sockets in use.", |m| float(m.tcp_in_use)),
    ("tcp_time_wait_sockets", Gauge, "TCP sockets in TIME_WAIT.", |m| float(m.tcp_time_wait)),
    ("tcp_orphan_sockets", Gauge, "TCP sockets without a process.", |m| float(m.tcp_orphans)),
    ("listen_overflows_total", Counter, "ListenOverflows of /proc/net/netstat.", |m| {
        float(m.listen_overflows)
    }),
    ("listen_drops_total", Counter, "ListenDrops of /proc/net/netstat.", |m| float(m.listen_drops)),
    ("tcp_aborts_on_memory_total", Counter, "TCPAbortOnMemory of /proc/net/netstat.", |m| {
        float(m.tcp_abort_on_memory)
    }),
    ("cpu_busy_seconds_total", Counter, "Busy time of all CPUs since boot.", |m| m.cpu_busy_s),
    ("cpu_steal_seconds_total", Counter, "Time that the hypervisor took, since boot.", |m| m.cpu_steal_s),
    (
        "cpu_irq_seconds_total",
        Counter,
        "The part of the busy time that went into interrupts, since boot.",
        |m| m.cpu_irq_s,
    ),
    ("tcp_request_queue_drops_total", Counter, "TCPReqQFullDrop of /proc/net/netstat.", |m| {
        float(m.tcp_request_queue_drops)
    }),
    ("tcp_time_wait_overflows_total", Counter, "TCPTimeWaitOverflow of /proc/net/netstat.", |m| {
        float(m.tcp_time_wait_overflows)
    }),
    ("tcp_memory_pressures_total", Counter, "TCPMemoryPressures of /proc/net/netstat.", |m| {
        float(m.tcp_memory_pressures)
    }),
    ("tcp_prunes_total", Counter, "PruneCalled of /proc/net/netstat.", |m| float(m.tcp_prunes)),
    ("tcp_syn_retransmits_total", Counter, "TCPSynRetrans of /proc/net/netstat.", |m| {
        float(m.tcp_syn_retransmits)
    }),
    ("tcp_resets_sent_total", Counter, "OutRsts of /proc/net/snmp.", |m| float(m.tcp_resets_sent)),
    ("icmp_unreachable_sent_total", Counter, "OutDestUnreachs of /proc/net/snmp.", |m| {
        float(m.icmp_unreachable_sent)
    }),
    ("conntrack_entries", Gauge, "Connections that connection tracking knows.", |m| {
        float(m.conntrack_entries)
    }),
    ("conntrack_drops_total", Counter, "Packets for which connection tracking made no entry.", |m| {
        float(m.conntrack_drops)
    }),
    ("oom_kills_total", Counter, "oom_kill of /proc/vmstat.", |m| float(m.oom_kills)),
    ("cgroup_pids_refusals_total", Counter, "Forks that a control group refused.", |m| {
        cgroup(m, |c| c.pids_refusals)
    }),
    ("cgroup_memory_at_max_total", Counter, "How often a control group was at its memory limit.", |m| {
        cgroup(m, |c| c.memory_at_max)
    }),
    (
        "cgroup_oom_kills_total",
        Counter,
        "Processes of the control group that were killed for want of memory.",
        |m| cgroup(m, |c| c.oom_kills),
    ),
    ("cgroup_cpu_periods_total", Counter, "Periods of the CPU quota of a control group.", |m| {
        cgroup(m, |c| c.cpu_periods)
    }),
    (
        "cgroup_cpu_throttled_periods_total",
        Counter,
        "Periods in which the CPU quota of a control group did not suffice.",
        |m| cgroup(m, |c| c.cpu_throttled_periods),
    ),
    (
        "cgroup_cpu_throttled_seconds_total",
        Counter,
        "How long a control group stood still for want of CPU quota, the sum over CPUs.",
        |m| m.cgroup.as_ref().and_then(|c| c.cpu_throttled_s),
    ),
];

static OF_PROCESS: &[OfProcess] = &[
    ("user_bytes", Gauge, "Anonymous resident memory: RssAnon of proc_pid_status(5).", |p| {
        float(p.user_bytes)
    }),
    ("resident_memory_bytes", Gauge, "Resident memory: VmRSS.", |p| float(p.resident_bytes)),
    ("virtual_memory_bytes", Gauge, "Address space: VmSize.", |p| float(p.virtual_bytes)),
    ("page_table_bytes", Gauge, "Page tables: VmPTE.", |p| float(p.page_table_bytes)),
    ("threads", Gauge, "Threads.", |p| float(p.threads)),
    ("open_fds", Gauge, "Open descriptors.", |p| float(p.fds)),
    ("cpu_seconds_total", Counter, "CPU time, user and system.", |p| p.cpu_s),
    ("context_switches_total", Counter, "Context switches that threads asked for.", |p| {
        float(p.context_switches)
    }),
    ("connections", Gauge, "Connections that it counts as open.", |p| float(p.live)),
    ("requests_total", Counter, "Requests that it counts as answered.", |p| float(p.requests)),
    ("accept_queue", Gauge, "Connections that wait to be accepted.", |p| float(p.accept_queue)),
];

/// A machine. Names begin with `prefix`, which ends in `_`. A figure that could not be read is left out.
pub fn machine(out: &mut Exposition, prefix: &str, labels: &[Label<'_>], usage: &MachineUsage) {
    for (name, kind, help, read) in OF_MACHINE {
        out.family(format!("{prefix}{name}"), *kind, help).known(labels, read(usage));
    }
}

/// Processes, each with its own labels. Names begin with `prefix`, which ends in `_`. A figure that could not be read is
/// left out.
pub fn process(out: &mut Exposition, prefix: &str, processes: &[(Vec<Label<'_>>, &ProcessUsage)]) {
    for (name, kind, help, read) in OF_PROCESS {
        let mut family = out.family(format!("{prefix}{name}"), *kind, help);
        for (labels, usage) in processes {
            family.known(labels, read(usage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::check;

    /// Every number of `value` becomes another one; returns them.
    fn number(value: &mut serde_json::Value, next: &mut u64, all: &mut Vec<u64>) {
        let serde_json::Value::Object(fields) = value else { return };
        for (name, value) in fields {
            if name == "cgroup" {
                *value = serde_json::to_value(CgroupUsage::default()).unwrap();
                number(value, next, all);
            } else if name != "pid" {
                *next += 1;
                *value = (*next).into();
                all.push(*next);
            }
        }
    }

    #[test]
    fn every_field_of_the_control_plane_is_told() {
        let (mut next, mut all) = (1_000_000, Vec::new());
        let mut fields = serde_json::to_value(MachineUsage::default()).unwrap();
        number(&mut fields, &mut next, &mut all);
        let of_machine: MachineUsage = serde_json::from_value(fields).unwrap();
        let mut fields = serde_json::to_value(ProcessUsage::default()).unwrap();
        number(&mut fields, &mut next, &mut all);
        let of_process: ProcessUsage = serde_json::from_value(fields).unwrap();
        let mut out = Exposition::default();
        machine(&mut out, "brink_target_machine_", &[("case", "a")], &of_machine);
        process(&mut out, "brink_target_process_", &[(vec![("pid", "7")], &of_process)]);
        let text = out.into_text();
        check(&text).unwrap();
        assert!(all.len() > 35);
        for value in all {
            assert!(text.contains(&format!(" {value}\n")), "{value} in\n{text}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let mut out = Exposition::default();
        machine(&mut out, "x_", &[], &MachineUsage::default());
        process(&mut out, "x_", &[(vec![], &ProcessUsage::default())]);
        assert_eq!(out.into_text(), "");
    }
}
