"""What happens to a link on top of what it is: changes relative to its impairment."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import LONGEST_DELAY_MS, LONGEST_JITTER_MS, Impairment
from linkem_py.model.loss import GilbertElliott
from linkem_py.model.rules import Number, percent
from linkem_py.model.schedule.fields import needed

USUAL_QUEUE_MS = 100.0  # what waits if an impairment does not say: so long at the rate,
USUAL_QUEUE_PACKETS = 10  # and at least so many full packets
FRAME_BITS = 1514 * 8
LONGEST_QUEUE_MS = 600_000.0


class Modifier(ABC):
    """An impairment made from another one. A frozen value."""

    __slots__ = ()

    @abstractmethod
    def applied_to(self, impairment: Impairment) -> Impairment:
        """What the link becomes; raises `TopologyError` if it cannot."""

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """The fields that may change."""


@attrs.frozen(kw_only=True)
class Handover(Modifier):
    """A radio link while it changes cells: slower, and loses in bursts.

    Parameters
    ----------
    delay_ms : added to the delay
    jitter_factor, loss_factor, reorder_factor : multiply jitter (up to the delay), mean loss and reordering
    most_loss_pct : what the mean loss goes up to; a link that loses more already keeps its mean
    loss_correlation_pct : of one packet's loss with the next's; as Gilbert-Elliott
    """

    delay_ms: float = attrs.field(default=200.0, validator=needed(Number(least=0, most=LONGEST_DELAY_MS)))
    jitter_factor: float = attrs.field(default=3.0, validator=needed(Number(least=0, most=1e6)))
    loss_factor: float = attrs.field(default=10.0, validator=needed(Number(least=1, most=1e6)))
    most_loss_pct: float = attrs.field(default=10.0, validator=needed(percent))
    loss_correlation_pct: float = attrs.field(default=80.0, validator=needed(Number(least=0, most=99.999)))
    reorder_factor: float = attrs.field(default=5.0, validator=needed(Number(least=0, most=1e6)))

    @property
    def names(self) -> frozenset[str]:
        """Delay, jitter, loss and reordering."""
        return frozenset({"delay_ms", "jitter_ms", "loss", "loss_pct", "loss_correlation_pct", "reorder_pct"})

    def applied_to(self, impairment: Impairment) -> Impairment:
        """The link during a handover."""
        delay_ms = min(impairment.delay_ms + self.delay_ms, LONGEST_DELAY_MS)
        loss_pct = impairment.mean_loss_pct
        worse_pct = max(loss_pct, min(loss_pct * self.loss_factor, self.most_loss_pct))
        return impairment.evolve(
            delay_ms=delay_ms,
            jitter_ms=min(impairment.jitter_ms * self.jitter_factor, delay_ms, LONGEST_JITTER_MS),
            reorder_pct=min(impairment.reorder_pct * self.reorder_factor, 100.0),
            **({"loss": GilbertElliott.from_correlation(worse_pct, self.loss_correlation_pct)} if loss_pct else {}),
        )


@attrs.frozen
class Bufferbloat(Modifier):
    """A queue that holds (1 + 5 severity) times the usual.

    severity : 0 is the usual queue, 1 six times as much
    """

    severity: float = attrs.field(default=1.0, validator=needed(Number(least=0, most=1000)))

    @property
    def names(self) -> frozenset[str]:
        """The queue."""
        return frozenset({"queue_ms", "queue_packets"})

    def applied_to(self, impairment: Impairment) -> Impairment:
        """The link with the longer queue; raises `TopologyError` if it has no rate for one to form."""
        if impairment.rate_kbit is None:
            raise TopologyError("bufferbloat", "needs rate_kbit: without a rate nothing waits", self.severity)
        factor = 1 + 5 * self.severity
        if impairment.queue_packets is not None:
            return impairment.evolve(queue_packets=round(impairment.queue_packets * factor))
        usual_ms = impairment.queue_ms
        if usual_ms is None:
            usual_ms = max(USUAL_QUEUE_MS, USUAL_QUEUE_PACKETS * FRAME_BITS / impairment.rate_kbit)
        return impairment.evolve(queue_ms=min(usual_ms * factor, LONGEST_QUEUE_MS))
