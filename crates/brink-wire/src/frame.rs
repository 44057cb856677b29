//! The wire frame: a 40-byte header, then the payload. Little-endian.
//!
//! | offset | size | field       | request                              | reply                         |
//! |-------:|-----:|-------------|--------------------------------------|-------------------------------|
//! |      0 |    4 | magic       | `BRNK`                               | same                          |
//! |      4 |    1 | version     | 1                                    | same                          |
//! |      5 |    1 | flags       | 0                                    | bit 0: `waited_ns` was filled |
//! |      6 |    2 | header_len  | 40                                   | same                          |
//! |      8 |    4 | payload_len | bytes after the header, up to 1 MiB  | same                          |
//! |     12 |    4 | work_us     | CPU work asked; all ones: target's   | same                          |
//! |     16 |    8 | sequence    | chosen by the client                 | same                          |
//! |     24 |    8 | delay_ns    | wait asked; all ones: target's       | same                          |
//! |     32 |    8 | waited_ns   | 0                                    | the wait that really happened |
//!
//! A plain echo server that returns the bytes unchanged is a valid target: its
//! replies lack the flag, so the wait is unknown rather than zero.
//! This module must not read or write a socket.

use thiserror::Error;

/// First four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"BRNK";
/// Version that this code speaks.
pub const VERSION: u8 = 1;
/// Bytes of the header.
pub const HEADER_LEN: usize = 40;
/// Largest payload, in bytes: 1 MiB.
pub const PAYLOAD_LEN_MAX: usize = 1 << 20;
/// Largest frame, in bytes.
pub const FRAME_LEN_MAX: usize = HEADER_LEN + PAYLOAD_LEN_MAX;
/// In `delay_ns`: the target's own `--delay` applies.
pub const DELAY_OF_TARGET: u64 = u64::MAX;
/// In `work_us`: the target's own `--work` applies.
pub const WORK_OF_TARGET: u32 = u32::MAX;
/// Longest wait a request may ask for, in nanoseconds: one hour.
pub const DELAY_NS_MAX: u64 = 3_600_000_000_000;
/// Largest CPU work a request may ask for, in microseconds: one minute.
pub const WORK_US_MAX: u32 = 60_000_000;

const FLAG_WAITED: u8 = 1;
const OFFSET_FLAGS: usize = 5;
const OFFSET_WAITED: usize = 32;

/// Why bytes are not a frame. The connection that sent them is closed and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first four bytes are not `BRNK`.
    #[error("not a brink frame (bad magic)")]
    Magic,
    /// A version that this code does not speak.
    #[error("frame version {0}, this program speaks {VERSION}")]
    Version(u8),
    /// A header length that version 1 does not have.
    #[error("header length {0}, version {VERSION} has {HEADER_LEN}")]
    HeaderLen(u16),
    /// A payload over the bound.
    #[error("payload of {0} bytes, at most {PAYLOAD_LEN_MAX} allowed")]
    Oversize(u32),
    /// A wait over the bound, in nanoseconds.
    #[error("delay of {0} ns, at most {DELAY_NS_MAX} allowed")]
    Delay(u64),
    /// CPU work over the bound, in microseconds.
    #[error("work of {0} us, at most {WORK_US_MAX} allowed")]
    Work(u32),
}

impl FrameError {
    /// The name that counters use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Magic => "bad_magic",
            Self::Version(_) => "bad_version",
            Self::HeaderLen(_) => "bad_header_len",
            Self::Oversize(_) => "oversize",
            Self::Delay(_) => "delay_over_bound",
            Self::Work(_) => "work_over_bound",
        }
    }
}

/// The header of one request or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes that follow the header.
    pub payload_len: u32,
    /// CPU work asked, in microseconds, or [`WORK_OF_TARGET`].
    pub work_us: u32,
    /// Chosen by the client, returned unchanged.
    pub sequence: u64,
    /// Wait asked, in nanoseconds, or [`DELAY_OF_TARGET`].
    pub delay_ns: u64,
    /// In a reply of a brink target: the wait that really happened, in nanoseconds.
    /// `None` in a request, and in the reply of a plain echo server.
    pub waited_ns: Option<u64>,
}

impl Header {
    /// The header as it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[OFFSET_FLAGS] = if self.waited_ns.is_some() { FLAG_WAITED } else { 0 };
        out[6..8].copy_from_slice(&(HEADER_LEN as u16).to_le_bytes());
        out[8..12].copy_from_slice(&self.payload_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.work_us.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..32].copy_from_slice(&self.delay_ns.to_le_bytes());
        out[OFFSET_WAITED..].copy_from_slice(&self.waited_ns.unwrap_or(0).to_le_bytes());
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FrameError`] when a field is outside what version 1 allows.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        if bytes[..4] != MAGIC {
            return Err(FrameError::Magic);
        }
        if bytes[4] != VERSION {
            return Err(FrameError::Version(bytes[4]));
        }
        let header_len = u16::from_le_bytes(field(bytes, 6));
        if usize::from(header_len) != HEADER_LEN {
            return Err(FrameError::HeaderLen(header_len));
        }
        let header = Self {
            payload_len: u32::from_le_bytes(field(bytes, 8)),
            work_us: u32::from_le_bytes(field(bytes, 12)),
            sequence: u64::from_le_bytes(field(bytes, 16)),
            delay_ns: u64::from_le_bytes(field(bytes, 24)),
            waited_ns: waited_ns(bytes),
        };
        if header.payload_len as usize > PAYLOAD_LEN_MAX {
            return Err(FrameError::Oversize(header.payload_len));
        }
        if header.delay_ns != DELAY_OF_TARGET && header.delay_ns > DELAY_NS_MAX {
            return Err(FrameError::Delay(header.delay_ns));
        }
        if header.work_us != WORK_OF_TARGET && header.work_us > WORK_US_MAX {
            return Err(FrameError::Work(header.work_us));
        }
        Ok(header)
    }

    /// The header of the reply to this request, with what the target has filled in taken from `reply`: flags, and the
    /// wait.
    #[must_use]
    pub fn encode_reply(&self, reply: &[u8; HEADER_LEN]) -> [u8; HEADER_LEN] {
        let mut out = self.encode();
        out[OFFSET_FLAGS] = reply[OFFSET_FLAGS];
        out[OFFSET_WAITED..].copy_from_slice(&reply[OFFSET_WAITED..]);
        out
    }

    /// Bytes of header and payload together.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + self.payload_len as usize
    }
}

/// The wait that a reply's header tells of, in nanoseconds; `None` from a plain echo server.
pub(crate) fn waited_ns(head: &[u8; HEADER_LEN]) -> Option<u64> {
    (head[OFFSET_FLAGS] & FLAG_WAITED != 0).then(|| u64::from_le_bytes(field(head, OFFSET_WAITED)))
}

/// What the first bytes of a stream hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Not yet a frame: at least this many bytes are needed in all.
    Partial {
        /// Bytes from the frame's first on.
        frame_len_min: usize,
    },
    /// A whole frame of `header.frame_len()` bytes is there.
    Complete {
        /// Its header.
        header: Header,
    },
}

/// Looks for one frame at the start of `bytes`, which may hold less or more.
///
/// # Errors
/// [`FrameError`] as soon as the bytes at hand cannot become a frame: wrong magic
/// is seen on its first byte, so that a stranger is not waited for.
pub fn scan(bytes: &[u8]) -> Result<Scan, FrameError> {
    let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
        let seen = bytes.len().min(MAGIC.len());
        if bytes[..seen] != MAGIC[..seen] {
            return Err(FrameError::Magic);
        }
        return Ok(Scan::Partial { frame_len_min: HEADER_LEN });
    };
    let header = Header::decode(head)?;
    if bytes.len() < header.frame_len() {
        return Ok(Scan::Partial { frame_len_min: header.frame_len() });
    }
    Ok(Scan::Complete { header })
}

/// Turns the request at the start of `frame` into its reply, in place: the only
/// bytes that change are the flag and `waited_ns`.
///
/// # Panics
/// If `frame` is shorter than a header.
pub fn reply_in_place(frame: &mut [u8], waited_ns: u64) {
    frame[OFFSET_FLAGS] |= FLAG_WAITED;
    frame[OFFSET_WAITED..HEADER_LEN].copy_from_slice(&waited_ns.to_le_bytes());
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { payload_len: 3, work_us: 7, sequence: 0x0102_0304_0506_0708, delay_ns: 9, waited_ns: None }
    }

    #[test]
    fn encodes_what_it_decodes() {
        for waited_ns in [None, Some(0), Some(u64::MAX)] {
            let h = Header { waited_ns, ..header() };
            assert_eq!(Header::decode(&h.encode()), Ok(h));
        }
    }

    #[test]
    fn scan_is_incremental_at_every_byte() {
        let mut frame = header().encode().to_vec();
        frame.extend_from_slice(b"abc");
        for split in 0..frame.len() {
            let frame_len_min = if split < HEADER_LEN { HEADER_LEN } else { frame.len() };
            assert_eq!(scan(&frame[..split]), Ok(Scan::Partial { frame_len_min }), "split at {split}");
        }
        assert_eq!(scan(&frame), Ok(Scan::Complete { header: header() }));
        frame.push(b'x');
        assert_eq!(scan(&frame), Ok(Scan::Complete { header: header() }));
    }

    #[test]
    fn refuses_what_is_over_a_bound() {
        let with = |change: fn(&mut Header)| {
            let mut h = header();
            change(&mut h);
            Header::decode(&h.encode())
        };
        assert_eq!(with(|h| h.payload_len = 1 << 20).map(|h| h.payload_len), Ok(1 << 20));
        assert_eq!(with(|h| h.payload_len = (1 << 20) + 1), Err(FrameError::Oversize((1 << 20) + 1)));
        assert_eq!(with(|h| h.delay_ns = DELAY_NS_MAX + 1), Err(FrameError::Delay(DELAY_NS_MAX + 1)));
        assert!(with(|h| h.delay_ns = DELAY_OF_TARGET).is_ok());
        assert_eq!(with(|h| h.work_us = WORK_US_MAX + 1), Err(FrameError::Work(WORK_US_MAX + 1)));
        assert!(with(|h| h.work_us = WORK_OF_TARGET).is_ok());
        let mut bytes = header().encode();
        bytes[4] = 2;
        assert_eq!(Header::decode(&bytes), Err(FrameError::Version(2)));
        bytes[4] = 1;
        bytes[6] = 41;
        assert_eq!(Header::decode(&bytes), Err(FrameError::HeaderLen(41)));
    }

    #[test]
    fn a_stranger_is_seen_on_the_first_wrong_byte() {
        assert_eq!(scan(b"G"), Err(FrameError::Magic));
        assert_eq!(scan(b"BRNX"), Err(FrameError::Magic));
        assert!(scan(b"BRN").is_ok());
    }

    #[test]
    fn a_reply_keeps_all_but_the_wait() {
        let mut frame = header().encode().to_vec();
        frame.extend_from_slice(b"abc");
        let before = frame.clone();
        reply_in_place(&mut frame, 42);
        assert_eq!(scan(&frame), Ok(Scan::Complete { header: Header { waited_ns: Some(42), ..header() } }));
        assert_eq!(frame[HEADER_LEN..], before[HEADER_LEN..]);
    }
}
