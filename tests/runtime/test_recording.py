"""Recordings: what is written while a network runs, and read back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from linkem_py import Impairment, Topology
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import DelayTable, FourState, GilbertElliott, OrnsteinUhlenbeck, ScheduledChange, Steps
from linkem_py.runtime.changes import Change, Clearing
from linkem_py.runtime.recording import Recorder, Recording, read_recording, values
from tests.dry import DryNetwork
from tests.runtime.test_schedules import until
from tests.strategies import impairments

A_B = ("a", "b", "lan")
LOSSY = Impairment(delay_ms=20, rate_kbit=5000, loss=GilbertElliott(p_pct=1, r_pct=30))


def topology(impairment: Impairment = LOSSY, **options: Any) -> Topology:
    made = Topology("taped", **options)
    for name in "abc":
        made.add_peer(name)
    made.connect("a", "b", impairment)
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_every_change_is_written_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    async with DryNetwork(topology(), seed=7, record=path, record_stats_s=None) as net:
        await net.update("a", "b", delay_ms=30, rate_kbit=None)
        batch: dict[tuple[str, str], Change] = {("a", "b"): Clearing({"loss_pct": 2}), ("b", "a"): FOUR}
        await net.update_links(batch)
        await net.partition(["a"], ["b"])
        await net.add_peer("d")
        await net.connect("a", "c", Impairment(delay_ms=1))
        await net.disconnect("a", "c")
        journal = tuple(net.journal)
        # Whole at any time, also now.
        assert len(read_recording(path).changes) == 6
        assert not read_recording(path).is_whole
    recording = read_recording(path)
    assert recording.is_whole
    assert (recording.name, recording.seed, recording.peers) == ("taped", 7, ("a", "b", "c"))
    assert recording.impairments == {A_B: LOSSY, ("b", "a", "lan"): LOSSY}
    assert recording.began_at == net.started_at
    assert [change.what for change in recording.changes] == [applied.what for applied in journal]
    for change, applied in zip(recording.changes, journal, strict=True):
        assert change.at_s == pytest.approx(applied.at - net.started_at, abs=1e-5)
        assert [link.key for link in change.links] == [link.link for link in applied.links]
    assert [link.new for link in recording.changes[4].links] == [True, True]
    assert [link.gone for link in recording.changes[5].links] == [True, True]
    written = lines(path)
    assert written[1]["links"] == [
        {"src": "a", "dst": "b", "segment": "lan", "set": {"delay_ms": 30, "rate_kbit": None}}
    ]
    assert written[3]["groups"] == [["a"], ["b"]]
    assert written[4]["peer"] == "d"


FOUR = Impairment(
    delay_ms=9, jitter_ms=3, distribution=DelayTable([-5, 0, 7], "mine"), loss=FourState(p13_pct=1, p31_pct=30)
)


async def test_what_was_recorded_leads_where_the_network_was(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    schedule = Steps([(0, {"rate_kbit": 800}), (0.01, {"outage": True}), (0.02, {"outage": False, "delay_ms": 3})])
    async with DryNetwork(topology(), seed=7, record=path, record_stats_s=None) as net:
        await net.set_schedule("a", "b", schedule)
        await net.set_schedule("b", "a", OrnsteinUhlenbeck(3000, tick_ms=10))
        await until(net, lambda: net.impairment("a", "b").delay_ms == 3 and net.schedules["b", "a"].changes > 2)
        await net.update_links({("a", "b"): FOUR})
        await net.clear("a", "b")
        ends = {key: link.impairment for key, link in net.topology.links.items()}
    recording = read_recording(path)
    replays = recording.schedules()
    assert replays.keys() == ends.keys()
    for key, replay in replays.items():
        under = recording.impairments[key]
        assert replay.in_force(1e6, under=under).applied_to(under) == ends[key]
    outages = [change.outage for change in replays[A_B].stream(under=LOSSY).until(1e6)]
    assert outages.count(True) == 1
    fast = recording.schedules(speed=2)[A_B].stream(under=LOSSY).until(1e6)
    slow = replays[A_B].stream(under=LOSSY).until(1e6)
    assert [change.at_s * 2 for change in fast] == pytest.approx([change.at_s for change in slow])


@given(impairments(), impairments())
def test_any_fields_come_back(first: Impairment, second: Impairment) -> None:
    for impairment in (first, second):
        text = json.dumps(values.fields_json(impairment.set_fields()), allow_nan=False)
        assert Impairment.from_mapping(values.fields(json.loads(text))) == impairment


async def test_counters_are_written_at_their_interval(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    async with DryNetwork(topology(), record=path, record_stats_s=0.01) as net:
        counted = []
        whole = net.stats

        async def stats() -> Any:
            counted.append(1)
            if len(counted) == 3:
                await net.update("a", "b", delay_ms=99)
            return await whole()

        net.stats = stats  # type: ignore[method-assign]
        await until(net, lambda: len(counted) >= 3)
    recording = read_recording(path)
    assert len(recording.stats) >= 2
    assert recording.stats[0].links.keys() == {A_B, ("b", "a", "lan")}
    assert recording.stats[0].links[A_B]["packets"] == 0
    assert recording.stats[1].at_s > recording.stats[0].at_s


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record_stats_s": 0}, "record_stats_s must be between 0.01 and 86400: 0"),
        ({"record_stats_s": True}, "record_stats_s must be a number of seconds: True"),
        ({"record_stats_s": "1"}, "record_stats_s must be a number of seconds: '1'"),
    ],
)
def test_another_interval_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        DryNetwork(topology(), record="nowhere", **options)


async def test_a_file_that_cannot_be_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    net = DryNetwork(topology(), record=tmp_path / "none" / "run.jsonl")
    with pytest.raises(RequestError, match="record must be a file to write to \\(No such file or directory\\)"):
        await net.start()


async def test_a_full_disk_ends_the_recording_and_not_the_network(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder("/dev/full", stats_s=None)
    async with DryNetwork(topology()) as net:
        recorder.open()
        recorder.start(net)
        assert recorder.error is not None
        assert "the recording /dev/full ends" in caplog.text
        await net.update("a", "b", delay_ms=5)
        await recorder.stop()
        await recorder.stop()
        assert repr(recorder) == "<Recorder '/dev/full' closed>"


KILLED = """
import asyncio, os, sys
from linkem_py import Topology
from linkem_py.model import OrnsteinUhlenbeck
from tests.dry import DryNetwork

async def main():
    topology = Topology("killed")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", schedule=OrnsteinUhlenbeck(1000, tick_ms=5))
    async with DryNetwork(topology, seed=1, record=sys.argv[1]) as net:
        net.subscribe(lambda applied: applied.revision == 5 and print("five", flush=True))
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    command = [sys.executable, "-c", KILLED, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"five\n"
        process.send_signal(signal.SIGKILL)
    recording = read_recording(path)
    assert len(recording.changes) >= 4
    assert not recording.is_whole
    assert recording.schedules().keys() == {A_B, ("b", "a", "lan")}


# ------------------------------------------------------------------------------------ bad files


HEADER: dict[str, Any] = {
    "linkem_recording": 1,
    "began_at": 1.5,
    "seed": 7,
    "kernel": "6.1",
    "topology": {"name": "t", "peers": ["a", "b"], "links": [{"src": "a", "dst": "b", "set": {"delay_ms": 5}}]},
}
CHANGE = {"at_s": 1, "what": "update", "links": [{"src": "a", "dst": "b", "set": {"delay_ms": 6}}]}


def written(path: Path, *given: Any) -> Path:
    file = path / "run.jsonl"
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in given))
    return file


def changed(line: dict[str, Any], **what: Any) -> dict[str, Any]:
    return {**line, **what}


def topology_line(**what: Any) -> dict[str, Any]:
    return {**HEADER, "topology": {**HEADER["topology"], **what}}


def linked(**what: Any) -> dict[str, Any]:
    return {**CHANGE, "links": [{"src": "a", "dst": "b", "set": {}, **what}]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "run.jsonl, line 1: linkem_recording must begin with a header of format 1: None"),
        ([CHANGE], "run.jsonl, line 1: linkem_recording must begin with a header"),
        (["nonsense"], "run.jsonl, line 1: recording must be a JSON object a line"),
        ([HEADER, "[1]"], "run.jsonl, line 2: recording must be a JSON object a line: '\\[1\\]'"),
        ([HEADER, "{", CHANGE], "run.jsonl, line 2: recording must be a JSON object a line"),
        ([HEADER, "[" * 99999, CHANGE], "run.jsonl, line 2: recording must be a JSON object a line"),
        ([changed(HEADER, linkem_recording=2)], "linkem_recording must be 1: this version reads no later format: 2"),
        ([changed(HEADER, linkem_recording=True)], "linkem_recording must begin with a header of format 1: True"),
        ([changed(HEADER, topology=None)], "line 1: topology must be an object"),
        ([changed(HEADER, topology={"links": 5})], "line 1: links must be a list: 5"),
        ([changed(HEADER, topology={"links": [5]})], "line 1: link must be an object with src and dst: 5"),
        ([changed(HEADER, seed="x")], "line 1: seed must be a number from 0 on: 'x'"),
        ([topology_line(peers=["a", "b", "A"])], "line 1: peer must differ from 'a'"),
        ([topology_line(unlinked="x")], "line 1: unlinked must be one of open, blocked: 'x'"),
        ([topology_line(segments=["x"])], "line 1: segment must be an object with a name: 'x'"),
        ([topology_line(segments=[{"name": "s", "ipv4": "x"}])], "line 1: ipv4 must be a subnet"),
        ([topology_line(joined=[["a"]])], "line 1: joined must be pairs of a peer and a segment"),
        ([topology_line(joined=[["a", "none"]])], "line 1: peer a: segment is not in the topology"),
        ([topology_line(numbers=[1])], "line 1: numbers must be a number from 1 on for each peer"),
        ([topology_line(numbers=[1, 0])], "line 1: numbers must be a number from 1 on for each peer"),
        ([topology_line(numbers=[2, 2])], "line 1: numbers must not have a number twice"),
        ([topology_line(addresses=[["a", "lan"]])], "line 1: addresses must be lists of a peer, a segment, IPv4"),
        ([topology_line(addresses=[[["a"], "lan", "10.0.0.9", None]])], "line 1: addresses must be lists of a peer"),
        ([topology_line(addresses=[["a", "lan", "10.0.0.9", 6]])], "line 1: addresses must be lists of a peer"),
        ([topology_line(addresses=[["a", "lan", "10.0.0.2", None]])], "peer a: address must not be that of peer b"),
        ([HEADER, changed(CHANGE, addresses=[5])], "line 2: addresses must be an IPv4 address and at most"),
        ([HEADER, changed(CHANGE, addresses=["1", "2", "3"])], "line 2: addresses must be an IPv4 address and at most"),
        ([HEADER, changed(CHANGE, access=5)], "line 2: access must be an object of fields: 5"),
        ([HEADER, changed(CHANGE, access={"up": 5})], "line 2: up is not a field; the fields are uplink_kbit"),
        ([HEADER, changed(CHANGE, access={"queue_ms": -5})], "line 2: queue_ms must be"),
        ([HEADER, changed(CHANGE, placement="x")], "line 2: placement must be one of sender, hub: 'x'"),
        ([HEADER, changed(CHANGE, peer=5)], "line 2: peer must be a name: 5"),
        ([HEADER, changed(CHANGE, groups=[5])], "line 2: groups must be lists of peers: 5"),
        ([HEADER, {"end": True, "at_s": "x"}], "line 2: at_s must be a number from 0 on: 'x'"),
        ([HEADER, "", changed(CHANGE, at_s=-1)], "line 3: at_s must be a number from 0 on: -1"),
        ([HEADER, changed(CHANGE, at_s=True)], "line 2: at_s must be a number from 0 on: True"),
        ([HEADER, changed(CHANGE, links=None)], "line 2: links must be a list: None"),
        ([HEADER, changed(CHANGE, links=[5])], "line 2: link must be an object with src and dst: 5"),
        ([HEADER, linked(src=5)], "line 2: src must be a name: 5"),
        ([HEADER, linked(set=5)], "line 2: set must be an object of fields: 5"),
        ([HEADER, linked(set={"delay": 5})], "line 2: delay is not a field"),
        ([HEADER, linked(set={"delay_ms": -5})], "line 2: delay_ms must be"),
        ([HEADER, linked(set={"delay_ms": {"model": "x"}})], "line 2: delay_ms must be a number, a text"),
        ([HEADER, linked(set={"loss": {"model": "x"}})], "line 2: loss must be a number, a text"),
        ([HEADER, linked(set={"loss": {"model": "four_state", "p": 1}})], "line 2: loss must have the parameters p13"),
        ([HEADER, {"at_s": 1, "stats": [{"src": "a", "dst": "b"}]}], "line 2: packets must be a number from 0"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path, given: list[Any], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        read_recording(written(tmp_path, *given))


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_part_of_a_last_line_is_passed_over(tmp_path: Path, cut: int) -> None:
    file = written(tmp_path, HEADER, CHANGE, changed(CHANGE, at_s=2))
    file.write_bytes(file.read_bytes()[:-cut])
    recording = read_recording(file)
    assert len(recording.changes) == (2 if cut == 1 else 1)
    (notice,) = recording.notices
    assert notice == (
        "run.jsonl has no end: its network was killed, or still runs"
        if cut == 1
        else "run.jsonl, line 3: is cut off and passed over: its writer was killed, or still writes"
    )
    assert not recording.is_whole


def test_the_end_has_a_time_and_a_whole_file_no_notices(tmp_path: Path) -> None:
    recording = read_recording(written(tmp_path, HEADER, CHANGE, {"end": True, "at_s": 9.5}))
    assert (recording.is_whole, recording.end_s, recording.notices) == (True, 9.5, ())
    assert read_recording(written(tmp_path, HEADER, CHANGE, {"end": True})).end_s == 1


def shape(topology: Topology) -> Any:
    """All of a topology but its schedules."""
    return (
        [getattr(topology, name) for name in ("name", "unlinked", "classifier", "duplicates", "offload", "joins")],
        dict(topology.all_segments),
        dict(topology.segments),
        set(topology.peers.values()),
        {key: link.impairment for key, link in topology.links.items()},
        {peer: topology.segments_of(peer) for peer in topology.peers},
    )


def of_segments() -> Topology:
    made = Topology("radio", ipv4="10.9.0.0/16", unlinked="blocked", duplicates="isolate")
    for name in ("camera", "studio", "gap-2", "other"):
        made.add_peer(name)
    made.add_segment("lte", "10.20.0.0/24")
    made.add_segment("nr", ipv6=False)
    made.join("other", "nr")
    made.connect("camera", "studio", LOSSY, segment="lte")
    made.remove_peer("studio")
    made.join("other", "lte")
    made.place({("camera", "lte"): ("10.20.0.4", "fd00:2::4"), ("other", "lte"): ("10.20.0.1", "fd00:2::1")})
    return made


@pytest.mark.parametrize(
    "made",
    [
        topology(),
        topology(unlinked="blocked", classifier="prio", offload=True),
        topology(ipv6=None),
        topology(ipv4="192.168.0.0/24", ipv6="fd09::/64"),
        of_segments(),
        Topology("nobody"),
    ],
    ids=str,
)
async def test_the_network_can_be_built_again(tmp_path: Path, made: Topology) -> None:
    path = tmp_path / "run.jsonl"
    async with DryNetwork(made, record=path, record_stats_s=None) as net:
        assert shape(read_recording(path).topology) == shape(net.topology)


def test_a_recording_without_segments_gets_them_from_its_links(tmp_path: Path) -> None:
    link = {"src": "a", "dst": "b", "segment": "lte", "set": {}}
    found = read_recording(written(tmp_path, topology_line(links=[link]))).topology
    assert list(found.links) == [("a", "b", "lte")]


def test_a_clock_that_was_set_back_does_not_turn_changes_round(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, CHANGE, changed(CHANGE, at_s=0.5), changed(CHANGE, at_s=2))
    recording = read_recording(file)
    assert [change.at_s for change in recording.changes] == [1, 1, 2]
    assert len(recording.schedules()[A_B].recorded) == 3


def test_a_link_that_came_replaces_and_one_that_went_leaves_no_change(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, linked(gone=True), linked(new=True, set={"loss_pct": 1}))
    recording: Recording = read_recording(file)
    assert recording.schedules()[A_B].recorded == (ScheduledChange(1, {"loss_pct": 1}, clear=True),)
