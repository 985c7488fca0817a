"""prio's options (``struct tc_prio_qopt``): bands, and which of them each packet priority uses.

All priorities go to the first band: filters alone decide.
"""

from __future__ import annotations

import struct

from linkem_py.plan.objects import Prio

TC_PRIO_MAX = 15

_OPTIONS = struct.Struct(f"=i{TC_PRIO_MAX + 1}s")
_FIRST_BAND = bytes(TC_PRIO_MAX + 1)


def encode_prio(options: Prio) -> bytes:
    """Payload of TCA_OPTIONS."""
    return _OPTIONS.pack(options.bands, _FIRST_BAND)


def decode_prio(options: bytes) -> Prio:
    """Read the payload of TCA_OPTIONS."""
    return Prio(_OPTIONS.unpack_from(options)[0])
