"""Other users, other terminals, other machines."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import attrs as attrs_package
import pytest

from linkem_py.guest import keeper
from tests.guest.support import DEADLINE_S, MODES, ROOT, launcher, run

pytestmark = pytest.mark.guest

NOBODY = 65534
PYTHON = "/usr/bin/python3"


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everyone can read, with the packages that the launcher needs."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="guest-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(ROOT / "linkem_py", folder / "linkem_py", ignore=shutil.ignore_patterns("__pycache__"))
        site = Path(attrs_package.__file__).parents[1]
        for package in ("attr", "attrs"):
            shutil.copytree(site / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "work").mkdir()
        os.chown(folder / "work", NOBODY, NOBODY)
        yield folder


def usable_python() -> bool:
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([PYTHON, "-c", code], check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
@pytest.mark.skipif(not usable_python(), reason="no Python 3.11 that every user can read")
@pytest.mark.parametrize("mode", MODES)
def test_any_user_can_run_one(readable: Path, mode: str) -> None:
    script = "echo hi > file; ip link add v type veth; tc qdisc add dev v root netem delay 1ms; tc qdisc show dev v"
    done = subprocess.run(
        [PYTHON, *launcher("--", "sh", "-ec", script, mode=mode)[1:]],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(readable), "HOME": "/nonexistent"},
        cwd=readable / "work",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        check=False,
        timeout=DEADLINE_S,
    )
    if b"could not start: " in done.stderr:
        pytest.skip("this machine allows users no namespaces")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"netem" in done.stdout
    assert (readable / "work/file").stat().st_uid == NOBODY


@pytest.mark.parametrize(
    ("mode", "options"),
    [(keeper.PLAIN, "noexec"), (keeper.PLAIN, "size=64m"), (keeper.ISOLATED, "noexec,size=64m")],
)
def test_memory_finds_another_place_than_a_poor_dev_shm(mode: str, options: str) -> None:
    mount = f"mount -t tmpfs -o {options} tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("mounting takes a mount namespace of one's own")
    hog = "import os; b = os.urandom(1 << 20) * 80; print(len(b))"
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
            *launcher("--memory", "512M", "--", sys.executable, "-I", "-c", hog, mode=mode),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"83886080\n", b"")


def test_little_memory_is_enough() -> None:
    assert run("--memory", "64M", "--", "echo", "ok") == (0, b"ok\n", b"")


class Terminal:
    """A launcher on a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(33, 77)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            launcher("--", *command, mode=keeper.ISOLATED),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509  no other way to a terminal
        )
        self.slave = slave
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait_for(self, text: bytes) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self.seen += os.read(self.master, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def shell() -> Iterator[Terminal]:
    script = "trap 'stty size' WINCH; tty; stty size; echo ready; while read x; do echo got:$x; done; echo end"
    terminal = Terminal("bash", "-c", script)
    yield terminal
    terminal.close()


def test_a_terminal_here_is_a_terminal_there(shell: Terminal) -> None:
    shell.wait_for(b"ready\r\n")
    assert b"/dev/pts/" in shell.seen
    assert b"33 77" in shell.seen
    shell.type(b"hello\r")
    shell.wait_for(b"got:hello\r\n")
    shell.resize(40, 100)
    os.kill(shell.process.pid, signal.SIGWINCH)  # which the kernel sends itself to the foreground
    shell.type(b"x\r")
    shell.wait_for(b"40 100\r\n")
    shell.type(b"\x04")
    shell.wait_for(b"end\r\n")
    assert shell.process.wait(DEADLINE_S) == 0
    assert termios.tcgetattr(shell.slave) == shell.before


def test_control_c_is_a_key_for_the_guest(shell: Terminal) -> None:
    shell.wait_for(b"ready\r\n")
    shell.type(b"\x03")
    assert shell.process.wait(DEADLINE_S) == 130
    assert termios.tcgetattr(shell.slave) == shell.before
