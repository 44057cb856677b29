//! What each plot shows: repeats as one point, parts of memory, whole distributions, cases over time, pixels.

use brink_results::charts::{self, Figure};
use brink_results::report;
use brink_results::schema::{CaseResult, End, Failure, Verdict};
use brink_results::store::RunData;

use crate::drawn::{figure, names};
use crate::fixtures::{MODELS, at_limit, many, result, run};

fn of(results: Vec<CaseResult>) -> RunData {
    RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() }
}

fn repeated(rates: &[f64]) -> Vec<CaseResult> {
    let one = |(i, per_s): (usize, &f64)| {
        let mut made = result(MODELS[0], 100);
        made.case.repeat = i as u32 + 1;
        made.case.name = format!("mio-c100-r{}", i + 1);
        made.requests.per_s = Some(*per_s);
        made
    };
    rates.iter().enumerate().map(one).collect()
}

fn hovers(figure: &Figure) -> Vec<String> {
    let drawn = figure.inline().concat();
    let titles = drawn.split("<title>").skip(1).filter_map(|rest| rest.split("</title>").next());
    titles.map(str::to_owned).collect()
}

#[test]
fn repeats_are_one_point_with_its_interval() {
    let drawn = figure(&of(repeated(&[900.0, 950.0, 930.0])), "Throughput against its ceiling");
    let told = hovers(&drawn);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("mio: 100 connections, 930 (") && told[0].ends_with("median of 3)"),
        "{told:?}"
    );
    assert_eq!(drawn.inline()[0].matches("opacity=\"0.55\"").count(), 3, "single runs are seen");
    assert!(names(&drawn).contains("one run"), "{}", names(&drawn));
}

#[test]
fn the_median_is_that_of_the_valid_repeats() {
    let mut results = repeated(&[900.0, 950.0, 10.0]);
    results[2].validity.verdict = Verdict::Unsteady;
    let told = hovers(&figure(&of(results.clone()), "Throughput against its ceiling"));
    assert!(told[0].contains("925 (") && told[0].contains("median of 2)"), "{told:?}");
    results.iter_mut().for_each(|r| r.validity.verdict = Verdict::Unsteady);
    let drawn = figure(&of(results), "Throughput against its ceiling");
    assert!(hovers(&drawn)[0].ends_with("median of 3), not valid") && names(&drawn).contains("hollow"));
}

/// Two runs say little, and their interval is wide: it goes on beyond the frame, where it has no end.
#[test]
fn an_interval_does_not_press_values_together() {
    let mut results = repeated(&[900.0, 1_400.0]);
    results.iter_mut().for_each(|r| r.requests.per_s_ceiling = None);
    let drawn = figure(&of(results), "Throughput against its ceiling");
    let told = hovers(&drawn);
    let high: f64 =
        told[0].split(" to ").nth(1).unwrap().split(", m").next().unwrap().replace(',', "").parse().unwrap();
    assert!(high > 5_000.0, "{told:?}");
    let panel = &drawn.inline()[0];
    assert!(!panel.contains("00000"), "short numbers: {panel}");
    assert!(panel.contains(">2,000</text>") && !panel.contains(">4,000</text>"), "{panel}");
    let caps = |x: i32| panel.matches(&format!("points=\"{},", x - 5)).count();
    let mark = panel
        .split("pointer-events=\"all\"><circle cx=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(caps(mark), 1, "only the lower end is in the frame: {panel}");
}

#[test]
fn memory_is_told_by_kind() {
    let drawn = figure(&run(), "Memory per connection by kind");
    assert_eq!(names(&drawn), "user; user, thread stacks in it; page tables; kernel stacks; slab");
    let told = hovers(&drawn);
    assert!(told.iter().any(|t| t.starts_with("kernel stacks: 16.0 KiB of threads")), "{told:?}");
    assert!(
        told.iter().any(|t| t.starts_with("user, thread stacks in it: 9.8") && t.ends_with("of threads"))
    );
    let notes = drawn.notes.join(" ");
    assert!(notes.contains("threads: a thread for each connection, with a stack of 64.0 KiB"), "{notes}");
    assert!(!notes.contains("mio:") && !notes.contains("tokio:"), "{notes}");
    let kernel = figure(&run(), "Kernel memory against connections");
    assert!(kernel.panels.iter().any(|panel| panel.title == "Machine: slab"), "both ends on one machine");
}

#[test]
fn the_whole_distribution_is_drawn_to_the_slowest() {
    let drawn = figure(&run(), "Latency distribution");
    let panels = drawn.inline();
    assert_eq!(panels.len(), 2, "with the delay, and without");
    for part in [">0%<", ">90%<", ">99%<", ">99.9%<"] {
        assert!(panels[0].contains(part), "{part}: {}", panels[0]);
    }
    let told = hovers(&drawn);
    assert!(told.iter().any(|t| t.starts_with("mio: 99% within 1.00 s")), "{told:?}");
    assert!(told.iter().any(|t| t.starts_with("mio: the slowest of 1,000: 1.02 s")), "{told:?}");
    assert!(
        told.iter().any(|t| t == "mio: the slowest of 1,000: 23.9 ms beyond the asked delay"),
        "{told:?}"
    );
    assert!(drawn.notes[0].ends_with("together: 10,000 connections."), "{:?}", drawn.notes);
    let mut broken = result(MODELS[0], 10);
    broken.latency_ns.as_mut().unwrap().hdr = "?".to_owned();
    assert!(charts::all(&of(vec![broken])).figure("Latency distribution").is_none());
}

#[test]
fn a_case_over_time_has_its_marks() {
    let mut made = at_limit();
    for (i, sample) in made.usage.client.iter_mut().enumerate() {
        sample.live = Some((i as u64 * 4_000).min(32_446));
        sample.latency_p99_ns = (i > 16).then_some(1_000_000 + i as u64);
    }
    let failure = |end, phase: &str, errno: &str, first_at_connections| Failure {
        end,
        phase: phase.to_owned(),
        errno: errno.to_owned(),
        count: 1,
        first_at_connections,
    };
    made.failures = vec![
        failure(End::Target, "spawn", "EAGAIN", 32_446),
        failure(End::Client, "verify", "closed", 8_000),
        failure(End::Client, "request", "timeout", 100),
    ];
    let timelines = charts::all(&of(vec![made])).timelines;
    let (name, drawn) = &timelines[0];
    assert_eq!(name, "threads-c40000-r1");
    let titles: Vec<&str> = drawn.panels.iter().map(|panel| panel.title.as_str()).collect();
    assert_eq!(titles, ["Live connections", "Requests", "Latency, p99", "User memory", "Threads"]);
    let marks: Vec<&str> = drawn.panels[0].marks.iter().map(|mark| mark.label.as_str()).collect();
    let expected = ["ramp", "verify closed, client", "kernel.pid_max", "warmup", "window", "drain", "close"];
    assert_eq!(marks, expected, "of a failed request nobody knows when it was");
    assert!(hovers(drawn).iter().any(|t| t == "kernel.pid_max: 2.25 s"), "{:?}", hovers(drawn));
}

#[test]
fn samples_are_thinned_and_peaks_stay() {
    let mut made = result(MODELS[0], 10);
    let last = made.usage.client.last().unwrap().clone();
    made.usage.client = (0..5_000)
        .map(|i| {
            let mut sample = last.clone();
            (sample.t_s, sample.requests) = (f64::from(i) / 5.0, Some(i as u64 * 7));
            sample.user_bytes = Some(if i == 3_333 { 77 << 20 } else { 1 << 20 });
            sample
        })
        .collect();
    let timelines = charts::all(&of(vec![made])).timelines;
    let panels = &timelines[0].1.panels;
    assert!(panels.iter().flat_map(|p| &p.series).all(|series| series.points.len() <= 60));
    let memory = panels.iter().find(|p| p.title == "User memory").unwrap();
    assert!(memory.series[0].points.iter().any(|p| p.y == f64::from(77 << 20) && p.x == 3_333.0 / 5.0));
    let requests = panels.iter().find(|p| p.title == "Requests").unwrap();
    assert!(requests.series[0].points.iter().all(|p| (p.y - 35.0).abs() < 1e-6));
}

/// The size in a PNG's header: https://www.w3.org/TR/png-3/#11IHDR
fn png_size(png: &[u8]) -> (u32, u32) {
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let at = |i: usize| u32::from_be_bytes(png[i..i + 4].try_into().unwrap());
    (at(16), at(20))
}

#[test]
fn a_figure_as_pixels_is_twice_as_large() {
    let drawn = figure(&run(), "Throughput against its ceiling");
    let svg = drawn.standalone();
    let of = |name: &str| -> u32 {
        svg.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    let png = drawn.png().unwrap();
    assert_eq!(png_size(&png), (2 * of("width"), 2 * of("height")));
    let mut silent = drawn.clone();
    silent.panels[0].title.clear();
    assert!(silent.png().unwrap() != png, "the title is seen: there is a font");
}

#[test]
fn plots_come_before_failures_and_these_before_the_table() {
    let mut run = run();
    run.results.push(at_limit());
    let html = report::render(&run);
    let places: Vec<usize> = [
        "class=\"lead\"",
        "<h2>Plots</h2>",
        "<h2>Over time</h2>",
        "<h2>Where it gave way</h2>",
        "<h2>Results</h2>",
        "<h2>Machines</h2>",
        "<h2>Method</h2>",
        "<h2>To run it again</h2>",
    ]
    .iter()
    .map(|part| html.find(part).unwrap_or_else(|| panic!("no {part}")))
    .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn what_is_the_same_is_told_once() {
    let mut other = at_limit();
    other.case.name = "threads-c50000-r1".to_owned();
    other.failure_point.as_mut().unwrap().at_connections = 32_400;
    let mut results = vec![at_limit(), other];
    let html = report::render(&of(results.clone()));
    let html = html.split_once("<h2>Where it gave way</h2>").unwrap().1;
    assert_eq!(html.matches("sysctl -w kernel.pid_max=4194304").count(), 1);
    assert!(
        html.contains("kernel.pid_max, 2 cases") && html.contains("threads-c50000-r1: 32,400 connections")
    );
    assert_eq!(html.matches("Limits of the client").count(), 1);
    results[1].facts.client.machine.cpus += 1;
    let html = report::render(&of(results));
    assert_eq!(html.matches("Limits of the client").count(), 2, "each machine once");
    assert!(html.contains("1 of 2 results: threads-c50000-r1"));
    let html = report::render(&many());
    assert!(html.contains("<td class=\"n\">4</td>"), "four results are not valid for one reason: one row");
}
