"""The terminal that the launcher was started from."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from collections.abc import Iterator

from linkem_py.guest.inside import frames


def shown_streams(stdin: int, stdout: int, stderr: int) -> int:
    """Bit mask of the streams that shall be a terminal in the guest too.

    Only if input and output both are: else the command has pipes, as the launcher has.
    """
    if not (_is_foreground(stdin) and _is_terminal(stdout)):
        return 0
    mask = 1 << frames.STDIN | 1 << frames.STDOUT
    return mask | 1 << frames.STDERR if _is_terminal(stderr) else mask


def may_read(stdin: int) -> bool:
    """Whether reading would not stop us: a terminal does that to a job in the background."""
    return not _is_terminal(stdin) or _is_foreground(stdin)


def size(fd: int) -> tuple[int, int]:
    """Rows and columns."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return 24, 80
    return rows, columns


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """The terminal passes every key on, and is as it was afterwards."""
    before = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _is_foreground(fd: int) -> bool:
    try:
        return _is_terminal(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
