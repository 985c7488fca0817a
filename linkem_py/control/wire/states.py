"""What a network is, and what its links do now."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from linkem_py.model import Access, Impairment, LinkKey


@attrs.frozen(kw_only=True)
class RunningSchedule:
    """Which schedule a link has.

    Attributes
    ----------
    type : as in its JSON; the name of its class if it is one of your own
    name : of the preset that it is, or of a trace; empty if it has none
    """

    type: str
    name: str = ""


@attrs.frozen(kw_only=True)
class GatewayState:
    """A peer that forwards, as `Gateway`; `nat` in words, None without."""

    peer: str
    inside: str
    outside: str
    nat: str | None = None


@attrs.frozen(kw_only=True)
class LinkState:
    """A link's impairment in force.

    Attributes
    ----------
    link : (source, destination, segment)
    impairment : in force
    revision : the network's revision that brought it, 0 since the start
    applied_at : when the kernel had taken it, seconds since the epoch
    schedule : which one the link has, None for none
    down : whether nothing gets in, until it is switched up again
    """

    link: LinkKey
    impairment: Impairment
    revision: int
    applied_at: float
    schedule: RunningSchedule | None = None
    down: bool = False


@attrs.frozen(kw_only=True)
class Description:
    """A running network as a whole.

    Attributes
    ----------
    name : of the network; the topology's unless it was given another
    topology : the topology's name
    release : of the kernel that it runs on
    seed : of the run
    started_at : seconds since the epoch
    revision : of the last change
    segments : by name, (IPv4 subnet, IPv6 subnet or None)
    peers : by name, addresses by segment
    links : every link, in the topology's order
    groups : the partition in force, empty if there is none
    notes : what this kernel cannot do of what was asked
    without_carrier : (peer, segment) of interfaces whose carrier was taken away
    access : access links by peer and segment, of the interfaces that have one
    gateways : the peers that forward between segments
    """

    name: str
    topology: str
    release: str
    seed: int
    started_at: float
    revision: int
    segments: Mapping[str, tuple[str, str | None]]
    peers: Mapping[str, Mapping[str, tuple[str, ...]]]
    links: tuple[LinkState, ...]
    groups: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    without_carrier: tuple[tuple[str, str], ...] = ()
    access: Mapping[str, Mapping[str, Access]] = attrs.field(factory=dict)
    gateways: tuple[GatewayState, ...] = ()


@attrs.frozen(kw_only=True)
class LinkCounters:
    """Counters of a link since it was made, as in `LinkStats`.

    `at` is when they were read, in seconds since the epoch.
    """

    link: LinkKey
    at: float
    packets: int
    bytes: int
    drops: int
    lost: int
    queue_drops: int
    overlimits: int
    backlog_packets: int
    backlog_bytes: int


@attrs.frozen(kw_only=True)
class LinkRate:
    """Counters of a link, and what they say about the interval since they were read before.

    Attributes
    ----------
    counters : now
    interval_s : seconds since the reading before; 0 if there is none
    interval_packets, interval_drops : how many left the link, and were lost in it, meanwhile
    rate_kbit : what left the link, in 1000 bit/s of Ethernet frames; 0 without an interval
    """

    counters: LinkCounters
    interval_s: float = 0.0
    interval_packets: int = 0
    interval_drops: int = 0
    rate_kbit: float = 0.0

    @classmethod
    def between(cls, before: LinkCounters | None, now: LinkCounters) -> LinkRate:
        """The rate between two readings of one link.

        A link that was removed and added again counts from zero: then all that it counts is new.
        """
        if before is None:
            return cls(counters=now)
        interval_s = max(0.0, now.at - before.at)
        anew = now.packets < before.packets or now.bytes < before.bytes or now.drops < before.drops
        start = (0, 0, 0) if anew else (before.packets, before.bytes, before.drops)
        return cls(
            counters=now,
            interval_s=interval_s,
            interval_packets=now.packets - start[0],
            interval_drops=now.drops - start[2],
            rate_kbit=(now.bytes - start[1]) * 8 / 1000 / interval_s if interval_s else 0.0,
        )
