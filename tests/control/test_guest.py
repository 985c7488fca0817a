"""A network in a guest kernel, driven from the host. What boots a guest costs seconds, so most share one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from linkem_py.control.client import RemoteStation
from linkem_py.control.guest import GuestNetwork
from linkem_py.control.remote_program import RemoteProgram
from linkem_py.control.server import Server
from linkem_py.control.wire.commands import LinkUpdate, Update
from linkem_py.control.wire.events import Changed
from linkem_py.control.wire.replies import Reply
from linkem_py.errors import GuestError, LinkemError, ToolMissingError
from linkem_py.model import LinkKey
from tests.guest.support import Process, alive, descendants, eventually

pytestmark = [pytest.mark.guest, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]

# It does what the line must bear: it talks, and it asks for input, before and while it is loaded.
TALKATIVE = """
import subprocess, sys
from itertools import permutations
from linkem_py import Impairment, Topology

print("a word on standard output")
subprocess.run(["echo", "a child's word"])
print("read:", sys.stdin.read())

def topology(peers: int = 3) -> Topology:
    network = Topology("talkative")
    for number in range(peers):
        network.add_peer(f"peer-{number}")
    for first, second in permutations(network.peers, 2):
        network.add_link(first, second, Impairment(delay_ms=1))
    return network
"""

# A process that owns a guest network, to be killed.
OWNER = """
import asyncio, sys
from linkem_py.control.guest import GuestNetwork

async def main():
    async with GuestNetwork(sys.argv[1], tell=lambda line: print("told:", line, flush=True)) as guest:
        print((await guest.station.describe()).topology, flush=True)
        if sys.argv[2:] != ["once"]:
            await guest.ended
    print("ended")

asyncio.run(main())
"""

PEERS = 40
NOBODY = 65534


class Guest:
    """The network that the tests of this module share, and what its guest said."""

    def __init__(self, network: GuestNetwork, said: list[str], folder: Path) -> None:
        self.network, self.said, self.folder = network, said, folder

    @property
    def station(self) -> RemoteStation:
        return self.network.station


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guest]:
    folder = tmp_path_factory.mktemp("guest")
    topology = folder / "talkative.py"
    topology.write_text(TALKATIVE)
    said: list[str] = []
    network = GuestNetwork(str(topology), settings=[f"peers={PEERS}"], seed=7, name="in a guest", tell=said.append)
    async with network:
        family = descendants(network.pid)
        yield Guest(network, said, folder)
    assert network.ended.result() == ""
    assert eventually(lambda: not alive(family)), alive(family)


def program(process: Process) -> bytes:
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]


async def as_nobody(*command: str, env: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Exit status, output and errors of an interpreter with a program, run by a user without rights."""
    python, *words = command
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-c", *words,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd="/", env=env, user=NOBODY, group=NOBODY, extra_groups=[],
        )  # fmt: skip
    except OSError:
        return 126, b"", b""
    out, err = await process.communicate()
    return process.returncode or 0, out, err


def said_on_the_host(file: Path) -> str:
    command = [sys.executable, "-m", "linkem_py.cli.main", "plan", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


async def everything(program: RemoteProgram, output: str) -> bytes:
    pieces = []
    while piece := await program.read(output):
        pieces.append(piece)
    return b"".join(pieces)


def update(link: LinkKey, **fields: object) -> Update:
    return Update(changes=(LinkUpdate(link, fields),))


# ------------------------------------------------------------------------- a network that all share


async def test_the_network_is_described_as_one_of_this_process_would_be(guest: Guest) -> None:
    found = await guest.station.describe()
    assert (found.name, found.topology, found.seed) == ("in a guest", "talkative", 7)
    assert found.release != os.uname().release
    assert len(found.peers) == PEERS
    assert len(found.links) == PEERS * (PEERS - 1)
    assert all(state.impairment.delay_ms == 1 for state in found.links)
    assert len(await guest.station.counters()) == len(found.links)


async def test_what_the_topology_prints_is_told_and_its_input_is_empty(guest: Guest) -> None:
    assert guest.said[:3] == ["a word on standard output", "a child's word", "read: "]


async def test_an_update_is_answered_told_and_in_force(guest: Guest) -> None:
    link = ("peer-0", "peer-1", "lan")
    async with guest.station.events() as events:
        reply = await guest.station.submit(update(link, delay_ms=80))
        event = await anext(events)
    assert reply.ok
    assert isinstance(event, Changed)
    assert (event.revision, event.links[0].link) == (reply.revision, link)
    states = {state.link: state for state in (await guest.station.describe()).links}
    assert states[link].impairment.delay_ms == 80
    assert states[link].revision == reply.revision


async def test_an_update_that_is_wrong_is_refused_with_field_rule_and_value(guest: Guest) -> None:
    reply = await guest.station.submit(update(("peer-0", "peer-1", "lan"), loss_pct=130))
    assert not reply.ok
    assert reply.error is not None
    assert (reply.error.field, reply.error.value) == ("loss_pct", 130)


async def test_clients_of_a_control_socket_are_led_to_the_guest(guest: Guest) -> None:
    path = guest.folder / "control"
    async with Server(guest.station, name="on the host", programs=guest.station) as server:
        await server.listen_unix(path)
        async with (
            await RemoteStation.connect_unix(path) as one,
            await RemoteStation.connect_unix(path) as other,
            other.events() as events,
        ):
            reply = await one.submit(update(("peer-1", "peer-0", "lan"), delay_ms=5))
            assert (await anext(events)).at == reply.applied_at
            assert (await other.describe()).name == "in a guest"
            async with await one.exec("peer-1", ["cat"]) as program:
                await program.write(b"x" * 300_000)
                program.write_eof()
                assert await everything(program, "stdout") == b"x" * 300_000
                assert await program.wait() == 0


async def test_a_program_runs_in_a_peer_with_its_streams(guest: Guest) -> None:
    there = guest.folder.as_posix()
    script = "pwd; cat; ip -4 -o addr show dev eth0 >&2; exit 7"
    async with await guest.station.exec("peer-1", ["sh", "-c", script], cwd=there) as program:
        await program.write(b"x" * 300_000 + b"\n")
        program.write_eof()
        outputs = [await everything(program, output) for output in ("stdout", "stderr")]
        assert await program.wait() == 7
    assert outputs[0] == f"{there}\n".encode() + b"x" * 300_000 + b"\n"
    peers = (await guest.station.describe()).peers
    assert peers["peer-1"]["lan"][0].encode() in outputs[1]


async def test_a_program_that_does_not_exist_is_said_to_be_missing(guest: Guest) -> None:
    with pytest.raises(ToolMissingError):
        await guest.station.exec("peer-1", ["no-such-program"])


async def test_a_client_who_does_not_read_holds_up_nobody_else(guest: Guest) -> None:
    _, writer = await guest.network.open_channel()
    writer.write(b'{"n": 1, "request": "watch"}\n' + b'{"n": 2, "request": "describe"}\n' * 100)
    for number in range(3):
        reply = await guest.station.submit(update(("peer-0", "peer-1", "lan"), delay_ms=number))
        assert reply.ok
    writer.transport.abort()


async def test_a_megabyte_of_changes_arrives_while_the_network_is_busy(guest: Guest) -> None:
    links = [state.link for state in (await guest.station.describe()).links]
    rounds = 8
    busy = [
        guest.station.submit(Update(changes=tuple(LinkUpdate(link, {"delay_ms": 2 + number}) for link in links)))
        for number in range(rounds)
    ]
    # One command in one line; the blanks are what a client may put into its JSON.
    changes = [{"src": src, "dst": dst, "segment": segment, "set": {"delay_ms": 99}} for src, dst, segment in links]
    line = json.dumps({"n": 1, "request": "set", "id": "large", "changes": changes}, indent=40).replace("\n", "")
    assert len(line) > 1_000_000
    reader, writer = await guest.network.open_channel()
    writer.write(line.encode() + b"\n")
    singles = [guest.station.submit(update(links[0], loss_pct=number % 100)) for number in range(200)]
    greeting, answer = await reader.readline(), await reader.readline()
    writer.close()
    assert "linkem" in json.loads(greeting)
    assert json.loads(answer)["reply"]["ok"], answer
    replies: list[Reply] = await asyncio.gather(*busy, *singles)
    assert all(reply.ok for reply in replies)
    # Of one client, in the order of its commands.
    revisions = [reply.revision for reply in replies]
    assert revisions == sorted(revisions)
    states = (await guest.station.describe()).links
    assert {state.impairment.delay_ms for state in states} <= {99, 2 + rounds - 1}


async def test_the_guest_is_out_of_reach_of_the_terminal(guest: Guest) -> None:
    assert os.getsid(guest.network.pid) == guest.network.pid


# ------------------------------------------------------------------------------------- how it ends


async def test_a_client_can_end_it(tmp_path: Path) -> None:
    async with GuestNetwork(str(ROOT / "topologies/pair.py")) as network:
        await network.station.down()
        assert await network.ended == ""
        with pytest.raises(ConnectionError):
            await network.open_channel()
        with pytest.raises(ConnectionError):
            network.station  # noqa: B018


async def test_when_the_kernel_dies_whoever_waits_is_told_and_why() -> None:
    async with GuestNetwork(str(ROOT / "topologies/pair.py")) as network:
        station = network.station
        family = descendants(network.pid)
        kernel = next(process for process in family if b"linux" in program(process))
        os.kill(kernel.pid, signal.SIGSTOP)
        waiting = station.submit(update(("peer-1", "peer-2", "lan"), delay_ms=1))
        os.kill(kernel.pid, signal.SIGKILL)
        with pytest.raises(ConnectionError):
            await waiting
        assert (await network.ended).startswith("the guest kernel ended before the command did (killed by signal 9)")
        assert eventually(lambda: not alive(family)), alive(family)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "broken.py:1: ZeroDivisionError: division by zero"),
        ("from linkem_py import *\ndef topology(): return Impairment(loss_pct=130)", "broken.py:2: loss_pct must"),
    ],
)
async def test_a_topology_that_cannot_be_loaded_says_what_it_says_on_the_host(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    with pytest.raises(LinkemError) as raised:
        async with GuestNetwork(str(file)):
            pass
    assert said_on_the_host(file) == f"linkem: {raised.value}\n"
    assert message in str(raised.value)


async def test_a_kernel_that_is_none_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="no kernel at "):
        async with GuestNetwork("pair", kernel=str(tmp_path / "missing")):
            pass


async def test_who_loses_patience_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "endless.py"
    file.write_text("print('began', flush=True)\nwhile True: pass")
    began = asyncio.Event()
    before = descendants(os.getpid())

    async def start() -> None:
        async with GuestNetwork(str(file), tell=lambda _: began.set()):
            pass

    starting = asyncio.create_task(start())
    await began.wait()
    family = [process for process in descendants(os.getpid()) if process not in before]
    assert family
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert eventually(lambda: not alive(family)), alive(family)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
async def test_any_user_can_have_one(tmp_path: Path) -> None:
    # With whatever interpreter that user can read.
    paths = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    for python in (sys.executable, "/usr/bin/python3"):
        if await as_nobody(python, "import linkem_py.control.guest, linkem_py.cli.inside", env=env) == (0, b"", b""):
            break
    else:
        pytest.skip("no Python with the packages that every user can read")
    told, out, err = await as_nobody(python, OWNER, str(ROOT / "topologies/pair.py"), "once", env=env)
    assert (told, out, err) == (0, b"pair\nended\n", b"")


@pytest.mark.parametrize("endless", [False, True], ids=["up", "stuck while it starts"])
async def test_a_killed_owner_leaves_no_guest(tmp_path: Path, endless: bool) -> None:
    file = tmp_path / "owned.py"
    file.write_text("print(1)\nwhile True: pass" if endless else TALKATIVE)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(file), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        wanted = b"told: 1\n" if endless else b"talkative\n"
        while (line := await process.stdout.readline()) != wanted:
            assert line
        family = descendants(process.pid)
        assert len(family) > 3
    finally:
        process.kill()
        await process.wait()
    assert eventually(lambda: not alive(family)), alive(family)
