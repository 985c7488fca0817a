from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.kernel.fake import FakeDriver
from linkem_py.model import Capabilities, Impairment, Link, Topology
from linkem_py.model.capabilities import EVERYTHING
from linkem_py.model.impairment import ShaperKind
from linkem_py.plan import desired, operations
from linkem_py.plan.desired import state
from linkem_py.plan.live import LiveChanges, Wish
from linkem_py.plan.objects import Class, Drop, Fifo, Filter, Netem, Qdisc, Route
from linkem_py.plan.operations import Operation
from linkem_py.plan.tree import Planner
from tests import strategies as own


class Running:
    """A topology in a fake kernel, changed as a network does it."""

    def __init__(self, topology: Topology, kernel: Capabilities = EVERYTHING, seed: int | None = 1) -> None:
        self.topology, self.kernel, self.seed = topology, kernel, seed
        self.planner = Planner(topology, kernel, seed)
        self.live = LiveChanges(self.planner)
        self.driver = FakeDriver(kernel, state=desired(topology, kernel, seed=seed))

    def wish(self, source: str, destination: str, **fields: Any) -> Wish:
        link = self.topology.link(source, destination)
        return wish(link, link.impairment.evolve(**fields))

    def change(self, *wishes: Wish) -> list[Operation]:
        links, steps = self.live.plan(wishes)
        self.driver.apply(steps)
        for link in links:
            self.topology.put_link(link)
        assert self.driver.state == dict(desired(self.topology, self.kernel, seed=self.seed))
        return steps


def wish(link: Link, impairment: Impairment) -> Wish:
    return Wish(link.key, link, impairment, link.shaped or impairment.rate_kbit is not None)


def pair(impairment: Impairment, **settings: Any) -> Topology:
    topology = Topology("t", **settings)
    for name in "abc":
        topology.add_peer(name)
    topology.connect("a", "b", impairment)
    topology.connect("a", "c", impairment)
    return topology


def kinds(steps: list[Operation]) -> list[str]:
    return [f"{step.verb} {getattr(step.object, 'kind', type(step.object).__name__)}" for step in steps]


SHAPED = Impairment(delay_ms=10, rate_kbit=10_000)


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"delay_ms": 20}, ["change netem"]),
        ({"rate_kbit": 2000}, ["change htb", "change bfifo"]),
        ({"rate_kbit": 1e8}, ["change htb", "change netem", "change bfifo"]),  # so much is in flight
        ({"burst_kb": 50}, ["change htb"]),
        ({"queue_ms": 200}, ["change bfifo"]),
        ({"queue_ms": 100}, []),  # what the default is anyway
        ({"seed": 5}, ["change netem"]),
        ({"delay_ms": 1, "rate_kbit": 2000}, ["change htb", "change netem", "change bfifo"]),
        ({"queue_packets": 10}, ["delete bfifo", "create pfifo"]),
        ({"queue": "fq_codel"}, ["delete bfifo", "create fq_codel"]),
        ({"queue": "cake"}, ["delete bfifo", "create cake"]),
        ({"shaper": "cake"}, ["delete bfifo", "change htb", "create cake"]),
        ({"shaper": "tbf"}, ["delete bfifo", "change htb", "create tbf"]),
        ({"shaper": "netem"}, ["change htb", "change netem", "change bfifo"]),
        ({"duplicate_pct": 5}, ["change netem"]),
        ({"keep_order": True}, ["change netem"]),
        ({}, []),
    ],
    ids=str,
)
def test_only_what_differs_is_changed(fields: dict[str, Any], steps: list[str]) -> None:
    running = Running(pair(SHAPED))
    assert kinds(running.change(running.wish("a", "b", **fields))) == steps
    assert running.topology.links["a", "b", "lan"].revision == ("change netem" in steps)
    back = wish(running.topology.link("a", "b"), SHAPED)
    assert len(running.change(back)) == len(steps)
    assert running.change(wish(running.topology.link("a", "b"), SHAPED)) == []


@pytest.mark.parametrize("shaper", ["tbf", "cake"])
def test_the_rate_of_another_shaper_leaves_the_class_as_it_was(shaper: ShaperKind) -> None:
    running = Running(pair(SHAPED.evolve(shaper=shaper)))
    # With another field, so that it is not the quick way for a rate alone.
    assert kinds(running.change(running.wish("a", "b", rate_kbit=2000, delay_ms=20))) == [
        "change netem",
        f"change {shaper}",
    ]


def test_a_first_rate_brings_its_queue_which_then_stays() -> None:
    running = Running(pair(Impairment()))
    assert kinds(running.change(running.wish("a", "b", rate_kbit=1000))) == [
        "change htb",
        "change netem",
        "create bfifo",
    ]
    assert kinds(running.change(running.wish("a", "b", rate_kbit=None))) == [
        "change htb",
        "change netem",
        "change bfifo",
    ]
    assert kinds(running.change(running.wish("a", "b", delay_ms=3))) == ["change netem"]


def test_a_queue_of_one_kind_changes_in_place() -> None:
    running = Running(pair(attrs.evolve(SHAPED, queue="fq_codel")))
    assert kinds(running.change(running.wish("a", "b", ecn=True))) == ["change fq_codel"]
    assert kinds(running.change(running.wish("a", "b", queue_packets=10))) == ["change fq_codel"]
    assert kinds(running.change(running.wish("a", "b", rate_kbit=20_000))) == ["change htb"]
    # A full frame takes longer than the target.
    assert kinds(running.change(running.wish("a", "b", rate_kbit=500))) == ["change htb", "change fq_codel"]
    assert kinds(running.change(running.wish("a", "b", rate_kbit=None))) == [
        "delete fq_codel",
        "change htb",
        "create bfifo",
    ]


def test_under_prio_the_rate_is_netems_own() -> None:
    running = Running(pair(SHAPED, classifier="prio"))
    assert kinds(running.change(running.wish("a", "b", rate_kbit=2000))) == ["change netem"]
    assert kinds(running.change(running.wish("a", "b", queue_packets=5))) == ["change netem"]
    assert running.change(running.wish("a", "b", queue_packets=5)) == []


def test_a_microsecond_of_delay_changes_nothing_where_it_was_there_already() -> None:
    running = Running(pair(Impairment(rate_kbit=1000)))
    assert kinds(running.change(running.wish("a", "b", rate_kbit=2000))) == ["change htb", "change bfifo"]
    assert running.change(running.wish("a", "c", delay_ms=0.001)) == []


@pytest.mark.parametrize("duplicates", ["auto", "isolate"])
def test_isolated_duplication_comes_and_goes(duplicates: Any) -> None:
    running = Running(pair(SHAPED, duplicates=duplicates), own.STRICT_KERNEL)
    came = running.change(running.wish("a", "b", duplicate_pct=5), running.wish("a", "c", delay_ms=1))
    assert "create Ifb" in kinds(came)
    running.change(running.wish("a", "b", duplicate_pct=6, delay_ms=3))
    assert "delete Ifb" in kinds(running.change(running.wish("a", "b", duplicate_pct=None)))


def test_a_netem_that_stops_duplicating_comes_before_one_that_starts() -> None:
    topology = Topology("t")
    for name in "abc":
        topology.add_peer(name)
    topology.add_link("a", "b", Impairment(duplicate_pct=5))
    topology.add_link("a", "c", Impairment(delay_ms=1))
    running = Running(topology)
    starts, stops = running.wish("a", "c", duplicate_pct=5), running.wish("a", "b", duplicate_pct=None)
    steps = running.change(starts, stops)
    assert [step.object.options.duplicate > 0 for step in steps if is_netem(step)] == [False, True]  # type: ignore[union-attr]


def test_steps_go_namespace_by_namespace() -> None:
    topology = pair(SHAPED)
    topology.connect("b", "c", SHAPED)
    running = Running(topology)
    sources = ["a", "b", "a", "c", "b"]
    ends = zip(sources, ["b", "c", "c", "b", "a"], strict=True)
    steps = running.change(*(running.wish(*pair, delay_ms=5, rate_kbit=500) for pair in ends))
    assert [step.object.ns for step in steps] == sorted(source for source in sources for _ in range(3))  # type: ignore[union-attr]


def is_netem(step: Operation) -> bool:
    return isinstance(step.object, Qdisc) and isinstance(step.object.options, Netem)


def test_what_is_remembered_of_a_link_that_was_refused_does_not_count() -> None:
    running = Running(pair(SHAPED))
    running.live.plan([running.wish("a", "b", delay_ms=99, rate_kbit=99)])  # and never made
    assert kinds(running.change(running.wish("a", "b", delay_ms=20))) == ["change netem"]


def test_a_change_says_what_was_before() -> None:
    running = Running(pair(SHAPED))
    made = desired(running.topology, running.kernel, seed=1)
    steps = running.change(running.wish("a", "b", delay_ms=1, rate_kbit=2000))
    assert [step.before for step in steps] == [made[step.object.key] for step in steps]
    assert [type(getattr(step.object, "options", None)).__name__ for step in steps] == ["HtbClass", "Netem", "Fifo"]
    assert {Class, Qdisc} == {type(step.object) for step in steps}
    assert Fifo in {type(step.object.options) for step in steps}  # type: ignore[union-attr]


def test_an_mtu_is_a_route_that_comes_changes_and_goes() -> None:
    running = Running(pair(Impairment(delay_ms=1)))
    for mtu, verb in ((1300, "create"), (1400, "change"), (None, "delete")):
        steps = running.change(running.wish("a", "b", mtu=mtu))
        assert [(step.verb, type(step.object)) for step in steps] == [(verb, Route)] * 2


@given(st.data(), own.topologies(), own.kernels, own.seeds)
def test_any_live_change_is_the_one_that_comparing_whole_states_finds(
    data: st.DataObject, topology: Topology, kernel: Capabilities, seed: int | None
) -> None:
    if not topology.links:
        return
    running = Running(topology, kernel, seed)
    planner = running.planner
    for _ in range(data.draw(st.integers(1, 3))):
        keys = data.draw(st.lists(st.sampled_from(sorted(topology.links)), unique=True, min_size=1))
        old = [topology.links[key] for key in keys]
        shapes = st.builds(rated, st.sampled_from(old).map(lambda link: link.impairment)) | own.impairments()
        wishes = [wish(link, data.draw(shapes)) for link in old]
        if topology.duplicates == "strict":
            wishes = [one._replace(impairment=one.impairment.evolve(duplicate_pct=None)) for one in wishes]
        if topology.classifier == "prio":
            wishes = [one._replace(impairment=one.impairment.evolve(queue=None, shaper=None)) for one in wishes]
        new = [own.changed(planner, one.old, one.impairment) for one in wishes]
        general = operations(
            state(made for link in old for made in planner.leaf(link)),
            state(made for link in new for made in planner.leaf(link)),
        )
        assert running.live.plan(wishes)[0] == new
        assert Counter(running.change(*wishes)) == Counter(general)


def rated(impairment: Impairment) -> Impairment:
    """Another rate and nothing else."""
    return attrs.evolve(
        impairment, rate_kbit=(impairment.rate_kbit or 10) * 1.01 if (impairment.rate_kbit or 0) < 1e9 else 5
    )


@pytest.mark.parametrize("settings", [{}, {"classifier": "prio"}, {"duplicates": "isolate"}], ids=str)
def test_an_outage_is_one_change_in_place_each_way(settings: Any) -> None:
    running = Running(pair(SHAPED.evolve(duplicate_pct=5 if "duplicates" in settings else 0), **settings))
    before = running.driver.state
    link = running.topology.link("a", "b")
    for outage in (True, False):
        (step,) = running.change(wish(running.topology.link("a", "b"), link.impairment)._replace(outage=outage))
        assert (step.verb, type(step.object)) == ("change", Filter)
        assert step.object.options.action == (Drop() if outage else None)  # type: ignore[union-attr]
    assert running.driver.state == before
    assert running.topology.link("a", "b") == link


def test_an_outage_and_a_change_go_together() -> None:
    running = Running(pair(SHAPED))
    steps = running.change(running.wish("a", "b", rate_kbit=2000)._replace(outage=True))
    assert sorted(kinds(steps)) == ["change Filter", "change bfifo", "change htb"]
    assert running.change(running.wish("a", "b", rate_kbit=3000)._replace(outage=True))[0].verb == "change"
    assert running.topology.link("a", "b").outage


def test_a_rate_below_the_links_ceiling_takes_no_netem_message() -> None:
    running = Running(pair(SHAPED))
    high = 1e8
    room = running.change(running.wish("a", "b")._replace(ceiling_kbit=high))
    assert kinds(room) == ["change netem"]
    for rate in (high, 1000.0, high / 2):
        steps = running.change(running.wish("a", "b", rate_kbit=rate)._replace(ceiling_kbit=high))
        assert kinds(steps) == ["change htb", "change bfifo"]
    assert running.topology.link("a", "b").ceiling_kbit == high


@pytest.mark.parametrize(
    "under",
    [
        SHAPED,
        SHAPED.evolve(queue_packets=7),
        SHAPED.evolve(queue_ms=20, burst_kb=30),
        SHAPED.evolve(duplicate_pct=5),
    ],
    ids=str,
)
@pytest.mark.parametrize("ceiling_kbit", [None, 8000.0, 50_000.0])
@pytest.mark.parametrize("settings", [{}, {"classifier": "prio"}, {"duplicates": "isolate"}], ids=str)
def test_a_tick_of_the_rate_leads_where_any_change_does(under: Impairment, ceiling_kbit: Any, settings: Any) -> None:
    running, other = Running(pair(under, **settings)), Running(pair(under, **settings))
    for each in (running, other):
        each.change(each.wish("a", "b")._replace(ceiling_kbit=ceiling_kbit))
    for rate in (9000.0, 5000.0, 5000.0, 7000.0, 60_000.0, 10_000.0):
        quick = running.wish("a", "b", rate_kbit=rate)._replace(ceiling_kbit=ceiling_kbit, rerated=True)
        usual = other.wish("a", "b", rate_kbit=rate)._replace(ceiling_kbit=ceiling_kbit)
        running.change(quick)
        other.change(usual)
        assert running.driver.state == other.driver.state
        assert running.topology.links == other.topology.links


def test_a_seed_is_nothing_to_a_kernel_without_seeds() -> None:
    running = Running(pair(SHAPED), Capabilities(seed=False))
    assert running.change(running.wish("a", "b", seed=5)) == []
    assert running.topology.links["a", "b", "lan"].revision == 1
