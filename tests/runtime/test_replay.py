"""Replays: what was recorded is done again, and recorded again it is the same."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from linkem_py import Access, Impairment, Network, Topology
from linkem_py.errors import RequestError
from linkem_py.model import DelayTable, FourState, GilbertElliott, OrnsteinUhlenbeck, ScheduledChange, Steps
from linkem_py.model.capabilities import Capabilities
from linkem_py.runtime import Played, read_recording
from linkem_py.runtime.changes import Change, Clearing
from linkem_py.runtime.recording import RecordedChange, RecordedLink, Recording
from linkem_py.runtime.replay import actions, not_replayed
from tests.dry import DryNetwork
from tests.runtime.test_schedules import until

A_B = ("a", "b", "lan")
LOSSY = Impairment(delay_ms=20, rate_kbit=5000, loss=GilbertElliott(p_pct=1, r_pct=30))
ODD = Impairment(
    delay_ms=9, jitter_ms=3, distribution=DelayTable([-5, 0, 7], "mine"), loss=FourState(p13_pct=1, p31_pct=30)
)


def topology() -> Topology:
    made = Topology("taped", unlinked="blocked", ipv4="10.7.0.0/16")
    for name in "abc":
        made.add_peer(name)
    made.connect("a", "b", LOSSY, back=Impairment(delay_ms=3))
    made.add_link("a", "c", ODD)
    return made


def told(recording: Recording) -> list[Any]:
    """All of its changes but when they were."""
    return [
        (
            change.what,
            change.revision,
            change.peer,
            change.segment,
            change.addresses,
            change.placement,
            change.access,
            change.groups,
            [_told(link) for link in change.links],
        )
        for change in recording.changes
    ]


def _told(link: RecordedLink) -> Any:
    change = link.change
    return (link.key, change.fields, change.clear, change.outage, link.new, link.gone, link.down, link.scheduled_outage)


def by_hand(changes: list[dict[str, Any]], **more: Any) -> list[str]:
    head = {
        "linkem_recording": 1,
        "began_at": 1.5,
        "seed": 7,
        "topology": {"name": "t", "peers": ["a", "b"], "links": [{"src": "a", "dst": "b", "set": {}}]},
    }
    return [json.dumps(line) for line in (head, *changes, {"end": True, **more})]


async def everything(net: DryNetwork) -> None:
    """One of each kind of change, and some of them on top of others."""
    await net.set_schedule("a", "b", Steps([(0, {"rate_kbit": 800}), (0.01, {"outage": True})]))
    await until(net, lambda: net.topology.link("a", "b").outage)
    await net.down("a", "b")
    await net.update("a", "b", delay_ms=30)
    await net.up("a", "b", one_way=True)
    await net.update("b", "a", loss_pct=4)
    await net.up("b", "a", one_way=True)
    await net.set_schedule("a", "b", None)
    batch: dict[tuple[str, str], Change] = {("a", "b"): Clearing({"loss_pct": 2}), ("b", "a"): ODD}
    await net.update_links(batch, what="together")
    await net.update("a", "b", loss_pct=2)  # as it was: a change of nothing
    await net.partition(["a"], ["b", "c"])
    await net.add_peer("d")
    await net.connect("d", "a", Impairment(delay_ms=1), back=LOSSY, segment="side")
    await net.add_link("d", "b")
    await net.carrier("d", segment="side", up=False)
    await net.carrier("d", segment="side", up=True)
    await net.readdress("d", segment="side")
    await net.join("b", "side")
    await net.join("c", "side")
    await net.leave("c", "side")
    await net.heal()
    await net.disconnect("d", "b")
    await net.clear("a", "c")
    await net.remove_peer("c")
    await net.readdress("a", ipv4="10.7.0.3")  # c's
    await net.add_peer("e")  # with c's number, not with its addresses
    await net.add_peer("f", placement="hub", uplink_kbit=900, queue_ms=40)
    await net.join("f", "lan")
    await net.set_access("f", uplink_kbit=None, downlink_kbit=700)
    await net.join("f", "side", uplink_kbit=500, downlink_kbit=600, downlink_at="peer")
    await net.readdress("f", segment="side")
    await net.leave("f", "side")
    await net.join("f", "side", queue_ms=20)
    await net.set_access("f", segment="side", downlink_at=None)


async def again(path: Path, **options: Any) -> tuple[Recording, Played]:
    recording = read_recording(path)
    second = path.with_suffix(".again")
    async with DryNetwork(recording.topology, seed=recording.seed, record=second, record_stats_s=None) as net:
        played = await net.replay(recording, **options)
    return read_recording(second), played


async def test_a_replay_recorded_is_the_first_recording_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    async with DryNetwork(topology(), seed=7, record=path, record_stats_s=None) as net:
        await everything(net)
        state = {key: (link.impairment, link.outage, link.down) for key, link in net.topology.links.items()}
        peers, joins, accesses = dict(net.topology.peers), net.topology.joins, dict(net.topology.accesses)
        assert {name for name, peer in peers.items() if peer.given} == {"a", "d", "e", "f"}
        assert accesses["f", "side"].access == Access(uplink_kbit=500, downlink_kbit=600, queue_ms=20)
    first = read_recording(path)
    second, played = await again(path, speed=math.inf)
    assert (played.made, played.refused, played.notices) == (len(first.changes), (), ())
    assert told(second) == told(first)
    assert len({change.what for change in first.changes}) == 20
    one, two = (json.loads(file.read_text().split("\n")[0]) for file in (path, path.with_suffix(".again")))
    assert one["topology"] == two["topology"]
    assert one["seed"] == two["seed"] == 7

    async with DryNetwork(first.topology, seed=7) as net:
        await net.replay(first, speed=math.inf)
        assert {key: (link.impairment, link.outage, link.down) for key, link in net.topology.links.items()} == state
        assert (net.topology.peers, net.topology.joins, net.topology.accesses) == (peers, joins, accesses)


async def test_what_a_schedule_drew_comes_again_without_it(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    made = topology()
    made.set_schedule("a", "b", OrnsteinUhlenbeck(3000, tick_ms=5))
    async with DryNetwork(made, seed=7, record=path, record_stats_s=None) as net:
        await until(net, lambda: net.schedules["a", "b"].changes > 5)
    first = read_recording(path)
    assert first.topology.schedules == {}
    rates = [change.links[0].change.fields.get("rate_kbit", 0) for change in first.changes]
    assert first.topology.links[A_B].ceiling_kbit == max(5000, *rates)
    second, _ = await again(path, speed=math.inf)
    assert told(second) == told(first)


async def test_times_are_divided_by_the_speed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    change = {"what": "update", "links": [{"src": "a", "dst": "b", "set": {"delay_ms": 6}}]}
    path.write_text("\n".join(by_hand([change | {"at_s": at_s} for at_s in (0, 0.4, 1.2)], at_s=1.6)))
    ends = {}
    for speed in (2.0, 8.0):
        second, played = await again(path, speed=speed)
        assert played.made == 3
        for one, change_s in zip(second.changes, (0, 0.4, 1.2), strict=True):
            # Never too early; how late is the machine's affair, and the replay says it.
            assert change_s / speed - 1e-3 <= one.at_s
        spans = [one.at_s for one in second.changes]
        ends[speed] = (spans[2] - spans[0], second.end_s)
    assert 2 < ends[2.0][0] / ends[8.0][0] < 6
    assert ends[2.0][1] >= 0.8
    assert ends[2.0][1] > ends[8.0][1] >= 0.2


async def test_a_change_that_is_refused_is_told_and_the_others_are_made(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    good = {"what": "update", "links": [{"src": "a", "dst": "b", "set": {"delay_ms": 6}}]}
    bad = {"what": "update", "links": [{"src": "a", "dst": "x", "set": {"delay_ms": 6}}]}
    path.write_text("\n".join(by_hand([line | {"at_s": 0} for line in (bad, good)])))
    recording = read_recording(path)
    async with DryNetwork(recording.topology) as net:
        played = await net.replay(recording)
        assert net.impairment("a", "b").delay_ms == 6
    assert played.made == 1
    ((change, error),) = played.refused
    assert change is recording.changes[0]
    assert "peer is not in the topology" in str(error)
    assert played.notices == (f"'update' of 0.000 s was refused: {error}",)
    assert played.as_json() == {
        "made": 1, "refused": 1, "latest_s": round(played.latest_s, 6), "notices": list(played.notices),
    }  # fmt: skip


async def test_a_kernel_without_outages_refuses_those_only(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = [{"at_s": 0, "what": "schedule", "links": [{"src": "a", "dst": "b", "set": {"delay_ms": n}, "outage": o}]}
             for n, o in ((6, True), (7, False))]  # fmt: skip
    path.write_text("\n".join(by_hand(lines)))
    recording = read_recording(path)
    async with DryNetwork(recording.topology, capabilities=Capabilities(gact=False)) as net:
        played = await net.replay(recording)
    assert played.made == 1
    assert "gact" in played.notices[0]


@pytest.mark.parametrize("speed", [0, -1, math.nan, True, "2"])
async def test_another_speed_is_refused(tmp_path: Path, speed: Any) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(by_hand([])))
    recording = read_recording(path)
    async with DryNetwork(recording.topology) as net:
        with pytest.raises(RequestError, match="speed must be a number above 0"):
            await net.replay(recording, speed=speed)


def test_without_asyncio_too(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    change = {"at_s": 5, "what": "update", "links": [{"src": "a", "dst": "b", "set": {"delay_ms": 6}}]}
    path.write_text("\n".join(by_hand([change])))
    recording = read_recording(path)
    with DryNetwork.blocking(recording.topology) as net:
        assert net.replay(recording, speed=math.inf).made == 1
        assert net.impairment("a", "b").delay_ms == 6


GONE = RecordedLink(key=A_B, change=ScheduledChange(1), gone=True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (RecordedChange(at_s=1, what="earthquake"), "this version does not know it"),
        (RecordedChange(at_s=1, what="move", links=(GONE,)), "links come or go"),
        (RecordedChange(at_s=1, what="partition"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="add_peer"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="carrier up"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="readdress", peer="a", segment="lan"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="set_access", peer="a", segment="lan"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="join", peer="a"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="connect"), "the recording does not say of what"),
        (RecordedChange(at_s=1, what="down"), "the recording does not say of what"),
    ],
    ids=lambda value: getattr(value, "what", None),
)  # fmt: skip
def test_what_cannot_be_done_again_has_a_reason(change: RecordedChange, problem: str) -> None:
    (action,) = actions([change])
    assert action.request is None
    assert problem in action.problem
    assert not_replayed([action, action]) == [f"2 changes {change.what!r} cannot be replayed: {action.problem}"]


async def test_what_cannot_be_done_again_is_told_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(by_hand([{"at_s": 0, "what": "earthquake", "links": []}])))
    recording = read_recording(path)
    async with DryNetwork(recording.topology) as net:
        played = await net.replay(recording)
    assert (played.made, played.notices) == (
        0, ("1 change 'earthquake' cannot be replayed: this version does not know it",),
    )  # fmt: skip


@pytest.mark.kernel("netem", "gact", "clsact")
async def test_a_kernel_makes_of_the_recording_what_it_made_the_first_time(tmp_path: Path) -> None:
    first, second = tmp_path / "run.jsonl", tmp_path / "again.jsonl"
    async with Network(topology(), seed=7, record=first, record_stats_s=0.05) as net:
        await net.set_schedule("a", "b", Steps([(0, {"rate_kbit": 800}), (0.05, {"outage": True})]))
        async with asyncio.timeout(30):
            while not net.topology.link("a", "b").outage:  # noqa: ASYNC110 - nobody tells but the journal
                await asyncio.sleep(0.01)
        await net.down("a", "b")
        await net.up("a", "b")
        await net.partition(["a"], ["b", "c"])
        await net.add_peer("d")
        await net.connect("d", "a", Impairment(delay_ms=1), back=LOSSY, segment="side")
        await net.carrier("d", segment="side", up=False)
        await net.carrier("d", segment="side", up=True)
        await net.heal()
        await net.remove_peer("c")
    recording = read_recording(first)
    async with Network(recording.topology, seed=recording.seed, record=second, record_stats_s=0.05) as net:
        played = await net.replay(recording, speed=2)
        stats = await net.stats()
    assert (played.made, played.notices) == (len(recording.changes), ())
    assert told(read_recording(second)) == told(recording)
    assert ("d", "a", "side") in stats
    assert read_recording(second).stats
