"""The command's process in the guest, and its streams."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
import termios

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of importing it
if TYPE_CHECKING:
    from linkem_py.guest.inside import frames
else:
    import frames

NOT_STARTED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127


class Command:
    """The command's process, and our ends of its streams.

    Attributes
    ----------
    pid : its process, the leader of a session and of a process group of its own; 0 if it could not start
    failure : why not, else empty
    status : the exit status that goes with a failure
    stdin : where its input goes, -1 without
    outputs : where its output comes from, by stream
    terminal : the master side of its terminal, -1 without
    """

    def __init__(self, job: frames.Job) -> None:
        self.stdin = self.terminal = -1
        self.outputs: dict[int, int] = {}
        self.pid, self.failure, self.status = 0, "", NOT_STARTED
        theirs = self._open_streams(job)
        what = job.cwd
        try:
            _enter(job)
            what, self.status = job.argv[0], NOT_FOUND
            self.pid = _spawn(job, theirs, self.terminal >= 0)
        except OSError as error:
            if self.status == NOT_FOUND and error.errno not in (errno.ENOENT, errno.ENOTDIR):
                self.status = NOT_EXECUTABLE
            self.failure = f"{os.fsdecode(what)}: {os.strerror(error.errno or 0)}"
        for fd in set(theirs):
            os.close(fd)

    def __repr__(self) -> str:
        return f"<Command pid {self.pid}>"

    def _open_streams(self, job: frames.Job) -> list[int]:
        """Opens what the job asks for; returns the command's ends in the order of their numbers."""
        shown = job.numbers["terminal"]
        theirs = []
        slave = -1
        if shown:
            self.terminal, slave = os.openpty()
            self.resize(job.numbers["rows"], job.numbers["columns"])
            os.set_blocking(self.terminal, False)
        for stream in (frames.STDIN, frames.STDOUT, frames.STDERR):
            if shown & 1 << stream:
                theirs.append(slave)
                continue
            reader, writer = os.pipe()
            ours = writer if stream == frames.STDIN else reader
            os.set_blocking(ours, False)
            theirs.append(reader if stream == frames.STDIN else writer)
            if stream == frames.STDIN:
                self.stdin = writer
            else:
                self.outputs[stream] = reader
        if shown:
            self.stdin = self.outputs[frames.STDOUT] = self.terminal
        return theirs

    def resize(self, rows: int, columns: int) -> None:
        """Gives the terminal another size; the kernel tells the command."""
        if self.terminal >= 0:
            fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Sends a signal to the group in the foreground of the terminal, or to the command's own."""
        group = self.pid
        if self.terminal >= 0:
            try:
                group = os.tcgetpgrp(self.terminal) or self.pid
            except OSError:
                pass
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            pass

    def end_input(self) -> None:
        """No more input: a pipe is closed, a terminal gets its end-of-file character."""
        if self.stdin < 0:
            return
        if self.stdin == self.terminal:
            os.write(self.terminal, termios.tcgetattr(self.terminal)[6][termios.VEOF])
        else:
            os.close(self.stdin)
        self.stdin = -1


def _enter(job: frames.Job) -> None:
    """Takes on what the command inherits from us."""
    import resource

    os.chdir(job.cwd)
    os.umask(job.numbers["umask"])
    limits = job.numbers["files_soft"], job.numbers["files_hard"]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    except (OSError, ValueError):
        pass  # The host allows more than this kernel.


def _spawn(job: frames.Job, theirs: list[int], terminal: bool) -> int:
    """Starts the process; `OSError` if it cannot be executed.

    A fork would cost 0.15 s here, where every page of a copied process is set up by a system call of
    the host; posix_spawn shares the memory until the command has replaced it.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = []
    if terminal:
        # What a session's leader opens without a terminal of its own becomes its terminal.
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.ttyname(theirs[0]), os.O_RDWR, 0))
    # None of them is 0, 1 or 2: those are the console.
    actions += [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(theirs)]
    env = dict(entry.partition(b"=")[::2] for entry in job.env)
    os.environb.clear()
    os.environb.update(env)  # It is our own PATH that is searched.
    defaults = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
    return os.posix_spawnp(
        job.argv[0],
        job.argv,
        env,
        file_actions=actions,
        setsid=True,
        setsigmask=(),
        setsigdef=defaults,
    )
