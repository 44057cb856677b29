//! Results as earlier versions of the program wrote them, under `tests/samples/`: one folder for each shape, named
//! after the commit that brought it. None is ever written again, and all stay readable.

use std::fs;
use std::path::{Path, PathBuf};

use brink_results::case::{Origin, Protocol, Workload};
use brink_results::schema::{CaseResult, StoppedBy, Verdict};
use brink_results::store::{RunData, read_run};
use brink_results::{answer, csv, report};

use crate::schemas::documents;
use crate::stored::lost;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

fn samples() -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn sample(name: &str) -> RunData {
    read_run(&folder().join(name)).unwrap()
}

fn one(name: &str, case: &str) -> CaseResult {
    sample(name).results.into_iter().find(|result| result.case.name == case).unwrap()
}

#[test]
fn all_are_read_and_nothing_of_them_is_lost() {
    assert!(samples().len() >= 5);
    for folder in samples() {
        let run = read_run(&folder).unwrap();
        assert_eq!(run.unreadable, [""; 0], "{}", folder.display());
        let documents = documents(&folder);
        assert_eq!(documents.len(), run.results.len() + usize::from(run.plan.is_some()));
        for (path, written) in documents {
            let back = if written["schema"] == "brink.plan/1" {
                serde_json::to_value(run.plan.as_ref().unwrap()).unwrap()
            } else {
                let name = written["case"]["name"].as_str().unwrap();
                let started = written["started"].as_str().unwrap();
                let is_it = |result: &&CaseResult| result.case.name == name && result.started == started;
                serde_json::to_value(run.results.iter().find(is_it).unwrap()).unwrap()
            };
            assert_eq!(lost(&written, &back), [""; 0], "{}", path.display());
        }
    }
}

#[test]
fn all_are_drawn_answered_and_tabled() {
    for folder in samples() {
        let run = read_run(&folder).unwrap();
        let page = report::render(&run);
        let table = csv::render(&run.results).unwrap();
        assert_eq!(table.lines().count(), 1 + run.results.len(), "{}", folder.display());
        assert!(answer::answer(&run).lines().count() > 1, "{}", folder.display());
        for result in &run.results {
            let name = &result.case.target.label;
            let answer = match &result.ceiling {
                Some(_) => answer::answer_ceiling(result),
                None => answer::answer_one(result),
            };
            assert!(answer.contains(name.as_str()), "{}: {name}: {answer}", folder.display());
            assert!(page.contains(name.as_str()), "{}: {name}", folder.display());
            assert!(table.contains(&result.case.name), "{}: {name}", folder.display());
        }
    }
}

/// What a shape lacks is read as what it was then.
#[test]
fn fields_that_came_later_have_their_defaults() {
    let first = one("1-0d8f0af", "mio-c100-r1");
    assert_eq!((first.case.load.protocol.clone(), first.case.load.requests), (Protocol::Frame, None));
    assert_eq!((first.requests.not_sent, first.connections.reopened, first.refused), (0, 0, false));
    assert!(first.schedule_lag_ns.is_none() && first.ceiling.is_none() && first.latency_ns.is_some());
    assert!(first.usage.machine.iter().all(|sample| sample.usage.tcp_resets_sent.is_none()));
}

#[test]
fn each_holds_what_its_shape_brought() {
    let workloads: Vec<&str> =
        sample("2-7cc02ac").results.iter().map(|result| result.case.load.workload.name()).collect();
    for workload in ["open", "burst", "churn", "hold", "closed"] {
        assert!(workloads.contains(&workload), "{workload} is not in {workloads:?}");
    }
    let open = one("2-7cc02ac", "tokio-c8");
    assert!(matches!(open.case.load.workload, Workload::Open { .. }) && open.schedule_lag_ns.is_some());
    let command = one("2-7cc02ac", "target-c4");
    assert!(matches!(command.case.target.origin, Origin::Command { .. }));
    let counted = one("3-6753b65", "pool-c8");
    assert!(counted.usage.machine.iter().any(|sample| sample.usage.tcp_resets_sent.is_some()));
    let climbed = one("4-547b8a1", "ceiling-foreign");
    assert_eq!(climbed.failure_point.unwrap().limit, "rlimit.nofile");
    assert_eq!(climbed.ceiling.unwrap().stopped_by, StoppedBy::Limit);
    let refused = sample("4-547b8a1").results.into_iter().find(|result| result.refused).unwrap();
    assert_eq!((refused.validity.verdict, refused.connections.opened), (Verdict::Failed, 0));
    let late = one("5-ba767ba", "ceiling-mio");
    assert_eq!(late.ceiling.unwrap().stopped_by, StoppedBy::Time);
}
