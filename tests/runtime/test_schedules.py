"""Schedules of a running network, by a clock that the test moves. Without a kernel."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from linkem_py import Impairment, Topology
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import (
    OUTAGE,
    Capabilities,
    Constant,
    GilbertElliott,
    LinkKey,
    OrnsteinUhlenbeck,
    Overlay,
    Schedule,
    ScheduledChange,
    Steps,
    Trace,
)
from linkem_py.model.schedule import link_seed
from linkem_py.plan import desired
from linkem_py.plan.objects import U32, Class, Drop, Filter, Netem, Qdisc
from linkem_py.runtime import Applied
from linkem_py.runtime.schedules import ScheduleEngine
from tests.dry import DryNetwork

A_B: LinkKey = ("a", "b", "lan")
B_A: LinkKey = ("b", "a", "lan")
RATE = Impairment(delay_ms=20, rate_kbit=5000, loss=GilbertElliott(p_pct=1, r_pct=30))
WANDERING = OrnsteinUhlenbeck(5000, tau_s=1, tick_ms=100)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Driven:
    """An engine of its own over a network, with a clock that stands still."""

    def __init__(self, net: DryNetwork, seed: int = 7) -> None:
        self.net = net
        self.clock = Clock()
        self.engine = ScheduleEngine(net, seed, clock=self.clock)
        self.engine.follow(net.topology.schedules)

    async def at(self, at_s: float) -> None:
        """Move to so many seconds after the start, and make what is due."""
        self.clock.now_s = 1000.0 + at_s
        await self.engine.turn()


def topology(schedules: Mapping[tuple[str, str], Schedule] = {}, *, peers: str = "abc", **options: Any) -> Topology:
    made = Topology("dry", **options)
    for name in peers:
        made.add_peer(name)
    for first in peers:
        for second in peers:
            if first != second:
                made.add_link(first, second, RATE, schedule=schedules.get((first, second)))
    return made


def network(schedules: Mapping[tuple[str, str], Schedule] = {}, **options: Any) -> DryNetwork:
    """A network whose own engine has nothing to do: the test's has."""

    class Still(DryNetwork):
        def __init__(self, made: Topology, **settings: Any) -> None:
            super().__init__(made, **settings)
            self.schedules.start = lambda: None  # type: ignore[method-assign]

    capabilities = options.pop("capabilities", None)
    return Still(topology(schedules, **options), capabilities=capabilities, seed=1)


def as_planned(net: DryNetwork) -> bool:
    return net.dry.state == dict(desired(net.topology, net.capabilities, seed=net.seed, groups=net.groups))


def history(net: DryNetwork) -> list[tuple[str, LinkKey, dict[str, object], bool]]:
    return [
        (applied.what, change.link, change.fields, change.outage) for applied in net.journal for change in applied.links
    ]


# --------------------------------------------------------------------------------------- ticks


async def test_all_links_of_a_tick_are_one_batch() -> None:
    schedules = {
        ("a", "b"): WANDERING,
        ("b", "a"): WANDERING,
        ("a", "c"): Steps([(0, {"delay_ms": 5}), (0.1, {"delay_ms": 6})]),
    }
    async with network(schedules) as net:
        driven = Driven(net)
        for tick in range(3):
            before = len(net.dry.batches)
            await driven.at(tick * 0.1)
            assert len(net.dry.batches) == before + 1
        links = [len(applied.links) for applied in net.journal]
        assert links == [3, 3, 2]
        assert driven.engine.pace.ticks == 3
        assert as_planned(net)


async def test_a_link_has_what_its_schedule_says() -> None:
    async with network({("a", "b"): WANDERING}) as net:
        driven = Driven(net, seed=7)
        expected = WANDERING.changes(0, 2.05, link_seed(7, A_B))
        for change in expected:
            await driven.at(change.at_s)
            assert net.impairment("a", "b") == RATE.evolve(**change.fields)
        assert len(net.journal) == len(expected) == 21


async def test_nothing_is_due_before_its_time() -> None:
    async with network({("a", "b"): Steps([(1, {"delay_ms": 5})])}) as net:
        driven = Driven(net)
        await driven.at(0.999)
        assert not net.journal
        assert driven.engine[A_B].last is None
        await driven.at(1)
        assert net.impairment("a", "b").delay_ms == 5
        assert driven.engine[A_B].is_over
        assert driven.engine.agenda.next_s == float("inf")


async def test_two_runs_with_one_seed_apply_the_same_changes() -> None:
    slow = OrnsteinUhlenbeck(30, field="delay_ms", tick_ms=50)
    trace = Trace([(0, {"rate_kbit": 0}), (0.2, {"rate_kbit": 900})])
    schedules: dict[tuple[str, str], Schedule] = {("a", "b"): WANDERING, ("b", "c"): slow, ("c", "a"): trace}

    async def run(seed: int, others: Mapping[tuple[str, str], Schedule]) -> list[Any]:
        async with network({**schedules, **others}) as net:
            driven = Driven(net, seed)
            for tick in range(40):
                await driven.at(tick * 0.05)
            return [entry for entry in history(net) if entry[1][:2] in schedules]

    first = await run(7, {})
    assert await run(7, {}) == first
    # Another link changes nothing for these.
    assert await run(7, {("b", "a"): WANDERING}) == first
    assert await run(8, {}) != first


async def test_a_late_tick_makes_the_newest_state_only_and_is_counted() -> None:
    steps = Steps([(0, {"rate_kbit": 100}), (1, {"delay_ms": 3}), (2, {"rate_kbit": 300}), (3, {"rate_kbit": 400})])
    async with network({("a", "b"): steps, ("a", "c"): WANDERING}) as net:
        driven = Driven(net)
        await driven.at(0)
        await driven.at(2.25)
        assert [len(applied.links) for applied in net.journal] == [2, 2]
        assert net.impairment("a", "b") == RATE.evolve(rate_kbit=300, delay_ms=3)
        one, many = driven.engine[A_B], driven.engine["a", "c"]
        assert (one.changes, one.late, one.skipped) == (2, 1, 1)
        assert one.last == ScheduledChange(2, {"rate_kbit": 300})
        assert (many.changes, many.late, many.skipped) == (2, 1, 21)
        assert many.last == WANDERING.changes(2.2, 2.25, link_seed(7, ("a", "c", "lan")))[-1]
        assert (driven.engine.pace.ticks, driven.engine.pace.late) == (2, 1)
        assert driven.engine.pace.longest_s == pytest.approx(2.15)
        await driven.at(2.3)  # goes on from its own times
        assert net.journal[-1].links[0].link == ("a", "c", "lan")
        assert driven.engine.pace.late == 1


async def test_links_that_come_later_tick_with_the_others() -> None:
    async with network({("a", "b"): WANDERING}) as net:
        driven = Driven(net)
        await driven.at(0)
        driven.clock.now_s += 0.03
        driven.engine.restart(B_A, WANDERING)
        await driven.at(0.05)
        assert len(net.journal) == 1
        assert driven.engine[B_A].last is None
        await driven.at(0.1)
        assert [change.link for change in net.journal[-1].links] == [A_B, B_A]
        # It has its own beginning, however late it came.
        first = WANDERING.changes(0, 0.05, link_seed(7, B_A))[0]
        assert net.impairment("b", "a").rate_kbit == first.fields["rate_kbit"]
        assert driven.engine[B_A].changes == 1
        assert driven.engine[B_A].last == first


async def test_a_slow_link_that_comes_later_does_not_wait_for_the_others() -> None:
    slow = OrnsteinUhlenbeck(5000, tau_s=60, tick_ms=10_000)
    async with network({("a", "b"): slow}) as net:
        driven = Driven(net)
        await driven.at(0)
        driven.clock.now_s += 1
        driven.engine.restart(B_A, slow)
        await driven.at(1)
        assert driven.engine[B_A].changes == 1


async def test_whole_numbers_and_numbers_inside_a_model_wander_too() -> None:
    whole = OrnsteinUhlenbeck(50, field="queue_packets", tick_ms=100)
    inside = OrnsteinUhlenbeck(2, field="loss.p_pct", tick_ms=100)
    async with network({("a", "b"): whole, ("b", "a"): inside}) as net:
        driven = Driven(net)
        for tick in range(5):
            await driven.at(tick * 0.1)
            assert type(net.impairment("a", "b").queue_packets) is int
            (expected,) = inside.changes(max(0, tick / 10 - 0.05), tick / 10 + 0.05, link_seed(7, B_A))
            loss = net.impairment("b", "a").loss
            assert isinstance(loss, GilbertElliott)
            assert loss.p_pct == expected.fields["loss.p_pct"]
            assert loss.r_pct == 30
        assert as_planned(net)


# ------------------------------------------------------------------------------------ with others


async def test_a_manual_change_of_another_field_stays() -> None:
    async with network({("a", "b"): WANDERING}) as net:
        driven = Driven(net)
        await driven.at(0)
        await net.update("a", "b", delay_ms=77, rate_kbit=1)
        assert net.impairment("a", "b").rate_kbit == 1
        await driven.at(0.1)
        assert net.impairment("a", "b").delay_ms == 77
        assert net.impairment("a", "b").rate_kbit == driven.engine[A_B].last.fields["rate_kbit"]  # type: ignore[union-attr]


async def test_only_the_schedule_of_a_refused_link_ends(caplog: pytest.LogCaptureFixture) -> None:
    async with network({("a", "b"): WANDERING, ("b", "a"): WANDERING, ("a", "c"): Constant()}) as net:
        driven = Driven(net)
        await driven.at(0)
        net.dry.refused.add(A_B)
        with caplog.at_level(logging.ERROR):
            await driven.at(0.1)
        assert "the schedule of link a->b ends" in caplog.text
        state = driven.engine[A_B]
        assert state.is_over
        assert "injected" in str(state.error)
        assert net.impairment("b", "a").rate_kbit == driven.engine[B_A].last.fields["rate_kbit"]  # type: ignore[union-attr]
        net.dry.refused.clear()
        await driven.at(0.2)
        assert [change.link for change in net.journal[-1].links] == [B_A]
        assert as_planned(net)


async def test_a_change_that_a_manual_one_made_impossible_ends_its_schedule_only() -> None:
    inside = OrnsteinUhlenbeck(2, field="loss.p_pct", tick_ms=100)
    async with network({("a", "b"): inside, ("b", "a"): WANDERING}) as net:
        driven = Driven(net)
        await driven.at(0)
        await net.update("a", "b", loss=None)
        await driven.at(0.1)
        assert isinstance(driven.engine[A_B].error, TopologyError)
        assert "needs loss to be a GilbertElliott" in str(driven.engine[A_B].error)
        assert driven.engine[B_A].changes == 2


async def test_links_that_are_gone_are_passed_over() -> None:
    async with network({("a", "b"): WANDERING}) as net:
        driven = Driven(net)
        await net.remove_peer("b")
        await driven.at(0)  # this engine was not told
        assert len(net.journal) == 1
        driven.engine.follow(net.topology.schedules)
        assert not driven.engine
        assert driven.engine.agenda.next_s == float("inf")


# ---------------------------------------------------------------------------------------- outages


def outage(net: DryNetwork) -> bool:
    return net.topology.link("a", "b").outage


def cut(net: DryNetwork, source: str = "a") -> list[U32]:
    """Entries that lead to a link's class and drop."""
    entries = [made.options for made in net.dry.state.values() if isinstance(made, Filter) and made.ns == source]
    return [entry for entry in entries if isinstance(entry, U32) and entry.classid and entry.action == Drop()]


@pytest.mark.parametrize("classifier", ["htb", "prio"])
async def test_an_outage_cuts_the_link_and_touches_nothing_else(classifier: str) -> None:
    async with network({("a", "b"): Overlay(Constant(), OUTAGE, [(1, 2)])}, classifier=classifier) as net:
        driven = Driven(net)
        before = net.dry.state
        await driven.at(1)
        assert outage(net)
        assert len(cut(net)) == 1
        assert as_planned(net)
        assert [step.verb for step in net.journal[-1].steps] == ["change"]
        await driven.at(2)
        assert [entry[-1] for entry in history(net)] == [True, False]
        assert net.dry.state == before


async def test_an_outage_outlives_updates_partitions_and_other_links() -> None:
    async with network({("a", "b"): Overlay(Constant(), OUTAGE, [(0, 9)])}) as net:
        driven = Driven(net)
        await driven.at(0)
        await net.update("a", "b", delay_ms=1, rate_kbit=None)
        await net.clear("a", "b")
        await net.partition(["a"], ["b", "c"])
        await net.heal()
        await net.add_peer("d")
        await net.connect("a", "d", RATE)
        assert outage(net)
        assert len(cut(net)) == 1
        assert as_planned(net)
        await driven.at(9)
        assert not cut(net)
        assert as_planned(net)


async def test_rates_set_during_an_outage_hold_when_it_ends() -> None:
    trace = Trace([(0, {"rate_kbit": 800}), (1, {"rate_kbit": 0}), (2, {"rate_kbit": 300})], repeat=False)
    async with network({("a", "b"): trace}) as net:
        driven = Driven(net)
        await driven.at(0)
        await driven.at(1)
        assert (net.impairment("a", "b").rate_kbit, outage(net)) == (800, True)
        await driven.at(2)
        assert (net.impairment("a", "b").rate_kbit, outage(net)) == (300, False)


async def test_an_isolated_duplication_is_cut_too() -> None:
    schedule = Overlay(Constant({"duplicate_pct": 5}), OUTAGE, [(1, 2)])
    async with network({("a", "b"): schedule}, duplicates="isolate") as net:
        driven = Driven(net)
        for at_s in (0, 1, 2):
            await driven.at(at_s)
            assert len(cut(net)) == (at_s == 1)
            assert as_planned(net)


async def test_a_kernel_without_gact_has_no_outages() -> None:
    capabilities = Capabilities(gact=False)
    async with network({("a", "b"): Overlay(Constant(), OUTAGE, [(0, 9)])}, capabilities=capabilities) as net:
        driven = Driven(net)
        await driven.at(0)
        assert str(driven.engine[A_B].error) == "link a->b: outage needs gact (act_gact), which this kernel lacks: True"


# --------------------------------------------------------------------------------------- messages


def kinds(applied: Applied) -> set[str]:
    return {step.object.kind for step in applied.steps if isinstance(step.object, Class | Qdisc)}


@pytest.mark.parametrize("mean_kbit", [5_000, 2_000_000])
async def test_a_tick_of_the_rate_sends_no_netem_message(mean_kbit: float) -> None:
    made = topology({}, peers="ab")
    made.set_impairment("a", "b", RATE.evolve(rate_kbit=mean_kbit, delay_ms=300, queue_ms=500))
    made.set_schedule("a", "b", OrnsteinUhlenbeck(mean_kbit, sd=mean_kbit / 2, tick_ms=100))
    async with DryNetwork(made, seed=1) as net:
        await net.schedules.stop()
        driven = Driven(net)
        rates = set()
        for tick in range(30):
            await driven.at(tick * 0.1)
            assert kinds(net.journal[-1]) <= {"htb", "bfifo"}
            rates.add(net.impairment("a", "b").rate_kbit)
        assert len(rates) > 20
        assert as_planned(net)


async def test_a_live_schedule_beyond_the_room_of_netem_makes_room_once() -> None:
    async with network() as net:
        await net.update("a", "b", delay_ms=300, rate_kbit=100_000)
        high = OrnsteinUhlenbeck(2_000_000, tick_ms=100)
        applied = await net.set_schedule("a", "b", high)
        (step,) = applied.steps
        assert isinstance(step.object, Qdisc)
        assert isinstance(step.object.options, Netem)
        assert step.object.options.limit_packets > 2**20
        assert (await net.set_schedule("a", "b", high)).steps == ()
        assert as_planned(net)


# --------------------------------------------------------------------------------- in the network


async def until(net: DryNetwork, holds: Callable[[], bool]) -> None:
    """Wait for a change after which that holds."""
    changed = asyncio.Event()
    unsubscribe = net.subscribe(lambda _: changed.set())
    try:
        async with asyncio.timeout(30):
            while not holds():
                await changed.wait()
                changed.clear()
    finally:
        unsubscribe()


async def test_the_topologys_schedules_begin_with_the_network() -> None:
    made = topology({("a", "b"): Steps([(0, {"delay_ms": 5}), (0.02, {"delay_ms": 6})])})
    async with DryNetwork(made, seed=7) as net:
        await until(net, lambda: net.impairment("a", "b").delay_ms == 6)
        assert list(net.schedules) == [A_B]
        assert net.schedules["a", "b"].is_over
        assert net.schedules["a", "b"].schedule is made.schedules[A_B]
        assert net.journal[-1].what == "schedule"
    assert made.link("a", "b").impairment.delay_ms == 20


async def test_schedules_are_set_and_ended_live() -> None:
    async with DryNetwork(topology(), seed=7) as net:
        assert not net.schedules
        await net.set_schedule("a", "b", Constant({"delay_ms": 5, "outage": True}))
        assert net.topology.schedules.keys() == {A_B}
        await until(net, lambda: outage(net))
        applied = await net.set_schedule("a", "b", None)
        assert applied.what == "set_schedule"
        assert not outage(net)
        assert net.impairment("a", "b").delay_ms == 5
        assert not net.schedules
        assert not net.topology.schedules


async def test_a_schedule_begins_from_what_the_link_is() -> None:
    ramp = Steps([(0, {}), (0.02, {"delay_ms": 40})], interpolate=True, tick_ms=10)
    async with DryNetwork(topology(), seed=7) as net:
        await net.update("a", "b", delay_ms=20)
        await net.set_schedule("a", "b", ramp)
        await until(net, lambda: net.impairment("a", "b").delay_ms == 40)
        delays = {change.after.delay_ms for entry in net.journal for change in entry.links if change.after}
        assert delays <= {20, 30, 40}


async def test_links_that_come_and_go_bring_their_schedules() -> None:
    made = topology(peers="abc")
    made.disconnect("a", "b")
    async with DryNetwork(made, seed=7) as net:
        await net.connect("a", "b", RATE, schedule=Constant({"delay_ms": 5}), back_schedule=Constant({"delay_ms": 6}))
        await until(net, lambda: (net.impairment("a", "b").delay_ms, net.impairment("b", "a").delay_ms) == (5, 6))
        await net.disconnect("a", "b")
        assert not net.schedules
        await net.add_link("a", "b", RATE, schedule=Constant({"delay_ms": 7}))
        await until(net, lambda: net.impairment("a", "b").delay_ms == 7)
        await net.remove_peer("a")
        assert not net.schedules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a", "z"), "link a->z: peer is not in the topology"),
        (("a", "b", Steps([(0, {"jitter_ms": 50})])), "link a->b: jitter_ms must not be above delay_ms"),
        (("a", "b", "lte"), "link a->b: schedule must be a Schedule: 'lte'"),
    ],
    ids=str,
)
async def test_an_impossible_schedule_is_refused_before_anything_is_touched(
    arguments: Any, message: str | None
) -> None:
    async with DryNetwork(topology(), seed=7) as net:
        await net.set_schedule("a", "b", Constant({"delay_ms": 5}))
        await until(net, lambda: net.impairment("a", "b").delay_ms == 5)
        before = net.revision
        source, destination, *schedule = arguments
        with pytest.raises((RequestError, TopologyError), match=message):
            await net.set_schedule(source, destination, schedule[0] if schedule else None)
        assert net.revision == before
        assert list(net.schedules) == [A_B]


async def test_a_live_schedule_that_the_kernel_refuses_is_none() -> None:
    async with network() as net:
        await net.update("a", "b", delay_ms=300)
        net.dry.refused.add(A_B)
        with pytest.raises(Exception, match="injected"):
            await net.set_schedule("a", "b", OrnsteinUhlenbeck(2_000_000, tick_ms=100))
        assert not net.schedules
        assert not net.topology.schedules
        assert as_planned(net)


async def test_a_tick_that_breaks_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with DryNetwork(topology(), seed=7) as net:
        calls = []
        whole = net.update_links

        async def broken(changes: Any, *, what: str = "update") -> Applied:
            calls.append(what)
            if len(calls) == 1:
                raise OSError("a bug")
            return await whole(changes, what=what)

        net.update_links = broken  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR):
            await net.set_schedule("a", "b", Steps([(0, {"delay_ms": 4}), (0.02, {"delay_ms": 5})]))
            await until(net, lambda: net.impairment("a", "b").delay_ms == 5)
        assert "a tick of the schedules failed" in caplog.text


def test_an_engine_says_what_it_does() -> None:
    net = network({("a", "b"): WANDERING})
    assert repr(net.schedules) == "<ScheduleEngine: 0 schedules, 0 ticks, 0 late>"
    net.schedules.follow(net.topology.schedules)
    assert repr(net.schedules.agenda).startswith("<Agenda: 1 schedules, next at ")
    assert A_B in net.schedules.agenda
    assert list(net.schedules.agenda) == [A_B]
    with pytest.raises(KeyError):
        net.schedules["a", "z"]


async def collected(network: weakref.ref[DryNetwork]) -> None:
    """Until nothing refers to it any more; a tick that is being made does."""
    while network() is not None:
        await asyncio.sleep(0)
        gc.collect()


async def test_a_forgotten_network_is_not_kept_alive_by_its_schedules() -> None:
    held = [DryNetwork(topology({("a", "b"): WANDERING}), seed=7)]
    engine = held[0].schedules
    await held[0].start()
    await until(held[0], lambda: engine[A_B].changes > 0)
    network = weakref.ref(held.pop())
    with pytest.warns(ResourceWarning, match="never closed"):
        await collected(network)
    await asyncio.sleep(0)  # whoever waits for the next tick is told that there is none
    assert "linkem-schedules" not in {task.get_name() for task in asyncio.all_tasks()}
