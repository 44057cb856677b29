//! Tests of classify where an end died: beside each story the same one without its cause.

use super::tests_of_counters::{check, counted as machine_counted, nothing, readings, with};
use super::*;

use Confidence::{Confirmed, Likely, Unknown};

#[test]
fn an_oom_kill_is_told_from_a_crash() {
    let group =
        |oom_kills, memory_at_max| CgroupUsage { pid: 7, oom_kills, memory_at_max, ..CgroupUsage::default() };
    let died = |how| {
        let target = TargetState { ended: Ended::parse(how), ..TargetState::default() };
        with(target, &Observation::new(End::Target, "worker", "died", 500))
    };
    let (memory, machine) = ("cgroup.memory.max", "memory.available");
    let (bound, full) = ([(memory, 1_000, Some(700))], [(memory, 1_000, Some(999))]);
    let oom = |after: &mut MachineUsage| after.oom_kills = Some(101);
    let before = group(Some(2), Some(5));
    let (killed, spared) = (group(Some(3), Some(9)), group(Some(2), Some(9)));
    let by_machine = group(Some(3), Some(5));
    let kill = died("signal: 9 (SIGKILL)");
    let counted = |after| Observation { cgroup: Some((&before, after)), ..kill.clone() };
    check(&counted(&killed), &bound, oom, memory, Confirmed);
    // The machine is named only where it was low itself: a group that cannot be seen counts the same.
    let beside = |used| [bound[0], (machine, 10_000, used)];
    check(&counted(&by_machine), &beside(Some(8_000)), oom, machine, Likely);
    let got = check(&counted(&by_machine), &beside(Some(7_999)), oom, "unknown", Unknown);
    assert!(got.evidence.last().unwrap().contains("cannot be seen from here"), "{:?}", got.evidence);
    check(&counted(&by_machine), &beside(None), oom, "unknown", Unknown);
    check(&counted(&by_machine), &bound, oom, "unknown", Unknown);
    check(&counted(&spared), &full, oom, "unknown", Unknown);
    check(&counted(&spared), &full, nothing, "unknown", Unknown);
    // Its groups could not be read any more.
    check(&kill, &[(machine, 9_000, Some(8_999))], oom, "unknown", Unknown);
    check(&counted(&killed), &[(machine, 9_000, Some(8_999))], oom, memory, Likely);
    check(&kill, &full, oom, memory, Likely);
    check(&kill, &bound, oom, "unknown", Unknown);
    check(&kill, &full, nothing, "unknown", Unknown);
    assert_eq!(classify(&kill, &readings(&full), None).limit, Some(memory));
    assert_eq!(classify(&kill, &readings(&bound), None).limit, None);
    // No limit is one thing, not knowing of one another.
    for (note, limit, confidence) in [
        ("no limit in this control group or any above (version 2)", machine, Likely),
        (
            "none is set in the groups that can be seen from here; those above them cannot be seen",
            machine,
            Likely,
        ),
        ("cannot be read", "unknown", Unknown),
    ] {
        let mut of = readings(&[(memory, 1, None), (machine, 9_000, Some(8_999))]);
        (of[0].value, of[0].note) = (None, Some(note.to_owned()));
        for observation in [counted(&by_machine), kill.clone()] {
            let (machine_before, machine_after) = machine_counted(oom);
            let got = classify(&observation, &of, Some((&machine_before, &machine_after)));
            assert_eq!((got.limit_name(), got.confidence), (limit, confidence), "{:#?}", got.evidence);
            of[1].used = Some(2_000);
            let got = classify(&observation, &of, Some((&machine_before, &machine_after)));
            assert_eq!(got.limit, None, "the machine had room: {:#?}", got.evidence);
            of[1].used = Some(8_999);
        }
    }
    for how in ["signal: 11 (SIGSEGV) (core dumped)", "exit status: 1", "signal: 15 (SIGTERM)"] {
        check(&Observation { cgroup: Some((&before, &killed)), ..died(how) }, &full, oom, "unknown", Unknown);
    }
    // The client's death is told by the client's own figures.
    let client = Observation {
        ended: Ended::parse("signal: 9 (SIGKILL)"),
        ..Observation::new(End::Client, "run", "died", 500)
    };
    let of_client = Observation { cgroup: Some((&before, &killed)), ..client.clone() };
    check(&of_client, &bound, oom, memory, Confirmed);
    check(&client, &bound, nothing, "unknown", Unknown);
    let of_target = Observation { target: kill.target, ended: None, ..of_client };
    check(&of_target, &bound, oom, memory, Likely); // how the target ended says nothing of the client
    let maps = |used| [("vm.max_map_count", 65_530, Some(used))];
    check(&died("signal: 6 (SIGABRT)"), &maps(65_529), nothing, "vm.max_map_count", Likely);
    check(&died("signal: 6 (SIGABRT)"), &maps(9_000), nothing, "unknown", Unknown);
}

#[test]
fn a_death_that_nobody_witnessed_is_likely_at_most() {
    let group =
        |oom_kills, memory_at_max| CgroupUsage { pid: 7, oom_kills, memory_at_max, ..CgroupUsage::default() };
    let died = Observation::new(End::Target, "worker", "died", 500);
    let (before, killed, low) = (group(Some(2), Some(5)), group(Some(3), Some(9)), group(Some(3), Some(5)));
    let counted = |after| Observation { cgroup: Some((&before, after)), ..died.clone() };
    let oom = |after: &mut MachineUsage| after.oom_kills = Some(101);
    let (memory, machine) = ("cgroup.memory.max", "memory.available");
    let of = |in_group, in_machine| [(memory, 1_000, Some(in_group)), (machine, 10_000, Some(in_machine))];
    let got = check(&counted(&killed), &of(700, 2_000), oom, memory, Likely);
    assert!(got.evidence.iter().any(|sentence| sentence.contains("how it ended is not known, but")));
    check(&counted(&low), &of(700, 9_000), oom, machine, Likely);
    check(&counted(&low), &of(700, 2_000), oom, "unknown", Unknown);
    check(&counted(&before), &of(999, 9_000), oom, "unknown", Unknown);
    check(&counted(&before), &of(999, 9_000), nothing, "unknown", Unknown);
    // Its groups went with it.
    check(&died, &of(999, 2_000), oom, memory, Likely);
    check(&died, &of(700, 9_000), oom, "unknown", Unknown);
    let got = check(&died, &of(999, 9_000), nothing, "unknown", Unknown);
    assert!(got.evidence.last().unwrap().contains("how it ended is not known"));
    assert_eq!(classify(&died, &readings(&of(999, 9_000)), None).limit, None);
}
