"""Updates of links, many at once: verdicts, the journal, listeners. Without a kernel."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkem_py import Impairment, Topology
from linkem_py.errors import DuplicateRestrictionError, LinkemError, OperationError, RequestError, TopologyError
from linkem_py.model import Capabilities, GilbertElliott, LinkKey
from linkem_py.plan import desired
from linkem_py.runtime import Applied, Clearing
from linkem_py.runtime.journal import Journal
from tests.dry import DryNetwork
from tests.strategies import impairments, topologies

A_B: LinkKey = ("a", "b", "lan")


def topology(*names: str, **options: Any) -> Topology:
    """These peers, each linked to all others."""
    made = Topology("dry", **options)
    for name in names:
        made.add_peer(name)
    for first in names:
        for second in names:
            if first < second:
                made.connect(first, second, Impairment(delay_ms=10))
    return made


def as_planned(net: DryNetwork) -> bool:
    """Whether the driver has what the plan says."""
    return net.dry.state == dict(desired(net.topology, net.capabilities, seed=net.seed, groups=net.groups))


def unversioned(net: DryNetwork) -> dict[LinkKey, object]:
    """The links without their revisions: what only lies between two updates of a joint batch needs no seed."""
    return {key: attrs.evolve(link, revision=0) for key, link in net.topology.links.items()}


# ------------------------------------------------------------------------------------ together


async def test_batches_are_made_together_and_each_sees_those_before() -> None:
    async with DryNetwork(topology("a", "b", "c")) as net:
        first, wrong, second = await net.update_batches(
            [
                {("a", "b"): {"jitter_ms": 5}, ("b", "a"): {"loss_pct": 1}},
                {("a", "b"): {"jitter_ms": 11}},
                {("a", "b"): {"delay_ms": 30}},
            ]
        )
        assert first is second
        assert isinstance(first, Applied)
        assert isinstance(wrong, TopologyError)
        assert str(wrong) == "link a->b: jitter_ms must not be above delay_ms (10): 11"
        assert net.impairment("a", "b") == Impairment(delay_ms=30, jitter_ms=5)
        assert [change.link for change in first.links] == [A_B, ("b", "a", "lan")]
        assert first.links[0].before == Impairment(delay_ms=10)
        assert first.links[0].after == Impairment(delay_ms=30, jitter_ms=5)
        assert len(net.dry.batches) == 2
        assert (net.revision, len(net.journal)) == (1, 1)
        assert as_planned(net)


@pytest.mark.parametrize(
    ("batch", "field"),
    [
        ({}, "links"),
        ([("a", "b")], "links"),
        ({("a", "b"): {}}, "fields"),
        ({("a", "b"): 5}, "change"),
        ({("a", "b"): Clearing(5)}, "change"),  # type: ignore[arg-type]
        ({("a", "b"): {"speed": 5}}, "speed"),
        ({("a", "b"): {5: 5}}, 5),
        ({("a", "b"): Clearing({"speed": 5})}, "speed"),
        ({("a", "b"): {"delay_ms": -1}}, "delay_ms"),
        ({("a",): {"delay_ms": 1}}, "link"),
        ({"ab": {"delay_ms": 1}}, "link"),
        ({("a", "z"): {"delay_ms": 1}}, "peer"),
        ({("a", "a"): {"delay_ms": 1}}, "link"),
        ({("a", "b", "wan"): {"delay_ms": 1}}, "segment"),
        ({("a", frozenset()): {"delay_ms": 1}}, "peer"),
        ({("a", "b"): {"delay_ms": 1}, ("a", "b", "lan"): {"delay_ms": 1}}, "links"),
        ({("b", "a"): {"delay_ms": 1}, ("a", "b"): {"delay_ms": "x"}}, "delay_ms"),
    ],
)
async def test_a_batch_that_breaks_a_rule_gets_its_error_and_the_others_go_on(batch: Any, field: Any) -> None:
    async with DryNetwork(topology("a", "b")) as net:
        before = dict(net.topology.links)
        with pytest.raises(TopologyError) as caught:
            await net.update_links(batch)
        assert caught.value.field == field
        assert (net.topology.links, net.revision, len(net.dry.batches)) == (before, 0, 1)
        refusal, made = await net.update_batches([batch, {("a", "b"): {"loss_pct": 1}}])
        assert str(refusal) == str(caught.value)
        assert isinstance(made, Applied)
        assert net.impairment("a", "b") == Impairment(delay_ms=10, loss_pct=1)
        assert net.impairment("b", "a") == Impairment(delay_ms=10)


async def test_a_joint_batch_without_an_effect_on_the_kernel_is_a_change_all_the_same() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        assert await net.update_batches([]) == []
        assert await net.update_batches([{}]) != []
        assert net.revision == 0
        first, second = await net.update_batches([{("a", "b"): {"delay_ms": 20}}, {("a", "b"): {"delay_ms": 10}}])
        assert first is second
        assert isinstance(first, Applied)
        assert first.steps == ()
        assert net.topology.links[A_B].revision == 0
        assert len(net.dry.batches) == 1
        assert net.revision == 1


async def test_a_rate_that_comes_and_goes_in_one_batch_leaves_its_queue_as_it_does_one_by_one() -> None:
    batches: list[Any] = [{("a", "b"): {"rate_kbit": 100}}, {("a", "b"): {"rate_kbit": None}}]
    async with DryNetwork(topology("a", "b")) as joint, DryNetwork(topology("a", "b")) as single:
        await joint.update_batches(batches)
        for batch in batches:
            await single.update_links(batch)
        assert joint.topology.links == single.topology.links
        assert as_planned(joint)


async def test_a_clearing_takes_everything_away_then_sets_its_fields() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        await net.update("a", "b", loss_pct=5, rate_kbit=100)
        await net.update_links({("a", "b"): Clearing({"loss_pct": 1})})
        assert net.impairment("a", "b") == Impairment(loss_pct=1)
        await net.update_links({("a", "b"): Clearing()})
        assert net.impairment("a", "b").is_clear
        await net.update("a", "b", loss_pct=5)
        assert (await net.clear("a", "b")).what == "clear"
        assert net.impairment("a", "b").is_clear
        assert as_planned(net)


async def test_strict_topologies_look_at_what_each_batch_leads_to() -> None:
    made = topology("a", "b", "c", duplicates="strict")
    async with DryNetwork(made) as net:
        outcomes = await net.update_batches([{("a", "b"): {"duplicate_pct": 1}}, {("a", "c"): {"delay_ms": 3}}])
        assert isinstance(outcomes[0], DuplicateRestrictionError)
        assert isinstance(outcomes[1], Applied)
        await net.disconnect("a", "c")
        assert isinstance(await net.update("a", "b", duplicate_pct=1), Applied)
        assert isinstance(await net.update("a", "b", duplicate_pct=2), Applied)
        assert as_planned(net)


# -------------------------------------------------------------------------------- refused there


async def test_a_joint_batch_that_the_kernel_refuses_fails_for_the_culprit_only() -> None:
    async with DryNetwork(topology("a", "b", "c")) as net:
        net.dry.refused.add(("a", "c", "lan"))
        outcomes = await net.update_batches(
            [
                {("a", "b"): {"delay_ms": 1}},
                {("b", "a"): {"delay_ms": 2}, ("a", "c"): {"delay_ms": 2}},
                {("b", "c"): {"delay_ms": "x"}},
                {("b", "a"): {"loss_pct": 3}},
            ]
        )
        assert [type(outcome) for outcome in outcomes] == [Applied, OperationError, TopologyError, Applied]
        culprit = outcomes[1]
        assert isinstance(culprit, OperationError)
        assert (culprit.link, culprit.rolled_back) == (("a", "c", "lan"), True)
        assert net.impairment("b", "a") == Impairment(delay_ms=10, loss_pct=3)
        assert [applied.revision for applied in net.journal] == [1, 2]
        assert outcomes[0] is net.journal[0]
        assert outcomes[3] is net.journal[1]
        assert as_planned(net)


async def test_what_was_wrong_only_because_of_the_culprit_is_made() -> None:
    # The culprit's delay would have been too short for the jitter; one by one it is never made.
    async with DryNetwork(topology("a", "b", "c")) as net:
        net.dry.refused.add(("a", "c", "lan"))
        outcomes = await net.update_batches(
            [
                {("a", "b"): {"delay_ms": 1}, ("a", "c"): {"delay_ms": 1}},
                {("a", "b"): {"jitter_ms": 5}},
            ]
        )
        assert [type(outcome) for outcome in outcomes] == [OperationError, Applied]
        assert net.impairment("a", "b") == Impairment(delay_ms=10, jitter_ms=5)


async def test_what_could_not_be_undone_is_not_tried_again() -> None:
    async with DryNetwork(topology("a", "b", "c")) as net:
        done = len(net.dry.log)
        net.dry.fail_at = (done + 1, done + 2)  # the second change, and undoing the first
        outcomes = await net.update_batches([{("a", "b"): {"delay_ms": 1}}, {("a", "c"): {"delay_ms": 2}}])
        assert outcomes[0] is outcomes[1]
        assert isinstance(outcomes[0], OperationError)
        assert not outcomes[0].rolled_back
        assert net.revision == 0


async def test_whoever_is_cancelled_leaves_when_everything_is_made() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        net.dry.gate.clear()
        net.dry.refused.add(("b", "a", "lan"))
        task = asyncio.create_task(net.update_batches([{("b", "a"): {"delay_ms": 7}}, {("a", "b"): {"delay_ms": 8}}]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        net.dry.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert net.impairment("a", "b").delay_ms == 8
        assert net.impairment("b", "a").delay_ms == 10
        assert as_planned(net)


async def test_a_closed_network_makes_nothing() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await net.update_batches([{("a", "b"): {"delay_ms": 1}}])


# ----------------------------------------------------------------------------------- any batches

KEYS: list[LinkKey] = [(first, second, "lan") for first in "abc" for second in "abc" if first != second]
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "delay_ms": st.sampled_from([None, 0, 1, 50, -1]),
        "jitter_ms": st.sampled_from([None, 0.5, 20]),
        "loss_pct": st.sampled_from([None, 0, 3.5]),
        "loss": st.sampled_from([None, GilbertElliott(p_pct=1, r_pct=20)]),
        "duplicate_pct": st.sampled_from([None, 2]),
        "rate_kbit": st.sampled_from([None, 1000]),
        "queue_packets": st.sampled_from([None, 10]),
        "queue_ms": st.sampled_from([None, 10]),
        "ecn": st.booleans(),
        "distribution": st.sampled_from([None, "normal"]),
        "seed": st.sampled_from([None, 7]),
    },
)
BATCHES = st.lists(
    st.dictionaries(st.sampled_from(KEYS), FIELDS | FIELDS.map(Clearing) | impairments(), max_size=3), max_size=5
)


@settings(max_examples=60)
@given(
    made=topologies(),
    kernel=st.builds(Capabilities, mixed_duplicate=st.booleans(), seed=st.booleans()),
    batches=BATCHES,
    refused=st.none() | st.sampled_from(KEYS),
)
@pytest.mark.filterwarnings("ignore::linkem_py.CapabilityWarning")
def test_any_batches_have_the_outcome_of_one_after_the_other(
    made: Topology, kernel: Capabilities, batches: list[Any], refused: LinkKey | None
) -> None:
    async def scenario() -> None:
        async with (
            DryNetwork(made, capabilities=kernel, seed=1) as joint,
            DryNetwork(made, capabilities=kernel, seed=1) as single,
        ):
            if refused is not None:
                joint.dry.refused.add(refused)
                single.dry.refused.add(refused)
            together = await joint.update_batches(batches)
            apart: list[Applied | LinkemError] = []
            for batch in batches:
                try:
                    apart.append(await single.update_links(batch))
                except LinkemError as error:
                    apart.append(error)
            if refused is None:
                # A link whose change is undone by a later one never comes before a kernel that refuses it.
                assert list(map(verdict, together)) == list(map(verdict, apart))
                assert unversioned(joint) == unversioned(single)
            assert as_planned(joint)
            assert as_planned(single)
            assert set(joint.notes) <= set(single.notes)  # what never came before the kernel is not worth a note

    asyncio.run(scenario())


def verdict(outcome: Applied | LinkemError) -> str:
    return "made" if isinstance(outcome, Applied) else f"{type(outcome).__name__}: {outcome}"


# ------------------------------------------------------------------------ journal and listeners


async def test_every_change_is_told_in_order_with_what_it_concerns() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        told: list[Applied] = []
        unsubscribe = net.subscribe(told.append)
        await net.update("a", "b", delay_ms=1)
        await net.add_peer("c")
        await net.connect("a", "c")
        await net.partition({"a"}, {"b", "c"})
        await net.remove_peer("c")
        await net.heal()
        unsubscribe()
        unsubscribe()
        await net.update("a", "b", delay_ms=2)
        assert told == list(net.journal)[:-1]
        assert [applied.revision for applied in told] == [1, 2, 3, 4, 5, 6]
        assert net.revision == 7
        assert [applied.peer for applied in told] == [None, "c", None, None, "c", None]
        assert [applied.groups for applied in told][3:] == [
            (frozenset("a"), frozenset("bc")),
            (frozenset("a"), frozenset("b")),
            (),
        ]


async def test_a_listener_sees_the_network_as_it_is_after_the_change() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        seen: list[float] = []
        net.subscribe(lambda applied: seen.append(net.impairment("a", "b").delay_ms))
        await net.update("a", "b", delay_ms=33)
        assert seen == [33]


async def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with DryNetwork(topology("a", "b")) as net:
        told: list[Applied] = []

        def broken(_: Applied) -> None:
            raise ValueError("broken listener")

        net.subscribe(broken)
        net.subscribe(told.append)
        with caplog.at_level(logging.ERROR):
            applied = await net.update("a", "b", delay_ms=1)
        assert told == [applied]
        assert "broken listener" in caplog.text


async def test_a_link_tells_its_last_change() -> None:
    async with DryNetwork(topology("a", "b")) as net:
        assert net.link_revision(("a", "b")) == (0, net.started_at)
        first = await net.update("a", "b", delay_ms=1)
        second = await net.update("b", "a", delay_ms=1)
        assert net.link_revision(A_B) == (1, first.at)
        assert net.link_revision(("b", "a")) == (2, second.at)
        assert net.started_at <= first.at <= second.at
        await net.disconnect("a", "b")
        with pytest.raises(RequestError, match="a->b"):
            net.link_revision(A_B)
        third = await net.connect("a", "b")
        assert net.link_revision(A_B) == (4, third.at)


async def test_the_journal_keeps_what_is_newest() -> None:
    async with DryNetwork(topology("a", "b", "c")) as net:
        net.journal.most = 4
        for number in range(1, 8):
            await net.update("a", "b", delay_ms=number)
        assert [applied.revision for applied in net.journal] == [4, 5, 6, 7]
        assert (net.revision, len(net.journal)) == (7, 4)
        await net.update_links({key: {"loss_pct": 1} for key in net.topology.links})
        assert [applied.revision for applied in net.journal] == [8]
        assert net.journal[-1].revision == 8
        assert net.journal[0:1] == [net.journal[-1]]
        assert repr(net.journal) == "<Journal: the last 1 of 8 changes>"


def test_a_journal_is_a_sequence() -> None:
    journal = Journal(most=2)
    assert list(journal) == []
    entries = [Applied(revision=number, at=0, duration_s=0, what="heal") for number in range(1, 4)]
    for entry in entries:
        journal.append(entry)
    assert list(journal) == entries[1:]
    assert journal.index(entries[2]) == 1
