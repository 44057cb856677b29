//! What was done per second and what it took: replies against their ceiling, connects, CPU time.
//!
//! Decides what is drawn, not how.

use crate::charts::Figure;
use crate::charts::axis::{Axis, Unit};
use crate::charts::cases::{Cases, Pick, exact};
use crate::charts::panel::{Panel, Series};
use crate::charts::reference::with_reference;
use crate::schema::CaseResult;
use crate::statistics::Scale;
use crate::window;

fn panel(title: &str, what: &str, unit: Unit, series: Vec<Series>) -> Panel {
    let x = Axis::auto("connections", Unit::Count);
    Panel { title: title.to_owned(), x, y: Axis::auto(what, unit), series, marks: Vec::new() }
}

/// Replies per second against connections, with the arithmetic ceiling dashed.
pub(super) fn throughput(cases: &Cases) -> Figure {
    let all = with_reference(
        cases.measured(Unit::Count, "requests.per_s"),
        cases.series(Unit::Count, Scale::Amount, &|r| exact(r.requests.per_s_ceiling)),
        "ceiling",
    );
    let panels = vec![panel("Throughput", "replies per second", Unit::Count, all)];
    Figure::new("Throughput against its ceiling", panels)
}

/// How fast connections were opened, and how long one took.
pub(super) fn connects(cases: &Cases) -> Figure {
    let of = |title: &str, what: &str, unit, name: &str| panel(title, what, unit, cases.measured(unit, name));
    let opened = "opened and verified per second, pauses left out";
    Figure::new(
        "Connect rate",
        vec![
            of("Connect rate", opened, Unit::Count, "connections.connect_per_s"),
            of(
                "Connect latency, p99",
                "from connect(2) until it is established",
                Unit::Ns,
                "connections.connect_latency_ns.p99",
            ),
        ],
    )
}

/// CPU time of both ends in the measuring window: for 1,000 replies, and per second.
pub(super) fn cpu(cases: &Cases) -> Figure {
    let of = |title: &str, what: &str, unit, pick: Pick| {
        panel(title, what, unit, cases.series(unit, Scale::Ratio, pick))
    };
    let (each, per_s) = ("CPU seconds for 1,000 requests", "CPU seconds per second");
    Figure::new(
        "CPU time against connections",
        vec![
            of("Target: CPU for 1,000 requests", each, Unit::Seconds, &|r| {
                exact(window::target_cpu_s_per_request(r).map(|s| 1e3 * s))
            }),
            of("Client: CPU for 1,000 requests", each, Unit::Seconds, &|r| {
                exact(client_cpu_s_per_request(r).map(|s| 1e3 * s))
            }),
            of("Target: CPU per second", per_s, Unit::Count, &|r| exact(window::target_cpu_per_s(r))),
            of("Client: CPU per second", per_s, Unit::Count, &|r| exact(window::client_work_cpu_per_s(r))),
        ],
    )
}

/// CPU seconds of the client for each reply that it took in its window.
fn client_cpu_s_per_request(result: &CaseResult) -> Option<f64> {
    let per_s = result.requests.per_s.filter(|per_s| *per_s > 0.0)?;
    Some(window::client_work_cpu_per_s(result)? / per_s)
}
