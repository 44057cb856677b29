//! The receiving side of a target's connection: bytes come in as the socket
//! gives them, whole frames go out, and the storage follows the frames seen.
//!
//! It holds nothing until the first byte is awaited, and never more than one
//! frame of the largest size plus what one read added. Must not touch a socket.

use std::ops::Range;

use crate::frame::{self, FrameError, Header, Scan};

/// The first room: a frame with the default payload of 64 bytes, since most frames are that and each idle connection of
/// a target keeps it.
const CAPACITY_MIN: usize = frame::HEADER_LEN + 64;

/// Bytes received and not yet answered.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Box<[u8]>,
    // A frame is at most 1 MiB: words half as long make a difference where there are 100,000 connections.
    start: u32,
    end: u32,
    frame_len_min: u32,
}

impl FrameBuffer {
    /// An empty buffer that has allocated nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Room to read into. Never empty: it grows to what the frame in progress needs,
    /// and keeps that size, so that frames of one size cost one read each.
    pub fn spare(&mut self) -> &mut [u8] {
        let wanted = (self.frame_len_min as usize).max(CAPACITY_MIN);
        if self.start > 0 && (self.start == self.end || self.start as usize + wanted > self.bytes.len()) {
            let waiting = self.waiting();
            self.end = waiting.len() as u32;
            self.bytes.copy_within(waiting, 0);
            self.start = 0;
        }
        let end = self.end as usize;
        if end == self.bytes.len() || wanted > self.bytes.len() {
            let len = match wanted.max(end + 1) {
                CAPACITY_MIN => CAPACITY_MIN,
                more => more.next_power_of_two().min(frame::FRAME_LEN_MAX.max(end + 1)),
            };
            let mut longer = std::mem::take(&mut self.bytes).into_vec();
            longer.reserve_exact(len.saturating_sub(longer.len()));
            longer.resize(len, 0);
            self.bytes = longer.into_boxed_slice();
        }
        &mut self.bytes[end..]
    }

    /// Says that the first `len` bytes of [`spare`](Self::spare) were filled.
    ///
    /// # Panics
    /// If `len` is more than `spare` had.
    pub fn filled(&mut self, len: usize) {
        assert!(len <= self.bytes.len() - self.end as usize, "filled more than there was room for");
        self.end += len as u32;
    }

    /// The next whole frame, header and payload, if it has arrived.
    /// It stays at the front until [`consume`](Self::consume)d.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are not a frame; the connection is then of no more use.
    pub fn frame(&mut self) -> Result<Option<(Header, &mut [u8])>, FrameError> {
        match frame::scan(&self.bytes[self.waiting()])? {
            Scan::Partial { frame_len_min } => {
                self.frame_len_min = frame_len_min as u32;
                Ok(None)
            }
            Scan::Complete { header } => {
                let len = header.frame_len();
                Ok(Some((header, self.front(len))))
            }
        }
    }

    /// The first `len` bytes that wait: a frame that [`frame`](Self::frame) has found.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn front(&mut self, len: usize) -> &mut [u8] {
        let waiting = self.waiting();
        &mut self.bytes[waiting][..len]
    }

    /// Where the bytes are that wait.
    fn waiting(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Drops the first `len` bytes: a frame that has been answered.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn consume(&mut self, len: usize) {
        assert!(len <= self.waiting().len(), "consumed more than there was");
        self.start += len as u32;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether bytes are waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of storage held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FRAME_LEN_MAX, HEADER_LEN, PAYLOAD_LEN_MAX};

    fn frame_of(payload_len: usize, sequence: u64) -> Vec<u8> {
        let header =
            Header { payload_len: payload_len as u32, work_us: 0, sequence, delay_ns: 0, waited_ns: None };
        let mut out = header.encode().to_vec();
        out.extend((0..payload_len).map(|i| (i as u8).wrapping_add(sequence as u8)));
        out
    }

    fn feed(buffer: &mut FrameBuffer, mut bytes: &[u8], chunk: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let spare = buffer.spare();
            let len = chunk.min(bytes.len()).min(spare.len());
            spare[..len].copy_from_slice(&bytes[..len]);
            buffer.filled(len);
            bytes = &bytes[len..];
            while let Some((header, frame)) = buffer.frame().unwrap() {
                frames.push(frame.to_vec());
                buffer.consume(header.frame_len());
            }
        }
        frames
    }

    #[test]
    fn frames_come_out_whole_however_they_went_in() {
        let sent: Vec<_> =
            [1, 87, 88, 89, 4096, 3].iter().zip(0..).map(|(&len, n)| frame_of(len, n)).collect();
        let bytes = sent.concat();
        for chunk in 1..200 {
            assert_eq!(feed(&mut FrameBuffer::new(), &bytes, chunk), sent, "chunks of {chunk}");
        }
    }

    #[test]
    fn storage_is_bounded_and_nothing_at_rest() {
        assert_eq!(FrameBuffer::new().capacity(), 0);
        let mut buffer = FrameBuffer::new();
        assert_eq!(feed(&mut buffer, &frame_of(16, 0), 1).len(), 1);
        assert_eq!(buffer.capacity(), CAPACITY_MIN);
        let large = [frame_of(PAYLOAD_LEN_MAX, 1), frame_of(PAYLOAD_LEN_MAX, 2)].concat();
        assert_eq!(feed(&mut buffer, &large, 100_000).len(), 2);
        assert_eq!(buffer.capacity(), FRAME_LEN_MAX);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_frame_in_one_read_once_its_size_is_known() {
        let mut buffer = FrameBuffer::new();
        feed(&mut buffer, &frame_of(1000, 0), 50);
        assert!(buffer.spare().len() >= 1000 + HEADER_LEN);
    }

    #[test]
    fn rubbish_is_an_error() {
        let mut buffer = FrameBuffer::new();
        buffer.spare()[..4].copy_from_slice(b"GET ");
        buffer.filled(4);
        assert_eq!(buffer.frame().unwrap_err(), FrameError::Magic);
    }
}
