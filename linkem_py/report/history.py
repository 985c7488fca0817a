"""What held on links that vary, and when: noted while a network is measured."""

from __future__ import annotations

import itertools
from types import TracebackType
from typing import Self

import attrs

from linkem_py.model import Impairment
from linkem_py.model.topology import LinkKey
from linkem_py.report.phases import Spell
from linkem_py.runtime import Applied, Network

_S = 1_000_000_000
_MOST_STATES = 2000  # of a schedule that are looked at in advance


@attrs.frozen
class _Change:
    """The kernel took a change between two moments, and since then this holds."""

    asked_ns: int
    taken_ns: int
    impairment: Impairment
    outage: bool


class History:
    """Notes the changes of the links that have schedules: ``with History(network) as history``.

    Attributes
    ----------
    began_ns : when the network began, and with it its schedules, in nanoseconds since the epoch
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.began_ns = round(network.started_at * _S)
        links = network.topology.links
        self._changes = {
            key: [_Change(0, round(network.link_revision(key)[1] * _S), links[key].impairment, links[key].outage)]
            for key in network.topology.schedules
        }

    def __enter__(self) -> Self:
        self._forget = self._network.subscribe(self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def __contains__(self, key: object) -> bool:
        return key in self._changes

    def possible(self, key: LinkKey) -> list[Impairment]:
        """What a link may become, at least the extremes."""
        own = self._network.topology.links[key].impairment
        schedule = self._network.topology.schedules.get(key)
        states = () if schedule is None else itertools.islice(schedule.throughout(own), _MOST_STATES)
        return [own, *states]

    def spells(self, key: LinkKey) -> list[Spell]:
        """What held on a link, one after the other. Between two of them lies the time that a change took."""
        changes = self._changes[key]
        ends = [change.asked_ns for change in changes[1:]]
        return [
            Spell(start_ns=change.taken_ns, end_ns=end, impairment=change.impairment, outage=change.outage)
            for change, end in itertools.zip_longest(changes, ends)
        ]

    def _heard(self, applied: Applied) -> None:
        taken_ns = round(applied.at * _S)
        for change in applied.links:
            if change.link in self._changes and change.after is not None:
                asked_ns = taken_ns - round(applied.duration_s * _S)
                self._changes[change.link].append(_Change(asked_ns, taken_ns, change.after, change.outage))
