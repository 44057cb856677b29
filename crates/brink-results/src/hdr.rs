//! Histograms to the percentiles and the base64 text that a result carries, and back.
//!
//! The bytes are HdrHistogram's V2 encoding without deflate, so that any implementation of it
//! can merge them. Must not know what was timed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use thiserror::Error;

use crate::schema::{ConnectLatency, DelayError, Latency, LatencyFrom};

/// Why a histogram could not be written or read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HdrError {
    /// The histogram could not be encoded.
    #[error("histogram cannot be encoded: {0}")]
    Encode(String),
    /// The text is not base64.
    #[error("field `hdr` is not base64: {0}")]
    Base64(String),
    /// The bytes are not a V2 histogram.
    #[error("field `hdr` is not an HdrHistogram V2 encoding: {0}")]
    Decode(String),
}

/// The V2 encoding as base64.
///
/// # Errors
/// [`HdrError::Encode`] for a count above `i64::MAX`.
pub fn encode(histogram: &Histogram<u64>) -> Result<String, HdrError> {
    let mut bytes = Vec::new();
    V2Serializer::new()
        .serialize(histogram, &mut bytes)
        .map_err(|error| HdrError::Encode(error.to_string()))?;
    Ok(STANDARD.encode(bytes))
}

/// The histogram in base64 text of its V2 encoding.
///
/// # Errors
/// [`HdrError::Base64`] or [`HdrError::Decode`].
pub fn decode(text: &str) -> Result<Histogram<u64>, HdrError> {
    let bytes = STANDARD.decode(text).map_err(|error| HdrError::Base64(error.to_string()))?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| HdrError::Decode(format!("{error:?}")))
}

/// Percentiles of request latency in nanoseconds; `None` for an empty histogram.
///
/// # Errors
/// [`HdrError::Encode`].
pub fn latency(histogram: &Histogram<u64>, from: LatencyFrom) -> Result<Option<Latency>, HdrError> {
    if histogram.is_empty() {
        return Ok(None);
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    Ok(Some(Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        p9999: at(0.9999),
        max: histogram.max(),
        mean: histogram.mean(),
        count: histogram.len(),
        from,
        hdr: encode(histogram)?,
    }))
}

/// Percentiles of connect latency in nanoseconds; `None` for an empty histogram.
#[must_use]
pub fn connect_latency(histogram: &Histogram<u64>) -> Option<ConnectLatency> {
    let at = |quantile| histogram.value_at_quantile(quantile);
    (!histogram.is_empty()).then(|| ConnectLatency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max(),
    })
}

/// Percentiles of how far the waits were off, in nanoseconds; `None` for an empty histogram.
#[must_use]
pub fn delay_error(histogram: &Histogram<u64>) -> Option<DelayError> {
    (!histogram.is_empty()).then(|| DelayError {
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_1000() -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=1000).for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    #[test]
    fn percentiles_of_one_to_a_thousand() {
        let latency = latency(&to_1000(), LatencyFrom::Sent).unwrap().unwrap();
        assert_eq!([latency.p50, latency.p90, latency.p99, latency.p999], [500, 900, 990, 999]);
        assert_eq!((latency.max, latency.count), (1000, 1000));
        assert!((latency.mean - 500.5).abs() < 1.0);
        assert_eq!(connect_latency(&to_1000()).unwrap().p99, 990);
        assert_eq!(delay_error(&to_1000()), Some(DelayError { p50: 500, p99: 990, max: 1000 }));
    }

    #[test]
    fn survives_writing_and_reading() {
        let back = decode(&encode(&to_1000()).unwrap()).unwrap();
        assert_eq!(back, to_1000());
    }

    #[test]
    fn nothing_recorded_is_null() {
        let empty = Histogram::new(3).unwrap();
        assert_eq!(latency(&empty, LatencyFrom::Due), Ok(None));
        assert_eq!((connect_latency(&empty), delay_error(&empty)), (None, None));
    }

    #[test]
    fn refuses_what_is_no_histogram() {
        assert!(matches!(decode("?"), Err(HdrError::Base64(_))));
        assert!(matches!(decode("AAAA"), Err(HdrError::Decode(_))));
    }
}
