"""Other people's packets on a link: what they amount to. When each of them comes is `CrossStream`'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.rules import Number, Whole, plain

Arrivals = Literal["poisson", "paced"]
ARRIVALS: tuple[Arrivals, ...] = ("poisson", "paced")
PacketSizes: TypeAlias = tuple[tuple[int, float], ...]

#: The "simple IMIX" that test equipment sends, 7 : 4 : 1 (A. Morton, RFC 6985, 1 and 4).
IMIX: PacketSizes = ((40, 7), (576, 4), (1500, 1))

ETHERNET_BYTES = 14  # a link's rate counts them
LEAST_PACKET_BYTES = 28  # the headers of IPv4 and UDP
MOST_PACKET_BYTES = 1500
MOST_PACKETS_PER_S = 20_000  # of one flow, so that a mistyped load does not take a core
_size = Whole(least=LEAST_PACKET_BYTES, most=MOST_PACKET_BYTES)
_weight = Number(above=0, most=1e9)


def _sizes(value: Any) -> Any:
    """One size, or a mapping or pairs of sizes and their weights, as plain numbers."""
    if isinstance(value, Mapping):
        value = value.items()
    if isinstance(value, str):
        return value
    if not isinstance(value, Iterable):
        return plain(value)
    try:
        return tuple(sorted((plain(size), plain(weight)) for size, weight in value))
    except (TypeError, ValueError):
        return value


def _check_sizes(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple):
        if value is None or not isinstance(value, int):
            raise TopologyError(attribute.name, "must be a whole number, or sizes with their weights", value)
        _size(instance, attribute, value)
        return
    if not value:
        raise TopologyError(attribute.name, "must be at least one size", value)
    for size, weight in value:
        if size is None or weight is None:
            raise TopologyError(attribute.name, "must be sizes with their weights", value)
        _size(instance, attribute, size)
        _weight(instance, attribute, weight)


def _check_arrivals(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, str) or value not in ARRIVALS:
        raise TopologyError(attribute.name, f"must be one of {', '.join(ARRIVALS)}", value)


@attrs.frozen(kw_only=True)
class CrossTraffic:
    """Background packets in one direction of a link: they wait in its queue, and others wait behind them.

    Parameters
    ----------
    load_kbit : what is offered, in 1000 bit/s of Ethernet frames as a link's rate counts them; or
    load_pct : in percent of the link's rate as it is at that moment, up to 1000. While the link has no rate
        nothing is sent
    packet_bytes : size of the IP packets, 28 to 1500; or sizes with their weights, such as `IMIX` or
        ``{40: 7, 576: 4, 1500: 1}``: shares of the packets, not of the bytes
    arrivals : ``poisson``: at random, independently of each other; ``paced``: each packet as long after
        the one before it as that takes at the load
    on_ms, off_ms : means of exponential times during which it sends and is silent, in turn. The load is that
        while it sends, as the `rate_` of ns-2's Exponential On/Off traffic; `mean_share` says what is left of it

    A flow sends at most 20,000 packets a second. Raises `TopologyError` naming field, rule and value.
    """

    load_kbit: float | None = attrs.field(default=None, converter=plain, validator=Number(above=0, most=8e9))
    load_pct: float | None = attrs.field(default=None, converter=plain, validator=Number(above=0, most=1000))
    packet_bytes: int | PacketSizes = attrs.field(default=1500, converter=_sizes, validator=_check_sizes)
    arrivals: Arrivals = attrs.field(default="poisson", validator=_check_arrivals)
    on_ms: float | None = attrs.field(default=None, converter=plain, validator=Number(least=1, most=3_600_000))
    off_ms: float | None = attrs.field(default=None, converter=plain, validator=Number(least=1, most=3_600_000))

    def __attrs_post_init__(self) -> None:
        if self.load_kbit is None and self.load_pct is None:
            raise TopologyError("load_kbit", "must be given, or load_pct", None)
        if self.load_kbit is not None and self.load_pct is not None:
            raise TopologyError("load_pct", f"must not stand beside load_kbit ({self.load_kbit:g})", self.load_pct)
        if (self.on_ms is None) != (self.off_ms is None):
            given, other = ("on_ms", "off_ms") if self.off_ms is None else ("off_ms", "on_ms")
            raise TopologyError(given, f"needs {other}", getattr(self, given))
        if self.load_kbit is not None and self.load_kbit > self.most_kbit:
            rule = f"must not be above {self.most_kbit:g} ({MOST_PACKETS_PER_S:,} packets a second)"
            raise TopologyError("load_kbit", rule, self.load_kbit)

    @property
    def sizes(self) -> PacketSizes:
        """Sizes of packets with their weights."""
        return self.packet_bytes if isinstance(self.packet_bytes, tuple) else ((self.packet_bytes, 1.0),)

    @property
    def mean_frame_bytes(self) -> float:
        """Mean size of an Ethernet frame."""
        total = sum(weight for _, weight in self.sizes)
        return ETHERNET_BYTES + sum(size * weight for size, weight in self.sizes) / total

    @property
    def mean_share(self) -> float:
        """Share of the time during which it sends."""
        return 1.0 if self.on_ms is None or self.off_ms is None else self.on_ms / (self.on_ms + self.off_ms)

    @property
    def most_kbit(self) -> float:
        """The highest load that is sent."""
        return MOST_PACKETS_PER_S * self.mean_frame_bytes * 8 / 1000

    def load_at(self, rate_kbit: float | None) -> float:
        """The load in kbit/s, while it sends, on a link of this rate; None: of none."""
        if self.load_kbit is not None:
            return self.load_kbit
        assert self.load_pct is not None
        return 0.0 if rate_kbit is None else min(self.load_pct / 100 * rate_kbit, self.most_kbit)


def check_cross_traffic(value: object) -> CrossTraffic:
    """`value` if it is a `CrossTraffic`; raises `TopologyError` otherwise."""
    if not isinstance(value, CrossTraffic):
        raise TopologyError("cross_traffic", "must be a CrossTraffic", value)
    return value
