//! Latencies as a HdrHistogram log, format version 1.3: one line per case and repeat, tagged with the case's name, that
//! the standard tools read (HistogramLogAnalyzer, HistogramLogProcessor, hdr-plot, the readers of Java and Python).
//!
//! Pure: text in, text out. Must not open a file or read a clock.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::hdr::{self, HdrError};
use crate::schema::CaseResult;

/// Nanoseconds in the unit of the column that is for people, the longest latency: milliseconds, as Java's writer has it.
const MAX_DIVISOR: f64 = 1e6;
const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// How a log begins that counts from `start`.
///
/// # Errors
/// [`HdrError::Encode`], which a string is never a reason for.
pub fn head(start: SystemTime) -> Result<String, HdrError> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    IntervalLogWriterBuilder::new()
        .add_comment(&format!("[Logged with brink {}]", env!("CARGO_PKG_VERSION")))
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(
            "[Latencies in nanoseconds, the longest one in milliseconds; one line per case and repeat]",
        )
        .with_start_time(start)
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| HdrError::Encode(error.to_string()))?;
    Ok(text(bytes)? + LEGEND)
}

/// The line of a result in a log that counts from `start`; `began`: when the case did. `None` where nothing was answered
/// within its window.
///
/// # Errors
/// Those of [`hdr::decode`], and [`HdrError::Encode`].
pub fn line(result: &CaseResult, start: SystemTime, began: SystemTime) -> Result<Option<String>, HdrError> {
    let Some(latency) = &result.latency_ns else { return Ok(None) };
    let histogram = hdr::decode(&latency.hdr)?;
    let window = result.usage.phases.iter().find(|mark| mark.name == "window");
    let window_s = window.map_or(0.0, |mark| mark.t_s.max(0.0));
    let at = began.duration_since(start).unwrap_or_default() + seconds(window_s);
    let tag: String = result.case.name.chars().map(|c| if is_of_tag(c) { c } else { '_' }).collect();
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let encode = |error: String| HdrError::Encode(error);
    let mut log = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|error| encode(error.to_string()))?;
    log.write_histogram(&histogram, at, seconds(result.requests.window_s), Tag::new(&tag))
        .map_err(|error| encode(format!("{error:?}")))?;
    // Its head is that of the log.
    let whole = text(bytes)?;
    Ok(whole.find("Tag=").map(|at| whole[at..].to_owned()))
}

/// A tag ends at the comma (HistogramLogReader).
fn is_of_tag(c: char) -> bool {
    c != ',' && !c.is_whitespace() && !c.is_control()
}

fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s).unwrap_or_default()
}

fn text(bytes: Vec<u8>) -> Result<String, HdrError> {
    String::from_utf8(bytes).map_err(|error| HdrError::Encode(error.to_string()))
}
