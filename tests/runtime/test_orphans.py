"""A process that is killed, however and whenever, leaves nothing of its networks behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from linkem_py import Network, Topology
from linkem_py.errors import KernelError
from linkem_py.kernel.namespaces import NamespaceThread
from linkem_py.plan.requirements import PARTITION_NEEDS
from linkem_py.testing.leaks import NAMED_NAMESPACES
from tests.runtime.check import assert_kernel_matches

pytestmark = pytest.mark.kernel

PATIENCE_S = 30.0
SETTLE_S = 15.0  # the kernel frees namespaces in its own time
MARK = "LINKEM_TEST_ORPHAN"

BUILD = """
import asyncio, os, sys, time
from linkem_py import Impairment, Network, Topology
from linkem_py.kernel.probe import probe

def topology(count):
    made = Topology("orphan")
    for number in range(count):
        made.add_peer(f"p{number}")
    for number in range(1, count):
        made.connect("p0", f"p{number}", Impairment(delay_ms=1))
    return made

def say(word):
    print(word, flush=True)

async def build():
    probe()
    say("building")
    async with Network(topology(60)):
        say("built")
        time.sleep(1000)

PROGRAM = '''
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        for fd in range(3):
            os.close(fd)
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)
'''

async def programs():
    async with Network(topology(3)) as net:
        for peer in net.peers.values():
            await peer.spawn(["sh", "-c", "setsid sleep 1000 & trap '' TERM HUP; sleep 1000"])
        await net.peer("p1").spawn([sys.executable, "-I", "-S", "-c", PROGRAM])
        server = await net.peer("p1").start_server(lambda reader, writer: None)
        open_too = net.peer("p2").socket()
        say("built")
        time.sleep(1000)

async def updates():
    async with Network(topology(4)) as net:
        await net.peer("p1").spawn(["sleep", "1000"])
        say("built")
        for round in range(10**9):
            await net.update("p0", "p1", delay_ms=round % 50, duplicate_pct=round % 2)
            await net.add_peer("x")
            await net.connect("x", "p2", Impairment(rate_kbit=1000))
            await net.partition({"x"}, {"p0", "p1"})
            await net.remove_peer("x")
            await net.heal()

asyncio.run(globals()[sys.argv[1]]())
"""


# ------------------------------------------------------------------------------ what is there


@attrs.frozen
class Machine:
    """What a killed process may leave on the machine."""

    interfaces: frozenset[str]
    named: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]
    held: int  # network namespaces that the kernel has, lived in or not; 0 if it does not say

    @classmethod
    def look(cls) -> Machine:
        return cls(
            interfaces=frozenset(name for _, name in socket.if_nameindex()),
            named=frozenset(os.listdir(NAMED_NAMESPACES) if NAMED_NAMESPACES.is_dir() else ()),
            mounts=frozenset(_without_device(line) for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            files=frozenset(entry for place in ("/tmp", "/run", "/dev/shm") for entry in _listed(place)),
            held=_held(),
        )


def _without_device(line: str) -> str:
    return " ".join(line.split()[3:5])


def _listed(place: str) -> list[str]:
    return [f"{place}/{name}" for name in os.listdir(place)] if os.path.isdir(place) else []


def _held() -> int:
    """How many network namespaces the kernel keeps; 0 where it does not say.

    The slab allocator's count, once it has let go of what it keeps for each CPU. An idle kernel
    frees the last namespaces only when the next one comes and goes.
    """
    thread = NamespaceThread()
    try:
        thread.create("passing", ()).close()
    finally:
        thread.close()
    try:
        Path("/sys/kernel/slab/net_namespace/shrink").write_text("1")
        slabs = Path("/proc/slabinfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in slabs if line.startswith("net_namespace ")), 0)


def marked(mark: str) -> dict[int, str]:
    """Processes with this mark in their environment, zombies excepted."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def settles(look: Callable[[], object]) -> object:
    """What is left once nothing is, or once patience is at its end."""
    deadline = time.monotonic() + SETTLE_S
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


# ------------------------------------------------------------------------------- who is killed


class Child:
    """A Python process that runs one of the scenarios of `BUILD`."""

    def __init__(self, scenario: str) -> None:
        self.mark = uuid.uuid4().hex
        environment = {**os.environ, MARK: self.mark, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", BUILD, scenario], stdout=subprocess.PIPE, env=environment, text=True
        )

    def await_word(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        pytest.fail(f"the child ended before it said {word!r}, with status {self.process.wait()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Before and after: all is as it was."""
    before = Machine.look()
    yield before
    assert_as_before(before)


def steady(mark: str, expected: int) -> bool:
    """Whether so many processes have the mark, and a little later the same ones."""
    first = marked(mark)
    time.sleep(0.3)
    return len(first) == expected and first.keys() == marked(mark).keys()


def assert_as_before(before: Machine) -> None:
    def left() -> list[str]:
        now = Machine.look()
        lines = [
            f"{field.name}: {entry}"
            for field in attrs.fields(Machine)
            if field.name not in ("held", "files")
            for entry in getattr(now, field.name) - getattr(before, field.name)
        ]
        # Others use the machine's directories too, but not under our name.
        lines += [f"file: {name}" for name in now.files - before.files if "linkem" in name]
        return lines

    assert settles(left) == []


def assert_all_freed(before: Machine) -> None:
    """The kernel's own count of network namespaces is what it was, where it has one.

    One or two come and go with the counting.
    """
    assert settles(lambda: _held() > before.held + 2) is False, f"{_held()} namespaces, {before.held} before"


# --------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_nothing_is_left_of_a_build_that_was_killed(machine: Machine, build_s: float, share: float) -> None:
    with Child("build") as child:
        child.await_word("building")
        time.sleep(build_s * share * random.uniform(0.8, 1.2))
        child.kill()
        assert settles(lambda: marked(child.mark)) == {}
    assert_all_freed(machine)


@pytest.fixture(scope="module")
def build_s() -> float:
    """How long the build takes here."""
    with Child("build") as child:
        child.await_word("building")
        started = time.monotonic()
        child.await_word("built")
        return time.monotonic() - started


def test_nothing_is_left_of_programs_whose_owner_was_killed(machine: Machine) -> None:
    with Child("programs") as child:
        child.await_word("built")
        # Three shells with two sleeps each; the daemon and who started it; init; the owner. Steadily: the
        # process between those two comes and goes, and would stand for one that has not started yet.
        expected = 3 * 3 + 2 + 2
        settles(lambda: not steady(child.mark, expected))
        running = marked(child.mark)
        assert len(running) == expected, running
        namespaces = {os.readlink(f"/proc/{pid}/ns/net") for pid in running}
        assert len(namespaces) == 3 + 1
        child.kill()
        assert settles(lambda: marked(child.mark)) == {}
    assert_all_freed(machine)


@pytest.mark.kernel("ifb", "mirred", *PARTITION_NEEDS)
@pytest.mark.parametrize("moment_s", [0.0, 0.1])
def test_nothing_is_left_of_a_change_that_was_killed(machine: Machine, moment_s: float) -> None:
    with Child("updates") as child:
        child.await_word("built")
        time.sleep(moment_s)
        child.kill()
        assert settles(lambda: marked(child.mark)) == {}
    assert_all_freed(machine)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGABRT])
def test_other_deaths_leave_as_little(machine: Machine, number: int) -> None:
    with Child("programs") as child:
        child.await_word("built")
        child.process.send_signal(number)
        assert child.process.wait(PATIENCE_S) == -number
        assert settles(lambda: marked(child.mark)) == {}
    assert_all_freed(machine)


async def test_a_network_outlives_the_init_of_its_programs() -> None:
    made = Topology("test")
    made.add_peer("a")
    made.add_peer("b")
    made.connect("a", "b")
    async with Network(made) as net:
        process = await net.peer("a").spawn(["sh", "-c", "setsid sleep 1000 & sleep 1000"], stdout=subprocess.PIPE)
        init = net.processes._init
        assert init is not None
        os.kill(init.pid, signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -signal.SIGKILL
        for request in (net.peer("a").run(["true"]), net.peer("b").spawn(["true"])):
            with pytest.raises(KernelError, match="looks after the peers' programs was killed; close the network"):
                await request
        # Everything else goes on.
        await net.update("a", "b", delay_ms=3)
        assert await net.peer("b").call(socket.gethostbyname, "a") == net.peer("a").address
        assert_kernel_matches(net)
