//! The HdrHistogram log, read back by the reader of the crate that others use; an independent one reads it in a drill.

use std::time::{Duration, SystemTime};

use brink_results::{hdr, hdr_log};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use crate::fixtures::{MODELS, result};

fn log() -> String {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let began = start + Duration::from_millis(61_500);
    let mut odd = result(MODELS[0], 10);
    odd.case.name = "a, b\nc".to_owned();
    let mut silent = result(MODELS[0], 10);
    silent.latency_ns = None;
    let lines =
        [result(MODELS[1], 100), silent, odd].map(|result| hdr_log::line(&result, start, began).unwrap());
    assert!(lines[1].is_none(), "nothing was answered");
    assert!(lines.iter().flatten().all(|line| line.starts_with("Tag=") && line.lines().count() == 1));
    hdr_log::head(start).unwrap() + &lines.into_iter().flatten().collect::<String>()
}

#[test]
fn each_case_is_one_line_of_a_log_that_the_standard_tools_read() {
    let log = log();
    assert!(log.contains("\n#[Histogram log format version 1.3]\n"), "{log}");
    assert!(log.contains("\n#[StartTime: 1700000000.000 (seconds since epoch)]\n"), "{log}");
    // The legend of the columns is for people; the readers skip it.
    let (legend, rest): (Vec<_>, Vec<_>) = log.lines().partition(|line| line.starts_with('"'));
    assert_eq!(legend.len(), 1);
    let rest = rest.join("\n") + "\n";
    let mut seen = Vec::new();
    for entry in IntervalLogIterator::new(rest.as_bytes()) {
        let LogEntry::Interval(line) = entry.unwrap() else { continue };
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, line.encoded_histogram());
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.unwrap().as_slice()).unwrap();
        seen.push((
            line.tag().unwrap().as_str().to_owned(),
            line.start_timestamp(),
            line.duration(),
            histogram,
        ));
    }
    let original = result(MODELS[1], 100);
    let window = original.usage.phases.iter().find(|mark| mark.name == "window").unwrap();
    assert_eq!((seen.len(), seen[0].0.as_str(), seen[1].0.as_str()), (2, "threads-c100-r1", "a__b_c"));
    let (_, at, length, histogram) = &seen[0];
    assert!((at.as_secs_f64() - 61.5 - window.t_s).abs() < 0.001);
    assert!((length.as_secs_f64() - original.requests.window_s).abs() < 0.001);
    let latency = original.latency_ns.unwrap();
    assert_eq!(histogram, &hdr::decode(&latency.hdr).unwrap());
    assert_eq!(
        (histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99)),
        (latency.p50, latency.p99)
    );
}
