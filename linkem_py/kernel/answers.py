"""What the kernel answers: acknowledgements, errors in its own words, and the errors made of them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from linkem_py.errors import KernelError
from linkem_py.kernel.codec.attributes import find_attributes

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1
NLMSGERR_ATTR_OFFS = 2

_HEADER = struct.Struct("=IHHII")
_ERROR_HEADER_BYTES = 16 + 4 + 16  # nlmsghdr, error number, header of the message refused
_ERRNO = struct.Struct("=i")
_U32 = struct.Struct("=I")


class Ack(NamedTuple):
    """The kernel's answer to one message: errno 0 is success; `message` is the kernel's own words.

    `offset` is where in the message the offending attribute begins, in bytes (0: not said).
    """

    errno: int = 0
    message: str = ""
    offset: int = 0


SUCCESS = Ack()


class NetlinkError(KernelError):
    """The kernel refused a dump or a single request.

    Attributes
    ----------
    errno : the kernel's error number
    message : the kernel's own words (extended acknowledgement), may be empty
    """

    def __init__(self, what: str, errno: int, message: str = "") -> None:
        super().__init__(f"{what}: {message or os.strerror(errno)} (errno {errno})")
        self.errno = errno
        self.message = message


class AcknowledgementsLostError(KernelError):
    """Answers to a batch did not fit the receive buffer: dump and compare.

    Attributes
    ----------
    acks : what is known, one per message: an `Ack`, or None for an unknown outcome
    sent : how many messages the kernel was given; those from there on were never sent
    """

    def __init__(self, acks: Sequence[Ack | None], sent: int) -> None:
        self.acks = list(acks)
        self.sent = sent
        unknown = self.acks[:sent].count(None)
        super().__init__(f"the outcome of {unknown} of {sent} netlink messages is unknown: answers were lost")


def iterate_messages(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(type, flags, sequence, offset, end) of every message in a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            return
        yield kind, flags, sequence, offset, offset + length
        offset += (length + 3) & ~3


def read_ack(data: bytes, flags: int, offset: int, end: int) -> Ack:
    """Read an NLMSG_ERROR or the number in an NLMSG_DONE."""
    number = -_ERRNO.unpack_from(data, offset + 16)[0] if end - offset >= 20 else 0
    if not flags & NLM_F_ACK_TLVS:
        return SUCCESS if number == 0 else Ack(number)
    kind = _HEADER.unpack_from(data, offset)[1]
    start = offset + 20
    if kind == NLMSG_ERROR:
        start = offset + _ERROR_HEADER_BYTES
        if number and not flags & NLM_F_CAPPED:  # the whole request is quoted
            start += (_HEADER.unpack_from(data, offset + 20)[0] - 16 + 3) & ~3
    found = find_attributes(data, start, end)
    words = place = None
    if NLMSGERR_ATTR_MSG in found:
        first, last = found[NLMSGERR_ATTR_MSG]
        words = data[first:last].rstrip(b"\0").decode(errors="replace")
    if NLMSGERR_ATTR_OFFS in found:
        place = _U32.unpack_from(data, found[NLMSGERR_ATTR_OFFS][0])[0]
    return Ack(number, words or "", place or 0)
