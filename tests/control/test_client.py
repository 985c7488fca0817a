from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from linkem_py.control import client as module
from linkem_py.control.client import RemoteStation, error_of
from linkem_py.control.local import LocalStation
from linkem_py.control.server import Server
from linkem_py.control.station import Station
from linkem_py.control.wire.commands import Heal, LinkUpdate, Partition, Update
from linkem_py.control.wire.events import Changed, Notice, Refused
from linkem_py.control.wire.json import problem_of
from linkem_py.errors import LinkemError, RequestError, ToolMissingError
from tests.control.stations import PATIENCE_S, delay, lan, mesh, remote, until
from tests.dry import DryNetwork

# --- the port -----------------------------------------------------------------------------------


async def test_it_is_the_station_at_the_other_end(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, local, station):
        checked: Station = station
        assert station.name == "far"
        reply = await checked.submit(delay(25, id="x"))
        assert (reply.ok, reply.id, reply.applied_at) == (True, "x", net.journal[-1].at)
        await checked.submit(Partition(groups=(frozenset({"p0"}), frozenset({"p1", "p2"}))))
        assert await checked.describe() == await local.describe()
        assert [one.link for one in await checked.counters()] == list(net.topology.links)
        assert (await checked.submit(Heal())).revision == 3
        await station.ping()


async def test_commands_do_not_wait_for_replies_and_keep_their_order(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station):
        net.dry.gate.clear()
        futures = [station.submit(delay(n, id=str(n))) for n in range(3000)]
        net.dry.gate.set()
        replies = await asyncio.gather(*futures)
        assert all(reply.ok for reply in replies)
        assert [reply.id for reply in replies] == [str(n) for n in range(3000)]
        assert net.impairment("p0", "p1").delay_ms == 2999
        assert net.revision < 100


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (delay(-1, id="x"), "delay_ms"),
        (delay(float("nan"), id="x"), "delay_ms"),
        (delay(object(), id="x"), "delay_ms"),
        (Update(changes=(LinkUpdate(lan("p0", "p1"), {"speed": 1}),), id="x"), "speed"),
        (Update(changes=(), id="x"), "changes"),
        (delay(1, "nobody", id="x"), "peer"),
    ],
)
async def test_what_is_wrong_with_a_command_is_in_its_reply(tmp_path: Path, command: Update, field: str) -> None:
    async with remote(tmp_path) as (net, _, station):
        reply = await station.submit(command)
        assert not reply.ok
        assert reply.id == "x"
        assert reply.error is not None
        assert field in reply.error.field
        assert net.revision == 0
        await station.ping()


async def test_events_come_from_entering_on(tmp_path: Path) -> None:
    async with remote(tmp_path) as (_, local, station):
        await station.submit(delay(1))
        async with station.events() as events:
            await station.submit(delay(2))
            await station.submit(delay(-2, id="bad"))
            local.notice("a word")
            changed, refused, notice = [await anext(events) for _ in range(3)]
            assert isinstance(changed, Changed)
            assert changed.revision == 2
            assert isinstance(refused, Refused)
            assert refused.id == "bad"
            assert isinstance(notice, Notice)
        await station.ping()
        assert not local._listeners
        assert not station._takers


async def test_too_much_without_a_reply_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_COMMANDS", 3)
    async with remote(tmp_path) as (net, _, station):
        net.dry.gate.clear()
        futures = [station.submit(delay(n)) for n in range(4)]
        assert [future.done() for future in futures] == [False, False, False, True]
        error = (await futures[3]).error
        assert error is not None
        assert error.field == "backlog"
        net.dry.gate.set()
        assert all(reply.ok for reply in await asyncio.gather(*futures[:3]))


async def test_a_command_that_is_too_long_for_a_line_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LINE_BYTES", 1000)
    async with remote(tmp_path) as (_, _, station):
        long = Update(changes=tuple(LinkUpdate(lan("p0", f"p{n}"), {"delay_ms": 1}) for n in range(50)), id="x")
        reply = await asyncio.wait_for(station.submit(long), PATIENCE_S)
        assert reply.id == "x"
        assert reply.error is not None
        assert (reply.error.field, reply.error.rule) == ("line", "must be at most 1000 bytes")
        with pytest.raises(RequestError, match="line must be at most 1000 bytes"):
            await station.exec("p0", ["x" * 1000])
        assert not station._takers
        assert (await station.submit(delay(5))).ok


async def test_bytes_that_wait_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 150)
    async with remote(tmp_path) as (_, _, station):
        replies = await asyncio.gather(*(station.submit(delay(n)) for n in range(4)))
        assert [reply.ok for reply in replies] == [True, True, False, False]
        error = replies[-1].error
        assert error is not None
        assert error.rule.startswith("must be at most 150 bytes")
        assert error.value > 150


async def test_leaving_at_once_lets_go_of_the_stream(tmp_path: Path) -> None:
    async with remote(tmp_path):
        station = await RemoteStation.connect_unix(tmp_path / "control.sock")
        await station.close()
        assert station._writer.is_closing()
        with pytest.raises(ConnectionError):
            await station.submit(delay(5))


async def test_who_is_cancelled_while_leaving_stays_cancelled(tmp_path: Path) -> None:
    async with remote(tmp_path):
        station = await RemoteStation.connect_unix(tmp_path / "control.sock")
        leaving = asyncio.create_task(station.close())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert station._writer.is_closing()


async def test_a_reply_that_nobody_waits_for_does_no_harm(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station):
        station.submit(delay(5)).cancel()
        question = asyncio.ensure_future(station.describe())
        await asyncio.sleep(0)
        question.cancel()
        await until(lambda: net.impairment("p0", "p1").delay_ms == 5)
        await station.ping()
        assert not station._takers


async def test_a_station_of_a_station_is_one_too(tmp_path: Path) -> None:
    async with remote(tmp_path) as (_, local, station), Server(station, name=station.name) as server:
        await server.listen_unix(tmp_path / "near.sock")
        async with await RemoteStation.connect_unix(tmp_path / "near.sock") as far, far.events() as events:
            assert (await far.submit(delay(3))).ok
            assert isinstance(await anext(events), Changed)
            assert await far.describe() == await local.describe()


# --- the end ------------------------------------------------------------------------------------


async def test_when_the_network_ends_what_waits_fails_and_events_end(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station), station.events() as events:
        net.dry.gate.clear()
        gate = net.dry.gate
        first = station.submit(delay(1))
        await until(net._lock.locked)
        await station.ping()
        waiting = station.submit(delay(2))
        await station.ping()
        closing = asyncio.create_task(net.close())
        await asyncio.sleep(0)
        gate.set()
        await closing
        assert (await first).ok
        with pytest.raises(ConnectionError, match="ended"):
            await waiting
        assert [type(event) async for event in events][1:] == []
        with pytest.raises(ConnectionError):
            await station.describe()


async def test_when_the_stream_ends_everything_fails_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with DryNetwork(mesh()) as net, LocalStation(net) as local:
        server = Server(local, name="far")
        await server.listen_unix(path)
        async with await RemoteStation.connect_unix(path) as station, station.events() as events:
            net.dry.gate.clear()
            waiting = station.submit(delay(1))
            await station.ping()
            closing = asyncio.create_task(server.close())
            async with asyncio.timeout(PATIENCE_S):
                await station.wait_closed()
                with pytest.raises(ConnectionError):
                    await waiting
            net.dry.gate.set()
            await closing
            assert [event async for event in events] == []
            with pytest.raises(ConnectionError):
                await station.submit(Heal())
            with pytest.raises(ConnectionError):
                await station.counters()
            with pytest.raises(ConnectionError):
                async with station.events():
                    pass
            assert "ended" in repr(station)


async def test_the_end_can_be_asked_for(tmp_path: Path) -> None:
    asked = asyncio.Event()
    async with remote(tmp_path, on_down=asked.set) as (_, _, station):
        await station.down()
        await asyncio.wait_for(asked.wait(), PATIENCE_S)


async def test_who_may_not_end_the_network_is_told(tmp_path: Path) -> None:
    async with remote(tmp_path) as (_, _, station):
        with pytest.raises(RequestError, match="down"):
            await station.down()


@pytest.mark.parametrize("greeting", [b"", b"hello\n", b"[]\n", b'{"linkem": 2, "name": "x", "version": "9"}\n'])
async def test_only_a_server_of_the_same_protocol_is_talked_to(tmp_path: Path, greeting: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / "other.sock"):
        with pytest.raises(ConnectionError):
            await RemoteStation.connect_unix(tmp_path / "other.sock")


async def test_a_server_that_talks_nonsense_is_left(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps({"linkem": 1, "name": "x", "version": "1"}).encode() + b"\n")
        await reader.readline()
        writer.write(b'{"n": 1, "reply": "yes"}\n')
        await reader.read()
        writer.close()

    path = tmp_path / "other.sock"
    async with (
        await asyncio.start_unix_server(serve, path),
        await RemoteStation.connect_unix(path) as station,
    ):
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(station.submit(Heal()), PATIENCE_S)
        await station.wait_closed()


async def test_a_server_that_did_not_understand_is_left(tmp_path: Path) -> None:
    problem = {"field": "line", "rule": "", "value": None, "message": "", "kind": "RequestError"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps({"linkem": 1, "name": "x", "version": "1"}).encode() + b"\n")
        await reader.readline()
        writer.write(json.dumps({"n": None, "error": problem}).encode() + b"\n")
        await reader.read()
        writer.close()

    path = tmp_path / "other.sock"
    async with await asyncio.start_unix_server(serve, path), await RemoteStation.connect_unix(path) as station:
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(station.submit(Heal()), PATIENCE_S)


@pytest.mark.parametrize(
    "error",
    [
        RequestError("peer", "is not in the topology", "x", where="link a->x"),
        ToolMissingError("there is no program"),
        LinkemError("something"),
    ],
)
def test_an_error_comes_out_as_it_went_in(error: LinkemError) -> None:
    found = error_of(problem_of(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
