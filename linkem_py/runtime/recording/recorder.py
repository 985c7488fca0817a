"""Writes down what happens to a network while it runs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Protocol

from linkem_py.errors import KernelError, RequestError
from linkem_py.model.access import Access
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule.fields import difference
from linkem_py.model.topology import DEFAULT_SEGMENT, Link, LinkKey, Topology
from linkem_py.runtime.changes import Applied, LinkChange, LinkStats, NetworkStats
from linkem_py.runtime.recording.topologies import topology_json
from linkem_py.runtime.recording.values import access_json, cross_traffic_json, fields_json, key_json

FORMAT = 1
COUNTERS = (
    "packets", "bytes", "drops", "lost", "queue_drops", "overlimits", "backlog_packets", "backlog_bytes",
)  # fmt: skip
CROSS_COUNTERS = ("load_kbit", "sent", "bytes", "late", "dropped", "refused", "given_up_s")
_UNIMPAIRED = Impairment()
_LOG = logging.getLogger(__name__)


class Source(Protocol):
    """What the recorder needs of a network."""

    topology: Topology
    seed: int
    capabilities: Capabilities
    started_at: float

    def subscribe(self, listener: Callable[[Applied], None]) -> Callable[[], None]:
        """Have every change told."""

    async def stats(self) -> NetworkStats:
        """Counters of every link."""


class Recorder:
    """Writes a recording: every change as soon as it is made, counters at an interval.

    Every line is handed to the kernel whole, at once: a process that is killed leaves all that it wrote.
    If the file cannot be written any more (a full disk), the network goes on without it; `error` says so.

    Parameters
    ----------
    path : the file, replaced if it is there
    stats_s : counters every so many seconds, 0.01 to 86,400; None: none

    Raises `RequestError` for another interval.
    """

    def __init__(self, path: str | os.PathLike[str], *, stats_s: float | None = 1.0) -> None:
        if stats_s is not None and (isinstance(stats_s, bool) or not isinstance(stats_s, int | float)):
            raise RequestError("record_stats_s", "must be a number of seconds", stats_s)
        if stats_s is not None and not 0.01 <= stats_s <= 86_400:
            raise RequestError("record_stats_s", "must be between 0.01 and 86400", stats_s)
        self.path = os.fspath(path)
        self.stats_s = stats_s
        self.error: OSError | None = None
        self._file: IO[str] | None = None
        self._network: Source | None = None
        self._began_at = 0.0
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Open the file. Raises `RequestError` if that cannot be."""
        try:
            self._file = open(self.path, "w", encoding="utf-8")  # noqa: SIM115 - closed by `stop`
        except OSError as error:
            raise RequestError("record", f"must be a file to write to ({error.strerror})", self.path) from error

    def start(self, network: Source) -> None:
        """Write the header, and from now on what happens."""
        self._began_at = network.started_at
        self._network = network
        self._write(header(network, self.stats_s))
        self._unsubscribe = network.subscribe(self._changed)
        if self.stats_s is not None:
            self._task = asyncio.get_running_loop().create_task(
                self._count(network, self.stats_s), name="linkem-recording"
            )

    async def stop(self) -> None:
        """Write the end, and close the file. Twice is harmless."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = self._network = None
            self._write({"end": True, "at_s": round(max(0.0, time.time() - self._began_at), 6)})
        self.close()

    def close(self) -> None:
        """Close the file without a word more."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def __repr__(self) -> str:
        state = "closed" if self._file is None else "open"
        return f"<Recorder {self.path!r} {state}>"

    def _changed(self, applied: Applied) -> None:
        links = {} if self._network is None else self._network.topology.links
        line: dict[str, Any] = {
            "at_s": round(applied.at - self._began_at, 6),
            "revision": applied.revision,
            "what": applied.what,
            "links": [_link_json(change, links.get(change.link)) for change in applied.links],
        }
        if applied.peer is not None:
            line["peer"] = applied.peer
            line |= self._of_peer(applied.what, applied.peer, applied.segment)
        if applied.segment is not None:
            line["segment"] = applied.segment
        if applied.addresses:
            line["addresses"] = list(applied.addresses)
        if applied.groups:
            line["groups"] = [sorted(group) for group in applied.groups]
        self._write(line)

    def _of_peer(self, what: str, name: str, segment: str | None) -> dict[str, Any]:
        """What a change about a peer has of its placement and of its access link."""
        if self._network is None or what not in ("add_peer", "join", "set_access"):
            return {}
        topology = self._network.topology
        line: dict[str, Any] = {}
        if what == "add_peer" and topology.peers[name].placement != "sender":
            line["placement"] = topology.peers[name].placement
        access = topology.access(name, segment=segment or DEFAULT_SEGMENT)
        if what == "set_access" or access != Access():
            line["access"] = access_json(access)
        return line

    async def _count(self, network: Source, every_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + every_s, loop.time())  # what was missed is not made up for
            await asyncio.sleep(due_s - loop.time())
            try:
                self._counted(await network.stats())
            except KernelError as error:
                _LOG.warning("no counters for the recording: %s", error)

    def _counted(self, stats: NetworkStats) -> None:
        rows = [_stats_json(key, link) for key, link in stats.items()]
        self._write({"at_s": round(stats.at - self._began_at, 6), "stats": rows})

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            self.error = error
            _LOG.error("the recording %s ends: %s", self.path, error)
            self.close()


def header(network: Source, stats_s: float | None) -> dict[str, Any]:
    """The first line: what the network is like when the recording begins."""
    topology = network.topology
    return {
        "linkem_recording": FORMAT,
        "began_at": network.started_at,
        "seed": network.seed,
        "kernel": network.capabilities.release,
        "stats_s": stats_s,
        "topology": topology_json(topology),
    }


def _link_json(change: LinkChange, link: Link | None) -> dict[str, Any]:
    line: dict[str, Any] = key_json(change.link)
    if change.after is None:
        return line | {"gone": True}
    line["set"] = fields_json(difference(change.before or _UNIMPAIRED, change.after))
    if change.before is None:
        line["new"] = True
    if change.outage:
        line["outage"] = True
    if link is not None and link.down:
        line["down"] = True
        if link.outage:
            line["scheduled_outage"] = True
    return line | cross_traffic_json(change.cross_traffic)


def _stats_json(key: LinkKey, link: LinkStats) -> dict[str, Any]:
    row: dict[str, Any] = key_json(key) | {name: getattr(link, name) for name in COUNTERS}
    if link.cross_traffic is not None:
        row["cross_traffic"] = {name: getattr(link.cross_traffic, name) for name in CROSS_COUNTERS}
    return row
