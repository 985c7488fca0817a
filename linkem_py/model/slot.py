"""Scheduling slots: a radio cell that sends a link's packets in bursts."""

from __future__ import annotations

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.distribution import DelayTable, Distribution, check_distribution
from linkem_py.model.rules import Number, Whole, plain

LONGEST_MS = 60_000.0
MOST_ENTRIES = 8192  # a message has room for 64 KB, and the delay's table may have 32
LONGEST_JITTER_MS = 1000.0  # get_slot_next() multiplies 32 random bits by twice of it, in 63 bits


@attrs.frozen
class Slot:
    """Packets wait for the next slot and leave in it together (tc-netem(8), ``slot``).

    A packet that finds nothing waiting opens a slot `every_ms` from when its delay is over; whatever is due by
    then leaves with it. `jitter_ms` and `distribution` vary that time as they do a link's delay (``uniform``: up to
    so much more or less). A slot has room for `packets` packets or `kb` (1000 bytes), whichever is full first; what
    does not fit waits for the next. None: all that is due.

    Raises `TopologyError` naming field, rule and value.
    """

    every_ms: float = attrs.field(converter=plain, validator=Number(least=0.001, most=LONGEST_MS))
    jitter_ms: float = attrs.field(default=0.0, converter=plain, validator=Number(least=0, most=LONGEST_JITTER_MS))
    distribution: Distribution = attrs.field(default="uniform", validator=check_distribution)
    packets: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=1, most=2**31 - 1))
    kb: float | None = attrs.field(default=None, converter=plain, validator=Number(above=0, most=2e6))

    def __attrs_post_init__(self) -> None:
        for name in ("every_ms", "jitter_ms"):
            if getattr(self, name) is None:
                raise TopologyError(name, "must be a number", None)
        if self.jitter_ms > self.every_ms:
            raise TopologyError("jitter_ms", f"must not be above every_ms ({self.every_ms:g})", self.jitter_ms)
        if self.distribution != "uniform" and not self.jitter_ms:
            raise TopologyError("distribution", "needs jitter_ms", self.distribution)
        if isinstance(self.distribution, DelayTable) and len(self.distribution.values) > MOST_ENTRIES:
            rule = f"must have at most {MOST_ENTRIES} entries"
            raise TopologyError("distribution", rule, len(self.distribution.values))

    @classmethod
    def between(cls, min_ms: float, max_ms: float, *, packets: int | None = None, kb: float | None = None) -> Slot:
        """A slot after no less than `min_ms` and no more than `max_ms`, each time in between as probable."""
        if max_ms < min_ms:
            raise TopologyError("max_ms", f"must not be below min_ms ({min_ms:g})", max_ms)
        return cls((min_ms + max_ms) / 2, (max_ms - min_ms) / 2, packets=packets, kb=kb)

    @property
    def is_limited(self) -> bool:
        """Whether a slot can be full, so that slots are a rate as well."""
        return self.packets is not None or self.kb is not None
