"""``linkem capture``: what a peer's interfaces see, as a pcapng file on this side of the control socket."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from typing import Any

from linkem_py.cli import signals
from linkem_py.cli.console import notice, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.cli.reach import SocketReach, living
from linkem_py.control.registry import Registry
from linkem_py.errors import ControlError

STDOUT = "-"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_OPTIONS = ("segment", "snaplen", "filter", "count", "seconds")


def run(options: argparse.Namespace) -> int:
    """``linkem capture``. 0 if all of it was written, else 1."""
    if options.mqtt is not None:
        raise UsageError("linkem capture takes the control socket, on the machine of the network: not MQTT")
    if len(options.arguments) > 2:
        raise UsageError(f"which peer? linkem capture [NAME] PEER -o FILE, not {' '.join(options.arguments)}")
    if options.output == STDOUT and (sys.stdout.isatty() or options.json):
        raise UsageError("standard output is for a file or a program here: linkem capture ... -o - | tcpdump -r -")
    *names, peer = options.arguments
    entry = living(Registry.of_user(), names[0] if names else None)
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(contextlib.closing(SocketReach.connect(entry.name, entry.socket)))
        asked = {name: getattr(options, name) for name in _OPTIONS if getattr(options, name) is not None}
        taking = Taking(network, network.request("capture", {"peer": peer, **asked}))
        taking.begun()
        target = 1 if options.output == STDOUT else _open(options.output)
        stack.callback(os.close, target)
        notice(f"capturing in {peer} of {entry.name}: Ctrl-C ends it", quiet=options.quiet or options.json)
        outcome = taking.run(target)
    if "error" in outcome:
        raise ControlError(f"network {entry.name}: the capture failed: {outcome['error']}")
    if options.json:
        print_json({"network": entry.name, "peer": peer, "file": options.output, **outcome})
    else:
        notice(said(outcome, options.output), quiet=options.quiet)
    return 0


def said(outcome: Mapping[str, Any], output: str) -> str:
    """The outcome in words."""
    dropped = f", and {outcome['dropped']:,} came too fast and are missing" if outcome["dropped"] else ", none missing"
    where = "standard output" if output == STDOUT else output
    return f"{outcome['packets']:,} packets are in {where}{dropped}"


class Taking:
    """A capture at the other end of a control socket; `number` is that of its request."""

    def __init__(self, network: SocketReach, number: int) -> None:
        self._network = network
        self._number = number
        self._early: list[dict[str, Any]] = []  # messages that came with the first one
        self._summary = b""
        self._broken = False

    def begun(self) -> None:
        """Wait until it runs. Raises `ControlError` if it does not."""
        while True:
            messages = [message for message in self._network.receive() if message.get("n") == self._number]
            if messages:
                first, *self._early = messages
                if "result" not in first:
                    raise ControlError(f"network {self._network.name}: {first.get('error', {}).get('message')}")
                return

    def run(self, target: int) -> dict[str, Any]:
        """Write it to a file descriptor until it ends, or a signal asks for that. What became of it."""
        with signals.caught(_ENDING) as came:
            early, self._early = self._early, []
            ended = any(self._take(message, target) for message in early)
            while not ended:
                waiting: list[Any] = [self._network, came]
                readable, _, _ = select.select(waiting, [], [])
                if came in readable:
                    came.recv(64)
                    self._network.send({"n": self._number, "signal": int(signal.SIGINT)})
                if self._network in readable:
                    ended = any(self._take(message, target) for message in self._network.receive())
        if self._broken:
            raise BrokenPipeError
        return dict(json.loads(self._summary))

    def _take(self, message: Mapping[str, Any], target: int) -> bool:
        """Whether it was the last one."""
        if message.get("n") != self._number:
            return False
        if "error" in message:
            raise ControlError(f"network {self._network.name}: {message['error'].get('message')}")
        for output in ("stdout", "stderr"):
            if output in message:
                data = base64.b64decode(message[output])
                if output == "stderr":
                    self._summary += data
                else:
                    self._write(target, data)
                self._network.send({"n": self._number, "taken": {output: len(data)}})
        return "exit" in message

    def _write(self, target: int, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest and not self._broken:
                rest = rest[os.write(target, rest) :]
        except BrokenPipeError:  # whoever read it has gone: that ends the capture
            self._broken = True
            self._network.send({"n": self._number, "signal": int(signal.SIGINT)})


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
