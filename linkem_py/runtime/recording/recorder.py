"""Writes down what happens to a network while it runs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Protocol

from linkem_py.errors import KernelError, RequestError
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.impairment import Impairment
from linkem_py.model.schedule.fields import difference
from linkem_py.model.topology import Topology
from linkem_py.runtime.changes import Applied, LinkChange, NetworkStats
from linkem_py.runtime.recording.values import fields_json, key_json

FORMAT = 1
COUNTERS = (
    "packets", "bytes", "drops", "lost", "queue_drops", "overlimits", "backlog_packets", "backlog_bytes",
)  # fmt: skip
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
            self._unsubscribe = None
            self._write({"end": True})
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
        line: dict[str, Any] = {
            "at_s": round(applied.at - self._began_at, 6),
            "revision": applied.revision,
            "what": applied.what,
            "links": [_link_json(change) for change in applied.links],
        }
        if applied.peer is not None:
            line["peer"] = applied.peer
        if applied.groups:
            line["groups"] = [sorted(group) for group in applied.groups]
        self._write(line)

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
        rows = [key_json(key) | {name: getattr(link, name) for name in COUNTERS} for key, link in stats.items()]
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
        "topology": {
            "name": topology.name,
            "unlinked": topology.unlinked,
            "classifier": topology.classifier,
            "duplicates": topology.duplicates,
            "offload": topology.offload,
            "segments": [
                {"name": found.name, "ipv4": str(found.ipv4), "ipv6": None if found.ipv6 is None else str(found.ipv6)}
                for found in topology.segments.values()
            ],
            "placement": {peer.name: peer.placement for peer in topology.peers.values()},
            "peers": list(topology.peers),
            "links": [
                key_json(key) | {"set": fields_json(link.impairment.set_fields())}
                for key, link in topology.links.items()
            ],
        },
    }


def _link_json(change: LinkChange) -> dict[str, Any]:
    line: dict[str, Any] = key_json(change.link)
    if change.after is None:
        return line | {"gone": True}
    line["set"] = fields_json(difference(change.before or _UNIMPAIRED, change.after))
    if change.before is None:
        line["new"] = True
    if change.outage:
        line["outage"] = True
    return line
