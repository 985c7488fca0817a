"""The protocol of the line between host and guest: frames with a kind, a length and a payload.

Pure: bytes in, values out. Two budgets keep the line alive. What travels towards the guest counts
against `LINE_WINDOW`, whatever it is, until the guest says it has read it (`ACK`): the kernel's
serial line stops for good once its reader is 4,096 bytes behind. What travels from the guest counts
per stream, against a window that the job names, until the host has passed it on (`CREDIT`): so a
slow reader of one stream holds up neither the other nor the line.
"""

from __future__ import annotations

import struct

STDIN, STDOUT, STDERR, JOB = range(4)
STREAM_NAMES = ("standard input", "standard output", "standard error", "job")

# From the guest.
HELLO = 1  # u32: 1 if the memory shared with the host can be used, else 0
ACK = 2  # u32: bytes read from the line since the last one
TAKEN = 3  # stream, u32: bytes of input passed on
STARTED = 4  # u64: the command runs, the guest's clock in ns since it began
FAILED = 5  # u8 exit status, text: the command could not be started
EXIT = 6  # u8: the command's exit status; u64: the clock as before; nothing follows
# To the guest.
SHARED = 7  # stream, u32 offset, u32 length: input that lies in the shared memory
CREDIT = 8  # stream, u32: bytes of output passed on
SIGNAL = 9  # u8: for the command's process group
SIZE = 10  # u16 rows, u16 columns of the terminal
# Both ways.
DATA = 11  # stream, bytes
EOF = 12  # stream: its writer is done
CLOSE = 13  # stream: its reader is gone

LINE_WINDOW = 2048
MAX_PAYLOAD = 1 << 17

_HEADER = struct.Struct(">BI")
_AMOUNT = struct.Struct(">BI")
_PIECE = struct.Struct(">BII")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_SIZE = struct.Struct(">HH")

HEADER_BYTES = _HEADER.size


def encode(kind: int, payload: bytes = b"") -> bytes:
    """One frame."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame's payload must be at most {MAX_PAYLOAD} bytes: {len(payload)}")
    return _HEADER.pack(kind, len(payload)) + payload


def data(stream: int, chunk: bytes) -> bytes:
    """A frame of a stream's bytes."""
    return encode(DATA, bytes((stream,)) + chunk)


def amount(kind: int, stream: int, count: int) -> bytes:
    """A frame that counts bytes of a stream: `TAKEN` or `CREDIT`."""
    return encode(kind, _AMOUNT.pack(stream, count))


def piece(stream: int, offset: int, length: int) -> bytes:
    """A `SHARED` frame."""
    return encode(SHARED, _PIECE.pack(stream, offset, length))


def number(kind: int, value: int) -> bytes:
    """A frame with one number: `HELLO` or `ACK`."""
    return encode(kind, _U32.pack(value))


def size(rows: int, columns: int) -> bytes:
    """A `SIZE` frame."""
    return encode(SIZE, _SIZE.pack(rows, columns))


def clock(kind: int, nanoseconds: int, before: bytes = b"") -> bytes:
    """A frame that ends with the guest's clock: `STARTED` or `EXIT`."""
    return encode(kind, before + _U64.pack(nanoseconds))


def parse_clock(payload: bytes) -> int:
    """The clock at the end of a `STARTED` or `EXIT` frame, in nanoseconds."""
    value: int = _U64.unpack(payload[-_U64.size :])[0]
    return value


def parse_amount(payload: bytes) -> tuple[int, int]:
    """Stream and count of a `TAKEN` or `CREDIT` frame."""
    stream, count = _AMOUNT.unpack(payload)
    return stream, count


def parse_piece(payload: bytes) -> tuple[int, int, int]:
    """Stream, offset and length of a `SHARED` frame."""
    stream, offset, length = _PIECE.unpack(payload)
    return stream, offset, length


def parse_number(payload: bytes) -> int:
    """The number of a `HELLO` or `ACK` frame."""
    value: int = _U32.unpack(payload)[0]
    return value


def parse_size(payload: bytes) -> tuple[int, int]:
    """Rows and columns of a `SIZE` frame."""
    rows, columns = _SIZE.unpack(payload)
    return rows, columns


class Decoder:
    """Cuts a byte stream into frames, however it was chopped up on its way."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def __repr__(self) -> str:
        return f"<Decoder {len(self._rest)} bytes waiting>"

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The frames that are complete with `chunk`; `ValueError` if this is not our protocol."""
        rest = self._rest
        rest += chunk
        frames = []
        at = 0
        while len(rest) - at >= HEADER_BYTES:
            kind, length = _HEADER.unpack_from(rest, at)
            if length > MAX_PAYLOAD or not HELLO <= kind <= CLOSE:
                raise ValueError(f"not a frame: kind {kind}, length {length}")
            end = at + HEADER_BYTES + length
            if end > len(rest):
                break
            frames.append((kind, bytes(rest[at + HEADER_BYTES : end])))
            at = end
        del rest[:at]
        return frames


def pack_strings(strings: list[bytes]) -> bytes:
    """A list of byte strings as one: a count, then each with its length before it."""
    return _U32.pack(len(strings)) + b"".join(_U32.pack(len(s)) + s for s in strings)


def unpack_strings(packed: bytes) -> list[bytes]:
    """The inverse of `pack_strings`."""
    (count,) = _U32.unpack_from(packed)
    strings = []
    at = _U32.size
    for _ in range(count):
        (length,) = _U32.unpack_from(packed, at)
        at += _U32.size
        if at + length > len(packed):
            raise ValueError("the list of strings is cut off")
        strings.append(packed[at : at + length])
        at += length
    return strings


class Job:
    """What the guest is to run, and how; travels as a list of byte strings on stream `JOB`."""

    NUMBERS = (
        "umask",  # of the command
        "files_soft",
        "files_hard",  # limits on open files
        "window",  # bytes of each output stream that may be on their way
        "terminal",  # bit mask of the streams that are the terminal
        "rows",
        "columns",  # of that terminal
        "cover_tmp",  # whether /tmp gets a layer of its own
        "begin",  # in virtual time: when the command starts, in seconds since 1970; else 0
        "await_input",  # whether its input, if any, is ready on the host: worth holding up virtual time
    )

    def __init__(
        self,
        *,
        argv: list[bytes],
        env: list[bytes],
        cwd: bytes,
        hostname: bytes,
        modules: bytes,
        numbers: dict[str, int],
    ) -> None:
        self.argv = argv
        self.env = env  # NAME=VALUE
        self.cwd = cwd
        self.hostname = hostname
        self.modules = modules  # folder of the kernel's modules, empty if it has none
        self.numbers = numbers

    def __repr__(self) -> str:
        return f"<Job {self.argv!r} in {self.cwd!r}>"

    def pack(self) -> bytes:
        """The job as bytes."""
        numbers = [b"%d" % self.numbers.get(name, 0) for name in self.NUMBERS]
        head = [self.cwd, self.hostname, self.modules, *numbers, b"%d" % len(self.argv)]
        return pack_strings(head + self.argv + self.env)

    @classmethod
    def unpack(cls, packed: bytes) -> Job:
        """The inverse of `pack`."""
        strings = unpack_strings(packed)
        cwd, hostname, modules = strings[:3]
        at = 3 + len(cls.NUMBERS)
        numbers = {name: int(text) for name, text in zip(cls.NUMBERS, strings[3:at], strict=True)}
        args = at + 1 + int(strings[at])
        return cls(
            argv=strings[at + 1 : args],
            env=strings[args:],
            cwd=cwd,
            hostname=hostname,
            modules=modules,
            numbers=numbers,
        )
