from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkem_py.control import connection, lines
from linkem_py.control.local import LocalStation
from linkem_py.control.server import Server
from linkem_py.errors import RequestError
from tests.control.stations import PATIENCE_S, RawClient, mesh, until
from tests.dry import DryNetwork


@contextlib.asynccontextmanager
async def served(path: Path, peers: int = 4, **options: Any) -> AsyncIterator[tuple[DryNetwork, Server]]:
    async with (
        DryNetwork(mesh(peers)) as net,
        LocalStation(net) as station,
        Server(station, name=station.name, **options) as server,
    ):
        await server.listen_unix(path)
        gate = net.dry.gate
        try:
            yield net, server
        finally:
            gate.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def setting(number: int, milliseconds: object, source: str = "p0", destination: str = "p1", **more: object) -> Any:
    change = {"src": source, "dst": destination, "set": {"delay_ms": milliseconds}}
    return {"n": number, "request": "set", "changes": [change], **more}


# --- the socket's file --------------------------------------------------------------------------


async def test_only_its_owner_may_open_the_socket_and_it_goes_with_the_server(path: Path) -> None:
    async with served(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert os.listdir(path.parent) == [path.name]
    assert os.listdir(path.parent) == []


async def test_a_socket_that_somebody_serves_is_left_alone(path: Path) -> None:
    async with served(path) as (_, server):
        with pytest.raises(RequestError, match="in use"):
            await server.listen_unix(path)
        async with await RawClient.connect(path):
            pass


async def test_a_socket_that_a_dead_owner_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with served(path), await RawClient.connect(path):
        pass


async def test_a_file_that_came_in_place_of_the_socket_is_left_there(path: Path) -> None:
    async with served(path):
        os.unlink(path)
        os.mkdir(path)
    assert os.listdir(path.parent) == [path.name]


async def test_what_is_no_socket_is_not_replaced(path: Path) -> None:
    path.symlink_to("elsewhere")  # noqa: ASYNC240
    with pytest.raises(RequestError, match=r"path must be free.*control\.sock"):
        async with served(path):
            pass
    assert os.readlink(path) == "elsewhere"


async def test_all_clients_may_come_at_once(path: Path) -> None:
    async with served(path):
        clients = await asyncio.gather(*(RawClient.connect(path) for _ in range(200)))
        for client in clients:
            async with client:
                pass


async def test_a_client_that_comes_at_the_very_end_is_let_go(path: Path) -> None:
    async with served(path) as (_, server):
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        serving = asyncio.create_task(server.serve(reader, writer))
        await asyncio.sleep(0)
        assert server._clients
        await server.close()  # its task has not begun
        await serving
        assert writer.is_closing()
        await writer.wait_closed()
        ours.close()


async def test_closing_twice_is_harmless(path: Path) -> None:
    async with served(path) as (_, server), await RawClient.connect(path) as client:
        await server.close()
        await server.close()
        assert await client.reader.read() == b""


# --- requests -----------------------------------------------------------------------------------


async def test_every_request_is_answered_under_its_number(path: Path) -> None:
    async with served(path) as (net, _), await RawClient.connect(path) as client:
        client.send(
            setting(1, 25, id="a"),
            {"n": 2, "request": "partition", "groups": [["p0"], ["p1"]]},
            {"n": 3, "request": "heal"},
            {"n": 4, "request": "describe"},
            {"n": 5, "request": "counters"},
            {"n": 6, "request": "ping"},
        )
        answers = await client.answers(6)
        assert [answers[n]["reply"]["ok"] for n in (1, 2, 3)] == [True] * 3
        assert [answers[n]["reply"]["revision"] for n in (1, 2, 3)] == [1, 2, 3]
        assert answers[1]["reply"]["id"] == "a"
        assert answers[4]["result"]["name"] == "mesh"
        assert len(answers[5]["result"]) == len(net.topology.links)
        assert answers[6] == {"n": 6, "result": {}}


async def test_the_greeting_names_protocol_and_network(path: Path) -> None:
    async with served(path):
        reader, writer = await asyncio.open_unix_connection(path)
        greeting = json.loads(await reader.readline())
        assert (greeting["linkem"], greeting["name"]) == (connection.PROTOCOL, "mesh")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("line", "number", "field"),
    [
        (b"", None, "payload"),
        (b"hello", None, "payload"),
        (b"[1]", None, "payload"),
        (b"\xff\xfe", None, "payload"),
        (b'{"n": NaN, "request": "ping"}', None, "payload"),
        (b"[" * 10_000, None, "payload"),
        (b'{"request": "ping"}', None, "n"),
        (b'{"n": "1", "request": "ping"}', None, "n"),
        (b'{"n": -1, "request": "ping"}', None, "n"),
        (b'{"n": true, "request": "ping"}', None, "n"),
        (b'{"n": 1}', 1, "request"),
        (b'{"n": 1, "request": "reboot"}', 1, "request"),
        (b'{"n": 1, "request": {}}', 1, "request"),
        (b'{"n": 1, "request": "exec", "peer": "p0", "argv": ["ls"]}', 1, "request"),
        (b'{"n": 1, "request": "down"}', 1, "request"),
    ],
)
async def test_a_bad_line_is_answered_and_the_next_one_works(
    path: Path, line: bytes, number: int | None, field: str
) -> None:
    async with served(path), await RawClient.connect(path) as client:
        client.writer.write(line + b"\n")
        client.send({"n": 2, "request": "ping"})
        answers = await client.answers(2)
        assert answers[number]["error"]["field"] == field
        assert answers[number]["error"]["message"]
        assert answers[2] == {"n": 2, "result": {}}


@pytest.mark.parametrize("request_", ["describe", "counters", "ping", "watch", "down"])
async def test_what_a_request_does_not_have_is_refused(path: Path, request_: str) -> None:
    async with served(path), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": request_, "peer": "p0"})
        error = (await client.receive())["error"]
        assert (error["field"], error["rule"], error["value"]) == ("peer", "must not be given", "p0")


async def test_a_command_cannot_be_smuggled_into_another(path: Path) -> None:
    async with served(path) as (net, _), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": "set", "command": "partition", "groups": [["p0"], ["p1"]]})
        reply = (await client.receive())["reply"]
        assert reply["error"]["field"] in ("command", "groups")
        assert not net.groups


async def test_a_broken_command_is_answered_by_a_reply_with_its_id(path: Path) -> None:
    async with served(path) as (net, _), await RawClient.connect(path) as client:
        client.send(setting(1, "fast", id="mine"), {"n": 2, "request": "set", "changes": [{"src": "p0"}]})
        answers = await client.answers(2)
        assert answers[1]["reply"]["id"] == "mine"
        assert not answers[1]["reply"]["ok"]
        assert answers[1]["reply"]["error"]["field"].endswith("delay_ms")
        assert answers[2]["reply"]["error"]["field"] == "changes[0].dst"
        assert net.revision == 0


async def test_a_line_that_is_too_long_is_refused_and_the_next_one_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines.LineReader.__init__, "__kwdefaults__", {"most_bytes": 1000})
    async with served(path), await RawClient.connect(path) as client:
        client.writer.write(b'{"n": 1, "padding": "' + b"x" * 100_000)
        error = (await client.receive())["error"]
        assert (error["field"], error["rule"]) == ("line", "must be at most 1000 bytes")
        client.writer.write(b"x" * 100_000 + b'"}\n')
        client.send({"n": 2, "request": "ping"})
        assert await client.receive() == {"n": 2, "result": {}}


async def test_half_a_line_is_waited_for_and_is_nothing_at_the_end(path: Path) -> None:
    async with served(path) as (net, _):
        line = json.dumps(setting(1, 9)).encode() + b"\n"
        async with await RawClient.connect(path) as client:
            for byte in line:
                client.writer.write(bytes([byte]))
                await client.writer.drain()
            assert (await client.receive())["reply"]["ok"]
        async with await RawClient.connect(path) as client:
            client.writer.write(json.dumps(setting(1, 10)).encode())
            client.writer.write_eof()
            assert await client.reader.read() == b""
        assert net.impairment("p0", "p1").delay_ms == 9


async def test_who_sends_no_more_still_gets_all_answers(path: Path) -> None:
    async with served(path) as (net, _), await RawClient.connect(path) as client:
        net.dry.gate.clear()
        client.send(setting(1, 1), {"n": 2, "request": "describe"}, {"n": 3, "request": "watch"})
        client.writer.write_eof()
        assert (await client.receive())["n"] in (2, 3)
        net.dry.gate.set()
        rest = [json.loads(line) for line in (await client.reader.read()).splitlines()]
        assert {message["n"] for message in rest if "reply" in message} == {1}
        assert rest[-1]["n"] in (1, 2, 3)


async def test_the_end_is_asked_for_and_answered_first(path: Path) -> None:
    asked = asyncio.Event()
    async with served(path, on_down=asked.set), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": "down"})
        assert await client.receive() == {"n": 1, "result": {}}
        await asyncio.wait_for(asked.wait(), PATIENCE_S)


# --- clients that behave badly ------------------------------------------------------------------


async def test_who_goes_in_the_middle_has_its_commands_carried_out(path: Path) -> None:
    async with served(path) as (net, server):
        net.dry.gate.clear()
        async with await RawClient.connect(path) as client:
            client.send(setting(1, 1), setting(2, 2), {"n": 3, "request": "watch"}, {"n": 4, "request": "counters"})
            await client.answers(1)
        net.dry.gate.set()
        await until(lambda: not server._clients)
        async with await RawClient.connect(path) as client:
            client.send(setting(1, 3, "p1", "p0"))
            assert (await client.receive())["reply"]["ok"]
        assert net.impairment("p0", "p1").delay_ms == 2


async def test_clients_do_not_mix(path: Path) -> None:
    async with served(path) as (net, _), await RawClient.connect(path) as one, await RawClient.connect(path) as other:
        for number in range(50):
            one.send(setting(number, number, "p0", "p1"))
            other.send(setting(number, 100 + number, "p0", "p2"))
        first, second = await one.answers(50), await other.answers(50)
        assert all(answer["reply"]["ok"] for answer in (*first.values(), *second.values()))
        assert net.impairment("p0", "p1").delay_ms == 49
        assert net.impairment("p0", "p2").delay_ms == 149


async def test_who_does_not_read_hinders_nobody_and_is_not_read_any_more(path: Path) -> None:
    async with served(path, peers=12) as (_, server), await RawClient.connect(path) as deaf:
        deaf.writer.transport.set_write_buffer_limits(2**26)
        asking = b"".join(b'{"n": %d, "request": "describe"}\n' % n for n in range(100_000))
        deaf.writer.write(asking)
        async with await RawClient.connect(path) as client:
            for number in range(20):
                client.send(setting(number, number))
                assert (await client.receive())["reply"]["ok"]
        await until(lambda: deaf.writer.transport.get_write_buffer_size() < len(asking))
        await asyncio.sleep(0.05)
        assert deaf.writer.transport.get_write_buffer_size() > len(asking) / 2
        assert len(server._clients) == 1


async def test_more_than_may_wait_is_not_read_before_there_are_replies(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_UNANSWERED", 10)
    async with served(path) as (net, server), await RawClient.connect(path) as client:
        net.dry.gate.clear()
        client.send(*(setting(number, number) for number in range(200)))
        await until(lambda: server._offer.station._dispatcher._commands == 10)  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        assert server._offer.station._dispatcher._commands == 10  # type: ignore[attr-defined]
        net.dry.gate.set()
        answers = await client.answers(200)
        assert all(answer["reply"]["ok"] for answer in answers.values())


async def test_a_client_too_many_is_turned_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linkem_py.control.server.MOST_CLIENTS", 1)
    async with served(path), await RawClient.connect(path):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


# --- watching -----------------------------------------------------------------------------------


async def test_a_watch_tells_what_happens_until_it_is_stopped(path: Path) -> None:
    async with served(path), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": "watch"})
        assert await client.receive() == {"n": 1, "result": {}}
        client.send(setting(2, 5))
        answers = await client.answers(2)
        assert answers[1]["event"]["what"] == "update"
        assert answers[1]["event"]["links"][0]["impairment"] == {"delay_ms": 5}
        client.send({"n": 1, "stop": True})
        assert await client.receive() == {"n": 1, "end": True}
        client.send({"n": 1, "stop": True}, setting(3, 6))  # too late, which is no error
        assert (await client.receive())["n"] == 3


async def test_a_watch_that_is_stopped_at_once_says_that_it_ended(path: Path) -> None:
    async with served(path), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": "watch"}, {"n": 1, "stop": True})
        while "end" not in (message := await client.receive()):
            assert message == {"n": 1, "result": {}}


async def test_a_watch_says_that_it_ended_to_who_sends_no_more(path: Path) -> None:
    async with served(path), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": "watch"})
        await client.receive()
        client.writer.write_eof()
        assert await client.receive() == {"n": 1, "end": True}


async def test_a_number_in_use_is_refused_and_so_are_too_many_watches(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_STREAMS", 2)
    async with served(path), await RawClient.connect(path) as client:
        client.send(*({"n": number, "request": "watch"} for number in (1, 1, 2, 3)))
        found = [await client.receive() for _ in range(4)]
        assert sorted(message["n"] for message in found if "error" in message) == [1, 3]
        assert sorted(message["n"] for message in found if "result" in message) == [1, 2]


async def test_a_watch_ends_with_the_network(path: Path) -> None:
    async with served(path) as (net, _), await RawClient.connect(path) as client:
        client.send({"n": 1, "request": "watch"})
        await client.receive()
        await net.close()
        assert await client.receive() == {"n": 1, "end": True}
        client.send(setting(2, 5), {"n": 3, "request": "describe"})
        answers = await client.answers(2)
        assert [answers[number]["error"]["kind"] for number in (2, 3)] == ["ConnectionError"] * 2


async def test_a_slow_watcher_is_told_how_much_it_missed_and_hinders_nobody(path: Path) -> None:
    async with served(path) as (net, server), await RawClient.connect(path) as slow:
        slow.send({"n": 1, "request": "watch"})
        await slow.receive()
        station = server._offer.station
        assert isinstance(station, LocalStation)
        count = 3000
        for number in range(count):
            station.notice(f"{number} " + "x" * 10_000)  # all in all far more than sockets and buffers hold
            if number % 100 == 0:
                await net.update("p0", "p1", delay_ms=number)
        seen = missed = 0
        while seen + missed < count + net.revision:
            event = (await slow.receive())["event"]
            seen, missed = (seen, missed + event["count"]) if event["event"] == "missed" else (seen + 1, missed)
        assert seen + missed == count + net.revision == count + 30
        assert missed > 0


# --- any lines ----------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
REQUESTS = st.sampled_from(["set", "partition", "heal", "describe", "counters", "ping", "watch", "exec", "nothing"])
MESSAGES = st.fixed_dictionaries(
    {"n": st.integers(0, 5) | VALUES},
    optional={"request": REQUESTS | VALUES, "stop": VALUES, "changes": VALUES, "groups": VALUES, "stdin": VALUES},
)
LINES = st.binary(max_size=40) | st.builds(lambda message: json.dumps(message).encode(), MESSAGES)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=20))
def test_whatever_comes_the_server_goes_on_and_nothing_changes(tmp_path: Path, found: list[bytes]) -> None:
    async def run() -> None:
        place = tmp_path / "fuzzed.sock"
        async with served(place) as (net, _), await RawClient.connect(place) as client:
            for line in found:
                client.writer.write(line + b"\n")
            client.send({"n": 4711, "request": "ping"})
            while (await client.receive())["n"] != 4711:
                pass
            client.send(setting(4712, 5))
            while (await client.receive())["n"] != 4712:
                pass
            assert {key for key, link in net.topology.links.items() if not link.impairment.is_clear} == {
                ("p0", "p1", "lan")
            }

    asyncio.run(run())
