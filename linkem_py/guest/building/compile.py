"""Runs make, and tells how far it is."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from linkem_py.guest.building import configuration
from linkem_py.guest.building.errors import BuildError

# Lines that make prints for this configuration (Linux 6.12); a little more or less for others.
STEPS = 1545

_STEP = re.compile(r"  [A-Z]{2,}[A-Z0-9 ]* ")
_KEPT_LINES = 60
_END_S = 10.0
_FULL = "No space left on device"

Tell = Callable[[str, float], object]


def configure(tree: Path, out: Path) -> str:
    """Makes the configuration in `out`; returns it. Raises `BuildError` if the tree lacks what must be."""
    out.mkdir()
    fragment = f"KCONFIG_ALLCONFIG={configuration.PATH}"
    for _ in _make(tree, out, [fragment, "allnoconfig"]):
        pass
    config = (out / ".config").read_text(encoding="utf-8")
    lacking = sorted(configuration.ESSENTIAL.intersection(configuration.lacking(config)))
    if lacking:
        raise BuildError(f"this kernel source cannot give what a guest needs: {', '.join(lacking)}")
    return config


def compile_kernel(tree: Path, out: Path, jobs: int, tell: Tell) -> Path:
    """Compiles; returns the program. `tell` gets the file in work and the share done (0 to 1)."""
    steps = 0
    with contextlib.closing(_make(tree, out, [f"-j{jobs}", "linux"])) as lines:
        for line in lines:
            if _STEP.match(line):
                steps += 1
                tell(line.split()[-1], min(steps / STEPS, 0.99))
    return out / "linux"


def _make(tree: Path, out: Path, arguments: Sequence[str]) -> Generator[str, None, None]:
    """The lines that make prints. Raises `BuildError` with the last of them if it fails."""
    # No LOCALVERSION: a tree of git would add its own, and the environment might.
    command = ["make", "-C", str(tree), f"O={out}", "ARCH=um", "LOCALVERSION=", *arguments]
    last: deque[str] = deque(maxlen=_KEPT_LINES)
    with owned(command, merged=True, env={"LC_ALL": "C", "MAKEFLAGS": ""}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line)
            yield line.rstrip("\n")
    if process.returncode:
        said = "".join(last)
        if _FULL in said:
            raise BuildError(f"the disk is full: make room, or set XDG_CACHE_HOME to a folder on another disk ({out})")
        raise BuildError(f"the kernel could not be compiled: {last_words(said)}")


def last_words(said: str) -> str:
    """What a failed program said: the first line with an error in it, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"\berror\b|^E: |Error:|No such file|can't open|No space", line)]
    return (wrong or lines or ["it said nothing"])[0 if wrong else -1]


@contextlib.contextmanager
def owned(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, merged: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A process with a group of its own, which ends with this block, and all that it started."""
    process: subprocess.Popen[str] | None = None
    try:
        with _signals_deferred():  # one that raised in here would lose a process that runs already
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        yield process
        process.wait()
    finally:
        if process is not None:
            _end(process)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """What comes meanwhile and is handled in Python is handled at the block's end."""
    if threading.current_thread() is not threading.main_thread():  # where no signal is handled
        yield
        return
    came: list[int] = []
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handled = [number for number in ending if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def _end(process: subprocess.Popen[str]) -> None:
    # The group outlives its leader if a compiler is still at work.
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    process.wait()
