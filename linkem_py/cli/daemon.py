"""Goes on in the background: whoever started it hears when it is ready, or what went wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from linkem_py.errors import LinkemError

Ready = Callable[[dict[str, Any], Path], None]

_CHUNK = 65536
_CRASHED = 70  # EX_SOFTWARE of sysexits.h


class DaemonError(LinkemError):
    """The background process ended before it was ready, without a word."""


def detach(run: Callable[[Ready], int]) -> tuple[int, dict[str, Any] | None]:
    """Run a function in a process of its own, in the background.

    The function calls ``ready(facts, log)`` once it is; from then on its output goes to the file
    `log`. Until then it has this process's standard error, and says there what goes wrong.

    Returns 0 and the facts; or the function's exit status and None, if it ended before it was ready.
    To be called while this process has one thread. Ctrl-C meanwhile ends the other process first.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _daemon(run, writer)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as answers:
        return _wait(answers.fileno())


def _wait(answers: int) -> tuple[int, dict[str, Any] | None]:
    """The parent's part: until the other process is ready, or has ended."""
    messages: dict[str, Any] = {}
    rest = b""
    interrupted = False
    while True:
        try:
            chunk = os.read(answers, _CHUNK)
        except KeyboardInterrupt:
            interrupted = True
            if "pid" in messages:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(messages["pid"], signal.SIGTERM)
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            messages.update(json.loads(line))
        if not chunk:
            break
    if interrupted:
        raise KeyboardInterrupt
    if "ready" in messages:
        return 0, messages["ready"]
    if "status" in messages:
        return messages["status"], None
    raise DaemonError(f"the network's process {messages.get('pid', '')} died before the network was up")


def _daemon(run: Callable[[Ready], int], answers: int) -> None:
    """The child's part: never returns."""
    status = _CRASHED
    try:
        os.setsid()
        if os.fork():
            os._exit(0)  # so that the other one is nobody's child, and never gets a terminal
        with os.fdopen(answers, "wb", closefd=True) as file:
            _tell(file, {"pid": os.getpid()})
            _point(0, os.devnull, os.O_RDONLY)
            _point(1, os.devnull, os.O_WRONLY)

            def ready(facts: dict[str, Any], log: Path) -> None:
                sys.stderr.flush()
                _point(2, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.chdir("/")
                with contextlib.suppress(BrokenPipeError):  # whoever started it has lost patience
                    _tell(file, {"ready": facts})
                file.close()

            status = run(ready)
            if not file.closed:
                _tell(file, {"status": status})
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _tell(file: IO[bytes], message: dict[str, Any]) -> None:
    file.write(json.dumps(message).encode() + b"\n")
    file.flush()


def _point(fd: int, path: str | Path, flags: int) -> None:
    opened = os.open(path, flags | os.O_CLOEXEC, 0o600)
    os.dup2(opened, fd)
    os.close(opened)
