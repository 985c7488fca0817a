"""Programs in peers of a real network, by way of a control socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from linkem_py import Network, Topology
from linkem_py.control.client import RemoteStation
from linkem_py.control.execution import WINDOW_BYTES
from linkem_py.control.local import LocalStation
from linkem_py.control.program import Program
from linkem_py.control.programs import PIECE, LocalPrograms
from linkem_py.control.server import Server
from linkem_py.control.sessions import members
from linkem_py.errors import RequestError, ToolMissingError
from tests.control.stations import PATIENCE_S, until

pytestmark = pytest.mark.netem

SIZE = (33, 77)


@contextlib.asynccontextmanager
async def reached(tmp_path: Path) -> AsyncIterator[RemoteStation]:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b")
    async with (
        Network(topology) as net,
        LocalStation(net) as local,
        Server(local, name="pair", programs=LocalPrograms(net)) as server,
    ):
        await server.listen_unix(tmp_path / "control.sock")
        async with await RemoteStation.connect_unix(tmp_path / "control.sock") as station:
            yield station


async def output_of(program: Program, output: str = "stdout") -> str:
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        while data := await program.read(output):
            found += data
    return found.decode()


async def said(program: Program, word: str) -> str:
    """What the program has written when it has written that word."""
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        while word.encode() not in found:
            data = await program.read()
            assert data, f"it ended before it said {word}: {found!r}"
            found += data
    return found.decode()


async def test_a_program_with_pipes(tmp_path: Path) -> None:
    async with reached(tmp_path) as station:
        script = "echo $WORD $HOME; pwd; hostname -I >&2; cat; exit 7"
        env = {"WORD": "hello", "HOME": None}
        async with await station.exec("b", ["sh", "-c", script], env=env, cwd="/usr") as program:
            await program.write(b"and this")
            program.write_eof()
            assert await output_of(program) == "hello\n/usr\nand this"
            assert "10.0.0.2" in await output_of(program, "stderr")
            assert await program.wait() == 7


@pytest.mark.parametrize("terminal", [None, SIZE])
async def test_why_a_program_cannot_be_started_is_said(tmp_path: Path, terminal: tuple[int, int] | None) -> None:
    async with reached(tmp_path) as station:
        with pytest.raises(ToolMissingError, match="no-such-program"):
            await station.exec("a", ["no-such-program"], terminal=terminal)
        with pytest.raises(PermissionError, match="/etc/passwd"):
            await station.exec("a", ["/etc/passwd"], terminal=terminal)
        with pytest.raises(FileNotFoundError, match="/no/such/folder"):
            await station.exec("a", ["true"], cwd="/no/such/folder", terminal=terminal)
        with pytest.raises(RequestError, match="nobody"):
            await station.exec("nobody", ["true"], terminal=terminal)


@pytest.mark.parametrize("terminal", [None, SIZE])
async def test_a_signal_ends_a_program_with_the_shells_status(tmp_path: Path, terminal: tuple[int, int] | None) -> None:
    async with reached(tmp_path) as station, await station.exec("a", ["sleep", "1000"], terminal=terminal) as program:
        program.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 128 + signal.SIGTERM


async def test_a_program_on_a_terminal_of_its_own(tmp_path: Path) -> None:
    async with reached(tmp_path) as station:
        script = (
            "test -t 0 && test -t 1 && test -t 2 && stty size && ps -o tty=,stat= -p $$ && "
            'ps -o pgid=,tpgid= -p $$; echo "[$LC_CTYPE]"'
        )
        env = {"LC_CTYPE": None, "LC_ALL": "C", "LANG": "C"}
        async with await station.exec("a", ["sh", "-c", script], env=env, terminal=SIZE) as program:
            lines = (await output_of(program)).split("\r\n")
            assert await program.wait() == 0
    assert lines[0] == "33 77"
    assert lines[1].startswith("pts/")
    assert "s" in lines[1].split()[1]  # it leads its session
    group, foreground = lines[2].split()
    assert group == foreground  # it may read, and Ctrl-C is for it
    assert lines[3] == "[]"


async def test_ctrl_c_reaches_what_is_in_the_foreground(tmp_path: Path) -> None:
    async with (
        reached(tmp_path) as station,
        await station.exec("a", ["sh", "-c", "echo ready; cat"], terminal=SIZE) as program,
    ):
        await said(program, "ready")
        await program.write(b"word\n")
        await said(program, "word\r\nword\r\n")  # echoed, and by cat
        await program.write(b"\x03")
        assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 128 + signal.SIGINT


async def test_ctrl_d_ends_the_input(tmp_path: Path) -> None:
    async with (
        reached(tmp_path) as station,
        await station.exec("a", ["sh", "-c", "echo ready; cat; echo over"], terminal=SIZE) as program,
    ):
        await said(program, "ready")
        program.write_eof()
        await said(program, "over")
        assert await program.wait() == 0


async def test_a_window_that_changes_is_told_to_the_program(tmp_path: Path) -> None:
    async with reached(tmp_path) as station:
        script = "trap 'stty size' WINCH; echo ready; while :; do read word && exit 5; done"
        async with await station.exec("a", ["sh", "-c", script], terminal=SIZE) as program:
            await said(program, "ready")
            program.resize(11, 22)
            await said(program, "11 22")
            await program.write(b"\n")
            assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 5


async def test_what_a_program_wrote_last_is_read_also_after_its_end(tmp_path: Path) -> None:
    async with reached(tmp_path) as station:
        count = 100_000  # more than pipes and windows hold
        async with await station.exec("a", ["sh", "-c", f"seq {count}"]) as program:
            await asyncio.sleep(0.2)
            lines = (await output_of(program)).splitlines()
            assert (len(lines), lines[-1]) == (count, str(count))
            assert await program.wait() == 0


async def test_a_program_ends_though_another_holds_its_output(tmp_path: Path) -> None:
    async with (
        reached(tmp_path) as station,
        await station.exec("a", ["sh", "-c", "sleep 1000 & echo done; exit 4"]) as program,
    ):
        assert await output_of(program) == "done\n"
        assert await asyncio.wait_for(program.wait(), PATIENCE_S) == 4


@pytest.mark.parametrize("terminal", [None, SIZE])
async def test_a_program_ends_with_all_of_its_session_when_its_client_goes(
    tmp_path: Path, terminal: tuple[int, int] | None
) -> None:
    script = "trap '' HUP; sleep 1000 & sh -c 'sleep 1001; true' & ps -o pid= -p $$; echo ready; wait; sleep 1002"
    async with reached(tmp_path) as station:
        async with await RemoteStation.connect_unix(tmp_path / "control.sock") as client:
            program = await client.exec("a", ["sh", "-c", script], terminal=terminal)
            await said(program, "ready")
            await until(lambda: len(_running("sleep", "100")) == 2)
            (session,) = {os.getsid(pid) for pid in _running("sleep", "100")}
            await until(lambda: len(members(session)) >= 4)
        await until(lambda: not members(session))
        await station.ping()


async def test_a_program_that_prints_without_end_must_wait_for_its_reader(tmp_path: Path) -> None:
    async with reached(tmp_path) as station, await station.exec("a", ["yes"]) as program:
        await until(lambda: _running("yes"))
        (pid,) = _running("yes")
        waiting = program._outputs["stdout"]._pieces
        await until(lambda: sum(map(len, waiting)) > WINDOW_BYTES - PIECE)
        await until(lambda: _state(pid) == "S")
        await station.ping()
        assert sum(map(len, waiting)) <= WINDOW_BYTES
        read = 0
        while read < 2**20:
            data = await asyncio.wait_for(program.read(), PATIENCE_S)
            assert data
            read += len(data)
    await until(lambda: not _running("yes"))


def _running(name: str, argument: str = "") -> list[int]:
    """Processes of a program, one of whose arguments begins so."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry}/cmdline").read_text().split("\0")
                if words[0] == name and any(word.startswith(argument) for word in words[1:]):
                    found.append(int(entry))
    return found


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
