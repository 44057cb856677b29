"""brink's wire frame in Python: a 40-byte header, little-endian, then the payload.

The layout and its bounds are those of crates/brink-wire/src/frame.rs. This module must not
read or write a socket, wait, or work: that is what the targets differ in.
"""

import struct

MAGIC = b"BRNK"
VERSION = 1
HEADER_LEN = 40
PAYLOAD_LEN_MAX = 1 << 20
DELAY_NS_MAX = 3_600_000_000_000
WORK_US_MAX = 60_000_000
# All ones: the target's own --delay or --work applies.
DELAY_OF_TARGET = (1 << 64) - 1
WORK_OF_TARGET = (1 << 32) - 1

FLAG_WAITED = 1
OFFSET_FLAGS = 5
OFFSET_WAITED = 32
# version, flags, header_len, payload_len, work_us, sequence, delay_ns
HEADER = struct.Struct("<4xBBHIIQQ8x")

# What a read asks for until a frame has shown what it takes.
READ_LEN_MIN = 4096


class FrameError(Exception):
    """The bytes are not a frame and never will be: their connection is of no more use."""


class Frames:
    """The receiving side of a connection: bytes go in as they come, whole frames come out."""

    __slots__ = ("buffer", "read_len")

    def __init__(self):
        self.buffer = bytearray()
        # As large as the largest frame seen, so that a frame costs one read.
        self.read_len = READ_LEN_MIN

    def add(self, data):
        self.buffer += data

    def next(self):
        """The next whole frame, or None until more bytes come. Raises FrameError."""
        buffer = self.buffer
        if len(buffer) < HEADER_LEN:
            # On its first wrong byte, so that a stranger is not waited for.
            if not MAGIC.startswith(buffer[:4]):
                raise FrameError("bad magic")
            return None
        frame_len = HEADER_LEN + check(buffer)
        if frame_len > self.read_len:
            self.read_len = frame_len
        if len(buffer) < frame_len:
            return None
        if len(buffer) == frame_len:
            self.buffer = bytearray()
            return buffer
        frame = buffer[:frame_len]
        del buffer[:frame_len]
        return frame


def check(header):
    """The payload's length. Raises FrameError for what version 1 does not allow."""
    version, _, header_len, payload_len, work_us, _, delay_ns = HEADER.unpack_from(header)
    if header[:4] != MAGIC:
        raise FrameError("bad magic")
    if version != VERSION:
        raise FrameError("frame version %d" % version)
    if header_len != HEADER_LEN:
        raise FrameError("header length %d" % header_len)
    if payload_len > PAYLOAD_LEN_MAX:
        raise FrameError("payload of %d bytes" % payload_len)
    if delay_ns > DELAY_NS_MAX and delay_ns != DELAY_OF_TARGET:
        raise FrameError("delay of %d ns" % delay_ns)
    if work_us > WORK_US_MAX and work_us != WORK_OF_TARGET:
        raise FrameError("work of %d us" % work_us)
    return payload_len


def asked(frame):
    """The wait in nanoseconds and the CPU work in microseconds that a frame asks for."""
    _, _, _, _, work_us, _, delay_ns = HEADER.unpack_from(frame)
    return delay_ns, work_us


def reply(frame, waited_ns):
    """Turns a request into its reply, in place: the flag and the wait that really happened."""
    frame[OFFSET_FLAGS] |= FLAG_WAITED
    frame[OFFSET_WAITED:HEADER_LEN] = waited_ns.to_bytes(8, "little")
    return frame
