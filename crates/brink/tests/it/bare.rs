//! `brink bare`: what a claims file reads of it, and its one line where it has nothing to say.

use serde_json::Value;

use crate::program::{Target, run, stdout};

fn bare(args: &str) -> Value {
    let args: Vec<&str> = std::iter::once("bare").chain(args.split_whitespace()).collect();
    let text = stdout(&args, 0);
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn sleepers_are_counted_and_timed() {
    for way in ["threads", "tokio"] {
        let seen = bare(&format!("--way {way} -n 100 --wait 20ms"));
        assert_eq!(
            (&seen["sleepers"], &seen["requests"], &seen["failed"]),
            (&100.into(), &100.into(), &0.into())
        );
        assert!(seen["makespan_ns"].as_u64().unwrap() >= 20_000_000, "{seen}");
    }
}

#[test]
fn each_gets_its_frame_back_after_the_wait_that_it_asks_for() {
    let target = Target::start(&["--model", "tokio"]);
    for way in ["threads", "tokio"] {
        let seen = bare(&format!("--way {way} -n 20 --wait 30ms --echo {}", target.address()));
        assert_eq!((&seen["requests"], &seen["failed"]), (&20.into(), &0.into()), "{way}");
        assert!(seen["makespan_ns"].as_u64().unwrap() >= 30_000_000, "{seen}");
    }
}

#[test]
fn memory_is_a_slope_over_plateaus() {
    for way in ["threads", "tokio"] {
        let seen = bare(&format!("--way {way} -n 400 --hold 10ms --stack-size 1MiB"));
        assert_eq!((&seen["sleepers"], &seen["plateaus"]), (&400.into(), &8.into()));
        let each = seen["virtual_bytes_per_sleeper"].as_f64().unwrap();
        // A thread takes its stack of address space, and little more.
        assert!(way == "tokio" || (1_048_576.0..1_300_000.0).contains(&each), "{way}: {seen}");
        assert!(seen["user_bytes_per_sleeper"].is_number() && seen["user_bytes"].is_number(), "{seen}");
    }
}

#[test]
fn what_is_wrong_is_one_line() {
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string();
    for (args, code, part) in [
        (vec!["--way", "fibers"], 2, "fibers"),
        (vec!["--way", "tokio", "-n", "0"], 2, "1 to 1m"),
        (vec!["--way", "tokio", "-n", "3", "--hold", "1s"], 2, "--hold: a slope needs at least 5"),
        (vec!["--way", "tokio", "-n", "3", "--echo", &nobody], 1, "3 of 3 failed: ECONNREFUSED"),
        (
            vec!["--way", "threads", "-n", "9", "--hold", "1s", "--echo", &nobody],
            1,
            "could be made: ECONNREFUSED",
        ),
    ] {
        let output = run(&[&["bare"], args.as_slice()].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.contains(part), "{said}");
    }
}
