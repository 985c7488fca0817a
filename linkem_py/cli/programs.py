"""``linkem exec`` and ``linkem shell``: a program in a peer of a running network, with this process's streams."""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from linkem_py.cli import signals
from linkem_py.cli.console import notice
from linkem_py.cli.errors import UsageError
from linkem_py.cli.reach import SocketReach, living
from linkem_py.control.registry import Registry
from linkem_py.errors import ControlError

PEER_VARIABLE = "LINKEM_PEER"  # as `linkem run` sets it
CANNOT_EXECUTE, NO_PROGRAM = 126, 127  # as shells have it
_PIECE = 2**15
_WINDOW = 2**18  # bytes of input that the other side has not said to have taken (control.execution)
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OUTPUTS = {"stdout": 1, "stderr": 2}


def execute(options: argparse.Namespace) -> int:
    """``linkem exec``. The exit status is the command's."""
    if not options.command:
        raise UsageError("a command is needed after --: linkem exec [NAME] PEER -- COMMAND")
    return _start(options, options.command)


def shell(options: argparse.Namespace) -> int:
    """``linkem shell``."""
    return _start(options, [os.environ.get("SHELL") or "/bin/sh"])


def _start(options: argparse.Namespace, command: Sequence[str]) -> int:
    if options.mqtt is not None:
        raise UsageError(f"linkem {options.name} takes the control socket, on the machine of the network: not MQTT")
    if len(options.arguments) > 2:
        raise UsageError(f"which peer? linkem {options.name} [NAME] PEER, not {' '.join(options.arguments)}")
    *names, peer = options.arguments
    entry = living(Registry.of_user(), names[0] if names else None)
    with contextlib.closing(SocketReach.connect(entry.name, entry.socket)) as network:
        return Attached(network).run(peer, command)


class Attached:
    """One program at the other end of a control socket, and this process's streams and signals for it."""

    def __init__(self, network: SocketReach) -> None:
        self._network = network
        self._number = 0
        self._on_terminal = os.isatty(0) and os.isatty(1)
        self._signals: list[int] = []  # that came and were not passed on
        self._window = _WINDOW
        self._has_input = _is_open(0)

    def run(self, peer: str, command: Sequence[str]) -> int:
        """Start it and stay until it has ended. Its exit status."""
        size = terminal_size() if self._on_terminal else None
        self._number = self._network.request(
            "exec",
            {
                "peer": peer,
                "argv": list(command),
                "env": {**_environment(), PEER_VARIABLE: peer},
                "cwd": os.getcwd(),
                "terminal": None if size is None else {"rows": size[0], "columns": size[1]},
            },
        )
        numbers = (*_FORWARDED, *((signal.SIGWINCH,) if self._on_terminal else ()))
        mode = _raw_terminal() if self._on_terminal else contextlib.nullcontext()
        # Noted only: a handler must not send in the midst of a line.
        with signals.caught(numbers, self._signals.append) as came, mode:
            if not self._has_input:
                self._send(eof=True)
            while True:
                status = self._step(came)
                if isinstance(status, int):
                    return status
                if status is not None:
                    break
        # With the terminal as it was before.
        return self._failed(status)

    def _step(self, came: socket.socket) -> int | dict[str, Any] | None:
        """Wait for something and pass it on. The exit status at the end, or what was in the way."""
        waiting: list[Any] = [self._network, came]
        if self._has_input and self._window > 0:
            waiting.append(0)
        readable, _, _ = select.select(waiting, [], [])
        if came in readable:
            came.recv(_PIECE)
            self._pass_signals_on()
        if 0 in readable:
            self._pass_input_on()
        if self._network in readable:
            for message in self._network.receive():
                if (end := self._take(message)) is not None:
                    return end
        return None

    def _take(self, message: Mapping[str, Any]) -> int | dict[str, Any] | None:
        if message.get("n") != self._number:
            return None
        if "exit" in message:
            return int(message["exit"])
        if "error" in message:
            return dict(message["error"])
        if "taken" in message:
            self._window += message["taken"].get("stdin", 0)
        for output in _OUTPUTS.keys() & message.keys():
            data = base64.b64decode(message[output])
            _write(_OUTPUTS[output], data)
            self._send(taken={output: len(data)})
        return None

    def _failed(self, problem: Mapping[str, Any]) -> int:
        if problem.get("kind") in ("ToolMissingError", "OSError"):
            notice(problem["message"])
            return NO_PROGRAM if problem["kind"] == "ToolMissingError" else CANNOT_EXECUTE
        raise ControlError(str(problem.get("message")))

    def _pass_input_on(self) -> None:
        try:
            data = os.read(0, min(_PIECE, self._window))
        except OSError:  # a terminal that went away
            data = b""
        if data:
            self._window -= len(data)
            self._send(stdin=base64.b64encode(data).decode())
        else:
            self._has_input = False
            self._send(eof=True)

    def _pass_signals_on(self) -> None:
        signals, self._signals = self._signals, []
        for number in signals:
            if number == signal.SIGWINCH:
                self._send(size=list(terminal_size()))
            else:
                self._send(signal=number)

    def _send(self, **message: Any) -> None:
        self._network.send({"n": self._number, **message})


def terminal_size() -> tuple[int, int]:
    """Rows and columns of the terminal; 24 and 80 where it does not know them."""
    size = os.get_terminal_size(0)
    return size.lines or 24, size.columns or 80


def _environment() -> dict[str, str]:
    """This process's environment, without what is not text."""
    return {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)}


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the program, Ctrl-C too. The terminal is as before afterwards."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead is for the program
    try:
        yield
    finally:
        sys.stdout.flush()
        termios.tcsetattr(0, termios.TCSADRAIN, before)
