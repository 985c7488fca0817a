"""A network in this process, as the surfaces see it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from linkem_py.control.dispatcher import Dispatcher
from linkem_py.control.listeners import Listeners
from linkem_py.control.wire.commands import Command
from linkem_py.control.wire.events import Changed, Event, Notice, Refused
from linkem_py.control.wire.measures import Measures, SchedulePace
from linkem_py.control.wire.replies import Reply
from linkem_py.control.wire.schedules import name_of
from linkem_py.control.wire.states import Description, GatewayState, LinkCounters, LinkState, RunningSchedule
from linkem_py.model import Access, LinkKey, Topology
from linkem_py.model.schedule import Schedule
from linkem_py.plan import addressing
from linkem_py.runtime.changes import Applied
from linkem_py.runtime.processes import to_the_end

if TYPE_CHECKING:
    from linkem_py.runtime.network import Network


class LocalStation:
    """A `Station` over a running `Network` of this process and loop: ``async with LocalStation(net) as station``.

    Leaving ends the surfaces' view only; the network goes on. Raises `ConnectionError` on entering if the
    network does not run. When the network is closed first,
    commands that wait fail with `ConnectionError` and iterators of events end.

    Parameters
    ----------
    net : the network, running
    name : by which surfaces know it; the topology's by default
    """

    def __init__(self, net: Network, *, name: str | None = None) -> None:
        self.net = net
        self.name = name if name is not None else net.topology.name
        self._listeners = Listeners()
        self._dispatcher = Dispatcher(net, refused=self._tell_refused)
        self._worker: asyncio.Task[None] | None = None
        self._named: dict[LinkKey, tuple[Schedule, RunningSchedule]] = {}
        self._let_go: list[Callable[[], None]] = []

    # --- life ----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._need_network()
        self._let_go = [self.net.subscribe(self._tell_applied), self.net.on_close(self._end)]
        self._worker = asyncio.create_task(self._dispatcher.run(), name=f"linkem commands of {self.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End; what is under way is answered first. Twice is harmless."""
        self._end()
        if self._worker is not None:
            await to_the_end(self._worker)

    def __repr__(self) -> str:
        return f"<LocalStation {self.name!r}: {self._dispatcher!r}>"

    def _end(self) -> None:
        self._dispatcher.close()
        self._listeners.close()
        for let_go in self._let_go:
            let_go()
        self._let_go = []

    def _need_network(self) -> None:
        try:
            self.net.kernel  # noqa: B018 - it says whether there is one
        except RuntimeError as error:
            raise ConnectionError(f"network {self.name!r} has ended, or has not begun") from error

    # --- the port ------------------------------------------------------------------------------

    def submit(self, command: Command) -> asyncio.Future[Reply]:
        """See `Station.submit`, and `Dispatcher` for redeliveries and for how much may wait."""
        return self._dispatcher.submit(command)

    async def describe(self) -> Description:
        """The whole, as it is now."""
        self._need_network()
        net, topology = self.net, self.net.topology
        return Description(
            name=self.name,
            topology=topology.name,
            release=net.capabilities.release,
            seed=net.seed,
            started_at=net.started_at,
            revision=net.revision,
            segments={
                segment.name: (str(segment.ipv4), None if segment.ipv6 is None else str(segment.ipv6))
                for segment in topology.segments.values()
            },
            peers={
                peer.name: {
                    segment.name: addressing.addresses(segment, peer) for segment in topology.segments_of(peer.name)
                }
                for peer in topology.peers.values()
            },
            links=tuple(self._state(key) for key in topology.links),
            groups=_groups(net.groups),
            notes=net.notes,
            without_carrier=net.without_carrier,
            access=_access(topology),
            gateways=tuple(
                GatewayState(
                    peer=found.name,
                    inside=found.inside,
                    outside=found.outside,
                    nat=None if found.nat is None else str(found.nat),
                )
                for found in topology.gateways.values()
            ),
        )

    async def counters(self) -> tuple[LinkCounters, ...]:
        """Counters of every link, in the topology's order."""
        self._need_network()
        try:
            stats = await self.net.stats()
        except RuntimeError:
            self._need_network()  # it has ended meanwhile
            raise
        return tuple(
            LinkCounters(
                link=key,
                at=stats.at,
                packets=link.packets,
                bytes=link.bytes,
                drops=link.drops,
                lost=link.lost,
                queue_drops=link.queue_drops,
                overlimits=link.overlimits,
                backlog_packets=link.backlog_packets,
                backlog_bytes=link.backlog_bytes,
            )
            for key, link in stats.items()
        )

    async def measures(self) -> Measures:
        """See `Station.measures`."""
        counters, description = await self.counters(), await self.describe()
        net = self.net
        states = [net.schedules[key] for key in net.schedules]
        return Measures(
            description=description,
            counters=counters,
            down=tuple(key for key, link in net.topology.links.items() if link.down),
            outages=tuple(key for key, link in net.topology.links.items() if link.outage),
            schedules=SchedulePace(
                running=sum(not state.is_over for state in states),
                failed=sum(state.error is not None for state in states),
                ticks=net.schedules.pace.ticks,
                late=net.schedules.pace.late,
                longest_s=net.schedules.pace.longest_s,
            ),
        )

    def events(self) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """See `Station.events`. At most 1,000 events and 20,000 links in them wait for one reader."""
        return self._listeners.listening()

    # --- telling -------------------------------------------------------------------------------

    def notice(self, text: str) -> None:
        """Tell everybody who listens something worth knowing, in words."""
        self._listeners.put(Notice(at=time.time(), message=text))

    def _tell_applied(self, applied: Applied) -> None:
        if self._listeners:
            self._listeners.put(self._changed(applied))

    def _tell_refused(self, command: Command, reply: Reply) -> None:
        if self._listeners and reply.error is not None:
            self._listeners.put(Refused(at=time.time(), id=command.id, error=reply.error))

    def _state(self, key: LinkKey) -> LinkState:
        revision, at = self.net.link_revision(key)
        link = self.net.topology.links[key]
        return LinkState(
            link=key,
            impairment=link.impairment,
            revision=revision,
            applied_at=at,
            schedule=self._schedule(key),
            down=link.down,
        )

    def _schedule(self, key: LinkKey) -> RunningSchedule | None:
        schedule = self.net.topology.schedules.get(key)
        if schedule is None:
            return None
        known, name = self._named.get(key, (None, None))
        if known is not schedule or name is None:
            # Kept: states are told with every tick.
            name = name_of(schedule)
            self._named[key] = schedule, name
        return name

    def _changed(self, applied: Applied) -> Changed:
        links = self.net.topology.links
        return Changed(
            revision=applied.revision,
            at=applied.at,
            what=applied.what,
            links=tuple(
                LinkState(
                    link=change.link,
                    impairment=change.after,
                    revision=applied.revision,
                    applied_at=applied.at,
                    schedule=self._schedule(change.link),
                    down=links[change.link].down,
                )
                for change in applied.links
                if change.after is not None
            ),
            removed=tuple(change.link for change in applied.links if change.after is None),
            peer=applied.peer,
            groups=_groups(applied.groups),
        )


def _groups(groups: tuple[frozenset[str], ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(sorted(group)) for group in groups)


def _access(topology: Topology) -> dict[str, dict[str, Access]]:
    found: dict[str, dict[str, Access]] = {}
    for (name, segment), link in topology.accesses.items():
        rates = (link.access.uplink_kbit, link.access.downlink_kbit)
        if topology.is_on(name, segment) and any(rate is not None for rate in rates):
            found.setdefault(name, {})[segment] = link.access
    return found
