"""Actions of a filter: drop (gact), redirect and mirror (mirred), mark (skbedit)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache

from linkem_py.kernel.codec.attributes import attribute, find_attributes, nested, text, u32
from linkem_py.plan.objects import Action, Drop, Mark, Mirror, Redirect

TCA_ACT_KIND = 1
TCA_ACT_OPTIONS = 2
TCA_PARMS = 2  # TCA_GACT_PARMS, TCA_MIRRED_PARMS and TCA_SKBEDIT_PARMS alike
TCA_SKBEDIT_MARK = 5
TC_ACT_UNSPEC = -1  # "continue": the next filter is tried; at the end of them all the packet passes
TC_ACT_SHOT = 2
TC_ACT_STOLEN = 4
TCA_EGRESS_REDIR, TCA_EGRESS_MIRROR = 1, 2
NLA_F_NESTED = 0x8000

_GENERIC = struct.Struct("=IIiii")  # tc_gen: index, capabilities, action, references, bindings
_MIRRED = struct.Struct("=IIiiiiI")  # tc_gen, what to do, interface index
_U32 = struct.Struct("=I")
_MIRRED_CLASSES: dict[int, type[Redirect] | type[Mirror]] = {TCA_EGRESS_REDIR: Redirect, TCA_EGRESS_MIRROR: Mirror}


@lru_cache(maxsize=1024, typed=True)  # a Redirect equals a Mirror to the same device
def encode_action(action: Action, redirect_ifindex: int = 0) -> bytes:
    """The list of one action, as u32 takes it (payload of TCA_U32_ACT)."""
    if isinstance(action, Redirect | Mirror):
        mirror = isinstance(action, Mirror)
        verdict, what = (TC_ACT_UNSPEC, TCA_EGRESS_MIRROR) if mirror else (TC_ACT_STOLEN, TCA_EGRESS_REDIR)
        parms = _MIRRED.pack(0, 0, verdict, 0, 0, what, redirect_ifindex)
        return _one("mirred", attribute(TCA_PARMS, parms))
    if isinstance(action, Mark):
        parms = _GENERIC.pack(0, 0, TC_ACT_UNSPEC, 0, 0)
        return _one("skbedit", attribute(TCA_PARMS, parms), u32(TCA_SKBEDIT_MARK, action.mark))
    return _one("gact", attribute(TCA_PARMS, _GENERIC.pack(0, 0, TC_ACT_SHOT, 0, 0)))


def _one(kind: str, *options: bytes) -> bytes:
    return nested(1, text(TCA_ACT_KIND, kind), nested(TCA_ACT_OPTIONS | NLA_F_NESTED, *options))


def decode_action(data: bytes, start: int, end: int, devices: Mapping[int, str] | None = None) -> Action | None:
    """Read the first action of a list; None if it is not one that `encode_action` makes.

    `devices` gives names by interface index; a device it does not have is named ``#index``.
    """
    actions = find_attributes(data, start, end)
    if 1 not in actions:
        return None
    found = find_attributes(data, *actions[1])
    if TCA_ACT_KIND not in found or TCA_ACT_OPTIONS not in found:
        return None
    kind = data[slice(*found[TCA_ACT_KIND])].rstrip(b"\0")
    options = find_attributes(data, *found[TCA_ACT_OPTIONS])
    if TCA_PARMS not in options:
        return None
    parms = options[TCA_PARMS][0]
    verdict = _GENERIC.unpack_from(data, parms)[2]
    if kind == b"gact" and verdict == TC_ACT_SHOT:
        return Drop()
    if kind == b"skbedit" and TCA_SKBEDIT_MARK in options:
        return Mark(*_U32.unpack_from(data, options[TCA_SKBEDIT_MARK][0]))
    if kind == b"mirred" and (found_class := _MIRRED_CLASSES.get(_MIRRED.unpack_from(data, parms)[5])):
        ifindex = _MIRRED.unpack_from(data, parms)[6]
        return found_class((devices or {}).get(ifindex, f"#{ifindex}"))
    return None
