"""Reads pcapng, as its specification has it: written apart from what writes it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

NAMES = {0x0A0D0D0A: "section", 1: "interface", 5: "statistics", 6: "packet"}
FIXED = {"section": 16, "interface": 8, "statistics": 12}  # bytes of a block's body before its options


class Seen(NamedTuple):
    interface: int
    time_ns: int
    length: int
    data: bytes
    direction: int


class File(NamedTuple):
    section: dict[int, bytes]
    interfaces: list[dict[int, bytes]]
    statistics: list[dict[int, bytes]]
    packets: list[Seen]

    def names(self) -> list[str]:
        return [options[2].decode() for options in self.interfaces]


def read(source: Path | bytes) -> File:
    data = source if isinstance(source, bytes) else source.read_bytes()
    found: dict[str, list[Any]] = {name: [] for name in NAMES.values()}
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length % 4 == 0
        assert struct.unpack_from("=I", data, at + length - 4) == (length,)
        body = data[at + 8 : at + length - 4]
        name = NAMES[kind]
        found[name].append(_packet(body) if name == "packet" else _options(body[FIXED[name] :]))
        at += length
    assert at == len(data)
    assert len(found["section"]) == 1
    return File(found["section"][0], found["interface"], found["statistics"], found["packet"])


def _packet(body: bytes) -> Seen:
    interface, high, low, kept, length = struct.unpack_from("=5I", body)
    options = _options(body[20 + kept + -kept % 4 :])
    return Seen(interface, high << 32 | low, length, body[20 : 20 + kept], struct.unpack("=I", options[2])[0])


def _options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = 0
    while True:
        code, length = struct.unpack_from("=HH", data, at)
        if code == 0:
            assert at + 4 == len(data)
            return options
        assert code not in options
        options[code] = data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
