"""The request `exec` and its client, with programs that are only played."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from linkem_py.control import execution
from linkem_py.control.program import Program, Programs
from linkem_py.errors import RequestError
from tests.control.stations import PATIENCE_S, RawClient, remote, until


class Played:
    """A program that writes without end, or what it is given."""

    outputs = ("stdout", "stderr")

    def __init__(self, *, endless: bool) -> None:
        self.endless = endless
        self.written = self.taken = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.done: list[object] = []
        self.ended = asyncio.Event()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._echo: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, output: str = "stdout") -> bytes:
        if output == "stderr":
            return b""
        if self.endless:
            await asyncio.sleep(0)
            self.written += 1000
            return b"y" * 1000
        return await self._echo.get()

    async def write(self, data: bytes) -> None:
        await self.reads.wait()
        self.taken += len(data)
        self._echo.put_nowait(data)

    def write_eof(self) -> None:
        self.done.append("eof")
        self._echo.put_nowait(b"")
        self.status.set_result(3)

    def send_signal(self, number: int) -> None:
        self.done.append(number)

    def resize(self, rows: int, columns: int) -> None:
        self.done.append((rows, columns))

    async def wait(self) -> int:
        return await asyncio.shield(self.status)

    async def end(self) -> None:
        self.ended.set()


class Player:
    """`Programs` that plays them."""

    def __init__(self, *, endless: bool = False) -> None:
        self._endless = endless
        self.asked: list[tuple[Any, ...]] = []
        self.program: Played

    async def exec(
        self,
        peer: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        terminal: tuple[int, int] | None = None,
    ) -> Program:
        if peer == "nobody":
            raise RequestError("peer", "is not in the topology", peer)
        if arguments[0] == "forbidden":
            raise PermissionError(13, "Permission denied", "forbidden")
        self.asked.append((peer, tuple(arguments), env, cwd, terminal))
        self.program = Played(endless=self._endless)
        return self.program

    async def capture(self, peer: str, **options: Any) -> Program:
        self.asked.append(("capture", peer, options))
        self.program = Played(endless=self._endless)
        return self.program


async def output_of(program: Program) -> bytes:
    found = b""
    while data := await program.read():
        found += data
    return found


async def test_a_program_gets_its_input_and_gives_its_output_and_status(tmp_path: Path) -> None:
    player = Player()
    async with remote(tmp_path, programs=player) as (_, _, station):
        programs: Programs = station
        program = await programs.exec("p0", ["cat", "-"], env={"A": "b", "C": None}, cwd="/tmp")
        assert player.asked == [("p0", ("cat", "-"), {"A": "b", "C": None}, "/tmp", None)]
        data = bytes(range(256)) * 4000  # far more than a window
        reading = asyncio.create_task(output_of(program))
        await program.write(data)
        program.send_signal(15)
        program.resize(10, 20)
        program.write_eof()
        assert await reading == data
        assert await program.read("stderr") == b""
        assert await program.wait() == 3
        assert player.program.done == [15, (10, 20), "eof"]
        await asyncio.wait_for(player.program.ended.wait(), PATIENCE_S)
        await program.end()
        assert not station._takers


async def test_a_terminal_has_a_size_and_one_output(tmp_path: Path) -> None:
    player = Player()
    async with remote(tmp_path, programs=player) as (_, _, station):
        async with await station.exec("p0", ["sh"], terminal=(24, 80)) as program:
            assert program.outputs == ("stdout",)
            assert player.asked[0][-1] == (24, 80)
        await asyncio.wait_for(player.program.ended.wait(), PATIENCE_S)
        with pytest.raises(ConnectionError):
            await program.wait()


@pytest.mark.parametrize(
    ("peer", "command", "error", "text"),
    [
        ("nobody", "ls", RequestError, "nobody"),
        ("p0", "forbidden", PermissionError, "forbidden: Permission denied"),
        ("p0", "", RequestError, r"argv\[0\]"),
        ("p0", "a\0b", RequestError, r"argv\[0\]"),
    ],
)
async def test_why_a_program_cannot_be_started_is_said(
    tmp_path: Path, peer: str, command: str, error: type[Exception], text: str
) -> None:
    async with remote(tmp_path, programs=Player()) as (_, _, station):
        with pytest.raises(error, match=text):
            await station.exec(peer, [command])
        await station.ping()
        assert not station._takers


async def test_a_program_whose_client_does_not_read_must_wait(tmp_path: Path) -> None:
    player = Player(endless=True)
    async with remote(tmp_path, programs=player) as (_, _, station):
        async with await station.exec("p0", ["yes"]) as program:
            await until(lambda: player.program.written >= execution.WINDOW_BYTES)
            for _ in range(20):
                await station.ping()
            assert player.program.written <= execution.WINDOW_BYTES + 1000
            read = 0
            while read < 3 * execution.WINDOW_BYTES:
                read += len(await program.read())
        await asyncio.wait_for(player.program.ended.wait(), PATIENCE_S)


async def test_a_signal_passes_input_that_the_program_does_not_read(tmp_path: Path) -> None:
    player = Player()
    async with remote(tmp_path, programs=player) as (_, _, station), await station.exec("p0", ["sleep"]) as program:
        player.program.reads.clear()
        writing = asyncio.create_task(program.write(b"x" * 2 * execution.WINDOW_BYTES))
        await station.ping()
        assert not writing.done()
        program.send_signal(2)
        await until(lambda: player.program.done == [2])
        player.program.reads.set()
        await writing
        await until(lambda: player.program.taken == 2 * execution.WINDOW_BYTES)


async def test_a_program_is_hung_up_on_when_its_client_goes(tmp_path: Path) -> None:
    player = Player(endless=True)
    async with remote(tmp_path, programs=player):
        async with await RawClient.connect(tmp_path / "control.sock") as client:
            client.send({"n": 1, "request": "exec", "peer": "p0", "argv": ["yes"]})
            assert await client.receive() == {"n": 1, "result": {}}
        await asyncio.wait_for(player.program.ended.wait(), PATIENCE_S)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"stdin": "not base64!"}, "stdin"),
        ({"stdin": 5}, "stdin"),
        ({"stdin": "A" * 2**20}, "stdin"),
        ({"signal": 65}, "signal"),
        ({"signal": "9"}, "signal"),
        ({"size": [1]}, "size"),
        ({"size": [0, 5]}, "size[0]"),
        ({"taken": 5}, "taken"),
        ({"taken": {"stdout": -5}}, "taken.stdout"),
        ({"what": 5}, "what"),
    ],
)
async def test_what_is_wrong_with_a_message_to_a_program_is_said_and_it_runs_on(
    tmp_path: Path, more: dict[str, Any], field: str
) -> None:
    player = Player()
    async with remote(tmp_path, programs=player), await RawClient.connect(tmp_path / "control.sock") as client:
        client.send({"n": 1, "request": "exec", "peer": "p0", "argv": ["cat"]})
        await client.receive()
        client.send({"n": 1, **more})
        assert (await client.receive())["refused"]["field"] == field
        client.send({"n": 1, "eof": True})
        assert await client.receive() == {"n": 1, "exit": 3}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "peer"),
        ({"peer": "p0"}, "argv"),
        ({"peer": "p0", "argv": []}, "argv"),
        ({"peer": "p0", "argv": "ls"}, "argv"),
        ({"peer": "p0", "argv": ["ls", 5]}, "argv[1]"),
        ({"peer": "p0", "argv": ["ls"], "env": {"A=": "b"}}, "env"),
        ({"peer": "p0", "argv": ["ls"], "env": {"A": 5}}, "env.A"),
        ({"peer": "p0", "argv": ["ls"], "cwd": 5}, "cwd"),
        ({"peer": "p0", "argv": ["ls"], "terminal": {"rows": 5}}, "terminal.columns"),
        ({"peer": "p0", "argv": ["ls"], "terminal": {"rows": 5, "columns": 10**6}}, "terminal.columns"),
        ({"peer": "p0", "argv": ["ls"], "shell": True}, "shell"),
    ],
)
async def test_a_broken_request_for_a_program_is_refused(tmp_path: Path, request_: dict[str, Any], field: str) -> None:
    player = Player()
    async with remote(tmp_path, programs=player), await RawClient.connect(tmp_path / "control.sock") as client:
        client.send({"n": 1, "request": "exec", **request_})
        assert (await client.receive())["error"]["field"] == field
        assert not player.asked


async def test_what_fails_about_a_program_is_not_the_end_of_it_or_of_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_self: Played, _number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Played, "send_signal", forbidden)
    async with remote(tmp_path, programs=Player()) as (_, _, station):
        program = await station.exec("p0", ["cat"])
        program.send_signal(15)
        program.resize(0, 5)
        await station.ping()
        program.write_eof()
        assert await program.wait() == 3


async def test_a_signal_that_comes_before_the_start_is_sent_after_it(tmp_path: Path) -> None:
    player = Player()
    async with remote(tmp_path, programs=player), await RawClient.connect(tmp_path / "control.sock") as client:
        client.send({"n": 1, "request": "exec", "peer": "p0", "argv": ["cat"]}, {"n": 1, "signal": 2})
        assert await client.receive() == {"n": 1, "result": {}}
        await until(lambda: player.program.done)
        assert player.program.done == [2]


async def test_a_program_that_is_stopped_at_once_says_that_it_ended(tmp_path: Path) -> None:
    player = Player()
    async with remote(tmp_path, programs=player), await RawClient.connect(tmp_path / "control.sock") as client:
        client.send({"n": 1, "request": "exec", "peer": "p0", "argv": ["cat"]}, {"n": 1, "stop": True})
        while "end" not in (message := await client.receive()):
            assert message == {"n": 1, "result": {}}
