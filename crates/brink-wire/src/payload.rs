//! The payload bytes a client sends, and checks in the reply, without keeping a
//! copy per request: the bytes follow from the sequence number.
//!
//! Must not allocate after construction.

/// Distinct starting points in the shared bytes. Prime, so that neighbouring
/// sequence numbers do not line up.
const STARTS: usize = 251;

/// The shared bytes of all payloads of one length.
#[derive(Debug, Clone)]
pub struct Payload {
    bytes: Vec<u8>,
    len: usize,
}

impl Payload {
    /// Payloads of `len` bytes.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let bytes = (0..len + STARTS)
            .map(|_| {
                // xorshift64* (Vigna 2016, doi:10.1145/2845077); any fixed, patternless bytes would do.
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
            })
            .collect();
        Self { bytes, len }
    }

    /// Bytes of one payload.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether payloads have no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The payload of the request with this sequence number.
    #[must_use]
    pub fn of(&self, sequence: u64) -> &[u8] {
        let start = (sequence ^ (sequence >> 32)) as usize % STARTS;
        &self.bytes[start..start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_from_the_sequence_and_differs_between_neighbours() {
        let payload = Payload::new(64);
        assert_eq!(payload.of(7), Payload::new(64).of(7));
        assert_ne!(payload.of(7), payload.of(8));
        assert_ne!(payload.of(7), payload.of(7 | 1 << 32));
        assert_eq!(payload.of(u64::MAX).len(), 64);
    }
}
