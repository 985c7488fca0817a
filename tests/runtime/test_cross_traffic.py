"""Cross traffic over a network without a kernel: who sends when, what is told, what ends it."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from linkem_py import CrossTraffic, Impairment, OperationError, RequestError, Topology, TopologyError
from linkem_py.model import CrossStream, OrnsteinUhlenbeck
from linkem_py.runtime.cross_traffic import BEHIND_S, LATE_S, Flow, Pacer
from linkem_py.runtime.recording import read_recording
from tests.dry import DryNetwork, DrySocket

A_B, B_A = ("a", "b", "lan"), ("b", "a", "lan")
ADDRESSES = ("a", "10.0.0.1", "10.0.0.2")
RATED = Impairment(delay_ms=1, rate_kbit=4000)
SHARE = CrossTraffic(load_pct=50, packet_bytes=100)
FIXED = CrossTraffic(load_kbit=1000, packet_bytes=100, arrivals="paced")


def pair(traffic: CrossTraffic | None = None, **options: Any) -> Topology:
    topology = Topology("pair")
    for name in "abc":
        topology.add_peer(name)
    topology.connect("a", "b", RATED, cross_traffic=traffic, **options)
    return topology


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what the pacing thread brings about."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - another thread's doing, which tells nobody
            await asyncio.sleep(0.002)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "linkem-cross-traffic"]


# ------------------------------------------------------------------------------------------- a flow


class Clock:
    """A clock that stands where it was put."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def flow(traffic: CrossTraffic = FIXED) -> tuple[Flow, DrySocket, Clock]:
    clock, sender = Clock(), DrySocket()
    return Flow(CrossStream(traffic, 3, traffic.load_at(4000)), sender, clock()), sender, clock


def run(one: Flow, clock: Clock, end_s: float) -> None:
    while one.next_s <= end_s:
        clock.now_s = one.next_s
        one.turn(clock(), clock)
    clock.now_s = end_s


def test_every_packet_is_sent_once_at_its_time_with_its_size() -> None:
    one, sender, clock = flow()
    run(one, clock, 1002.0)
    expected = CrossStream(FIXED, 3, 1000).until(2.0)
    assert sender.sizes == [packet.packet_bytes - 28 for packet in expected]
    stats = one.stats()
    assert (stats.sent, stats.bytes, stats.late, stats.dropped) == (len(expected), 114 * len(expected), 0, 0)


def test_what_comes_late_is_sent_together_and_counted() -> None:
    one, sender, clock = flow()
    clock.now_s = one.next_s + BEHIND_S * 0.9
    one.turn(clock(), clock)
    stats = one.stats()
    gap_s = 114 * 8 / 1e6
    assert len(sender.sizes) == stats.sent == 1 + int(BEHIND_S * 0.9 / gap_s)
    assert stats.late == sum(BEHIND_S * 0.9 - index * gap_s > LATE_S for index in range(stats.sent))
    assert stats.longest_late_s == pytest.approx(BEHIND_S * 0.9)
    assert stats.given_up_s == 0
    # Nothing adds up: what follows is due when it would have been.
    assert one.next_s == pytest.approx(1000 + CrossStream(FIXED, 3, 1000).next_s + stats.sent * gap_s)


def test_what_is_far_behind_is_given_up_and_not_made_up_for() -> None:
    one, sender, clock = flow()
    clock.now_s = one.next_s + 50
    one.turn(clock(), clock)
    assert len(sender.sizes) == 1
    assert one.stats().given_up_s == pytest.approx(50)
    assert one.next_s == pytest.approx(clock() + 114 * 8 / 1e6)


def test_what_the_socket_does_not_take_is_counted_apart() -> None:
    one, sender, clock = flow()
    sender.error = BlockingIOError(errno.EAGAIN, "no room")
    run(one, clock, 1001.0)
    dropped = one.stats().dropped
    sender.error = OSError(errno.ENETUNREACH, "no way")
    run(one, clock, 1002.0)
    stats = one.stats()
    assert dropped > 1000
    assert (stats.sent, stats.bytes, stats.dropped) == (0, 0, dropped)
    assert stats.refused > 1000


def test_a_load_changes_from_its_moment_on() -> None:
    one, sender, clock = flow()
    run(one, clock, 1001.0)
    before = len(sender.sizes)
    one.set_load(1001.0, 100, clock)
    run(one, clock, 1011.0)
    assert len(sender.sizes) - before == pytest.approx(before, abs=2)
    assert one.stats().load_kbit == 100
    assert repr(one).endswith(f"{len(sender.sizes)} sent>")


async def test_the_pacer_goes_on_after_a_flow_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    pacer = Pacer()
    good, bad = DrySocket(), DrySocket()
    bad.error = ZeroDivisionError("what nobody foresees")
    try:
        for sender in (bad, good):
            pacer.add(Flow(CrossStream(FIXED, 1, 1000), sender, pacer.clock()))
        await until(lambda: len(good.sizes) > 20)
        assert bad.closed
        assert not good.closed
        assert "cross traffic ends" in caplog.text
        assert repr(pacer) == "<Pacer: 1 flows>"
    finally:
        pacer.close()
        pacer.close()
        pacer.join()
    assert good.closed


async def test_a_thread_s_time_that_jumps_does_not_stop_the_pacer(monkeypatch: pytest.MonkeyPatch) -> None:
    days = itertools.count(step=86_400)
    monkeypatch.setattr(time, "thread_time", lambda: float(next(days)))
    pacer, sender = Pacer(), DrySocket()
    try:
        pacer.add(Flow(CrossStream(FIXED, 1, 1000), sender, pacer.clock()))
        for _ in range(3):
            before = len(sender.sizes)
            await until(lambda before=before: len(sender.sizes) > before)  # type: ignore[misc]
    finally:
        pacer.close()
        pacer.join()


# ---------------------------------------------------------------------------------------- a network


async def test_it_begins_and_ends_with_the_network() -> None:
    net = DryNetwork(pair(SHARE), seed=1)
    async with net:
        sender = net.flow_sockets.senders[ADDRESSES]
        await until(lambda: len(sender.sizes) > 20)
        stats = (await net.stats())["a", "b"].cross_traffic
        assert stats is not None
        assert (stats.traffic, stats.load_kbit, stats.error) == (SHARE, 2000, "")
        assert stats.sent > 20
        assert (await net.stats())["b", "a"].cross_traffic is None
        assert list(net.cross_traffic) == [A_B]
        assert repr(net.cross_traffic) == "<CrossTrafficEngine: 1 links>"
        assert len(threads()) == 1
    assert sender.closed
    assert net.flow_sockets.sinks["b"].closed
    assert threads() == []


async def test_no_thread_without_cross_traffic() -> None:
    async with DryNetwork(pair(), seed=1):
        assert threads() == []


async def test_it_is_set_replaced_and_ended_live(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    async with DryNetwork(pair(), seed=1, record=path, record_stats_s=None) as net:
        applied = await net.set_cross_traffic("a", "b", FIXED)
        assert (applied.what, applied.links[0].cross_traffic, applied.revision) == ("set_cross_traffic", FIXED, 1)
        first, sink = net.flow_sockets.senders[ADDRESSES], net.flow_sockets.sinks["b"]
        await until(lambda: first.sizes != [])
        await net.set_cross_traffic("a", "b", SHARE)
        second = net.flow_sockets.senders[ADDRESSES]
        await until(lambda: first.closed and second.sizes != [])
        assert net.topology.cross_traffic == {A_B: SHARE}
        await net.set_cross_traffic("a", "b", None)
        await until(lambda: second.closed)
        assert net.topology.cross_traffic == {}
        assert len(net.cross_traffic) == 0
        assert not sink.closed  # for what is on its way
    changes = [json.loads(line) for line in path.read_text().splitlines()][1:-1]
    assert [change["links"][0].get("cross_traffic") for change in changes] == [
        {"load_kbit": 1000, "packet_bytes": 100, "arrivals": "paced"},
        {"load_pct": 50, "packet_bytes": 100, "arrivals": "poisson"},
        None,
    ]
    assert [change.what for change in read_recording(path).changes] == ["set_cross_traffic"] * 3


async def test_the_recording_says_what_there_was_and_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    async with DryNetwork(pair(SHARE), seed=1, record=path, record_stats_s=0.02) as net:
        await until(lambda: net.cross_traffic["a", "b"].sent > 50)
        await net.connect("a", "c", RATED, cross_traffic=FIXED)
        await asyncio.sleep(0.1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    share = {"load_pct": 50, "packet_bytes": 100, "arrivals": "poisson"}
    assert [link.get("cross_traffic") for link in lines[0]["topology"]["links"]] == [share, None]
    (connected,) = [line for line in lines if line.get("what") == "connect"]
    assert connected["links"][0]["cross_traffic"]["load_kbit"] == 1000
    assert "cross_traffic" not in connected["links"][1]
    last = [line["stats"] for line in lines if "stats" in line][-1][0]["cross_traffic"]
    assert last["sent"] > 50
    assert last["bytes"] == 114 * last["sent"]
    assert read_recording(path).stats


async def test_a_share_follows_the_links_rate() -> None:
    async with DryNetwork(pair(SHARE), seed=1) as net:
        for rate_kbit, load_kbit in ((1000, 500), (None, 0), (8000, 4000)):
            await net.update("a", "b", rate_kbit=rate_kbit)
            await until(lambda load=load_kbit: net.cross_traffic["a", "b"].load_kbit == load)  # type: ignore[misc]
        await net.update("b", "a", rate_kbit=1000)
        assert net.cross_traffic["a", "b"].load_kbit == 4000


async def test_a_share_follows_a_schedule_of_the_rate() -> None:
    schedule = OrnsteinUhlenbeck(4000, tau_s=1, tick_ms=10)
    async with DryNetwork(pair(SHARE, schedule=schedule, back_schedule=schedule), seed=1) as net:
        loads = set()

        def wandered() -> bool:
            loads.add(net.cross_traffic["a", "b"].load_kbit)
            return len(loads) > 5

        await until(wandered)


async def test_it_goes_on_through_partition_down_up_and_update() -> None:
    async with DryNetwork(pair(FIXED), seed=1) as net:
        sender = net.flow_sockets.senders[ADDRESSES]
        changes: list[Callable[[], Awaitable[object]]] = [
            lambda: net.partition(["a"], ["b"]),
            net.heal,
            lambda: net.down("a", "b"),
            lambda: net.up("a", "b"),
            lambda: net.update("a", "b", delay_ms=9),
        ]
        for change in changes:
            await change()
            before = len(sender.sizes)
            await until(lambda before=before: len(sender.sizes) > before)  # type: ignore[misc]
        assert net.flow_sockets.senders[ADDRESSES] is sender


async def test_it_follows_its_peers_to_other_addresses_without_beginning_anew() -> None:
    async with DryNetwork(pair(SHARE, back_cross_traffic=FIXED), seed=1) as net:
        old, back = net.flow_sockets.senders[ADDRESSES], net.flow_sockets.senders["b", "10.0.0.2", "10.0.0.1"]
        await until(lambda: len(old.sizes) > 20)
        await net.readdress("a")
        there, again = (
            net.flow_sockets.senders[way] for way in (("a", "10.0.0.4", "10.0.0.2"), ("b", "10.0.0.2", "10.0.0.4"))
        )
        await until(lambda: old.closed and back.closed and there.sizes != [] and again.sizes != [])
        assert net.cross_traffic["a", "b"].sent >= 20 + len(there.sizes)
        await net.update("a", "b", rate_kbit=1000)
        await until(lambda: net.cross_traffic["a", "b"].load_kbit == 500)
        count = len(net.flow_sockets.senders)
        await net.readdress("c")  # no affair of theirs
        await net.readdress("b")
        assert len(net.flow_sockets.senders) == count + 2
        await net.set_cross_traffic("a", "b", None)
        newest = net.flow_sockets.senders["a", "10.0.0.4", "10.0.0.3"]
        await until(lambda: newest.closed)
        assert len(net.flow_sockets.sinks) == 2


async def test_it_ends_with_an_error_where_it_cannot_follow() -> None:
    async with DryNetwork(pair(SHARE), seed=1) as net:
        old = net.flow_sockets.senders[ADDRESSES]
        net.flow_sockets.homeless.add("10.0.0.4")
        await net.readdress("a")
        await until(lambda: old.closed)
        assert net.cross_traffic["a", "b"].error.startswith(
            "link a->b: cross traffic cannot send to UDP port 9: Cannot"
        )
        await net.update("a", "b", rate_kbit=1000)
        await net.readdress("a")
        await net.set_cross_traffic("a", "b", SHARE)
        assert net.cross_traffic["a", "b"].load_kbit == 500


async def test_a_sender_for_a_flow_that_has_ended_is_closed() -> None:
    pacer, late = Pacer(), DrySocket()
    one, first, _ = flow()
    try:
        pacer.add(one)
        pacer.remove(one)
        pacer.set_sender(one, late)
        await until(lambda: late.closed and first.closed)
    finally:
        pacer.close()
        pacer.join()


async def test_it_ends_with_its_link_and_with_its_peer() -> None:
    topology = pair(FIXED, back_cross_traffic=FIXED)
    topology.connect("a", "c", RATED, cross_traffic=FIXED)
    async with DryNetwork(topology, seed=1) as net:
        senders, sinks = dict(net.flow_sockets.senders), net.flow_sockets.sinks
        await net.disconnect("a", "c")
        await until(lambda: senders["a", "10.0.0.1", "10.0.0.3"].closed)
        await net.remove_peer("b")
        await until(lambda: all(sender.closed for sender in senders.values()))
        assert len(net.cross_traffic) == 0
        assert sinks["b"].closed
        assert not sinks["a"].closed


async def test_a_port_that_is_taken_is_an_error_and_what_was_goes_on() -> None:
    async with DryNetwork(pair(), seed=1) as net:
        net.flow_sockets.taken.add("b")
        with pytest.raises(OperationError, match=r"link a->b: cross traffic cannot receive on UDP port 9 of b: Addr"):
            await net.set_cross_traffic("a", "b", FIXED)
        assert net.flow_sockets.senders[ADDRESSES].closed
        assert (dict(net.cross_traffic), dict(net.topology.cross_traffic), net.revision) == ({}, {}, 0)
        net.flow_sockets.taken.add("c")
        await net.connect("a", "c", cross_traffic=FIXED)
        assert "port 9 of c" in net.cross_traffic["a", "c"].error
        net.flow_sockets.taken.clear()
        await net.set_cross_traffic("a", "c", FIXED)
        assert net.cross_traffic["a", "c"].error == ""


async def test_what_cannot_be_is_refused_before_anything_is_touched() -> None:
    async with DryNetwork(pair(FIXED), seed=1) as net:
        with pytest.raises(RequestError):
            await net.set_cross_traffic("a", "nobody", FIXED)
        with pytest.raises(TopologyError, match="cross_traffic must be"):
            await net.set_cross_traffic("a", "b", 5)  # type: ignore[arg-type]
        with pytest.raises(TopologyError, match="load_pct needs"):
            await net.connect("a", "c", cross_traffic=SHARE)
        assert net.revision == 0
        assert list(net.cross_traffic) == [A_B]


def test_without_asyncio() -> None:
    with DryNetwork.blocking(pair(), seed=1) as net:
        net.set_cross_traffic("a", "b", FIXED)
        assert net.network.cross_traffic[A_B].traffic == FIXED
    assert threads() == []
