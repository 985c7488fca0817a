"""However it ends: no process, no entry in ~/.uml, no file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkem_py.guest import keeper
from tests.guest.support import DEADLINE_S, MODES, Process, alive, descendants, eventually, start, temporary_files

pytestmark = [pytest.mark.guest, pytest.mark.parametrize("mode", MODES)]


_started: list[subprocess.Popen[bytes]] = []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    before = temporary_files()
    yield tmp_path
    while _started:
        # A launcher that has not ended is this test's failure, and is not to be another's.
        with _started.pop() as process:
            process.kill()
    assert list(tmp_path.iterdir()) == []
    assert eventually(lambda: not temporary_files() - before)


def boot(home: Path, mode: str) -> tuple[subprocess.Popen[bytes], list[Process]]:
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(home)}
    process = start("--", "sh", "-c", "sleep 999 & echo ready; sleep 1000", mode=mode, env=env)
    _started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    family = descendants(process.pid)
    assert len(family) > 3
    return process, family


def end(process: subprocess.Popen[bytes], family: list[Process]) -> bytes:
    _, err = process.communicate(timeout=DEADLINE_S)
    assert eventually(lambda: not alive(family)), alive(family)
    return err


def find(family: list[Process], word: bytes) -> Process:
    """The first, so the parent, of the processes with a word in their command line."""
    return next(p for p in family if word in Path(f"/proc/{p.pid}/cmdline").read_bytes().split(b"\0")[0])


def test_nothing_is_left_when_the_launcher_is_killed(mode: str, home: Path) -> None:
    process, family = boot(home, mode)
    process.kill()
    end(process, family)


def test_nothing_is_left_when_the_kernel_is_killed(mode: str, home: Path) -> None:
    process, family = boot(home, mode)
    os.kill(find(family, b"linux").pid, signal.SIGKILL)
    err = end(process, family)
    assert process.returncode == 125
    assert err.startswith(b"linkem guest: the guest kernel ended before the command did (killed by signal 9)")


def test_nothing_is_left_when_the_keeper_is_killed(mode: str, home: Path) -> None:
    process, family = boot(home, mode)
    os.kill(family[0].pid, signal.SIGKILL)
    end(process, family)
    assert process.returncode == 125


def test_nothing_is_left_when_launcher_and_keeper_are_killed(mode: str, home: Path) -> None:
    process, family = boot(home, mode)
    process.send_signal(signal.SIGSTOP)  # so that it cannot react
    os.kill(family[0].pid, signal.SIGKILL)
    process.kill()
    end(process, family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_launcher_is_asked_to_end(mode: str, home: Path, number: signal.Signals) -> None:
    process, family = boot(home, mode)
    process.send_signal(number)
    end(process, family)
    assert process.returncode == 128 + number


def test_the_modes_differ_in_who_sweeps_up(mode: str, home: Path) -> None:
    process, family = boot(home, mode)
    spaces = set()
    for p in family:
        with contextlib.suppress(FileNotFoundError):  # The kernel's helpers come and go.
            spaces.add(os.readlink(f"/proc/{p.pid}/ns/pid"))
    process.terminate()
    end(process, family)
    assert len(spaces) == (2 if mode == keeper.ISOLATED else 1)
