"""How a command reaches a running network: its control socket, or a broker. All of it in JSON, and blocking.

A socket is spoken to without asyncio and without the codec of `control.wire`: both would take five times as
long to import as the command takes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from linkem_py.cli.errors import UsageError
from linkem_py.control.registry import Entry, Registry, RegistryError
from linkem_py.errors import ControlError

PROTOCOL = 1  # as control.client has it
_CHUNK = 2**18
_PATIENCE_S = 60.0  # for one answer: a large change in a slow guest takes seconds


class Reach(Protocol):
    """A running network, from outside it."""

    name: str

    def command(self, command: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a command, such as ``set``. Raises `ControlError` if there is none."""

    def describe(self) -> dict[str, Any]:
        """The whole, as `description_json` has it."""

    def counters(self) -> list[dict[str, Any]]:
        """Counters of every link, as `counters_json` has them."""

    def events(self) -> Iterator[dict[str, Any]]:
        """What happens from now on, as `event_json` has it, to the network's end."""


class SocketReach:
    """A network by its control socket."""

    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self._sock = sock
        self._begun = bytearray()  # of a line that has not ended
        self._messages: deque[dict[str, Any]] = deque()
        self._number = 0

    @classmethod
    def connect(cls, name: str, path: Path) -> SocketReach:
        """Raises `ControlError` if nobody answers there."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(_PATIENCE_S)
            sock.connect(str(path))
            reach = cls(name, sock)
            greeting = reach._read()
        except OSError as error:
            sock.close()
            raise ControlError(f"network {name}: its control socket {path} does not answer: {error}") from error
        except BaseException:
            sock.close()
            raise
        if greeting.get("linkem") != PROTOCOL:
            reach.close()
            raise ControlError(f"network {name} is run by another version of linkem_py: {greeting.get('version')}")
        return reach

    def close(self) -> None:
        """Hang up. Twice is harmless."""
        self._sock.close()

    def command(self, command: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """See `Reach`."""
        number = self.request(command, data)
        message = self._answer(number)
        if "reply" not in message:
            raise self._error(message)
        return dict(message["reply"])

    def describe(self) -> dict[str, Any]:
        """See `Reach`."""
        return dict(self._ask("describe"))

    def counters(self) -> list[dict[str, Any]]:
        """See `Reach`."""
        return list(self._ask("counters"))

    def events(self) -> Iterator[dict[str, Any]]:
        """See `Reach`. They are collected from this call on, not from the first step of the iterator."""
        number = self.request("watch", {})
        message = self._answer(number)
        if "result" not in message:
            raise self._error(message)
        self._sock.settimeout(None)
        return self._events(number)

    def down(self) -> None:
        """Ask for the end of the network."""
        self._ask("down")

    def _events(self, number: int) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(ControlError):  # the network has ended
            while "event" in (message := self._answer(number)):
                yield message["event"]

    def _ask(self, request: str) -> Any:
        message = self._answer(self.request(request, {}))
        if "result" not in message:
            raise self._error(message)
        return message["result"]

    # --- message by message --------------------------------------------------------------------

    def fileno(self) -> int:
        """For select: readable when `receive` will not wait."""
        return self._sock.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message. Raises `ControlError`."""
        line = json.dumps(message, separators=(",", ":"), allow_nan=False)
        with self._broken():
            self._sock.sendall(line.encode() + b"\n")

    def receive(self) -> list[dict[str, Any]]:
        """The messages that are there, after waiting once; there may be none yet. Raises `ControlError`."""
        if self._messages:
            found, self._messages = list(self._messages), deque()
            return found
        with self._broken():
            data = self._sock.recv(_CHUNK)
        if not data:
            raise ControlError(f"network {self.name} has ended")
        self._begun += data
        if b"\n" not in data:
            return []
        *lines, rest = bytes(self._begun).split(b"\n")
        self._begun = bytearray(rest)
        return [dict(json.loads(line)) for line in lines]

    def request(self, request: str, data: Mapping[str, Any]) -> int:
        """Send a request; the number that its answers have."""
        self._number += 1
        self.send({"n": self._number, "request": request, **data})
        return self._number

    # --- inside --------------------------------------------------------------------------------

    def _answer(self, number: int) -> dict[str, Any]:
        while (message := self._read()).get("n") != number:
            pass
        return message

    def _read(self) -> dict[str, Any]:
        while not self._messages:
            self._messages.extend(self.receive())
        return self._messages.popleft()

    @contextlib.contextmanager
    def _broken(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise ControlError(f"network {self.name} does not answer: nothing came for {_PATIENCE_S:.0f} s") from None
        except ConnectionError:
            raise ControlError(f"network {self.name} has ended") from None

    def _error(self, message: Mapping[str, Any]) -> ControlError:
        return ControlError(f"network {self.name}: {message.get('error', {}).get('message', 'no answer')}")


@contextlib.contextmanager
def reached(options: argparse.Namespace, name: str | None) -> Iterator[Reach]:
    """The network that a command line means: by ``--mqtt``, or one of this user's on this machine.

    Raises `RegistryError`, `ControlError`, `UsageError`.
    """
    if options.mqtt is not None:
        if name is None:
            raise UsageError("with --mqtt the network's NAME is needed")
        from linkem_py.cli.reach_mqtt import mqtt_reach

        with mqtt_reach(options.mqtt, options.mqtt_prefix, name) as remote:
            yield remote
        return
    entry = living(Registry.of_user(), name)
    with contextlib.closing(SocketReach.connect(entry.name, entry.socket)) as local:
        yield local


def living(registry: Registry, name: str | None) -> Entry:
    """The network of that name, or the only one that runs. Raises `RegistryError`, `UsageError`."""
    if name is None:
        running = [entry for entry in registry.networks() if entry.alive]
        if len(running) == 1:
            return running[0]
        if running:
            raise UsageError(f"which network? These run: {', '.join(entry.name for entry in running)}")
        raise RegistryError("no network runs here: linkem up TOPOLOGY starts one")
    entry = registry.get(name)
    if not entry.alive:
        owner = "" if entry.record is None else f" (process {entry.record.pid})"
        raise RegistryError(f"network {name} is dead: its owner{owner} was killed; linkem down {name} cleans up")
    return entry
