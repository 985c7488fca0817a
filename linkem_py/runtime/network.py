"""A running network."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import attrs

from linkem_py.errors import (
    CapabilityError,
    LinkemError,
    OperationError,
    PrivilegeError,
    RequestError,
    TopologyError,
)
from linkem_py.kernel.driver import KernelDriver
from linkem_py.kernel.namespaces import Namespace, no_privileges
from linkem_py.kernel.nftables import find_nft
from linkem_py.kernel.probe import probe
from linkem_py.model.access import DownlinkPlace
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.cross_traffic import CrossTraffic
from linkem_py.model.default_rate import give_rates
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule import Schedule
from linkem_py.model.topology import DEFAULT_SEGMENT, Link, LinkKey, Placement, Topology, check_possible
from linkem_py.plan import addressing, desired, duplicates, operations, partition
from linkem_py.plan.desired import EMPTY, part_of_addresses, part_of_carrier, state
from linkem_py.plan.live import LiveChanges, Wish
from linkem_py.plan.locate import link_of
from linkem_py.plan.objects import Object
from linkem_py.plan.operations import Operation
from linkem_py.plan.partition import Groups
from linkem_py.plan.requirements import (
    check_access,
    check_links,
    needs_nat,
    notes,
    unmet,
    unmet_by_partition,
    unmet_by_placement,
)
from linkem_py.plan.scope import part, scope
from linkem_py.plan.tree import Planner
from linkem_py.runtime import defaults, statistics
from linkem_py.runtime.captures import Captures
from linkem_py.runtime.changes import Applied, Batch, Clearing, LinkChange, NetworkStats, Rescheduled
from linkem_py.runtime.cross_traffic import CrossTrafficEngine, FlowSockets, SocketMaker
from linkem_py.runtime.draft import Draft, asked, link_key, need_link
from linkem_py.runtime.journal import Journal, Listener
from linkem_py.runtime.peer import NetworkPeer
from linkem_py.runtime.processes import ProcessSpace, to_the_end
from linkem_py.runtime.recording import Recorder, Recording
from linkem_py.runtime.replay import Played, play
from linkem_py.runtime.schedules import ScheduleEngine
from linkem_py.runtime.sockets import Handlers

if TYPE_CHECKING:
    from linkem_py.runtime.blocking import BlockingNetwork

T = TypeVar("T")
_new = tuple.__new__  # makes a named tuple in a third of the time of its own constructor


class CapabilityWarning(UserWarning):
    """The kernel at hand cannot do a field that the topology sets; the rest works."""


class Network:
    """A topology that runs: ``async with Network(topology) as net``.

    Entering builds it in the kernel, leaving takes all of it away, programs included; a process
    that is killed leaves nothing either. The topology is copied: later changes of it do not
    reach the network, and `net.topology` is the network's own view.

    Every change is all or nothing: when the kernel refuses any part of it, what had succeeded is
    undone and `OperationError` says which part, for which link, in the kernel's own words. Bad
    input raises `RequestError` or `TopologyError` before anything is touched. Changes are made one
    at a time, in the order in which they were asked for.

    The topology's schedules begin once it runs, all at one moment; `net.schedules` says how each gets
    on. Links may be changed by hand meanwhile: what a schedule's next change names is overridden by it.
    Cross traffic begins then too; `net.cross_traffic` says how much of it was sent.

    Parameters
    ----------
    topology : what to run
    seed : of the run, 64 bits; netem's random sequences follow from it where the kernel has
        seeds, and so do the schedules. None picks one, 0 in virtual time; `net.seed` says which.
    record : a file for every change made and for counters, see `linkem_py.runtime.recording`
    record_stats_s : counters every so many seconds; None: none

    In virtual time every link without a rate gets one (LINKEM_DEFAULT_RATE_KBIT in the environment), now and
    whenever it is changed or added: over a link that takes everything at once a sender lets no time pass.

    Raises (on entering) `PrivilegeError`, `CapabilityError`, `DuplicateRestrictionError`,
    `OperationError`; `ToolMissingError`, if a gateway has NAT and there is no nft.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        seed: int | None = None,
        record: str | os.PathLike[str] | None = None,
        record_stats_s: float | None = 1.0,
    ) -> None:
        if not isinstance(topology, Topology):
            raise TopologyError("topology", "must be a Topology", topology)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64):
            raise TopologyError("seed", "must be a whole number of 64 bits", seed)
        self.topology = topology.copy()
        self.topology.settle()
        self._default_rate_kbit = defaults.rate_kbit()
        self._unrated = sum(link.impairment.rate_kbit is None for link in self.topology.links.values())
        give_rates(self.topology, self._default_rate_kbit)
        self.seed: int = defaults.seed() if seed is None else seed
        self.capabilities = Capabilities()
        self.notes: tuple[str, ...] = ()
        self.journal = Journal()
        self.captures = Captures(self.journal)
        self.started_at = 0.0  # seconds since the epoch
        self.processes = ProcessSpace()
        self.servers: list[tuple[str, asyncio.Server]] = []
        self.handlers = Handlers()
        self.schedules = ScheduleEngine(self, self.seed)
        self.cross_traffic = CrossTrafficEngine(self, self.seed)
        self._recorder = None if record is None else Recorder(record, stats_s=record_stats_s)
        self._driver: KernelDriver | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._groups: Groups = ()
        self._live: LiveChanges | None = None
        self._dropped: set[tuple[str, str]] = set()  # (peer, segment) without carrier
        self._closers: dict[object, Callable[[], None]] = {}
        self._lock = asyncio.Lock()
        self._state = "new"
        self._next: Topology | None = None  # what the change under way leads to
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    def blocking(cls, topology: Topology, **options: Any) -> BlockingNetwork:
        """The same for programs without asyncio: ``with Network.blocking(topology) as net``."""
        from linkem_py.runtime.blocking import BlockingNetwork

        return BlockingNetwork(cls(topology, **options))

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Build the network. Leaves nothing behind if it fails or is cancelled."""
        if self._state != "new":
            raise RuntimeError(f"a Network runs once; this one is {self._state}")
        if self._recorder is not None:
            self._recorder.open()
        self._state = "starting"
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="linkem-kernel")
        try:
            async with self._lock:
                self.capabilities = await self._in_thread(self._probe)
                self._check_capabilities()
                await self._in_thread(self._build)
            if self._state != "starting":
                raise RuntimeError(f"network {self.topology.name!r} was closed while it was starting")
            self._set_names()
            self.started_at = time.time()
            self._state = "running"
            if self._recorder is not None:
                self._recorder.start(self)
            await self._in_thread(lambda: self.cross_traffic.follow(self.topology.cross_traffic))
            self.schedules.follow(self.topology.schedules)
            self.schedules.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Take everything away. Goes on after a failure; closing twice is harmless."""
        if self._closing is None:
            self._state = "closed"
            for tell in tuple(self._closers.values()):
                tell()
            self._closing = asyncio.ensure_future(self._close())
        elif self._closing.done():
            return
        # Clean-up is not given up half-way because somebody lost patience.
        await to_the_end(self._closing)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if getattr(self, "_state", "closed") == "running":
            warnings.warn(
                f"network {self.topology.name!r} was never closed", ResourceWarning, source=self, stacklevel=1
            )
            self.processes.kill()
            self.schedules.abandon()
            self.cross_traffic.abandon()
            if self._recorder is not None:
                self._recorder.close()
            if self._driver is not None:
                self._driver.close()

    def __repr__(self) -> str:
        topology = self.topology
        return f"<Network {topology.name!r} {self._state}: {len(topology.peers)} peers, {len(topology.links)} links>"

    # --- looking -------------------------------------------------------------------------------

    def peer(self, name: str) -> NetworkPeer:
        """A peer by its name."""
        self._need_peer(name)
        return NetworkPeer(self, name)

    @property
    def peers(self) -> Mapping[str, NetworkPeer]:
        """All peers by name."""
        return {name: NetworkPeer(self, name) for name in self.topology.peers}

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Addresses by name in lower case: what resolves inside the network. ``studio`` has all addresses of
        the peer, ``studio.lte`` those on a segment.
        """
        return self._names

    @property
    def groups(self) -> tuple[frozenset[str], ...]:
        """The groups of the partition in force; empty if there is none."""
        return self._groups

    def impairment(self, source: str, destination: str, *, segment: str = DEFAULT_SEGMENT) -> Impairment:
        """The impairment of a link in force."""
        return need_link(self.topology, (source, destination, segment)).impairment

    @property
    def revision(self) -> int:
        """Counts the changes; 0 before any."""
        return self.journal.revision

    def link_revision(self, key: tuple[str, ...]) -> tuple[int, float]:
        """Revision and time (seconds since the epoch) of a link's last change; 0 and the start before any.

        `key` is (source, destination) or (source, destination, segment). Raises `RequestError`.
        """
        link = need_link(self.topology, link_key(key))
        return self.journal.stamp_of(link.key) or (0, self.started_at)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have every change told, on the event loop, right after it is made and in order.

        Returns what ends that. `listener` must be quick; an error in it is logged and harms nothing.
        """
        return self.journal.subscribe(listener)

    def on_close(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have `listener` called when the network begins to close. Returns what takes that back."""
        key = object()
        self._closers[key] = listener

        def let_go() -> None:
            self._closers.pop(key, None)

        return let_go

    @property
    def without_carrier(self) -> tuple[tuple[str, str], ...]:
        """(peer, segment) of the interfaces whose carrier was taken away, in order."""
        return tuple(sorted(self._dropped))

    async def stats(self) -> NetworkStats:
        """Counters and impairment of every link."""
        async with self._lock:
            kernel, topology = self.kernel, self.topology
            links = await self._in_thread(lambda: statistics.read(kernel, topology, self.cross_traffic))
            return NetworkStats(links, time.time())

    # --- changing links ------------------------------------------------------------------------

    async def update(self, source: str, destination: str, *, segment: str = DEFAULT_SEGMENT, **fields: Any) -> Applied:
        """Change what is named of one link; None takes a setting away. Nothing else changes."""
        return await self.update_links({(source, destination, segment): fields})

    async def update_links(self, changes: Batch, *, what: str = "update") -> Applied:
        """Change several links in one batch: all of it, or nothing.

        Keys are (source, destination) or (source, destination, segment). A mapping changes the
        fields it names; an `Impairment` replaces the whole; a `Clearing` takes everything away, then
        sets its fields.
        """
        async with self._lock:
            (outcome,) = await self._update([changes], what)
        if isinstance(outcome, LinkemError):
            raise outcome
        return outcome

    async def update_batches(self, batches: Sequence[Batch], *, what: str = "update") -> list[Applied | LinkemError]:
        """Several updates in order, each all or nothing, in as few kernel batches as it takes.

        Each sees what those before it made. One that breaks a rule gets its error, and the others go
        on. Those made together share one `Applied`. If the kernel refuses them together, they are
        undone and made one by one, so that only the culprit fails.
        """
        async with self._lock:
            return await self._update(batches, what)

    async def clear(self, source: str, destination: str, *, segment: str = DEFAULT_SEGMENT) -> Applied:
        """No impairment any more; the link stays. One direction."""
        return await self.update_links({(source, destination, segment): Clearing()}, what="clear")

    async def set_schedule(
        self, source: str, destination: str, schedule: Schedule | None, *, segment: str = DEFAULT_SEGMENT
    ) -> Applied:
        """Have a schedule go on over a link from what it is now, in place of its earlier one; None ends that.

        A link whose schedule ends stays as it is then, but for an outage, which ends. A schedule that is
        impossible over the link raises `TopologyError` before anything is touched.
        """
        return await self.set_schedules({(source, destination, segment): schedule})

    async def set_schedules(
        self, schedules: Mapping[LinkKey, Schedule | None] | Mapping[tuple[str, str], Schedule | None]
    ) -> Applied:
        """`set_schedule` for several links at once: all of it, or nothing. They begin at one moment.

        Keys are (source, destination) or (source, destination, segment).
        """
        async with self.schedules.busy, self._lock:
            links = {need_link(self.topology, link_key(key)).key: schedule for key, schedule in schedules.items()}
            if len(links) < len(schedules):
                raise RequestError("links", "must not name a link twice", sorted(links))
            planned = [self.topology.plan_schedule(self.topology.links[key], links[key]) for key in links]
            batch = {link.key: Rescheduled(link.ceiling_kbit) for link in planned}
            return await to_the_end(asyncio.ensure_future(self._reschedule(links, batch)))

    async def _reschedule(self, links: Mapping[LinkKey, Schedule | None], batch: Batch) -> Applied:
        before = {key: self.topology.schedules.get(key) for key in links}
        # Before the kernel is asked, so that whoever hears of the change finds them.
        for key, schedule in links.items():
            self.topology.put_schedule(key, schedule)
        try:
            (outcome,) = await self._update([batch], "set_schedule")
            if isinstance(outcome, LinkemError):
                raise outcome
        except BaseException:
            for key, schedule in before.items():
                self.topology.put_schedule(key, schedule)
            raise
        for key, schedule in links.items():
            self.schedules.restart(key, schedule)
        return outcome

    async def set_cross_traffic(
        self, source: str, destination: str, traffic: CrossTraffic | None, *, segment: str = DEFAULT_SEGMENT
    ) -> Applied:
        """Have background packets share a link's queue, in place of its earlier ones; None ends that.

        They are datagrams to UDP port 9 of the destination, where nothing answers them. They go on through
        `update`, `down` and partitions. A share of the rate of a link that has none raises `TopologyError`;
        `OperationError`, if the port is taken in the destination.
        """
        key = (source, destination, segment)
        async with self._lock:
            started = time.perf_counter()
            link = need_link(self.topology, key)
            check_possible(link, traffic)
            _ = self.kernel  # of a network that runs
            self.cross_traffic.restart(key, traffic)
            self.topology.put_cross_traffic(key, traffic)
            change = LinkChange(key, link.impairment, link.impairment, _is_out(link), traffic)
            return self._applied("set_cross_traffic", started, [], [change])

    async def connect(
        self,
        first: str,
        second: str,
        impairment: Impairment | None = None,
        *,
        back: Impairment | None = None,
        schedule: Schedule | None = None,
        back_schedule: Schedule | None = None,
        cross_traffic: CrossTraffic | None = None,
        back_cross_traffic: CrossTraffic | None = None,
        segment: str = DEFAULT_SEGMENT,
    ) -> Applied:
        """Add a link each way, as `Topology.connect` does; schedules and cross traffic begin at once."""

        def change(topology: Topology) -> None:
            topology.connect(
                first, second, impairment, back=back, schedule=schedule, back_schedule=back_schedule,
                cross_traffic=cross_traffic, back_cross_traffic=back_cross_traffic, segment=segment,
            )  # fmt: skip

        return await self._restructure("connect", change, [(first, second, segment), (second, first, segment)])

    async def add_link(
        self,
        source: str,
        destination: str,
        impairment: Impairment | None = None,
        *,
        schedule: Schedule | None = None,
        cross_traffic: CrossTraffic | None = None,
        segment: str = DEFAULT_SEGMENT,
    ) -> Applied:
        """Add a link, one direction only; its schedule and its cross traffic begin at once."""

        def change(topology: Topology) -> None:
            topology.add_link(
                source, destination, impairment, schedule=schedule, cross_traffic=cross_traffic, segment=segment
            )

        return await self._restructure("add_link", change, [(source, destination, segment)])

    async def disconnect(self, first: str, second: str, *, segment: str = DEFAULT_SEGMENT) -> Applied:
        """Take the links between two peers away, both directions."""

        def change(topology: Topology) -> None:
            topology.disconnect(first, second, segment=segment)

        return await self._restructure("disconnect", change, [(first, second, segment), (second, first, segment)])

    async def down(self, first: str, second: str, *, segment: str = DEFAULT_SEGMENT, one_way: bool = False) -> Applied:
        """Let nothing into the links between two peers, whichever directions there are, until `up`.

        With `one_way` only from `first` to `second`. What is on its way arrives. Queues, impairments and what
        is changed of them meanwhile stay; a schedule goes on underneath.
        """
        return await self._switch("down", first, second, segment, one_way)

    async def up(self, first: str, second: str, *, segment: str = DEFAULT_SEGMENT, one_way: bool = False) -> Applied:
        """End `down`. A link that is not down stays as it is."""
        return await self._switch("up", first, second, segment, one_way)

    async def _switch(self, what: str, first: str, second: str, segment: str, one_way: bool) -> Applied:
        async with self.schedules.busy, self._lock:
            started = time.perf_counter()
            if not self.capabilities.gact:
                raise CapabilityError(self._lacks(["gact"], "a link that goes down"))
            with asked():
                old = (
                    [self.topology.link(first, second, segment=segment)]
                    if one_way
                    else self.topology.links_between(first, second, segment=segment)
                )
            new = [attrs.evolve(link, down=what == "down") for link in old]
            planner = self._planner()
            steps = self._steps(
                (made for link in old for made in planner.leaf(link)),
                (made for link in new for made in planner.leaf(link)),
            )

            def commit() -> Applied:
                for link in new:
                    self.topology.put_link(link)
                links = [LinkChange(link.key, link.impairment, link.impairment, _is_out(link)) for link in new]
                return self._applied(what, started, steps, links)

            return await self._apply(steps, commit)

    async def carrier(self, name: str, *, segment: str = DEFAULT_SEGMENT, up: bool) -> Applied:
        """Take the carrier of a peer's interface away, as if its cable were pulled, or give it back.

        When it is back, all is as before, whatever the kernel, or a program that set the interface down, took
        away meanwhile: addresses, IPv6 too, neighbours, routes, and the tree, which was never touched.
        Raises `RequestError` if the peer is not on the segment.
        """
        async with self.schedules.busy, self._lock:
            started = time.perf_counter()
            self._need_end(name, segment)
            end = (name, segment)
            made = list(part_of_carrier(self._planner(), name, segment))
            port, rest = made[0], made[1:]
            steps: list[Operation] = []
            if up:
                steps = [Operation("create", port) if end in self._dropped else Operation("change", port, port)]
                steps += [Operation("change", what, what) for what in rest]
            elif end not in self._dropped:
                steps = [Operation("delete", port)]

            def commit() -> Applied:
                (self._dropped.discard if up else self._dropped.add)(end)
                words = "carrier up" if up else "carrier down"
                return self._applied(words, started, steps, [], peer=name, segment=segment)

            return await self._apply(steps, commit)

    # --- changing peers ------------------------------------------------------------------------

    async def readdress(
        self, name: str, *, segment: str = DEFAULT_SEGMENT, ipv4: str | None = None, ipv6: str | None = None
    ) -> Applied:
        """Give a peer other addresses on a segment, as a modem gets that connects again.

        These, or the next free ones of the segment's subnets. Neighbours, rules, routes and names follow at
        once; queues and what waits in them stay. What is bound to the old addresses reaches nobody any more.
        Raises `RequestError` for a peer that is not on the segment, `TopologyError` for addresses that cannot be.
        """
        async with self.schedules.busy, self._lock:
            started = time.perf_counter()
            self._need_end(name, segment)
            before, after = self.topology, self.topology.copy()
            peer = after.readdress(name, segment=segment, ipv4=ipv4, ipv6=ipv6)
            addresses = addressing.addresses(after.segments[segment], peer)
            steps = self._steps(
                part_of_addresses(self._planner(before), name, segment),
                part_of_addresses(self._planner(after), name, segment),
            )

            def commit() -> Applied:
                self.topology = after
                self._set_names()
                self.cross_traffic.readdressed(name, segment)
                return self._applied("readdress", started, steps, [], peer=name, segment=segment, addresses=addresses)

            self._next = after
            try:
                return await self._apply(steps, commit)
            finally:
                self._next = None

    async def join(
        self,
        name: str,
        segment: str,
        *,
        uplink_kbit: float | None = None,
        downlink_kbit: float | None = None,
        downlink_at: DownlinkPlace | None = None,
        queue_ms: float | None = None,
    ) -> Applied:
        """Put a peer on a segment that is there, as `Topology.join` does; links may follow.

        For a peer that is there already, what is given of its access link changes as by `set_access`.
        """
        self._need_peer(name)

        def change(topology: Topology) -> None:
            topology.join(
                name,
                segment,
                uplink_kbit=uplink_kbit,
                downlink_kbit=downlink_kbit,
                downlink_at=downlink_at,
                queue_ms=queue_ms,
            )

        return await self._restructure("join", change, [], end=(name, segment))

    async def leave(self, name: str, segment: str) -> Applied:
        """Take back `join`, as `Topology.leave` does: without a link there the peer loses its interface.

        Its access link there is as it was if the peer comes back.
        """
        self._need_peer(name)
        return await self._restructure("leave", lambda topology: topology.leave(name, segment), [], end=(name, segment))

    async def add_peer(
        self,
        name: str,
        *,
        placement: Placement | None = None,
        uplink_kbit: float | None = None,
        downlink_kbit: float | None = None,
        downlink_at: DownlinkPlace | None = None,
        queue_ms: float | None = None,
    ) -> NetworkPeer:
        """Add a peer, without links; the rest is as in `Topology.add_peer`."""

        def change(topology: Topology) -> None:
            topology.add_peer(
                name,
                placement=placement,
                uplink_kbit=uplink_kbit,
                downlink_kbit=downlink_kbit,
                downlink_at=downlink_at,
                queue_ms=queue_ms,
            )

        await self._restructure("add_peer", change, [], peer=name)
        return self.peer(name)

    async def set_access(self, name: str, *, segment: str = DEFAULT_SEGMENT, **fields: Any) -> Applied:
        """Change what is named of a peer's access link on a segment, see `Access`; None takes a setting away.

        Rates and `queue_ms` change in place, and no queue is emptied. But the first uplink that an interface gets
        while it runs makes its tree anew, and what is on its way from there is lost; the first downlink, and
        another `downlink_at`, put a queue where none was, and may lose what is just passing.
        Raises `RequestError` if the peer is not on the segment, `TopologyError` and `CapabilityError`.
        """
        if not fields:
            raise RequestError("fields", "must name at least one field to change", {})

        def change(topology: Topology) -> None:
            self._need_end(name, segment)
            topology.set_access(name, segment=segment, **fields)

        return await self._restructure("set_access", change, [], end=(name, segment))

    async def remove_peer(self, name: str) -> Applied:
        """Take a peer away with its links; programs in it are killed, servers in it closed."""
        self._need_peer(name)

        def change(topology: Topology) -> None:
            topology.remove_peer(name)

        return await self._restructure("remove_peer", change, [], peer=name)

    # --- partitions ----------------------------------------------------------------------------

    async def partition(self, *groups: Collection[str]) -> Applied:
        """Cut everything between these groups, in both directions; replaces an earlier partition.

        Everything: IPv4, IPv6, multicast, peers without a link, and what is on its way. Peers
        that are not named reach all groups. Links keep their impairments, and updates made
        meanwhile hold after `heal`.
        """
        checked = partition.check(self.topology, groups)
        return await self._repartition("partition", checked)

    async def heal(self) -> Applied:
        """End the partition. Without one nothing happens."""
        return await self._repartition("heal", ())

    async def _repartition(self, what: str, groups: Groups) -> Applied:
        async with self._lock:
            started = time.perf_counter()
            partition.check_peers(self.topology, groups)
            missing = unmet_by_partition(self.capabilities) if groups else ()
            if missing:
                raise CapabilityError(self._lacks(missing, "a partition"))
            steps = self._steps(partition.cuts(self.topology, self._groups), partition.cuts(self.topology, groups))

            def commit() -> Applied:
                self._groups = groups
                return self._applied(what, started, steps, [])

            return await self._apply(steps, commit)

    # --- doing it again ------------------------------------------------------------------------

    async def replay(self, recording: Recording, *, speed: float = 1.0) -> Played:
        """Make the changes of a recording, each at its time, and return at the recording's end.

        To see the recorded network again, run ``Network(recording.topology, seed=recording.seed)``. `speed` 2 is
        twice as fast, `math.inf` does not wait. What is refused is passed over: the result tells.
        """
        return await play(self, recording, speed=speed)

    # --- for the modules around this one -------------------------------------------------------

    @property
    def kernel(self) -> KernelDriver:
        """The driver, of a network that runs."""
        if self._driver is None or self._state != "running":
            raise RuntimeError(f"network {self.topology.name!r} is not running but {self._state}")
        return self._driver

    def namespace(self, name: str) -> Namespace:
        """The namespace of a peer."""
        self._need_peer(name)
        return self.kernel.namespaces[name]

    @property
    def flow_sockets(self) -> SocketMaker:
        """What makes the sockets of cross traffic."""
        return FlowSockets(self.kernel.run_in)

    # --- what stands in for the kernel in tests -------------------------------------------------

    _few_steps = 8  # changes in place that the event loop's own thread makes

    def _make_driver(self) -> KernelDriver:
        return KernelDriver(self._link_of)

    def _probe(self) -> Capabilities:
        return probe(nat=needs_nat(self.topology))

    # --- inside --------------------------------------------------------------------------------

    _names: Mapping[str, tuple[str, ...]] = {}

    def _check_capabilities(self) -> None:
        capabilities = self.capabilities
        if not capabilities.privileged:
            raise PrivilegeError(no_privileges())
        missing = unmet(self.topology, capabilities)
        if "nat" in missing:
            find_nft()
            raise CapabilityError(
                f"the kernel {capabilities.release} lacks {', '.join(missing)}, which topology {self.topology.name!r} "
                "needs: a user-mode kernel made by linkem kernel build has it, Debian's has not"
            )
        if missing:
            raise CapabilityError(self._lacks(missing, f"topology {self.topology.name!r}"))
        if not capabilities.ipv6 and any(segment.ipv6 for segment in self.topology.segments.values()):
            self.topology = self.topology.without_ipv6()
            self.notes += (f"ipv6: Linux {capabilities.release} has no IPv6 here: peers have IPv4 addresses only",)
        if self._default_rate_kbit is not None and self._unrated:
            rate = f"{self._default_rate_kbit / 1000:g} Mbit/s"
            self.notes += (f"rate: time is virtual, and links without a rate have {rate} ({self._unrated} of them)",)
        self._note(self.topology.links.values())

    def _lacks(self, missing: Sequence[str], what: str) -> str:
        return (
            f"the kernel {self.capabilities.release} lacks {', '.join(missing)}, which {what} needs: "
            "run it inside a user-mode kernel (linkem guest -- COMMAND), or see linkem doctor"
        )

    def _note(self, links: Iterable[Link], *, stacklevel: int = 4) -> None:
        for note in notes(links, self.capabilities):
            if note not in self.notes:
                self.notes += (note,)
                warnings.warn(note, CapabilityWarning, stacklevel=stacklevel)

    def _build(self) -> None:
        driver = self._make_driver()
        self._driver = driver
        driver.apply(operations(EMPTY, desired(self.topology, self.capabilities, seed=self.seed)))

    def _link_of(self, operation: Operation) -> LinkKey | None:
        # A link that is being added is not in the topology yet, one that is being removed not in the next one.
        found = None if self._next is None else link_of(self._next, operation.object)
        return found if found is not None else link_of(self.topology, operation.object)

    async def _close(self) -> None:
        self._close_servers(lambda _: True)
        await self.schedules.stop()
        if self._recorder is not None:
            await self._recorder.stop()
        await self.handlers.close()
        try:
            await self.captures.close()
            await self.processes.close()
        finally:
            async with self._lock:
                self.cross_traffic.abandon()
                if self._driver is not None:
                    await self._in_thread(self.cross_traffic.close)
                    await self._in_thread(self._driver.close)
                if self._executor is not None:
                    self._executor.shutdown()

    def _close_servers(self, of: Callable[[str], bool]) -> None:
        for owner, server in self.servers:
            if of(owner):
                server.close()
        self.servers = [(owner, server) for owner, server in self.servers if not of(owner)]

    async def _in_thread(self, function: Callable[[], T]) -> T:
        """Run on the network's one kernel thread; a cancelled caller leaves after it, not during."""
        assert self._executor is not None
        return await to_the_end(asyncio.get_running_loop().run_in_executor(self._executor, function))

    def _planner(self, topology: Topology | None = None) -> Planner:
        return Planner(topology if topology is not None else self.topology, self.capabilities, self.seed)

    def _live_changes(self) -> LiveChanges:
        if self._live is None or self._live.planner.topology is not self.topology:
            self._live = LiveChanges(self._planner())
        return self._live

    def _steps(self, before: Iterable[Object], after: Iterable[Object]) -> list[Operation]:
        return operations(state(before), state(after))

    async def _apply(
        self, steps: Sequence[Operation], commit: Callable[[], Applied], *, removed: str | None = None
    ) -> Applied:
        """Carry out and commit. Whoever is cancelled meanwhile leaves after both, so that kernel and topology agree."""
        return await to_the_end(asyncio.ensure_future(self._carry_out(steps, commit, removed)))

    async def _carry_out(
        self, steps: Sequence[Operation], commit: Callable[[], Applied], removed: str | None = None
    ) -> Applied:
        kernel = self.kernel
        if removed is not None:
            await self._in_thread(lambda: self._evict(kernel, removed, steps))
        elif len(steps) > self._few_steps or any(step.verb != "change" for step in steps):
            await self._in_thread(lambda: kernel.apply(steps))
        elif steps:
            # To hand a message or two to another thread and back takes longer than the kernel does.
            kernel.apply(steps)
        return commit()

    def _evict(self, kernel: KernelDriver, name: str, steps: Sequence[Operation]) -> None:
        """Carry out, then kill what lived in the peer that is gone."""
        # Held meanwhile, so that no other namespace can get its inode.
        held = os.dup(kernel.namespaces[name].fd)
        try:
            kernel.apply(steps)
            self.processes.kill_in(os.fstat(held).st_ino)
        finally:
            os.close(held)

    def _applied(
        self,
        what: str,
        started: float,
        steps: Sequence[Operation],
        links: Sequence[LinkChange],
        *,
        peer: str | None = None,
        segment: str | None = None,
        addresses: tuple[str, ...] = (),
    ) -> Applied:
        """Write down what the kernel has taken, and tell whoever listens."""
        applied = Applied(
            revision=self.journal.revision + 1,
            at=time.time(),
            duration_s=time.perf_counter() - started,
            what=what,
            links=tuple(links),
            peer=peer,
            segment=segment,
            addresses=addresses,
            groups=self._groups,
            steps=tuple(steps),
        )
        self.journal.append(applied)
        return applied

    async def _update(self, batches: Sequence[Batch], what: str) -> list[Applied | LinkemError]:
        """Make updates together if the kernel lets them, one by one if not."""
        started = time.perf_counter()
        draft = Draft(self.topology, self.capabilities, self._default_rate_kbit)
        refusals: list[LinkemError | None] = [_refusal(draft, batch) for batch in batches]
        wishes = tuple(draft.wishes.values())
        new, steps = self._live_changes().plan(wishes)
        self._note(new, stacklevel=5)

        async def make() -> list[Applied | LinkemError]:
            # One task for all of it: whoever is cancelled meanwhile leaves once every batch has its outcome.
            made = await self._make(wishes, new, steps, what, started) if new else None
            if isinstance(made, OperationError) and made.rolled_back and len(batches) > 1:
                return [outcome for batch in batches for outcome in await self._update([batch], what)]
            return [refusal or made for refusal in refusals]  # type: ignore[misc]  # not refused: it is in the draft

        return await to_the_end(asyncio.ensure_future(make()))

    async def _make(
        self, wishes: Sequence[Wish], new: Sequence[Link], steps: Sequence[Operation], what: str, started: float
    ) -> Applied | LinkemError:
        """Change links by these steps; or the kernel's refusal."""

        def commit() -> Applied:
            for link in new:
                self.topology.put_link(link)
            links = [
                _new(LinkChange, (wish.key, wish.old.impairment, wish.impairment, link.outage or link.down, None))
                for wish, link in zip(wishes, new, strict=True)
            ]
            return self._applied(what, started, steps, links)

        try:
            return await self._carry_out(steps, commit)
        except LinkemError as error:
            return error

    async def _restructure(
        self,
        what: str,
        change: Callable[[Topology], None],
        keys: Sequence[LinkKey],
        *,
        peer: str | None = None,
        end: tuple[str, str] | None = None,
    ) -> Applied:
        async with self.schedules.busy, self._lock:
            started = time.perf_counter()
            before, after = self.topology, self.topology.copy()
            change(after)
            give_rates(after, self._default_rate_kbit)
            after.settle()
            missing = unmet_by_placement(after, self.capabilities)
            if missing:
                raise CapabilityError(self._lacks(missing, "placement 'hub'"))
            duplicates.check(after, after.links.values())
            check_links(after, (after.links[key] for key in keys if key in after.links), self.capabilities)
            check_access(after, after.accesses, self.capabilities)
            self._note(after.links[key] for key in keys if key in after.links)
            groups = self._groups
            if peer is not None and peer not in after.peers:
                groups = partition.without(groups, peer)
            about = scope(before, after, keys, peer, end)
            steps = self._steps(
                part(self._planner(before), self._groups, about), part(self._planner(after), groups, about)
            )

            def commit() -> Applied:
                self.topology, self._groups = after, groups
                self.schedules.follow(after.schedules)
                self.cross_traffic.follow(after.cross_traffic)
                self._dropped = {end for end in self._dropped if after.is_on(*end)}
                if peer is not None or about.ends:
                    self._set_names()
                if peer is not None:
                    self._close_servers(lambda owner: owner not in after.peers)
                links = [
                    LinkChange(
                        link=key,
                        before=_impairment(before, key),
                        after=_impairment(after, key),
                        outage=key in after.links and _is_out(after.links[key]),
                        cross_traffic=None if key in before.links else after.cross_traffic.get(key),
                    )
                    for key in about.keys
                    if key in before.links or key in after.links
                ]
                name, segment = end or (peer, None)
                return self._applied(what, started, steps, links, peer=name, segment=segment)

            removed = peer if peer is not None and peer not in after.peers else None
            self._next = after
            try:
                return await self._apply(steps, commit, removed=removed)
            finally:
                self._next = None

    def _need_peer(self, name: str) -> None:
        with asked():
            self.topology.peer(name)

    def _need_end(self, name: str, segment: str) -> None:
        self._need_peer(name)
        if not self.topology.is_on(name, segment):
            raise RequestError("segment", "is not one that the peer is on", segment, where=f"peer {name}")

    def _set_names(self) -> None:
        names = []
        for peer in self.topology.peers.values():
            on = {segment.name: addressing.addresses(segment, peer) for segment in self.topology.segments_of(peer.name)}
            names.append((peer.name, tuple(address for own in on.values() for address in own)))
            names += [(f"{peer.name}.{segment}", own) for segment, own in on.items()]
        self._names = {name.lower(): found for name, found in names}
        self.processes.set_names(names)


def _impairment(topology: Topology, key: LinkKey) -> Impairment | None:
    link = topology.links.get(key)
    return None if link is None else link.impairment


def _is_out(link: Link) -> bool:
    return link.outage or link.down


def _refusal(draft: Draft, batch: Batch) -> LinkemError | None:
    """Add a batch to the draft, or say why not."""
    try:
        draft.add(batch)
    except LinkemError as error:
        return error
    return None
