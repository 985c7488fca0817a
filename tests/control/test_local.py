from __future__ import annotations

import asyncio

import pytest

from linkem_py import Impairment
from linkem_py.control.local import LocalStation
from linkem_py.control.station import Station
from linkem_py.control.wire.commands import Heal, Partition
from linkem_py.control.wire.events import Changed, Event, Notice, Refused
from tests.control.stations import delay, lan, mesh
from tests.dry import DryNetwork

HALVES = (frozenset({"p0", "p1"}), frozenset({"p2", "p3"}))


async def test_the_description_is_the_network_as_it_is_now() -> None:
    async with DryNetwork(mesh(), seed=7) as net, LocalStation(net, name="mine") as station:
        checked: Station = station
        await checked.submit(delay(5))
        await checked.submit(Partition(groups=HALVES))
        found = await checked.describe()
        assert (found.name, found.topology, found.seed, found.revision) == ("mine", "mesh", 7, 2)
        assert found.segments == {"lan": ("10.0.0.0/16", "fd00:1::/64")}
        assert found.peers["p1"] == {"lan": ("10.0.0.2", "fd00:1::2")}
        assert found.groups == (("p0", "p1"), ("p2", "p3"))
        assert [state.link for state in found.links] == list(net.topology.links)
        changed = {state.link: state for state in found.links if state.revision}
        assert changed.keys() == {lan("p0", "p1")}
        assert changed[lan("p0", "p1")].impairment == Impairment(delay_ms=5)
        assert changed[lan("p0", "p1")].applied_at == net.journal[0].at
        assert {state.applied_at for state in found.links if not state.revision} == {found.started_at}


async def test_the_name_is_the_topologys_unless_another_is_given() -> None:
    async with DryNetwork(mesh()) as net, LocalStation(net) as station:
        assert (await station.describe()).name == "mesh"


async def test_there_are_counters_of_every_link_in_the_topologys_order() -> None:
    async with DryNetwork(mesh()) as net, LocalStation(net) as station:
        assert [one.link for one in await station.counters()] == list(net.topology.links)


async def test_changes_refusals_and_notices_are_told_as_they_happen() -> None:
    async with DryNetwork(mesh()) as net, LocalStation(net) as station, station.events() as events:
        await station.submit(delay(5))
        await station.submit(delay(-5, id="bad"))
        station.notice("a word")
        await station.submit(Partition(groups=HALVES))
        await station.submit(Heal())
        await net.remove_peer("p3")
        changed, refused, notice, cut, healed, removed = [await anext(events) for _ in range(6)]
        assert isinstance(changed, Changed)
        (state,) = changed.links
        assert (changed.what, changed.revision) == ("update", 1)
        assert (state.link, state.impairment, state.revision) == (lan("p0", "p1"), Impairment(delay_ms=5), 1)
        assert isinstance(refused, Refused)
        assert (refused.id, refused.error.field) == ("bad", "delay_ms")
        assert isinstance(notice, Notice)
        assert notice.message == "a word"
        assert isinstance(cut, Changed)
        assert cut.groups == (("p0", "p1"), ("p2", "p3"))
        assert isinstance(healed, Changed)
        assert (healed.what, healed.groups) == ("heal", ())
        assert isinstance(removed, Changed)
        assert (removed.peer, removed.links) == ("p3", ())
        assert lan("p3", "p0") in removed.removed
        assert len(removed.removed) == 6


async def test_an_event_is_there_before_its_reply() -> None:
    async with DryNetwork(mesh()) as net, LocalStation(net) as station, station.events() as events:
        await station.submit(delay(5))
        event = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert event.done()


async def test_when_the_network_closes_its_events_end_and_what_waits_fails() -> None:
    net = DryNetwork(mesh())
    await net.start()
    async with LocalStation(net) as station, station.events() as events:
        net.dry.gate.clear()
        driver = net.dry
        first = station.submit(delay(1))
        await asyncio.sleep(0.01)
        waiting = station.submit(delay(2))
        seen: list[Event] = []

        async def watch() -> None:
            seen.extend([event async for event in events])

        watching = asyncio.create_task(watch())
        closing = asyncio.create_task(net.close())
        await asyncio.sleep(0)
        driver.gate.set()
        await closing
        with pytest.raises(ConnectionError):
            await waiting
        assert (await first).ok
        await watching
        with pytest.raises(ConnectionError):
            await station.submit(Heal())
        with pytest.raises(ConnectionError):
            await station.describe()
        with pytest.raises(ConnectionError):
            await station.counters()


async def test_a_station_ends_without_the_network_and_leaves_nothing_in_it() -> None:
    async with DryNetwork(mesh()) as net:
        before = dict(net.journal._listeners)
        async with LocalStation(net) as station:
            await station.submit(delay(5))
        await station.close()
        assert net.journal._listeners == before
        assert not net._closers
        with pytest.raises(ConnectionError):
            await station.submit(delay(5))
        await net.update("p0", "p1", delay_ms=6)
        async with LocalStation(net) as another:
            assert (await another.submit(delay(7))).ok


async def test_a_network_that_does_not_run_has_no_station() -> None:
    net = DryNetwork(mesh())
    with pytest.raises(ConnectionError):
        async with LocalStation(net):
            pass
