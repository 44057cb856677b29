//! The client's side of decoding: checks a reply byte for byte against what was
//! sent, as the bytes arrive, without storing them.
//!
//! A decoder exists only while a reply is partly there; an idle connection has
//! none. Must not touch a socket.

use thiserror::Error;

use crate::frame::{self, FrameError, HEADER_LEN, Header};
use crate::payload::Payload;

/// What a connection waits for: the request that it sent.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Header of the request.
    pub request: Header,
    /// Where its payload comes from.
    pub payload: &'a Payload,
}

/// Why a reply is not the echo of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// The bytes are no frame of ours at all.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A frame, but not the answer to this request, or other payload bytes.
    #[error("echo differs from what was sent, first at byte {at}")]
    Mismatch {
        /// Offset in the frame.
        at: u32,
    },
}

/// The part of a reply that has arrived.
#[derive(Debug, Clone)]
pub struct ReplyDecoder {
    head: [u8; HEADER_LEN],
    got: u32,
}

/// What feeding bytes led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All bytes were taken, and more are needed.
    Partial,
    /// The reply is complete and verified.
    Complete {
        /// Bytes taken from the input; what is left belongs to nobody.
        consumed: usize,
        /// The wait the target says really happened, in nanoseconds; `None` from a plain echo server.
        waited_ns: Option<u64>,
    },
}

impl Default for ReplyDecoder {
    fn default() -> Self {
        Self { head: [0; HEADER_LEN], got: 0 }
    }
}

impl ReplyDecoder {
    /// Takes the next bytes of the reply to `expected`.
    ///
    /// # Errors
    /// [`ReplyError`] at the first byte that cannot belong to the echo.
    pub fn feed(&mut self, input: &[u8], expected: Expected<'_>) -> Result<Progress, ReplyError> {
        let mut consumed = 0;
        let got = self.got as usize;
        if got == 0
            && let Some(complete) = whole(input, expected)
        {
            return Ok(complete);
        }
        if got < HEADER_LEN {
            consumed = input.len().min(HEADER_LEN - got);
            self.head[got..got + consumed].copy_from_slice(&input[..consumed]);
            self.got += consumed as u32;
            frame::scan(&self.head[..self.got as usize])?;
            if (self.got as usize) < HEADER_LEN {
                return Ok(Progress::Partial);
            }
            check_head(&self.head, &expected.request)?;
        }
        let payload = expected.payload.of(expected.request.sequence);
        let offset = self.got as usize - HEADER_LEN;
        let len = (input.len() - consumed).min(payload.len() - offset);
        let came = &input[consumed..consumed + len];
        let sent = &payload[offset..offset + len];
        if came != sent {
            let at = came.iter().zip(sent).take_while(|(a, b)| a == b).count();
            return Err(ReplyError::Mismatch { at: self.got + at as u32 });
        }
        self.got += len as u32;
        consumed += len;
        if offset + len < payload.len() {
            return Ok(Progress::Partial);
        }
        let header = Header::decode(&self.head)?;
        Ok(Progress::Complete { consumed, waited_ns: header.waited_ns })
    }
}

/// A reply that came in one piece, as nearly all do: held against what was sent, but for what a target fills in, without
/// taking it apart. `None`: it is not whole, or something else, which taking it apart will tell.
fn whole(input: &[u8], Expected { request, payload }: Expected<'_>) -> Option<Progress> {
    let head = input.first_chunk::<HEADER_LEN>()?;
    let frame_len = request.frame_len();
    let came = input.get(HEADER_LEN..frame_len)?;
    let sent = request.encode_reply(head);
    let is_echo = sent == *head && came == payload.of(request.sequence);
    is_echo.then(|| Progress::Complete { consumed: frame_len, waited_ns: frame::waited_ns(head) })
}

fn check_head(head: &[u8; HEADER_LEN], request: &Header) -> Result<(), ReplyError> {
    let reply = Header::decode(head)?;
    if (Header { waited_ns: None, ..reply }) == *request {
        return Ok(());
    }
    let sent = request.encode();
    let differs = |&i: &usize| head[i] != sent[i] && i != 5;
    let at = (0..HEADER_LEN).find(differs).unwrap_or(0);
    Err(ReplyError::Mismatch { at: at as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::reply_in_place;

    const LEN: usize = 5;

    fn request() -> Header {
        Header { payload_len: LEN as u32, work_us: 1, sequence: 3, delay_ns: 2, waited_ns: None }
    }

    fn frame(payload: &Payload) -> Vec<u8> {
        let mut out = request().encode().to_vec();
        out.extend_from_slice(payload.of(request().sequence));
        out
    }

    #[test]
    fn accepts_the_echo_split_at_every_byte() {
        let payload = Payload::new(LEN);
        let expected = Expected { request: request(), payload: &payload };
        let plain = frame(&payload);
        let mut filled = plain.clone();
        reply_in_place(&mut filled, 77);
        for (bytes, waited_ns) in [(&plain, None), (&filled, Some(77))] {
            for split in 0..bytes.len() {
                let mut decoder = ReplyDecoder::default();
                assert_eq!(decoder.feed(&bytes[..split], expected), Ok(Progress::Partial), "split {split}");
                let consumed = bytes.len() - split;
                let complete = Progress::Complete { consumed, waited_ns };
                assert_eq!(decoder.feed(&bytes[split..], expected), Ok(complete), "split {split}");
            }
        }
    }

    #[test]
    fn finds_any_single_wrong_byte() {
        let payload = Payload::new(LEN);
        let expected = Expected { request: request(), payload: &payload };
        for at in (0..HEADER_LEN + LEN).filter(|&at| at != 5 && !(32..40).contains(&at)) {
            let mut bytes = frame(&payload);
            bytes[at] ^= 0x40;
            assert!(ReplyDecoder::default().feed(&bytes, expected).is_err(), "byte {at}");
        }
    }

    #[test]
    fn leaves_what_follows_the_reply() {
        let payload = Payload::new(LEN);
        let expected = Expected { request: request(), payload: &payload };
        let mut bytes = frame(&payload);
        let consumed = bytes.len();
        bytes.push(0);
        let complete = Progress::Complete { consumed, waited_ns: None };
        assert_eq!(ReplyDecoder::default().feed(&bytes, expected), Ok(complete));
    }
}
