"""``linkem list`` and ``linkem down``: the networks of this user, and their end."""

from __future__ import annotations

import argparse
import os
import select
import signal
import time
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from linkem_py.cli import words
from linkem_py.cli.console import BOLD, DIM, GREEN, RED, YELLOW, Cell, Paint, columns, notice, paint_stdout, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.control.registry import RUNNING, Entry, Registry, process_start
from linkem_py.errors import ControlError, LinkemError

_DOWN_S = 20.0  # how long a network may take to end by itself: programs in peers get half a second, a guest ten
_KILL_S = 10.0


class DownError(LinkemError):
    """A network could not be ended."""


@attrs.frozen
class Ended:
    """How a network ended.

    Attributes
    ----------
    killed : its owner was, now or before
    removed : names of namespaces that it had left
    """

    name: str
    killed: bool
    removed: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """In words."""
        if not self.killed:
            return f"network {self.name} has ended"
        also = f": took away {', '.join(self.removed)}" if self.removed else ""
        return f"cleaned up after network {self.name}, whose owner was killed{also}"


def list_networks(options: argparse.Namespace) -> int:
    """``linkem list``."""
    found = Registry.of_user().networks()
    if options.json:
        print_json([as_json(entry) for entry in found])
        return 0
    for line in lines(found, paint_stdout(), time.time()):
        print(line)
    return 0


def as_json(entry: Entry) -> dict[str, Any]:
    """A network of the registry, for programs."""
    record: Mapping[str, Any] = {} if entry.record is None else entry.record.as_json()
    return {"name": entry.name, "alive": entry.alive, "state": state(entry), "socket": str(entry.socket), **record} | {
        "state": state(entry)
    }


def state(entry: Entry) -> str:
    """``running``, ``starting`` or ``dead``."""
    if not entry.alive:
        return "dead"
    return entry.record.state if entry.record is not None else "starting"


def lines(found: Iterable[Entry], paint: Paint, now: float) -> list[str]:
    """The networks as a table. Pure."""
    rows: list[list[Cell]] = [
        [(heading, DIM) for heading in ("network", "state", "up for", "peers", "links", "where", "process", "mqtt")]
    ]
    dead = []
    for entry in found:
        shown = state(entry)
        colour = {RUNNING: GREEN, "dead": RED}.get(shown, YELLOW)
        row: list[Cell] = [(entry.name, BOLD), (shown, colour)]
        if (record := entry.record) is not None:
            age = words.age(now - record.started_at) if entry.alive else ""
            where = record.place + (f" ({record.kernel})" if record.kernel else "")
            row += [age, f"{len(record.peers):,}", f"{record.links:,}", where, str(record.pid), record.mqtt]
        rows.append(row)
        if not entry.alive:
            dead.append(entry.name)
    if len(rows) == 1:
        return ["no network runs"]
    text = columns(rows, paint, indent=0)
    if dead:
        text += [f"{name}: its owner was killed; linkem down {name} cleans up" for name in dead]
    return text


def down(options: argparse.Namespace) -> int:
    """``linkem down``."""
    if options.mqtt is not None:
        raise UsageError("a network is ended by its control socket, on the machine where it runs: not over MQTT")
    if bool(options.networks) == options.all:
        raise UsageError("which network? linkem down NAME..., or linkem down --all")
    registry = Registry.of_user()
    entries = registry.networks() if options.all else [registry.get(name) for name in options.networks]
    if not entries:
        notice("no network runs", quiet=options.quiet or options.json)
    errors: list[LinkemError] = []
    ended: list[Ended] = []
    for entry in entries:
        try:
            ended.append(end(registry, entry))
            notice(ended[-1].text, quiet=options.quiet or options.json)
        except LinkemError as error:
            errors.append(error)
    if options.json:
        print_json([attrs.asdict(one) for one in ended])
    if errors:
        for other in errors[1:]:
            errors[0].add_note(str(other))
        raise errors[0]
    return 0


def end(registry: Registry, entry: Entry) -> Ended:
    """End a network, or clean up after its owner. Raises `DownError`."""
    if entry.alive:
        _ask(entry)
        if not _gone(registry, entry.name, _DOWN_S):
            _kill(entry)
            if not _gone(registry, entry.name, _KILL_S):
                raise DownError(f"network {entry.name} does not end, not even when its owner is killed")
        elif registry.find(entry.name) is None:
            return Ended(entry.name, killed=False)
    cleaned = registry.clean(entry.name) if registry.find(entry.name) is not None else []
    return Ended(entry.name, killed=True, removed=tuple(cleaned))


def _ask(entry: Entry) -> None:
    """By its socket; or, where that does not answer, by a signal."""
    from linkem_py.cli.reach import SocketReach

    try:
        network = SocketReach.connect(entry.name, entry.socket)
        try:
            network.down()
        finally:
            network.close()
    except ControlError:
        _signal(entry, signal.SIGTERM)


def _kill(entry: Entry) -> None:
    notice(f"network {entry.name} has not ended within {_DOWN_S:.0f} s: its owner is killed")
    _signal(entry, signal.SIGKILL)


def _signal(entry: Entry, number: signal.Signals) -> None:
    """Send a signal to the owner, and to no other process that has its number by now."""
    record = entry.record
    if record is None:
        return
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if process_start(record.pid) == record.process_started:
            signal.pidfd_send_signal(pidfd, number)
            if number == signal.SIGKILL:
                select.select([pidfd], [], [], _KILL_S)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _gone(registry: Registry, name: str, seconds: float) -> bool:
    """Whether the owner ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while (entry := registry.find(name)) is not None and entry.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
