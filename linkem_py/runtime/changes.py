"""What was done to a running network, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import attrs

from linkem_py.model.cross_traffic import CrossTraffic
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule import ScheduledChange
from linkem_py.model.topology import DEFAULT_SEGMENT, LinkKey
from linkem_py.plan.operations import Operation
from linkem_py.plan.show import describe


class Clearing(NamedTuple):
    """No impairment first, then these fields of `Impairment`, if there are any."""

    fields: Mapping[str, Any] = {}


class Scheduled(NamedTuple):
    """What a link's schedule asks for, one after the other; the last one says whether there is an outage."""

    changes: tuple[ScheduledChange, ...]


class Rescheduled(NamedTuple):
    """A link's schedule begins or ends: an outage of the one before it ends. `ceiling_kbit` as in `Link`."""

    ceiling_kbit: float | None = None


#: What may be asked of one link: fields to change, a whole impairment, or a clearing; and what schedules do.
Change: TypeAlias = Mapping[str, Any] | Impairment | Clearing | Scheduled | Rescheduled

#: Changes by (source, destination, segment), or by (source, destination) for the default segment.
Batch: TypeAlias = Mapping[LinkKey, Change] | Mapping[tuple[str, str], Change] | Mapping[tuple[str, ...], Change]


class LinkChange(NamedTuple):
    """One link's part of a change. `before` is None for a link that is new, `after` for one that went.

    `outage`: whether nothing passes from then on, whatever the impairment underneath. `cross_traffic`: what
    began with this change; None if none did.
    """

    link: LinkKey
    before: Impairment | None
    after: Impairment | None
    outage: bool = False
    cross_traffic: CrossTraffic | None = None

    @property
    def fields(self) -> dict[str, object]:
        """The fields that differ, with their new values."""
        before = self.before or Impairment()
        after = self.after or Impairment()
        return {
            name: getattr(after, name)
            for name in attrs.fields_dict(Impairment)
            if getattr(before, name) != getattr(after, name)
        }


@attrs.frozen(kw_only=True)
class Applied:
    """A change that the kernel has taken.

    Attributes
    ----------
    revision : counts the changes of this network, from 1
    at : when the kernel had taken it, seconds since the epoch
    duration_s : how long that took, from request to the kernel's answer
    what : in words, such as ``update``, ``partition``
    links : the links concerned, each once
    peer : the peer that came or went, whose carrier or access link changed, that joined or left a segment, or
        got other addresses
    segment : the segment of that carrier or access link, of that coming or going, or of those addresses
    addresses : those other addresses, IPv4 first
    groups : the partition in force after it, empty if there is none
    steps : what was done in the kernel, as plan has it
    """

    revision: int
    at: float
    duration_s: float
    what: str
    links: tuple[LinkChange, ...] = ()
    peer: str | None = None
    segment: str | None = None
    addresses: tuple[str, ...] = ()
    groups: tuple[frozenset[str], ...] = ()
    steps: tuple[Operation, ...] = attrs.field(default=(), repr=False)

    @property
    def operations(self) -> tuple[str, ...]:
        """What was done in the kernel, in words; without what the kernel did by itself."""
        return tuple(describe(step) for step in self.steps if not step.implied)


@attrs.frozen(kw_only=True)
class CrossTrafficStats:
    """Counters of one link's cross traffic since it began. What its queue drops is in the link's own counters.

    Attributes
    ----------
    traffic : what it is
    load_kbit : the load now, while it sends
    sent, bytes : packets that its socket took, and their Ethernet frames' bytes
    late : those of `sent` that were more than `LATE_S` late
    longest_late_s : how late the latest of them was
    dropped : packets that its socket had no room for
    refused : packets that could not be sent otherwise, as while the carrier is away
    given_up_s : time that was passed over, because the machine was too slow or stood still
    error : why nothing is sent: what the kernel said; empty if it could begin
    """

    traffic: CrossTraffic
    load_kbit: float = 0.0
    sent: int = 0
    bytes: int = 0
    late: int = 0
    longest_late_s: float = 0.0
    dropped: int = 0
    refused: int = 0
    given_up_s: float = 0.0
    error: str = ""


@attrs.frozen(kw_only=True)
class LinkStats:
    """Counters of one link since it was made, and its impairment now.

    Attributes
    ----------
    packets, bytes : what left the link towards its destination (duplicates included)
    drops : packets lost in it, for whatever reason
    lost : those of `drops` that the loss setting took
    queue_drops : those of `drops` that found the queue behind the rate full
    overlimits : how often the rate made a packet wait
    backlog_packets, backlog_bytes : what is in it now, on its way or waiting
    impairment : in force
    cross_traffic : how the link's cross traffic is getting on, whose packets are counted above too; None without
    """

    packets: int
    bytes: int
    drops: int
    lost: int
    queue_drops: int
    overlimits: int
    backlog_packets: int
    backlog_bytes: int
    impairment: Impairment
    cross_traffic: CrossTrafficStats | None = None


class NetworkStats(Mapping[LinkKey, LinkStats]):
    """`LinkStats` by (source, destination, segment); (source, destination) means the default segment.

    `at` is when they were read, in seconds since the epoch.
    """

    def __init__(self, links: Mapping[LinkKey, LinkStats], at: float) -> None:
        self._links = dict(links)
        self.at = at

    def __getitem__(self, key: tuple[str, ...]) -> LinkStats:
        return self._links[full_key(key)]

    def __iter__(self) -> Iterator[LinkKey]:
        return iter(self._links)

    def __len__(self) -> int:
        return len(self._links)

    def __repr__(self) -> str:
        return f"<NetworkStats of {len(self._links)} links>"


def full_key(key: tuple[str, ...]) -> LinkKey:
    """(source, destination, segment) from that, or from (source, destination)."""
    if len(key) == 2:
        return (key[0], key[1], DEFAULT_SEGMENT)
    source, destination, segment = key
    return (source, destination, segment)
