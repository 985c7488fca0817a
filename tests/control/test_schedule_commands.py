"""Schedules, links that go down and carriers: by every way to a running network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linkem_py.control.local import LocalStation
from linkem_py.control.wire.commands import Carrier, LinkSchedule, Readdress, Reschedule, Switch
from linkem_py.control.wire.events import Changed
from linkem_py.control.wire.states import LinkState, RunningSchedule
from linkem_py.errors import OperationError, RequestError
from linkem_py.model import Constant, Impairment, OrnsteinUhlenbeck, Schedule, Steps, Trace
from linkem_py.model.presets import SCHEDULES
from tests.control.stations import RawClient, lan, mesh, remote, until
from tests.dry import DryNetwork

HERE, THERE = lan("p0", "p1"), lan("p1", "p0")
OUT = Constant({"delay_ms": 5, "outage": True})


def reschedule(*changes: tuple[Any, Schedule | None], id: str | None = None) -> Reschedule:  # noqa: A002
    return Reschedule(changes=tuple(LinkSchedule(*change) for change in changes), id=id)


async def state_of(station: Any, link: Any) -> LinkState:
    description = await station.describe()
    (found,) = [state for state in description.links if state.link == link]
    assert isinstance(found, LinkState)
    return found


async def test_schedules_of_several_links_begin_and_end_together(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station):
        reply = await station.submit(reschedule((HERE, OUT), (THERE, SCHEDULES["wandering_rate"].schedule)))
        assert (reply.ok, reply.revision) == (True, 1)
        assert set(net.schedules) == {HERE, THERE}
        await until(lambda: net.impairment("p0", "p1").delay_ms == 5)
        assert (await state_of(station, HERE)).schedule == RunningSchedule(type="constant")
        assert (await state_of(station, THERE)).schedule == RunningSchedule(
            type="ornstein_uhlenbeck", name="wandering_rate"
        )
        assert (await station.submit(reschedule((HERE, None), (THERE, None)))).ok
        assert not net.schedules
        assert (await state_of(station, HERE)).schedule is None
        assert net.impairment("p0", "p1").delay_ms == 5


async def test_the_change_that_brings_a_schedule_tells_of_it(tmp_path: Path) -> None:
    async with remote(tmp_path) as (_, _, station), station.events() as events:
        await station.submit(reschedule((HERE, OUT)))
        event = await anext(events)
        assert isinstance(event, Changed)
        assert event.what == "set_schedule"
        assert event.links[0].schedule == RunningSchedule(type="constant")
        await anext(events)  # its first tick
        await station.submit(Switch(link=HERE, up=False))
        event = await anext(events)
        assert isinstance(event, Changed)
        assert (event.what, event.links[0].down) == ("down", True)


async def test_one_bad_schedule_keeps_all_from_beginning(tmp_path: Path) -> None:
    bad = Steps([(0, {"jitter_ms": 50})])
    async with remote(tmp_path) as (net, _, station):
        await station.submit(reschedule((HERE, OUT)))
        reply = await station.submit(reschedule((HERE, SCHEDULES["cellular"].schedule), (THERE, bad)))
        assert reply.error is not None
        assert reply.error.message.startswith("link p1->p0: jitter_ms must not be above delay_ms")
        assert net.schedules[HERE].schedule == OUT
        assert net.topology.schedules == {HERE: OUT}


async def test_what_the_kernel_refuses_leaves_the_schedules_that_were() -> None:
    async with DryNetwork(mesh()) as net:
        await net.update("p0", "p1", delay_ms=300)
        await net.set_schedule("p0", "p1", Constant({"rate_kbit": 900}))
        net.dry.refused.add(HERE)
        with pytest.raises(OperationError):
            await net.set_schedules({HERE: OrnsteinUhlenbeck(2_000_000), THERE: OUT})
        assert net.topology.schedules == {HERE: Constant({"rate_kbit": 900})}
        assert set(net.schedules) == {HERE}


async def test_a_link_is_named_once() -> None:
    async with DryNetwork(mesh()) as net:
        with pytest.raises(RequestError, match="links must not name a link twice"):
            await net.set_schedules({("p0", "p1"): OUT, HERE: None})  # type: ignore[arg-type]  # what is wrong
        async with LocalStation(net) as station:
            reply = await station.submit(reschedule((HERE, OUT), (HERE, None)))
            assert reply.error is not None
            assert reply.error.rule == "must not name a link twice"


async def test_a_redelivered_schedule_does_not_begin_again() -> None:
    ramp = Trace([(0, {"delay_ms": 1}), (5, {"delay_ms": 9})])
    other = Trace([(0, {"delay_ms": 2}), (5, {"delay_ms": 9})])
    async with DryNetwork(mesh()) as net, LocalStation(net) as station:
        first = await station.submit(reschedule((HERE, ramp), id="7"))
        await until(lambda: net.revision == 2)
        assert await station.submit(reschedule((HERE, ramp), id="7")) == first
        assert net.revision == 2
        # The same id with another trace is another command.
        assert (await station.submit(reschedule((HERE, other), id="7"))).revision == 3
        down = await station.submit(Switch(link=HERE, up=False, id="8"))
        assert await station.submit(Switch(link=HERE, up=False, id="8")) == down
        assert (await station.submit(Switch(link=HERE, up=True, id="8"))).revision > down.revision


class Own(Constant):
    """A schedule of somebody's own."""


async def test_a_schedule_of_ones_own_goes_as_far_as_this_process(tmp_path: Path) -> None:
    mine = Own({"delay_ms": 5})
    async with remote(tmp_path) as (net, local, station):
        reply = await station.submit(reschedule((HERE, mine), id="x"))
        assert reply.error is not None
        assert "cannot be written down" in reply.error.message
        assert not net.schedules
        assert (await local.submit(reschedule((HERE, mine), id="x"))).ok
        assert (await local.submit(reschedule((HERE, None), (THERE, None), id="y"))).ok
        assert (await local.submit(reschedule((HERE, mine)))).ok
        assert (await state_of(station, HERE)).schedule == RunningSchedule(type="Own")


async def test_long_schedules_fill_the_backlog(tmp_path: Path) -> None:
    steps = Steps([(number, {"delay_ms": number % 7}) for number in range(8000)])
    async with DryNetwork(mesh()) as net, LocalStation(net) as station:
        station._dispatcher._most_changes = 1000
        reply = await station.submit(reschedule((HERE, steps)))
        assert reply.error is not None
        assert (reply.error.field, reply.error.value) == ("backlog", 1001)


async def test_a_link_goes_down_and_up_one_way_or_both(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station):
        assert (await station.submit(Switch(link=HERE, up=False))).ok
        assert (net.topology.links[HERE].down, net.topology.links[THERE].down) == (True, False)
        assert (await state_of(station, HERE)).down
        assert (await station.submit(Switch(link=HERE, up=False, both=True))).ok
        assert net.topology.links[THERE].down
        assert (await station.submit(Switch(link=HERE, up=True, both=True))).ok
        assert not (await state_of(station, THERE)).down
        reply = await station.submit(Switch(link=lan("p0", "zz"), up=False))
        assert reply.error is not None
        assert "zz" in reply.error.message


async def test_a_peer_gets_other_addresses(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station):
        before = net.peer("p0").address
        assert (await station.submit(Readdress(peer="p0", segment="lan"))).ok
        described = (await station.describe()).peers["p0"]["lan"]
        assert described == net.peer("p0").addresses["lan"]
        assert described[0] != before
        assert (await station.submit(Readdress(peer="p0", segment="lan", ipv4=before, ipv6="fd00:1::9"))).ok
        assert net.peer("p0").addresses["lan"] == (before, "fd00:1::9")
        reply = await station.submit(Readdress(peer="p0", segment="lan", ipv4="x"))
        assert reply.error is not None
        assert (reply.error.field, reply.error.value) == ("ipv4", "x")


async def test_a_carrier_goes_and_comes(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, station):
        assert (await station.submit(Carrier(peer="p0", segment="lan", up=False))).ok
        assert (await station.describe()).without_carrier == net.without_carrier == (("p0", "lan"),)
        assert (await station.submit(Carrier(peer="p0", segment="lan", up=True))).ok
        assert (await station.describe()).without_carrier == ()
        reply = await station.submit(Carrier(peer="p0", segment="lte", up=False))
        assert reply.error is not None
        assert (reply.error.field, reply.error.value) == ("segment", "lte")


async def test_line_by_line(tmp_path: Path) -> None:
    async with remote(tmp_path) as (net, _, _):
        async with await RawClient.connect(tmp_path / "control.sock") as client:
            client.send(
                {
                    "n": 1,
                    "request": "schedule",
                    "changes": [{"src": "p0", "dst": "p1", "schedule": {"type": "preset", "name": "handover"}}],
                },
                {"n": 2, "request": "switch", "src": "p0", "dst": "p1", "up": False},
                {"n": 3, "request": "carrier", "peer": "p2", "up": False},
                {"n": 4, "request": "schedule", "changes": [{"src": "p0", "dst": "p1", "schedule": {"type": "x"}}]},
            )
            answers = await client.answers(4)
            assert [answers[number]["reply"]["ok"] for number in (1, 2, 3, 4)] == [True, True, True, False]
            assert answers[4]["reply"]["error"]["field"] == "changes[0].schedule.type"
            client.send({"n": 5, "request": "describe"})
            described = (await client.receive())["result"]
            (row,) = [row for row in described["links"] if (row["src"], row["dst"]) == ("p0", "p1")]
            assert (row["schedule"], row["down"]) == ({"type": "overlay", "name": "handover"}, True)
            assert described["without_carrier"] == [{"peer": "p2", "segment": "lan"}]
        assert net.impairment("p0", "p1") == Impairment()
