"""How much of the stream each link gets: what it is believed to carry, less what it loses and where it is too late."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from examples.bonding_scheduler.estimate import LinkEstimate

#: A round trip so far above its floor means a queue: this much, or this share of the floor if that is more.
QUEUE_S, QUEUE_SHARE = 0.030, 1 / 3
#: Loss below the first lets a link grow, above the second it shrinks: as in Google's congestion control
#: (draft-ietf-rmcat-gcc-02, 6), whose first is 2 %, which a radio link may lose when idle.
LOW_LOSS, HIGH_LOSS = 0.04, 0.10
#: A queue: back to this share of what the link delivers (0.85 there, 5.5; less deep because weights have other links).
BACK_TO = 0.9
#: Growth per second, and before the link's limit was ever felt. What a link carries is known up to a little more
#: than what it has been given (there up to 1.5 times; here that bound is also the weights' greatest error).
GROWTH_PER_S, FIRST_GROWTH_PER_S, BEYOND_DELIVERED = 1.15, 2.5, 1.25
#: While nothing arrives, a link loses half of what it was believed to carry every so often.
SILENT_HALVING_S = 0.5
LEAST_KBIT = 1.0


class Strain(enum.Enum):
    """What a link suffers from."""

    NONE = "none"
    SOME = "some"  # loses a little: neither grows nor shrinks
    QUEUE = "queue"
    LOSS = "loss"
    SILENT = "silent"

    @property
    def is_much(self) -> bool:
        return self in (Strain.QUEUE, Strain.LOSS, Strain.SILENT)


def strain_of(estimate: LinkEstimate, now: float) -> Strain:
    """What a link suffers from, the worst first."""
    if estimate.silent(now):
        return Strain.SILENT
    if estimate.loss > HIGH_LOSS:
        return Strain.LOSS
    if estimate.waiting_s > max(QUEUE_S, QUEUE_SHARE * estimate.floor_s):
        return Strain.QUEUE
    return Strain.SOME if estimate.loss > LOW_LOSS else Strain.NONE


@attrs.frozen(kw_only=True)
class Capacity:
    """What a link is believed to carry, and whether its limit was ever felt."""

    kbit: float
    felt: bool = False

    def after(self, passed_s: float, estimate: LinkEstimate, strain: Strain) -> Capacity:
        """The belief after some time under a strain: multiplicative up, down to what was delivered."""
        delivered = estimate.delivered_kbit
        match strain:
            case Strain.NONE:
                growth: float = (GROWTH_PER_S if self.felt else FIRST_GROWTH_PER_S) ** passed_s
                kbit = max(self.kbit, delivered, min(self.kbit * growth, BEYOND_DELIVERED * delivered))
            case Strain.SOME:
                kbit = self.kbit
            case Strain.QUEUE:
                kbit = min(self.kbit, BACK_TO * delivered)
            case Strain.LOSS:
                kbit = self.kbit * (1 - estimate.loss / 2)
            case Strain.SILENT:
                kbit = self.kbit * 0.5 ** (passed_s / SILENT_HALVING_S)
        return Capacity(kbit=max(kbit, LEAST_KBIT), felt=self.felt or strain.is_much)


def weights_of(
    capacities: Mapping[str, Capacity], estimates: Mapping[str, LinkEstimate], *, budget_s: float
) -> dict[str, float]:
    """Shares of the stream by link; their sum is 1.

    Each is what the link carries times what of it arrives, and less in proportion where the round trip is beyond
    `budget_s`: a receiver that plays after a fixed time has no use for what comes later.
    """
    scores = {}
    for name, capacity in capacities.items():
        estimate = estimates[name]
        in_time = min(1.0, budget_s / estimate.srtt_s) if estimate.srtt_s else 1.0
        scores[name] = max(capacity.kbit * (1 - estimate.loss) * in_time, LEAST_KBIT / 1000)
    total = sum(scores.values())
    return {name: score / total for name, score in scores.items()}
