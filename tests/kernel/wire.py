"""Reads messages without the codec's help, so that two of them can be compared attribute by attribute."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import NamedTuple

NLM_F_ACK = 0x04
RECORDED = json.loads((Path(__file__).parent / "data" / "iproute2.json").read_text())

Types = tuple[int, ...]

TC = range(36, 47)
LINK, ADDRESS, ROUTE, NEIGHBOUR, RULE = (range(first, first + 4) for first in range(16, 36, 4))
FIXED_BYTES = {**dict.fromkeys(TC, 20), **dict.fromkeys(LINK, 16), **dict.fromkeys(ADDRESS, 8)}
FIXED_BYTES |= dict.fromkeys((*ROUTE, *NEIGHBOUR, *RULE), 12)

# Attributes that hold attributes, and the bytes of a struct in front of those.
NESTED: dict[str, dict[Types, int]] = {
    "netem": {(2,): 24, (2, 5): 0},
    "htb": {(2,): 0},
    "tbf": {(2,): 0},
    "prio": {(2,): 20},
    "u32": {(2,): 0, (2, 7): 0, (2, 7, 1): 0, (2, 7, 1, 2): 0},
    "bridge": {(18,): 0, (18, 2): 0, (18, 5): 0},
    "veth": {(18,): 0, (18, 2): 0, (18, 2, 1): 16},
    "ifb": {(18,): 0},
}


class Parsed(NamedTuple):
    """A message: what it is, its fixed header, and every attribute by its path of types."""

    kind: int
    flags: int
    fixed: bytes
    attributes: dict[Types, bytes]


def recorded(name: str) -> bytes:
    """The message that the command of this name in data/iproute2.json sent."""
    return bytes.fromhex(RECORDED[name]["message"])


def recorded_without_ack(name: str) -> bytes:
    """The same, but not asking for an acknowledgement: that is the socket's business."""
    message = bytearray(recorded(name))
    message[6] &= ~NLM_F_ACK
    return bytes(message)


def parse(message: bytes) -> Parsed:
    """Split a message; flags without NLM_F_ACK."""
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", message)
    assert length == len(message)
    assert length % 4 == 0
    assert sequence == port == 0
    start = 16 + FIXED_BYTES[kind]
    name = _name(kind, message, start)
    found: dict[Types, bytes] = {}
    _walk(message[start:], (), NESTED.get(name, {}), found)
    if (18, 1) in found:  # the kind of a device: ip leaves the final NUL out
        found[18, 1] = found[18, 1].rstrip(b"\0")
    return Parsed(kind, flags & ~NLM_F_ACK, message[16:start], found)


def _walk(data: bytes, path: Types, nested: dict[Types, int], found: dict[Types, bytes]) -> None:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        assert 4 <= length <= len(data)
        here, payload = (*path, kind & 0x3FFF), data[4:length]
        if here in nested:
            if nested[here]:
                found[(*here, 0)] = payload[: nested[here]]
            _walk(payload[nested[here] :], here, nested, found)
        else:
            assert here not in found
            found[here] = payload
        data = data[(length + 3) & ~3 :]
    assert not data


def _name(kind: int, message: bytes, start: int) -> str:
    if kind in TC and len(message) > start:
        return message[start + 4 :].split(b"\0", 1)[0].decode()
    return next((name for name in ("bridge", "veth", "ifb") if name.encode() in message), "")
