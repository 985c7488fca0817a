"""What a link does to its packets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, final

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.distribution import Distribution, check_distribution, spread_in_jitters
from linkem_py.model.loss import FourState, GilbertElliott, LossModel
from linkem_py.model.rules import Number, Whole, flag, percent, plain
from linkem_py.model.slot import Slot

LONGEST_DELAY_MS = 3_600_000.0
LONGEST_JITTER_MS = (2**31 - 1) / 1e6  # netem caps it there: tabledist() takes nanoseconds in 32 bits with a sign
QueueKind = Literal["fifo", "fq_codel", "cake"]
ShaperKind = Literal["htb", "tbf", "netem", "cake"]
SHAPERS: tuple[ShaperKind, ...] = ("htb", "tbf", "netem", "cake")
# What cannot stand beside a shaper: tbf counts what waits in bytes, netem knows no burst, cake sizes itself.
_WITHOUT: dict[str, tuple[str, ...]] = {
    "htb": (),
    "tbf": ("queue_packets",),
    "netem": ("burst_kb",),
    "cake": ("burst_kb", "queue_ms", "queue_packets"),
}
QUEUES: tuple[QueueKind, ...] = ("fifo", "fq_codel", "cake")
LEAST_MTU = 68  # RFC 791; IPv6 has 1280 even so (RFC 8200, 5)
MOST_MTU = 1500  # what the interfaces have
HIGHEST_RATE_KBIT = 8e9  # 8 Tbit/s


def _loss_model(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, GilbertElliott | FourState):
        raise TopologyError(attribute.name, "must be a GilbertElliott or a FourState", value)


def _slot(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, Slot):
        raise TopologyError(attribute.name, "must be a Slot", value)


def _queue(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or value not in QUEUES:
        raise TopologyError(attribute.name, f"must be one of {', '.join(QUEUES)}", value)


def _shaper(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or value not in SHAPERS:
        raise TopologyError(attribute.name, f"must be one of {', '.join(SHAPERS)}", value)


@final
@attrs.frozen(kw_only=True, slots=False)  # a dict of all fields is copied in a third of the time of slots
class Impairment:
    """What happens to packets on one link, in one direction. Everything is optional.

    Delay
        `delay_ms` one way; `jitter_ms` around it, of the shape `distribution` (``uniform``: up to
        so much more or less; ``normal``, ``pareto``, ``paretonormal``, or a `DelayTable`: one
        standard deviation); `delay_correlation_pct` between one packet's jitter and the next's.
        Jitter lets packets overtake each other, as on a path of many routes; with `keep_order`
        they stay in order, as on one radio link. Resolution: 1 ns. Jitter is at most 2147 ms.
        With a `slot` packets then wait for the next scheduling slot and leave in bursts.
    Loss
        `loss_pct`, each packet on its own, or with `loss_correlation_pct` in bursts: carried out
        as Gilbert-Elliott of the same mean and lag-1 correlation, because netem's own form loses
        far less than asked (`kernel_loss_correlation` asks for that form all the same). Or a model
        in `loss` instead. With `ecn`, packets that say they can be marked are marked, not lost.
    Other
        `duplicate_pct`, `corrupt_pct` (one bit flipped) and `reorder_pct` (sent at once, past
        those that wait their delay; so it needs a delay), each with its correlation.
        `reorder_gap` g: only every g-th packet may be sent at once.
    Rate
        `rate_kbit` in 1000 bit/s of Ethernet frames without their check sequence; `burst_kb` (1000
        bytes) may pass at once after a pause. `queue_ms` (time at the rate) or `queue_packets` is
        how much waits; more is dropped. Default: 100 ms, at least ten full packets. `queue` is what
        waits there: ``fifo``, ``fq_codel`` (RFC 8290; up to 10,240 packets unless told otherwise; it
        marks with `ecn`) or ``cake``, which sizes itself and always marks what can be marked.
        `shaper` keeps the rate: ``htb``; ``tbf``; ``cake``, queue and all; or ``netem``, which first
        sends and then delays, and can count `packet_overhead` bytes for every packet and cells
        of `cell_size` bytes with `cell_overhead` for each, as on DSL: for ATM, 48 and 5.
    Size
        `mtu` in bytes of IP packets towards the destination's addresses: the sender's stack cuts what
        is larger into fragments, or into smaller TCP segments, and refuses what must not be cut
        (EMSGSIZE). 68 to 1500; over IPv6 it is at least 1280.
    Seed
        `seed` (64 bits) makes netem's random numbers repeatable, from Linux 6.6 on.

    Percentages are 0 to 100. Raises `TopologyError` naming field, rule and value. The fields are
    those of tc-netem(8).
    """

    delay_ms: float = attrs.field(default=0.0, converter=plain, validator=Number(least=0, most=LONGEST_DELAY_MS))
    jitter_ms: float = attrs.field(default=0.0, converter=plain, validator=Number(least=0, most=LONGEST_JITTER_MS))
    delay_correlation_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    distribution: Distribution = attrs.field(default="uniform", validator=check_distribution)
    keep_order: bool = attrs.field(default=False, validator=flag)
    slot: Slot | None = attrs.field(default=None, validator=_slot)
    loss_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    loss_correlation_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    kernel_loss_correlation: bool = attrs.field(default=False, validator=flag)
    loss: LossModel | None = attrs.field(default=None, validator=_loss_model)
    duplicate_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    duplicate_correlation_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    corrupt_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    corrupt_correlation_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    reorder_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    reorder_correlation_pct: float = attrs.field(default=0.0, converter=plain, validator=percent)
    reorder_gap: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=1, most=2**32 - 1))
    ecn: bool = attrs.field(default=False, validator=flag)
    rate_kbit: float | None = attrs.field(
        default=None, converter=plain, validator=Number(least=1, most=HIGHEST_RATE_KBIT)
    )
    burst_kb: float | None = attrs.field(default=None, converter=plain, validator=Number(above=0, most=4e6))
    queue_ms: float | None = attrs.field(default=None, converter=plain, validator=Number(above=0, most=600_000))
    queue_packets: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=1, most=2**32 - 1))
    queue: QueueKind = attrs.field(default="fifo", validator=_queue)
    shaper: ShaperKind = attrs.field(default="htb", validator=_shaper)
    packet_overhead: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=-1500, most=1500))
    cell_size: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=1, most=65535))
    cell_overhead: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=-1500, most=1500))
    mtu: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=LEAST_MTU, most=MOST_MTU))
    seed: int | None = attrs.field(default=None, converter=plain, validator=Whole(least=0, most=2**64 - 1))

    def __attrs_post_init__(self) -> None:
        for name in _NEVER_NONE:
            if getattr(self, name) is None:
                raise TopologyError(name, "must be a number", None)
        for rule, _ in _RULES:
            rule(self)

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> Impairment:
        """An impairment from a mapping of field names; an unknown name is an error."""
        return cls().evolve(**fields)

    def evolve(self, /, **changes: Any) -> Impairment:
        """A copy with these fields changed; None takes a setting away. Validated as a whole.

        A loss setting replaces the other one: `loss` clears `loss_pct` and its correlation, and
        the other way round, unless both are named; the same holds for the two forms of queue.
        What makes no sense without a setting that is taken away goes with it: jitter without
        delay, a queue without a rate.
        """
        given = _checked(changes)
        for name in changes.keys() & _ALTERNATIVES.keys():
            others = _ALTERNATIVES[name]
            if given[name] and changes.keys().isdisjoint(others):
                given.update({other: _DEFAULTS[other] for other in others if getattr(self, other)})
        if not all(given.values()) or "shaper" in given:  # what others depend on is off by 0 or None, or by htb
            for first, others in _DEPENDENTS:
                if first in given and given[first] == _DEFAULTS[first]:
                    given.update({name: _DEFAULTS[name] for name in others if name not in changes})
        if (
            self.ecn
            and not given.get("loss_pct", self.loss_pct)
            and given.get("loss", self.loss) is None
            and given.get("queue", self.queue) == "fifo"
        ):
            given.setdefault("ecn", False)
        return self._with(given)

    def at_rate(self, rate_kbit: float) -> Impairment:
        """A copy with another rate, of one that has a rate: what `evolve` gives, in a third of the time."""
        assert self.rate_kbit is not None
        if type(rate_kbit) is not float or not 1 <= rate_kbit <= HIGHEST_RATE_KBIT:
            rate_kbit = _CHECKS["rate_kbit"](rate_kbit)
        # Rules across fields ask whether there is a rate, and there was one and is one.
        new = Impairment.__new__(Impairment)
        fields = new.__dict__
        fields.update(self.__dict__)
        fields["rate_kbit"] = rate_kbit
        return new

    def _with(self, given: Mapping[str, Any]) -> Impairment:
        """A copy with these fields, which keep their own rules; only what reads them is checked."""
        # Past `__init__`, whose validators have nothing new to say about the fields that stay.
        new = Impairment.__new__(Impairment)
        new.__dict__.update(self.__dict__)
        new.__dict__.update(given)
        touched = 0
        for name in given:
            touched |= _READERS[name]
        for rule in _RULES_BY_READERS[touched]:
            rule(new)
        return new

    def set_fields(self) -> dict[str, Any]:
        """The fields that differ from their default, in the order of the class."""
        return {name: getattr(self, name) for name, default in _DEFAULTS.items() if getattr(self, name) != default}

    @property
    def mean_loss_pct(self) -> float:
        """Mean loss in percent, of whichever form is set."""
        return self.loss_pct if self.loss is None else self.loss.mean_loss_pct

    @property
    def delay_spread_ms(self) -> float:
        """Standard deviation of the delay in milliseconds."""
        return self.jitter_ms * spread_in_jitters(self.distribution)

    @property
    def is_clear(self) -> bool:
        """Whether the link does nothing to its packets."""
        return not self.set_fields()

    def __str__(self) -> str:
        text = ", ".join(f"{name}={value}" for name, value in self.set_fields().items())
        return text or "unimpaired"


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in attrs.fields(Impairment)}
_NEVER_NONE = tuple(name for name, default in _DEFAULTS.items() if default is not None)
_ALTERNATIVES: dict[str, tuple[str, ...]] = {
    "loss": ("loss_pct", "loss_correlation_pct", "kernel_loss_correlation"),
    "loss_pct": ("loss",),
    "queue_ms": ("queue_packets",),
    "queue_packets": ("queue_ms",),
}
# Ordered, so that what goes with delay_ms takes what goes with jitter_ms along.
_DEPENDENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("delay_ms", ("jitter_ms", "reorder_pct")),
    ("jitter_ms", ("distribution", "delay_correlation_pct")),
    ("loss_pct", ("loss_correlation_pct", "kernel_loss_correlation")),
    ("loss_correlation_pct", ("kernel_loss_correlation",)),
    ("duplicate_pct", ("duplicate_correlation_pct",)),
    ("corrupt_pct", ("corrupt_correlation_pct",)),
    ("reorder_pct", ("reorder_correlation_pct", "reorder_gap")),
    ("rate_kbit", ("burst_kb", "queue_ms", "queue_packets", "queue", "shaper")),
    ("shaper", ("packet_overhead", "cell_size")),
    ("cell_size", ("cell_overhead",)),
)
_EVENTS = ("loss", "duplicate", "corrupt", "reorder")
FIELDS: tuple[str, ...] = tuple(_DEFAULTS)


def _as_it_is(value: Any) -> Any:
    return value


def _check(
    field: attrs.Attribute[Any], convert: Callable[[Any], Any], validate: Callable[..., None], value: Any
) -> Any:
    """A value as its field takes it, None as the default. Raises `TopologyError`."""
    if value is None:
        return field.default
    value = convert(value)
    validate(None, field, value)
    return value


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values as their fields take them. Raises `TopologyError` for the first that breaks its own rule."""
    try:
        return {name: _CHECKS[name](value) for name, value in changes.items()}
    except (KeyError, TopologyError):
        pass  # which one is told of does not depend on the order of asking
    for name in sorted(changes.keys() - _DEFAULTS.keys()):
        raise TopologyError(name, f"is not a field; the fields are {', '.join(FIELDS)}", changes[name])
    return {name: _CHECKS[name](changes[name]) for name in FIELDS if name in changes}


# --- rules across fields -------------------------------------------------------------------------


def _jitter_within_delay(self: Impairment) -> None:
    if self.jitter_ms > self.delay_ms:
        raise TopologyError("jitter_ms", f"must not be above delay_ms ({self.delay_ms:g})", self.jitter_ms)


def _shape_needs_jitter(self: Impairment) -> None:
    if self.jitter_ms:
        return
    if self.distribution != "uniform":
        raise TopologyError("distribution", "needs jitter_ms", self.distribution)
    if self.delay_correlation_pct:
        raise TopologyError("delay_correlation_pct", "needs jitter_ms", self.delay_correlation_pct)


def _correlation_needs_its_event(self: Impairment) -> None:
    for event in _EVENTS:
        correlation = getattr(self, f"{event}_correlation_pct")
        if correlation and not getattr(self, f"{event}_pct"):
            raise TopologyError(f"{event}_correlation_pct", f"needs {event}_pct", correlation)
    if self.kernel_loss_correlation and not self.loss_correlation_pct:
        raise TopologyError("kernel_loss_correlation", "needs loss_correlation_pct", True)


def _correlated_loss_possible(self: Impairment) -> None:
    if self.loss_correlation_pct == 100 and 0 < self.loss_pct < 100 and not self.kernel_loss_correlation:
        rule = "must be below 100: the first packet would decide for all"
        raise TopologyError("loss_correlation_pct", rule, self.loss_correlation_pct)


def _one_loss(self: Impairment) -> None:
    if self.loss is not None and self.loss_pct:
        raise TopologyError("loss", f"must not stand beside loss_pct ({self.loss_pct:g}): give one of them", self.loss)


def _ecn_needs_loss(self: Impairment) -> None:
    if self.ecn and not self.mean_loss_pct and self.queue == "fifo":
        raise TopologyError("ecn", "needs loss_pct, loss or a queue that marks: it marks what would be lost", True)


def _reorder_needs_delay(self: Impairment) -> None:
    if self.reorder_pct and not self.delay_ms:
        rule = "needs delay_ms: packets sent at once overtake those that wait"
        raise TopologyError("reorder_pct", rule, self.reorder_pct)
    if self.reorder_gap is not None and not self.reorder_pct:
        raise TopologyError("reorder_gap", "needs reorder_pct", self.reorder_gap)
    if self.reorder_pct and self.keep_order:
        raise TopologyError("reorder_pct", "must not stand beside keep_order", self.reorder_pct)


def _queue_needs_rate(self: Impairment) -> None:
    for name in ("burst_kb", "queue_ms", "queue_packets"):
        if getattr(self, name) is not None and self.rate_kbit is None:
            raise TopologyError(name, "needs rate_kbit", getattr(self, name))
    if self.queue != "fifo" and self.rate_kbit is None:
        raise TopologyError("queue", "needs rate_kbit", self.queue)
    if self.queue == "cake":
        for name in ("queue_ms", "queue_packets"):
            if getattr(self, name) is not None:
                raise TopologyError(
                    name, "must not stand beside the queue 'cake', which sizes itself", getattr(self, name)
                )
    if self.queue_ms is not None and self.queue_packets is not None:
        rule = f"must not stand beside queue_packets ({self.queue_packets}): give one of them"
        raise TopologyError("queue_ms", rule, self.queue_ms)


def _shaper_has_its_own(self: Impairment) -> None:
    kind = self.shaper
    if kind != "htb" and self.rate_kbit is None:
        raise TopologyError("shaper", "needs rate_kbit", kind)
    if kind != "htb" and self.queue != "fifo":
        raise TopologyError("queue", f"needs the shaper 'htb' and must not stand beside {kind!r}", self.queue)
    for name in _WITHOUT[kind]:
        if getattr(self, name) is not None:
            raise TopologyError(name, f"must not stand beside the shaper {kind!r}", getattr(self, name))
    for name in ("packet_overhead", "cell_size", "cell_overhead"):
        if getattr(self, name) is not None and kind != "netem":
            raise TopologyError(name, "needs the shaper 'netem'", getattr(self, name))
    if self.cell_overhead is not None and self.cell_size is None:
        raise TopologyError("cell_overhead", "needs cell_size", self.cell_overhead)


#: The rules across fields in the order in which they are checked, and the fields that each reads.
_RULES: tuple[tuple[Callable[[Impairment], None], tuple[str, ...]], ...] = (
    (_jitter_within_delay, ("jitter_ms", "delay_ms")),
    (_shape_needs_jitter, ("jitter_ms", "distribution", "delay_correlation_pct")),
    (_one_loss, ("loss", "loss_pct")),
    (
        _correlation_needs_its_event,
        (
            *(f"{event}_{what}" for event in _EVENTS for what in ("pct", "correlation_pct")),
            "kernel_loss_correlation",
        ),
    ),
    (_correlated_loss_possible, ("loss_correlation_pct", "loss_pct", "kernel_loss_correlation")),
    (_ecn_needs_loss, ("ecn", "loss_pct", "loss", "queue")),
    (_reorder_needs_delay, ("reorder_pct", "delay_ms", "reorder_gap", "keep_order")),
    (_queue_needs_rate, ("burst_kb", "queue_ms", "queue_packets", "queue", "rate_kbit")),
    (
        _shaper_has_its_own,
        (
            *("shaper", "rate_kbit", "queue", "queue_ms", "queue_packets", "burst_kb"),
            *("packet_overhead", "cell_size", "cell_overhead"),
        ),
    ),
)


# --- what makes a change cheap -------------------------------------------------------------------

_CHECKS: dict[str, Callable[[Any], Any]] = {
    field.name: partial(_check, field, field.converter or _as_it_is, field.validator)  # type: ignore[arg-type]
    for field in attrs.fields(Impairment)
}
#: By field the rules that read it, a bit each; by such bits the rules themselves.
_READERS = {name: sum(1 << bit for bit, (_, reads) in enumerate(_RULES) if name in reads) for name in FIELDS}
_RULES_BY_READERS = tuple(
    tuple(rule for bit, (rule, _) in enumerate(_RULES) if bits >> bit & 1) for bits in range(1 << len(_RULES))
)
