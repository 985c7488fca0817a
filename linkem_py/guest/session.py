"""One run of a command in a running kernel: carries its streams until it has ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable

from linkem_py.errors import GuestError
from linkem_py.guest import terminal
from linkem_py.guest.inside import frames
from linkem_py.guest.interrupts import Interrupts, Patience, now
from linkem_py.guest.launch import Launch
from linkem_py.guest.streams import Feed, Outlet, Sender
from linkem_py.guest.watch import Watch

BOOT_S = 60.0

_CHUNK = 1 << 16
_TAIL_BYTES = 8192
_TAIL_LINES = 12
_PANIC = b"Kernel panic"

# What every start says; the umid is a file that is not wanted (see launch).
_NOISE = (
    "SELinux:",
    "make_umid",
    "remove_umid_dir",
    "Failed to initialize umid",
    "Failed to initialize ubd device 0",
)

# How long a kernel that panics may take to end by itself, and to say why.
_PANIC_S = 0.3


class Session:
    """The streams of one command, from both sides."""

    def __init__(
        self,
        launch: Launch,
        job: frames.Job,
        streams: tuple[int, int, int],
        *,
        hand_over: bool = False,
        owner_fd: int = -1,
        watch: Watch | None = None,
    ) -> None:
        self._launch = launch
        self._watch = watch
        self._owner_fd = owner_fd
        self._stdin, stdout, stderr = streams
        self._terminal = bool(job.numbers["terminal"])
        self._sender = Sender(launch.line_out)
        self._feed = Feed(self._sender, launch.shared)
        self._outlets = {
            stream: Outlet(stream, fd, self._sender, hand_over=hand_over, credited=watch is None)
            for stream, fd in ((frames.STDOUT, stdout), (frames.STDERR, stderr))
        }
        self._stderr = stderr
        self._decoder = frames.Decoder()
        self._job = job.pack()
        self._console = b""
        self._how = ""
        self._patience = Patience()
        self._up = self._started = self._kernel_ended = False
        self._reading = True
        self._status: int | None = None
        self._restore = contextlib.ExitStack()
        for fd in (launch.line_in, launch.console):
            os.set_blocking(fd, False)

    def __repr__(self) -> str:
        return f"<Session started={self._started} status={self._status}>"

    def run(self, interrupts: Interrupts, deadline: float | None) -> int | None:
        """Blocks until the command has ended and all its output is written.

        Returns its exit status, or 128 + N if signal N ended the guest; None if `deadline` passed.

        Raises
        ------
        GuestError : the kernel did not come up, or ended before the command did
        """
        boot_deadline = now() + BOOT_S
        with self._restore:
            while self._status is None or any(self._outlets.values()):
                limits = [deadline, self._patience.until, None if self._up else boot_deadline]
                limits.append(self._watch.until if self._watch else None)
                until = min((limit for limit in limits if limit is not None), default=None)
                self._wait(interrupts, until)
                moment = now()
                if self._patience.until is not None and moment >= self._patience.until:
                    return self._patience.status or self._fail("panicked")
                if deadline is not None and moment >= deadline:
                    return None
                if not self._up and moment >= boot_deadline:
                    self._fail(f"did not come up within {BOOT_S:.0f} s")
                if self._watch and self._status is None:
                    self._watch.look(moment, excused=self._holds_back())
                if self._kernel_ended and self._status is None:
                    self._fail(f"ended before the command did{self._how}")
            return self._status

    def _wait(self, interrupts: Interrupts, until: float | None) -> None:
        """Waits for one round of events and handles them."""
        handlers: dict[int, Callable[[], object]] = {
            self._launch.line_in: self._on_line,
            self._launch.console: self._on_console,
        }
        events = dict.fromkeys(handlers, select.POLLIN)
        if self._holds_back():
            del events[self._launch.line_in]
        if self._kernel_ended:
            handlers, events = {}, {}
        else:
            control = self._launch.control.fileno()
            handlers[control] = self._on_keeper
            events[control] = select.POLLIN
        if interrupts.fd >= 0:
            handlers[interrupts.fd] = lambda: self._on_signals(interrupts)
            events[interrupts.fd] = select.POLLIN
        if self._owner_fd >= 0:
            handlers[self._owner_fd] = self._on_owner_gone
            events[self._owner_fd] = select.POLLIN
        poll = select.poll()
        for fd, mask in events.items():
            poll.register(fd, mask)
        self._register_streams(poll)
        ready = dict(poll.poll(None if until is None else max(0.0, until - now()) * 1000 + 1))
        for fd, handler in handlers.items():
            if fd in ready:
                handler()
        self._move_streams(ready)

    def _holds_back(self) -> bool:
        """Whether the guest has to wait for its output to be read: in virtual time, with all of its time."""
        return self._watch is not None and any(self._outlets.values())

    def _register_streams(self, poll: select.poll) -> None:
        events: dict[int, int] = {}
        if self._reads_input():
            events[self._stdin] = select.POLLIN
        for outlet in self._outlets.values():
            if outlet:
                events[outlet.fd] = events.get(outlet.fd, 0) | select.POLLOUT
        for fd, mask in events.items():
            poll.register(fd, mask)

    def _move_streams(self, ready: dict[int, int]) -> None:
        for outlet in self._outlets.values():
            if ready.get(outlet.fd, 0) & ~select.POLLIN:
                outlet.flush()
        if self._reads_input() and ready.get(self._stdin, 0) & ~select.POLLOUT:
            self._read_input()

    def _reads_input(self) -> bool:
        return self._started and self._reading and self._status is None and self._feed.room > 0

    def _read_input(self) -> None:
        try:
            chunk = os.read(self._stdin, min(_CHUNK, self._feed.room))
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self._feed.put(frames.STDIN, chunk)
        else:
            self._end_input()

    def _end_input(self) -> None:
        self._reading = False
        self._sender.send(frames.encode(frames.EOF, bytes((frames.STDIN,))))

    def _on_line(self) -> bool:
        """Reads what the guest sent; False if that was nothing."""
        try:
            chunk = os.read(self._launch.line_in, _CHUNK)
        except BlockingIOError:
            return False
        try:
            for kind, payload in self._decoder.feed(chunk):
                self._on_frame(kind, payload)
        except ValueError as error:
            raise GuestError(f"the guest does not keep to the protocol of its line: {error}") from error
        return bool(chunk)

    def _on_frame(self, kind: int, payload: bytes) -> None:
        if kind == frames.DATA:
            self._outlets[payload[0]].put(payload[1:])
        elif kind == frames.ACK:
            self._sender.acknowledge(frames.parse_number(payload))
        elif kind == frames.TAKEN:
            stream, count = frames.parse_amount(payload)
            self._feed.taken(count)
            if stream == frames.JOB:
                self._send_job()
        elif kind == frames.EOF:
            self._outlets[payload[0]].end()
        elif kind == frames.CLOSE:
            self._reading = False
        elif kind == frames.HELLO:
            self._up = True
            self._feed.begin(use_shared=frames.parse_number(payload) == 1)
            self._send_job()
        elif kind == frames.STARTED:
            self._begin()
            if self._watch:
                self._watch.start(now(), frames.parse_clock(payload))
        elif kind == frames.FAILED:
            self._tell(payload[1:].decode(errors="replace"))
        elif kind == frames.EXIT:
            self._status = payload[0]
            if self._watch:
                self._watch.end(now(), frames.parse_clock(payload))

    def _send_job(self) -> None:
        while self._job and self._feed.room > 0:
            part, self._job = self._job[: self._feed.room], self._job[self._feed.room :]
            self._feed.put(frames.JOB, part)
            if not self._job:
                self._sender.send(frames.encode(frames.EOF, bytes((frames.JOB,))))
                if self._watch:
                    # A busy command may keep even the word that it has started from coming.
                    self._watch.start(now())

    def _begin(self) -> None:
        """The command runs: from here on the keys are for it."""
        self._started = True
        if self._terminal:
            self._restore.enter_context(terminal.raw(self._stdin))
            self._send_size()
        elif not terminal.may_read(self._stdin):
            self._end_input()

    def _send_size(self) -> None:
        self._sender.send(frames.size(*terminal.size(self._stdin)))

    def _on_signals(self, interrupts: Interrupts) -> None:
        for number in interrupts.take():
            if number == signal.SIGWINCH:
                if self._terminal and self._started:
                    self._send_size()
                continue
            self._patience.note(number, now())
            if self._started and self._status is None:
                self._sender.send(frames.encode(frames.SIGNAL, bytes((number,))))
            else:
                # There is no command yet, or no more, to decide about it.
                self._patience.status, self._patience.until = 128 + number, now()

    def _on_owner_gone(self) -> None:
        # Nobody is left who could ask the command to end, or insist on it.
        self._patience.status, self._patience.until = 128 + signal.SIGHUP, now()

    def _on_keeper(self) -> None:
        """The kernel or the keeper ended; what was sent before is still to be read."""
        word, _, code = self._launch.told().partition(" ")
        if word == "ended":
            killed = code.startswith("-")
            self._how = f" (killed by signal {code[1:]})" if killed else f" (exit status {code})"
        self._kernel_ended = True
        while self._on_line():
            pass
        while self._on_console():
            pass

    def _on_console(self) -> bool:
        """Keeps the end of what the kernel says; False if it said nothing."""
        try:
            said = os.read(self._launch.console, _CHUNK)
        except BlockingIOError:
            return False
        self._console = (self._console + said)[-_TAIL_BYTES:]
        if _PANIC in self._console and self._patience.until is None and self._status is None:
            # The first process of a namespace cannot abort itself, so it would spin from here on.
            self._patience.until = now() + _PANIC_S
        return bool(said)

    def _fail(self, what: str) -> int:
        if _PANIC in self._console:
            what = "panicked"
        said = self._console.decode(errors="replace")
        lines = [line for line in map(str.strip, said.splitlines()) if line and not line.startswith(_NOISE)]
        # What follows the line of a panic is a list of addresses; what led to it comes before.
        end = next((i + 1 for i, line in enumerate(lines) if _PANIC.decode() in line), len(lines))
        shown = lines[:end][-_TAIL_LINES:]
        if not shown:
            raise GuestError(f"the guest kernel {what}; its console says nothing")
        quoted = "".join(f"\n  | {line}" for line in shown)
        raise GuestError(f"the guest kernel {what}; the last lines of its console:{quoted}")

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._stderr, f"linkem guest: {text}\n".encode(errors="replace"))
