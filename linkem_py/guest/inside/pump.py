"""Carries the command's streams over the line."""

from __future__ import annotations

import os
import select
import signal

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of importing it
if TYPE_CHECKING:
    from linkem_py.guest.inside import command, frames
else:
    import frames

_CHUNK = 1 << 16
_READ_LINE = 4096

# A user-mode kernel that goes idle may miss the signal of input that comes in that very moment (it guards only
# its timer's), and then sleeps until its next timer. A wait that ends by itself is such a timer.
_REST_MS = 100


class Line:
    """The guest's end of the line: acknowledges what it reads, so that the host may go on.

    Attributes
    ----------
    holds_time : `receive` waits busily, for virtual time would run while this process sleeps
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.holds_time = False
        self._decoder = frames.Decoder()

    def send(self, frame: bytes) -> None:
        """Sends; does not block for long, because nothing is sent beyond the window of its stream."""
        view = memoryview(frame)
        while view:
            view = view[os.write(self.fd, view) :]

    def receive(self) -> list[tuple[int, bytes]]:
        """Waits for bytes; the frames that they complete."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not poll.poll(0 if self.holds_time else _REST_MS):
            if self.holds_time:
                os.sched_yield()  # the kernel's own threads bring what comes
        chunk = os.read(self.fd, _READ_LINE)
        self.send(frames.number(frames.ACK, len(chunk)))
        return self._decoder.feed(chunk)


class Input:
    """Input on its way to the command, in the order it was sent: bytes, or places in the shared memory."""

    def __init__(self, shared: int) -> None:
        self._shared = shared
        self._pieces: list[tuple[bytes, int, int]] = []
        self.ended = False

    def add(self, kind: int, payload: bytes) -> None:
        """Takes a `DATA` or `SHARED` frame."""
        if kind == frames.DATA:
            self._pieces.append((payload[1:], 0, len(payload) - 1))
        else:
            _, offset, length = frames.parse_piece(payload)
            self._pieces.append((b"", offset, length))

    def __len__(self) -> int:
        return len(self._pieces)

    def peek(self) -> bytes:
        """The next bytes, at most a chunk."""
        inline, offset, length = self._pieces[0]
        if inline:
            return inline[offset:]
        return os.pread(self._shared, min(length, _CHUNK), offset)

    def drop(self, count: int) -> None:
        """The first `count` of them are passed on."""
        inline, offset, length = self._pieces[0]
        if count == length:
            del self._pieces[0]
        else:
            self._pieces[0] = inline, offset + count, length - count

    def clear(self) -> None:
        """Nobody wants the rest."""
        self._pieces.clear()


class Pump:
    """Carries the streams of one command until it has ended and all its output is on the line."""

    def __init__(
        self, line: Line, source: Input, process: command.Command, window: int, *, awaits_input: bool = False
    ) -> None:
        self._line = line
        self._input = source
        self._command = process
        self._open = dict(process.outputs)
        self._window = dict.fromkeys(self._open, window)
        self._status = -1
        self._awaits_input = awaits_input
        self._rest = None if line.holds_time else _REST_MS

    def run(self) -> int:
        """Blocks; returns the status in the shell's convention, 128 + N for death by signal N."""
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._reap()
        while self._status < 0 or self._open:
            poll = self._watched(wake_reader)
            holding = self._holds_time()
            ready = poll.poll(0 if holding else self._rest)
            if holding and not ready:
                os.sched_yield()
            for fd, _ in ready:
                if fd == wake_reader:
                    os.read(wake_reader, 512)
                    self._reap()
                elif fd == self._line.fd:
                    for kind, payload in self._line.receive():
                        self._obey(kind, payload)
                elif fd == self._command.stdin and self._input and fd not in self._open.values():
                    self._push()
                else:
                    self._serve(fd)
        return self._status

    def _holds_time(self) -> bool:
        """Whether input is about to come, for which virtual time is to wait."""
        return self._awaits_input and self._command.stdin >= 0 and not self._input and not self._input.ended

    def _watched(self, wake: int) -> select.poll:
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._line.fd, select.POLLIN)
        events: dict[int, int] = {}
        for stream, fd in self._open.items():
            if self._window[stream] > 0:
                events[fd] = select.POLLIN
        stdin = self._command.stdin
        if stdin >= 0 and (self._input or stdin != self._command.terminal):
            # Without input the pipe is watched for its reader going away, which needs no event asked for.
            events[stdin] = events.get(stdin, 0) | (select.POLLOUT if self._input else 0)
        for fd, mask in events.items():
            poll.register(fd, mask)
        return poll

    def _serve(self, fd: int) -> None:
        """Something moves on one of the command's streams."""
        if fd == self._command.terminal and self._input:
            self._push()
        if fd == self._command.stdin and fd != self._command.terminal:
            self._stop_input()
            return
        for stream in [stream for stream, ours in self._open.items() if ours == fd]:
            self._pull(stream)

    def _pull(self, stream: int) -> None:
        if self._window[stream] <= 0:
            return
        try:
            chunk = os.read(self._open[stream], min(_CHUNK, self._window[stream]))
        except BlockingIOError:
            return
        except OSError:  # EIO: the last user of the terminal is gone.
            chunk = b""
        if chunk:
            self._window[stream] -= len(chunk)
            self._line.send(frames.data(stream, chunk))
        else:
            self._close_output(stream)
            self._line.send(frames.encode(frames.EOF, bytes((stream,))))

    def _close_output(self, stream: int) -> None:
        fd = self._open.pop(stream)
        if fd != self._command.terminal:
            os.close(fd)

    def _push(self) -> None:
        """Passes on what input the command has room for."""
        try:
            while self._input:
                count = os.write(self._command.stdin, self._input.peek())
                self._input.drop(count)
                self._line.send(frames.amount(frames.TAKEN, frames.STDIN, count))
        except BlockingIOError:
            return
        except OSError:
            self._stop_input()
            return
        if self._input.ended:
            self._command.end_input()

    def _stop_input(self) -> None:
        """The command reads no more."""
        self._input.clear()
        if self._command.stdin != self._command.terminal:
            os.close(self._command.stdin)
        self._command.stdin = -1
        self._line.send(frames.encode(frames.CLOSE, bytes((frames.STDIN,))))

    def _obey(self, kind: int, payload: bytes) -> None:
        if kind in (frames.DATA, frames.SHARED):
            if self._command.stdin >= 0:
                self._input.add(kind, payload)
        elif kind == frames.EOF:
            self._input.ended = True
            if not self._input:
                self._command.end_input()
        elif kind == frames.CREDIT:
            stream, count = frames.parse_amount(payload)
            self._window[stream] += count
        elif kind == frames.CLOSE:
            if payload[0] in self._open:
                self._close_output(payload[0])
        elif kind == frames.SIGNAL:
            if self._status < 0:
                self._command.signal(payload[0])
        elif kind == frames.SIZE:
            self._command.resize(*frames.parse_size(payload))

    def _reap(self) -> None:
        """Collects the dead, as the first process must; with the command's death all others end too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._command.pid:
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code
                try:
                    os.kill(-1, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # There are no others.
