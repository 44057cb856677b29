//! `brink claims` and `brink advise` through the real binary: verdicts, folders, what goes on after a stop, and what is
//! wrong said in one line.

use std::path::Path;

use serde_json::Value;

use crate::program::{root, run, stdout};

/// One experiment of two models, a program beside it, and rules that hold, fail and cannot be decided.
const FILE: &str = r#"
name = "small"
[quick]
repeats = 1
[[experiment]]
name = "loop"
repeats = 2
[[experiment.target]]
model = "threads"
[[experiment.target]]
model = "tokio"
[experiment.load]
connections = [5, 20]
delay = "5ms"
warmup = "0s"
duration = "300ms"
[[experiment.program]]
label = "said"
command = "echo '{\"makespan_ns\": 2500000, \"shell\": \"sh\"}'"
[[experiment.program]]
label = "served"
command = "sh -c 'echo {url} {address} >&2; exit 3'"
serve = { model = "hyper" }
[[experiment.program]]
label = "absent"
command = "no-such-program-at-all"
needs = "no-such-program-at-all"
[[claim]]
id = "C1"
says = "all connections open"
source = "a test"
shows = "{opened} opened; the program said {said}."
would_change = "nothing"
[claim.value]
opened = "opened of loop.tokio-c20"
said = "makespan_ns of loop.said"
[[claim.check]]
of = "connections"
rule = "opened >= 20"
[[claim.check]]
of = "a second"
rule = "said >= 1s"
[[claim]]
id = "C2"
says = "what is not there decides nothing"
source = "a test"
shows = "{absent} {served}"
would_change = "nothing"
[claim.value]
absent = "wall_ns of loop.absent"
served = "wall_ns of loop.served"
[[claim.check]]
of = "the absent one"
rule = "absent <= 1s"
[[claim.check]]
of = "the one that fails"
rule = "served <= 1s"
[guide]
experiments = ["loop"]
blocking = ["threads"]
[[guide.question]]
connections = 10
delay = "5ms"
"#;

fn written(dir: &Path, text: &str) -> String {
    let path = dir.join("claims.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_claims_file_is_run_judged_and_asked_for_advice() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (written(dir.path(), FILE), dir.path().join("run"));
    let folder = out.to_str().unwrap();
    // C2 cannot be decided: 5.
    let said = stdout(&["claims", &file, "--out", folder, "-q"], 5);
    assert!(said.contains("C1  depends    all connections open"), "{said}");
    assert!(said.contains("20 opened; the program said 2.50 ms."), "{said}");
    assert!(said.contains("holds: connections; fails: a second"), "{said}");
    assert!(said.contains("loop.absent: no-such-program-at-all is not there"), "{said}");
    assert!(said.contains("loop.served: exit status: 3: http://127.0.0.1:"), "{said}");
    assert!(said.contains("2 claims: 1 depend, 1 undecided"), "{said}");
    let claims = json(&out.join("claims.json"));
    assert_eq!(claims["schema"], "brink.claims/1");
    assert_eq!(claims["judged"][0]["verdict"], "depends");
    assert_eq!(claims["advice"][0]["question"]["connections"], 10);
    let program = json(&out.join("programs/001-loop.said-r1.json"));
    assert_eq!(
        (&program["facts"]["shell"], &program["measures"]["makespan_ns"]),
        (&"sh".into(), &2.5e6.into())
    );
    let cases = std::fs::read_dir(&out).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with(|c: char| c.is_ascii_digit())
    });
    assert_eq!(cases.count(), 8, "two models, two counts, twice");
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("id=\"claim-C1\"") && report.contains("Which model, on this machine"));
    // Nothing is left to be run, and what failed is not run again; what was absent may be there now.
    let again = run(&["claims", "--resume", folder, "-q"]);
    assert_eq!(again.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&again.stderr).contains("8 of 8 cases have their result already"));
    // An edited file: what was measured is taken over, and judged by the new rules. What was not there or failed runs again.
    let other =
        FILE.replace("rule = \"said >= 1s\"", "rule = \"said <= 1s\"").replace("[5, 20]", "[5, 20, 30]");
    let (edited, anew) = (written(dir.path(), &other), dir.path().join("anew"));
    let from = run(&["claims", &edited, "--from", folder, "--out", anew.to_str().unwrap(), "-q"]);
    let words = String::from_utf8_lossy(&from.stderr);
    assert!(words.contains("8 of 12 cases and 2 of 6 programs are taken over"), "{words}");
    assert_eq!(json(&anew.join("claims.json"))["judged"][0]["verdict"], "holds");
    let started = |dir: &Path| -> Vec<Value> {
        let all = brink_results::store::read_run(dir).unwrap().results;
        all.iter().filter(|r| r.case.name == "loop.tokio-c20-r1").map(|r| r.started.clone().into()).collect()
    };
    assert_eq!(started(&anew), started(&out));
    // Between two counts, of a wait that was measured.
    let advice: Value = serde_json::from_str(&stdout(
        &["advise", "-c", "10", "--delay", "5ms", "--from", folder, "--format", "json"],
        0,
    ))
    .unwrap();
    assert_eq!(advice["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(advice["candidates"][0]["p99_ns"]["how"], "interpolated");
    let far = stdout(&["advise", "-c", "10k", "--delay", "5ms", "--blocking", "--from", folder], 0);
    assert!(far.contains("take      threads") && far.contains("extrapolated"), "{far}");
    assert!(far.contains("tokio: out of the question: a wait that blocks"), "{far}");
    // Of those under results/ the newest that has a guide.
    let results = dir.path().join("results");
    std::fs::create_dir(&results).unwrap();
    std::fs::rename(&out, results.join("2026-01-01-a")).unwrap();
    std::fs::create_dir(results.join("2026-01-02-b")).unwrap();
    let spec = std::fs::read_to_string(results.join("2026-01-01-a/claims.json")).unwrap();
    let mut without: Value = serde_json::from_str(&spec).unwrap();
    without["guide"] = Value::Null;
    std::fs::write(results.join("2026-01-02-b/claims.json"), without.to_string()).unwrap();
    let found =
        crate::program::brink().args(["advise", "-c", "10"]).current_dir(dir.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&found.stdout).contains("From results/2026-01-01-a."), "{found:?}");
    std::fs::rename(results.join("2026-01-01-a"), &out).unwrap();
    // The report is judged anew from the files alone.
    stdout(&["report", folder, "--svg", dir.path().join("plots").to_str().unwrap()], 0);
}

#[test]
fn quick_runs_less_and_cases_keep_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let quick =
        FILE.replace("repeats = 2\n", "repeats = 2\nquick = { connections = [5], targets = [\"tokio\"] }\n");
    let file = written(dir.path(), &quick);
    let names = |flags: &[&str]| -> Vec<String> {
        let plan: Value = serde_json::from_str(&stdout(&[&["plan", &file], flags].concat(), 0)).unwrap();
        let name = |case: &Value| case["name"].as_str().unwrap().to_owned();
        plan["cases"].as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names(&["--quick"]), ["loop.tokio-c5-r1"]);
    assert!(names(&[]).contains(&"loop.tokio-c5-r1".to_owned()));
    assert_eq!(names(&[]).len(), 8);
}

#[test]
fn what_is_wrong_in_a_claims_file_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, words) in [
        (
            "rule = \"opened >= 20\"",
            "rule = \"opened = 20\"",
            "claims.toml:28: [[claim]] `C1`: check `opened = 20`: ",
        ),
        ("rule = \"said >= 1s\"", "rule = \"said >= 1KiB\"", "a time, right of it a size"),
        (
            "opened of loop.tokio-c20",
            "opened of loop.tokio-c21",
            "claims.toml:28: [[claim]] `C1`: `loop.tokio-c21` is no case and no program",
        ),
        ("opened of loop.tokio-c20", "opend of loop.tokio-c20", "`opend` is not a measure of a case"),
        ("opened of loop.tokio-c20", "p9 of loop.tokio-c20 / 1s", "`p9` is not a measure of a case"),
        ("{opened} opened", "{opende} opened", "there is no value `opende`"),
        ("label = \"served\"", "label = \"a b\"", "its label: letters"),
        ("serve = { model = \"hyper\" }", "", "{url} stands for the address of `serve`"),
        ("model = \"tokio\"", "model = \"tokyo\"", "did you mean `tokio`"),
        ("name = \"loop\"", "nam = \"loop\"", "unknown key `nam`"),
        ("experiments = [\"loop\"]", "experiments = [\"lop\"]", "there is no experiment `lop`"),
        ("id = \"C2\"", "id = \"C1\"", "its id is taken"),
        ("connections = [5, 20]", "", "no connections"),
        ("command = \"no-such-program-at-all\"", "command = \"a 'b\"", "a quote is not closed"),
        ("label = \"served\"", "label = \"said\"", "two programs are both called `said`"),
        (
            "label = \"served\"",
            "label = \"tokio-c5\"\ncommand = \"true\"\n[[experiment.program]]\nlabel = \"served\"",
            "a case and a program are both called `tokio-c5`",
        ),
        ("repeats = 2", "repeats = 2\nquick = { targets = [\"tokyo\"] }", "no program is called `tokyo`"),
        ("repeats = 2", "repeats = 2\nquick = { connections = [7] }", "quick: connections: no step has 7"),
        ("blocking = [\"threads\"]", "blocking = [\"thread\"]", "blocking: no target is called `thread`"),
        ("[claim.value]", "plot = { over_time = [\"loop.mio-c5\"] }\n[claim.value]", "plot: `loop.mio-c5`"),
        ("[claim.value]", "claimed = { said = \"5MB\" }\n[claim.value]", "claimed `said`: `5MB` is a size"),
        ("[claim.value]", "claimed = { said = \"soon\" }\n[claim.value]", "`soon` is not a figure"),
    ] {
        let file = written(dir.path(), &FILE.replacen(from, to, 1));
        let output = run(&["claims", &file, "--out", dir.path().join("none").to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{to}: {said}");
    }
    assert!(!dir.path().join("none").exists(), "nothing is made for a file that is wrong");
    let chain = format!("1{}", " + 1".repeat(200_000));
    for (from, to, words) in [
        ("opened of loop.tokio-c20", chain.as_str(), "it is longer than 500 words"),
        ("opened >= 20", &format!("opened >= {chain}"), "it is longer than 500 words"),
        ("opened of loop.tokio-c20", &"9".repeat(1_000_000), "is not a figure: allowed"),
        ("{opened} opened", &format!("{{{}}} opened", "x".repeat(1_000_000)), "there is no value `xxx"),
    ] {
        let file = written(dir.path(), &FILE.replacen(from, to, 1));
        let output = run(&["claims", &file]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", said.len());
        assert!(said.contains(words) && said.lines().count() == 1 && said.len() < 1_000, "{words}: {said}");
    }
    for (args, words) in [
        (vec!["advise", "-c", "5", "--from", "/dev/null"], "--from: "),
        (vec!["advise", "-c", "0"], "--connections"),
        (vec!["claims", "--resume", "/no/such/folder"], "--resume: "),
        (vec!["claims", "configs/my-claim.toml", "--from", "results/2026-11-21-quick"], "--from: "),
        (vec!["plan", "configs/quick.toml", "--quick"], "is no claims file"),
        (
            vec!["advise", "-c", "5", "--from", "results/2026-11-21-quick"],
            "is not the folder of `brink claims`",
        ),
    ] {
        let output = crate::program::brink().args(&args).current_dir(root()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{args:?}: {said}");
    }
}
