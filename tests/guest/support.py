"""Starting launchers, and finding what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from linkem_py.guest import keeper

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0

# The second is what is left where namespaces are not allowed.
MODES = (keeper.ISOLATED, keeper.PLAIN)

# A test run may itself have been started with the signals ignored, which a launcher respects.
_LAUNCHER = """
import signal, sys
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
from linkem_py.guest import launch
launch.MODES = (sys.argv.pop(1),)
from linkem_py.guest.__main__ import main
sys.exit(main())
"""


def launcher(*arguments: str | bytes, mode: str = keeper.ISOLATED) -> list[str | bytes]:
    return [sys.executable, "-c", _LAUNCHER, mode, *arguments]


def start(*arguments: str | bytes, mode: str = keeper.ISOLATED, **options: Any) -> subprocess.Popen[bytes]:
    env = {**options.pop("env", os.environ), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        launcher(*arguments, mode=mode),
        env=env,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def run(*arguments: str | bytes, stdin: bytes = b"", **options: Any) -> tuple[int, bytes, bytes]:
    """Exit status, standard output, standard error."""
    with start(*arguments, stdin=subprocess.PIPE, **options) as process:
        out, err = process.communicate(stdin, timeout=DEADLINE_S)
    return process.returncode, out, err


def guest(*command: str | bytes, **options: Any) -> tuple[int, bytes, bytes]:
    return run("--", *command, **options)


@attrs.frozen
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    started: bytes
    parent: int

    @classmethod
    def all(cls) -> list[Process]:
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] not in b"ZX":  # The dead only wait for whoever inherited them.
                found.append(cls(int(name), fields[19], int(fields[1])))
        return found


def descendants(pid: int) -> list[Process]:
    """Parents before children."""
    everyone = Process.all()
    family = [pid]
    found = []
    for parent in family:
        children = [process for process in everyone if process.parent == parent]
        found += children
        family += [process.pid for process in children]
    return found


def alive(processes: list[Process]) -> list[Process]:
    now = {(process.pid, process.started) for process in Process.all()}
    return [process for process in processes if (process.pid, process.started) in now]


def temporary_files() -> set[Path]:
    """What a kernel or a launcher could leave in the usual places."""
    places = [Path("/dev/shm"), Path("/tmp"), Path("/var/tmp"), Path.home() / ".uml"]
    return {path for place in places for pattern in ("vm_file*", "linkem*") for path in place.glob(pattern)}


def eventually(condition: Callable[[], bool], deadline_s: float = 15.0) -> bool:
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
