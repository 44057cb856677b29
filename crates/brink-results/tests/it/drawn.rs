//! Charts and report: well-formed, complete, offline, the same every time.

use brink_results::charts::Figure;
use brink_results::schema::CaseResult;
use brink_results::store::RunData;
use brink_results::{charts, report};

use crate::fixtures::{MODELS, at_limit, nothing_opened, result, run};

const THROUGHPUT: &str = "Throughput against its ceiling";
const SLOPES: &str = "Memory per connection";

fn of(results: Vec<CaseResult>) -> RunData {
    RunData { dir: "x".into(), plan: None, results, unreadable: Vec::new() }
}

/// Every element is closed in order, and `&` begins an entity.
pub fn check_well_formed(text: &str, void: &[&str]) {
    let mut open: Vec<&str> = Vec::new();
    for (before, tag) in text
        .split('<')
        .skip(1)
        .map(|part| part.split_once('>').unwrap_or(("", part)))
        .map(|(tag, text)| (text, tag))
    {
        assert!(
            before.split('&').skip(1).all(|e| e.find(';').is_some_and(|at| at < 8)),
            "bare & in {before}"
        );
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or("");
        if tag.starts_with('!') || tag.ends_with('/') || void.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closes what is not open");
        } else {
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new(), "left open");
}

/// A figure of a run by its title.
pub fn figure(run: &RunData, title: &str) -> Figure {
    charts::all(run).figure(title).unwrap_or_else(|| panic!("no figure `{title}`")).clone()
}

/// What the legend of a figure names.
pub fn names(figure: &Figure) -> String {
    figure.legend().into_iter().map(|entry| entry.0).collect::<Vec<_>>().join("; ")
}

pub fn check_offline(html: &str) {
    for reference in ["src=", "href=", "url(", "@import", "http://", "https://", "<link", "fetch(", "import("]
    {
        assert!(!html.contains(reference), "{reference}");
    }
    if html.contains("<html") {
        assert_eq!(html.matches("<script").count(), 1);
        assert!(html.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "));
    }
}

/// The page without its script, which is no markup.
pub fn without_script(html: &str) -> String {
    let (before, rest) = html.split_once("<script>").unwrap();
    format!("{before}{}", rest.split_once("</script>").unwrap().1)
}

#[test]
fn charts_of_everything_and_of_nothing() {
    let mut full = run();
    full.results.extend([at_limit(), nothing_opened()]);
    let single = of(vec![result(MODELS[0], 10)]);
    for run in [full, single, of(vec![nothing_opened()]), of(Vec::new())] {
        for figure in charts::all(&run).each() {
            check_well_formed(&figure.standalone(), &[]);
            for (_, swatch) in figure.legend() {
                check_well_formed(&swatch.unwrap_or_default(), &[]);
            }
            for panel in figure.inline() {
                check_well_formed(&panel, &[]);
                check_offline(&panel);
                assert!(!panel.contains("#01FE"), "a placeholder colour is left: {panel}");
                assert!(!panel.contains("NaN") && !panel.contains("could not be drawn"), "{panel}");
            }
        }
    }
}

#[test]
fn charts_carry_their_labels() {
    let run = run();
    let memory = figure(&run, "User memory against connections").standalone();
    for label in [
        "Target: user memory",
        "Client: user memory",
        "open connections",
        "mio",
        "threads",
        "tokio",
        "1 MiB",
        "10,000",
    ] {
        assert!(memory.contains(label), "{label}");
    }
    let throughput = figure(&run, THROUGHPUT).standalone();
    assert!(throughput.contains("ceiling") && throughput.contains("replies per second"));
    let latency = figure(&run, "Latency against connections");
    assert_eq!(latency.inline().len(), 3);
    assert!(latency.inline()[2].contains("p99.9") && latency.inline()[2].contains("100 ms"));
    assert_eq!(names(&latency), "mio; threads; tokio; asked delay");
}

/// The y labels end left of the plot and begin inside the panel, however long the names are.
#[test]
fn long_labels_have_room() {
    let mut made = result(MODELS[0], 1000);
    made.case.target.label = "tokio-blocking-8-threads".to_owned();
    let drawn = figure(&of(vec![made]), SLOPES).inline();
    let label = drawn[0].split("<text").find(|text| text.contains("tokio-blocking-8-threads")).unwrap();
    let x: i32 = label.split("x=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert!(x >= 24 * 7, "{label}");
}

#[test]
fn points_tell_their_figures() {
    let run = run();
    let slopes = figure(&run, SLOPES).inline();
    assert!(
        slopes[0].contains(">mio</text>") && slopes[0].contains(">9.80 KiB ±1.06 B</text>"),
        "{}",
        slopes[0]
    );
    assert!(slopes[0].contains("<title>threads: 9.80 KiB ±1.06 B</title>"), "{}", slopes[0]);
    let throughput = figure(&run, THROUGHPUT).inline();
    assert!(throughput[0].contains("<title>threads: 10,000 connections, 9,964</title>"), "{}", throughput[0]);
    assert_eq!(throughput[0].matches("<title>").count(), 12, "one for each result, none for the ceiling");
}

#[test]
fn what_nobody_measured_is_left_out_and_what_one_end_lacks_is_said() {
    assert_eq!(charts::all(&of(Vec::new())).each().count(), 0);
    let mut made = result(MODELS[0], 10);
    made.memory_per_connection.target.user_bytes = None;
    let slopes = figure(&of(vec![made]), SLOPES).inline();
    assert!(slopes[0].contains("no data") && !slopes[1].contains("no data"), "{}", slopes[0]);
}

#[test]
fn what_is_not_valid_is_drawn_hollow() {
    let hollow = |results| figure(&of(results), THROUGHPUT).standalone().contains("hollow: not valid");
    assert!(hollow(vec![at_limit()]));
    assert!(!hollow(vec![result(MODELS[1], 10)]));
}

#[test]
fn ceilings_that_differ_are_drawn_for_each() {
    let mut other = result(MODELS[1], 10);
    other.requests.per_s_ceiling = Some(500.0);
    let drawn = figure(&of(vec![result(MODELS[0], 10), other]), THROUGHPUT).standalone();
    assert!(drawn.contains("mio ceiling") && drawn.contains("threads ceiling"));
}

#[test]
fn slopes_below_zero_are_left_out_and_said() {
    let mut made = result(MODELS[0], 1000);
    let slope = made.memory_per_connection.target.user_bytes.as_mut().unwrap();
    (slope.slope, slope.ci95) = (-3.0, [-9.0, 3.0]);
    let mut small = result(MODELS[2], 1000);
    small.memory_per_connection.target.user_bytes.as_mut().unwrap().slope = 60.0;
    let drawn = figure(&of(vec![made, result(MODELS[1], 1000), small]), SLOPES).standalone();
    assert!(drawn.contains("not drawn: values at or below zero"));
}

#[test]
fn the_report_is_whole_and_offline() {
    let mut run = run();
    run.results.extend([at_limit(), nothing_opened()]);
    let html = report::render(&run);
    check_offline(&html);
    check_well_formed(&without_script(&html), &["meta"]);
    for part in [
        "<title>brink: quick</title>",
        "this is not a ranking",
        "kernel.pid_max",
        "sysctl -w kernel.pid_max=4194304",
        "brink sweep configs/quick.toml",
        "Example CPU",
        "prefers-color-scheme: dark",
        "threads-c40000-r1",
        "interrupted: stopped by SIGINT",
        "RssAnon",
        "brink 0.1.0",
        "Both ends ran on one machine.",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.find("held 10,000 connections") < html.find("<svg"), "the answer comes first");
}

#[test]
fn a_report_of_nothing_and_of_a_part() {
    let empty = report::render(&of(Vec::new()));
    check_well_formed(&without_script(&empty), &["meta"]);
    assert!(empty.contains("Nothing was measured.") && empty.contains("No plan was saved"), "{empty}");
    let mut part = run();
    part.results.truncate(10);
    let html = report::render(&part);
    assert!(html.contains("2 of 12 planned cases have no result: tokio-c1000-r1, tokio-c10000-r1."));
}

#[test]
fn names_are_text_not_markup() {
    let mut made = at_limit();
    made.case.target.label = "<script>alert(1)</script>&\"'".to_owned();
    made.case.name = "</td><img>".to_owned();
    made.validity.reasons.push("<b>".to_owned());
    made.failure_point.as_mut().unwrap().fix = Some("echo '<i>'".to_owned());
    let run = of(vec![made]);
    let html = report::render(&run);
    check_offline(&html);
    for markup in ["<script>alert", "<img", "<b>", "<i>"] {
        assert!(!html.contains(markup), "{markup}");
    }
    assert!(html.contains("&lt;script&gt;"));
    check_well_formed(&without_script(&html), &["meta"]);
    charts::all(&run).each().for_each(|figure| check_well_formed(&figure.standalone(), &[]));
}

#[test]
fn the_same_run_gives_the_same_bytes_in_any_order() {
    let run = run();
    let mut reversed = run.clone();
    reversed.results.reverse();
    assert_eq!(report::render(&run), report::render(&run.clone()));
    assert_eq!(report::render(&run), report::render(&reversed));
}
