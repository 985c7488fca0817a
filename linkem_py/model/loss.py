"""Loss models that have a memory: which packets are lost depends on those before.

Both are the kernel's own (tc-netem(8)); S. Salsano, F. Ludovici, A. Ordine, D. Giannuzzi,
"Definition of a general and intuitive loss model for packet networks and its implementation in the
Netem module in the Linux kernel", 2012.
"""

from __future__ import annotations

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.rules import percent, plain


@attrs.frozen
class GilbertElliott:
    """A good and a bad state, each with its own loss.

    Per packet the state goes from good to bad with `p_pct` and from bad to good with `r_pct`;
    a packet is lost with `bad_loss_pct` in the bad state and `good_loss_pct` in the good one.
    All in percent. `r_pct` must not be 0 unless `p_pct` is: the link would never recover.
    """

    p_pct: float = attrs.field(converter=plain, validator=percent)
    r_pct: float = attrs.field(converter=plain, validator=percent)
    bad_loss_pct: float = attrs.field(default=100.0, converter=plain, validator=percent)
    good_loss_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)

    def __attrs_post_init__(self) -> None:
        for name in ("p_pct", "r_pct", "bad_loss_pct", "good_loss_pct"):
            if getattr(self, name) is None:
                raise TopologyError(name, "must be a number", None)
        if self.r_pct == 0 and self.p_pct > 0:
            raise TopologyError("r_pct", "must be above 0, or the bad state never ends", self.r_pct)

    @property
    def bad_share(self) -> float:
        """Stationary share of packets in the bad state: p / (p + r)."""
        total = self.p_pct + self.r_pct
        return self.p_pct / total if total else 0.0

    @property
    def mean_loss_pct(self) -> float:
        """Mean loss in percent: ((1-k) r + (1-h) p) / (p + r)."""
        return self.bad_loss_pct * self.bad_share + self.good_loss_pct * (1 - self.bad_share)

    @property
    def mean_burst_packets(self) -> float:
        """Mean sojourn in the bad state, in packets: 1 / r (0 if there is no bad state).

        With `bad_loss_pct` 100 and `good_loss_pct` 0 this is the mean number of packets lost
        in a row.
        """
        return 100.0 / self.r_pct if self.p_pct else 0.0

    @classmethod
    def from_correlation(cls, loss_pct: float, correlation_pct: float) -> GilbertElliott:
        """The model with this mean loss (percent) and this lag-1 correlation (percent).

        The loss indicator of a two-state chain with p = m (1 - c) and r = (1 - m)(1 - c) has mean
        m and lag-1 autocorrelation 1 - p - r = c. A loss of 100 has no good state to return to.
        """
        if loss_pct == 100:
            return cls(p_pct=0, r_pct=0, good_loss_pct=100)
        if correlation_pct == 100 and loss_pct:
            raise TopologyError("correlation_pct", "must be below 100: the first packet would decide for all", 100)
        mean, rest = loss_pct / 100, 1 - correlation_pct / 100
        return cls(p_pct=100 * mean * rest, r_pct=100 * (1 - mean) * rest)


@attrs.frozen
class FourState:
    """netem's four-state Markov model; every probability in percent.

    States: 1 received in a gap, 2 received within a burst, 3 lost within a burst, 4 lost singly
    in a gap. `p13` enters a burst, `p31` ends it, `p32` and `p23` alternate inside it, `p14`
    is isolated loss. The names and the order follow ``loss state p13 p31 p32 p23 p14`` in
    tc-netem(8). A single `p13` is independent loss, so the others default as tc's do.
    """

    p13_pct: float = attrs.field(converter=plain, validator=percent)
    p31_pct: float | None = attrs.field(default=None, converter=plain, validator=percent)
    p32_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    p23_pct: float = attrs.field(default=100.0, converter=plain, validator=percent)
    p14_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)

    def __attrs_post_init__(self) -> None:
        for name in ("p13_pct", "p32_pct", "p23_pct", "p14_pct"):
            if getattr(self, name) is None:
                raise TopologyError(name, "must be a number", None)
        for fields in (("p13_pct", "p14_pct"), ("p31_pct", "p32_pct")):
            total = sum(getattr(self, name) or 0.0 for name in fields)
            if total > 100:
                raise TopologyError(" + ".join(fields), "must not exceed 100", total)
        if self.p13_pct > 0 and not self.recovery_pct:
            raise TopologyError("p31_pct", "must be above 0, or the burst never ends", self.p31_pct)

    @property
    def recovery_pct(self) -> float:
        """`p31_pct`, or what makes the loss independent: 100 - p13, less p32."""
        return self.p31_pct if self.p31_pct is not None else max(0.0, 100.0 - self.p13_pct - self.p32_pct)

    @property
    def mean_loss_pct(self) -> float:
        """Mean loss in percent: the stationary share of states 3 and 4.

        Balance: pi1 (p13 + p14) = pi3 p31 + pi4, pi2 p23 = pi3 p32, pi4 = pi1 p14.
        With `p23_pct` 0 a burst that reaches state 2 stays there and nothing more is lost.
        """
        p13, p31, p32 = self.p13_pct / 100, self.recovery_pct / 100, self.p32_pct / 100
        p23, p14 = self.p23_pct / 100, self.p14_pct / 100
        if p13 == 0:
            return 100 * p14 / (1 + p14)
        if p32 and not p23:
            return 0.0
        gap, burst_lost = p31, p13
        burst_received = p13 * p32 / p23 if p32 else 0.0
        single = gap * p14
        return 100 * (burst_lost + single) / (gap + burst_lost + burst_received + single)


LossModel = GilbertElliott | FourState
