"""clsact has no options."""

from __future__ import annotations

from linkem_py.plan.objects import Clsact


def encode_clsact(options: Clsact) -> bytes:
    """Payload of TCA_OPTIONS: none."""
    return b""


def decode_clsact(options: bytes) -> Clsact:
    """Read the payload of TCA_OPTIONS."""
    return Clsact()
