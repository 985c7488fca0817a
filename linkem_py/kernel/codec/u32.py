"""u32's options: hash tables and entries (``net/sched/cls_u32.c``, ``struct tc_u32_sel``).

Values and masks of keys are in network order on the wire. An entry is created in the bucket that
TCA_U32_HASH names; its own handle repeats table and bucket.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from socket import htonl, ntohl

from linkem_py.kernel.codec.action import decode_action, encode_action
from linkem_py.kernel.codec.attributes import attribute, find_attributes, u32
from linkem_py.plan.objects import U32, U32Key, U32Table

TCA_U32_CLASSID = 1
TCA_U32_HASH = 2
TCA_U32_LINK = 3
TCA_U32_DIVISOR = 4
TCA_U32_SEL = 5
TCA_U32_ACT = 7
TCA_U32_MARK = 10
TC_U32_TERMINAL = 1
TC_U32_ROOT = 0xFFF00000  # as TCA_U32_HASH: the root table of the filter's priority
BUCKET_MASK = 0xFFFFF000  # table and bucket of a handle, without the node

_SEL_BYTES = 16
_KEY_BYTES = 16
# attribute header; flags, offshift, nkeys; offmask, off and offoff (not used), hoff, hmask
_SEL = "=HH BxBx 6xhI"
_KEY = "IIi4x"  # mask, value, offset; the mask of a variable offset (not used)
_SELECTORS = [struct.Struct(_SEL + n * _KEY) for n in range(9)]  # by number of keys
_MARK = struct.Struct("=HHIII")  # value, mask, hit counter
_ATTRIBUTE = struct.Struct("=HHI")
_U32 = struct.Struct("=I")


def encode_u32_table(options: U32Table) -> bytes:
    """Payload of TCA_OPTIONS of a hash table."""
    return u32(TCA_U32_DIVISOR, options.divisor)


def encode_u32(options: U32, handle: int, redirect_ifindex: int = 0) -> bytes:
    """Payload of TCA_OPTIONS of an entry; `handle` says its table and bucket (0: the root table)."""
    keys, classid, action, link, hash_mask, hash_offset, mark = options
    payload = _ATTRIBUTE.pack(8, TCA_U32_CLASSID, classid) if classid else b""
    if link:
        payload += _ATTRIBUTE.pack(8, TCA_U32_LINK, link)
    if action is not None:
        payload += attribute(TCA_U32_ACT, encode_action(action, redirect_ifindex))
    if mark is not None:
        payload += _MARK.pack(16, TCA_U32_MARK, mark[0], mark[1], 0)
    payload += _ATTRIBUTE.pack(8, TCA_U32_HASH, handle & BUCKET_MASK or TC_U32_ROOT)
    words: list[int] = []
    for value, mask, offset in keys:
        words += (htonl(mask), htonl(value), offset)
    count = len(keys)
    selector = _SELECTORS[count] if count < len(_SELECTORS) else struct.Struct(_SEL + count * _KEY)
    return payload + selector.pack(
        4 + _SEL_BYTES + _KEY_BYTES * count, TCA_U32_SEL,
        0 if link else TC_U32_TERMINAL, count, hash_offset, htonl(hash_mask), *words,
    )  # fmt: skip


def decode_u32(options: bytes, devices: Mapping[int, str] | None = None) -> U32 | U32Table | None:
    """Read the payload of TCA_OPTIONS of a filter dump.

    None for what is neither (the empty line of a priority). `devices` gives the names of
    redirection targets by interface index.
    """
    found = find_attributes(options, 0, len(options))

    def number(kind: int) -> int:
        return int(_U32.unpack_from(options, found[kind][0])[0]) if kind in found else 0

    if TCA_U32_DIVISOR in found:
        return U32Table(number(TCA_U32_DIVISOR))
    if TCA_U32_SEL not in found:
        return None
    start, _ = found[TCA_U32_SEL]
    count = options[start + 2]
    _, _, _, _, hash_offset, hash_mask, *words = struct.unpack_from(_SEL + count * _KEY, options, start - 4)
    mark = None
    if TCA_U32_MARK in found:
        value, mask = struct.unpack_from("=II", options, found[TCA_U32_MARK][0])
        mark = (value, mask)
    return U32(
        keys=tuple(
            U32Key(value=ntohl(words[i + 1]), mask=ntohl(words[i]), offset=words[i + 2]) for i in range(0, 3 * count, 3)
        ),
        classid=number(TCA_U32_CLASSID),
        action=decode_action(options, *found[TCA_U32_ACT], devices) if TCA_U32_ACT in found else None,
        link=number(TCA_U32_LINK),
        hash_mask=ntohl(hash_mask),
        hash_offset=hash_offset,
        mark=mark,
    )
