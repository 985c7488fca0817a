"""Live changes: what is in force is what was asked for, nothing more, and no packet pays for the change."""

from __future__ import annotations

from typing import Any

import pytest

from linkem_py import DelayTable, FourState, GilbertElliott, Impairment, Slot
from linkem_py.model.impairment import FIELDS
from tests.runtime.traffic import (
    binomial,
    chain_inflation,
    flowing,
    kernel_netem,
    pair,
    planned_netem,
    runs,
    stream,
    within,
)

pytestmark = [pytest.mark.kernel("netem", "htb"), pytest.mark.filterwarnings("ignore:delay_correlation_pct")]

ECT_0, CE = 2, 3
PEAKS = DelayTable.from_samples([-1.0, 0.0, 0.0, 1.0], name="peaks")

# Each is set on a live link, then taken away: first what it needs, then the field.
STEPS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"delay_ms": 12.345678}),
    ({"delay_ms": 20}, {"jitter_ms": 5.000001}),
    ({"delay_ms": 20, "jitter_ms": 5}, {"delay_correlation_pct": 25}),
    ({"delay_ms": 20, "jitter_ms": 5}, {"distribution": "paretonormal"}),
    ({"delay_ms": 20, "jitter_ms": 5}, {"distribution": PEAKS}),
    ({"delay_ms": 20, "jitter_ms": 5}, {"keep_order": True}),
    ({}, {"loss_pct": 12.5}),
    ({"loss_pct": 12.5}, {"loss_correlation_pct": 30}),
    ({"loss_pct": 12.5, "loss_correlation_pct": 30}, {"kernel_loss_correlation": True}),
    ({}, {"loss": GilbertElliott(1, 10, 80, 2)}),
    ({}, {"loss": FourState(2, 20, 30, 50, 1)}),
    ({"loss_pct": 12.5}, {"ecn": True}),
    ({}, {"duplicate_pct": 10}),
    ({"duplicate_pct": 10}, {"duplicate_correlation_pct": 20}),
    ({}, {"corrupt_pct": 15}),
    ({"corrupt_pct": 15}, {"corrupt_correlation_pct": 40}),
    ({"delay_ms": 20}, {"reorder_pct": 35}),
    ({"delay_ms": 20, "reorder_pct": 35}, {"reorder_correlation_pct": 45}),
    ({"delay_ms": 20, "reorder_pct": 35}, {"reorder_gap": 4}),
    ({}, {"rate_kbit": 1234.567}),
    ({"rate_kbit": 5000}, {"burst_kb": 20}),
    ({"rate_kbit": 5000}, {"queue_ms": 55}),
    ({"rate_kbit": 5000}, {"queue_packets": 77}),
    ({"rate_kbit": 5000}, {"queue": "fq_codel"}),
    ({"rate_kbit": 5000}, {"shaper": "netem"}),
    ({"rate_kbit": 5000}, {"shaper": "tbf"}),
    ({"rate_kbit": 5000, "shaper": "netem"}, {"packet_overhead": 20}),
    ({"rate_kbit": 5000, "shaper": "netem"}, {"cell_size": 48}),
    ({"rate_kbit": 5000, "shaper": "netem", "cell_size": 48}, {"cell_overhead": 5}),
    ({}, {"slot": Slot(5, 2, packets=50)}),
    ({}, {"mtu": 1300}),
]


def test_the_steps_are_all_fields() -> None:
    assert {name for _, fields in STEPS for name in fields} == set(FIELDS) - {"seed"}


@pytest.mark.kernel("fq_codel", "tbf")
@pytest.mark.parametrize("classifier", ["htb", "prio"])
async def test_every_field_is_set_and_taken_away_again_on_a_live_link(classifier: str) -> None:
    # strict: the link's own netem duplicates, as it may, alone in its tree.
    async with flowing(settings={"classifier": classifier, "duplicates": "strict"}) as (net, flow):
        clear = kernel_netem(net)
        assert clear == planned_netem(net)
        for needed, fields in STEPS:
            if classifier == "prio" and fields.keys() & {"queue", "shaper"}:
                continue  # it has no shaper and no queue but netem
            if needed:
                await net.update("a", "b", **needed)
            before = kernel_netem(net)
            applied = await net.update("a", "b", **fields)
            assert applied.links[0].fields == fields
            assert kernel_netem(net) == planned_netem(net)
            # The kernel shows no table; and with htb, rate and queue are not netem's.
            if not fields.keys() & {
                "distribution",
                "rate_kbit",
                "burst_kb",
                "queue_ms",
                "queue_packets",
                "queue",
                "shaper",
            }:
                assert kernel_netem(net) != before
            nothing: dict[str, Any] = dict.fromkeys(fields)
            await net.update("a", "b", **nothing)
            assert kernel_netem(net)._replace(seed=None) == before._replace(seed=None)
            if needed:
                nothing = dict.fromkeys(needed)
                await net.update("a", "b", **nothing)
            assert net.impairment("a", "b").is_clear
            assert kernel_netem(net)._replace(seed=None) == clear._replace(seed=None)
        arrivals = flow.exchange(500)
        assert (len(arrivals.numbers), arrivals.damaged, arrivals.overtaken) == (500, 0, 0)


async def test_everything_at_once_and_then_nothing() -> None:
    everything: dict[str, Any] = {
        "delay_ms": 20.000001, "jitter_ms": 10, "delay_correlation_pct": 10, "distribution": "normal",
        "loss": GilbertElliott(3, 20), "ecn": True, "duplicate_pct": 5, "duplicate_correlation_pct": 10,
        "corrupt_pct": 6, "corrupt_correlation_pct": 10, "reorder_pct": 7, "reorder_correlation_pct": 10,
        "reorder_gap": 3, "rate_kbit": 8000, "burst_kb": 9, "queue_packets": 500,
    }  # fmt: skip
    async with flowing(settings={"duplicates": "strict"}) as (net, flow):
        for _ in range(3):
            await net.update("a", "b", **everything)
            assert kernel_netem(net) == planned_netem(net)
            arrivals = flow.exchange(600)
            assert arrivals.lost(600).any()
            assert arrivals.overtaken
            applied = await net.clear("a", "b")
            assert applied.links[0].after == Impairment()
            assert kernel_netem(net) == planned_netem(net)
            arrivals = flow.exchange(300)
            assert (len(arrivals.numbers), arrivals.damaged, arrivals.overtaken) == (300, 0, 0)


async def test_a_change_of_the_rate_does_not_start_the_losses_anew() -> None:
    # Gilbert-Elliott that begins anew every 8 packets would begin in the good state each time.
    count, every, p, r = 6000, 8, 0.01, 0.3
    model = GilbertElliott(100 * p, 100 * r)
    mean, inflation = chain_inflation([[1 - p, p], [r, 1 - r]], [0, 1])
    async with flowing(Impairment(loss=model, rate_kbit=100_000, queue_ms=1000)) as (net, flow):
        for turn in range(count // every):
            flow.send(every)
            applied = await net.update("a", "b", rate_kbit=100_000 + turn)
            assert not [step for step in applied.operations if "netem" in step]
        lost = flow.receive().lost(count)
    assert within(lost.sum(), binomial(count, mean, inflation=inflation))
    lengths = runs(lost)
    assert lengths.mean() == pytest.approx(1 / r, abs=5 * (1 - r) ** 0.5 / r / len(lengths) ** 0.5)


async def test_two_hundred_changes_cost_no_packet() -> None:
    # Nothing here loses, doubles or reorders: the order is kept, the rates and queues are ample, and what
    # would be lost says that it can be marked.
    async with flowing(Impairment(delay_ms=5, keep_order=True, rate_kbit=50_000), frame=200) as (net, flow):
        flow.mark(ECT_0)
        changes: list[dict[str, Any]] = [
            {"rate_kbit": 20_000.0},
            {"jitter_ms": 3.0, "distribution": "normal"},
            {"queue_ms": 900.0, "rate_kbit": 30_000.0},
            {"distribution": "pareto", "jitter_ms": 4.0},
            {"rate_kbit": None, "delay_ms": 60.0},
            {"loss_pct": 10.0, "loss_correlation_pct": 20.0, "ecn": True},
            {"distribution": PEAKS, "jitter_ms": 2.0, "delay_correlation_pct": 30.0},
            {"rate_kbit": 40_000.0, "burst_kb": 50.0, "queue_packets": 10_000},
            {"loss": GilbertElliott(2, 30), "ecn": True, "delay_ms": 20.0},
            {"distribution": None, "delay_correlation_pct": None, "loss": None, "ecn": None},
        ]

        async def change(turn: int) -> None:
            await net.update("a", "b", **changes[turn % len(changes)])

        count = await stream(flow, 200, change)
        arrivals = flow.receive()
        stats = (await net.stats())["a", "b"]
        assert kernel_netem(net) == planned_netem(net)
    assert count >= 400  # two between any two changes; how many more is the machine's affair
    assert len(arrivals.numbers) == count == stats.packets
    assert (arrivals.overtaken, arrivals.doubled, arrivals.damaged) == (0, 0, 0)
    assert (arrivals.tos == CE).any()
    assert arrivals.delays_ms.max() >= 60


async def test_without_keeping_the_order_only_a_falling_delay_reorders() -> None:
    async with flowing(Impairment(delay_ms=5), frame=200) as (net, flow):

        async def change(turn: int) -> None:
            await net.update("a", "b", delay_ms=5 + turn / 10)

        count = await stream(flow, 200, change)
        arrivals = flow.receive()
        assert (len(arrivals.numbers), arrivals.overtaken) == (count, 0)
        await net.update("a", "b", delay_ms=300)
        flow.send(10)
        await net.update("a", "b", delay_ms=5)
        flow.send(10)
        assert flow.receive().overtaken == 10


async def test_two_hundred_lossy_changes_lose_what_they_say() -> None:
    changes: list[dict[str, Any]] = [
        {"loss_pct": 10.0, "delay_ms": 30.0},
        {"loss_pct": 10.0, "loss_correlation_pct": 20.0},
        {"rate_kbit": 50_000.0, "loss": GilbertElliott(6, 54)},
        {"loss": FourState(10)},
        {"loss_pct": 10.0, "delay_ms": 8.0},
        {"queue_ms": 500.0, "jitter_ms": 4.0, "distribution": "normal"},
        {"jitter_ms": None, "rate_kbit": None},
    ]
    async with flowing(Impairment(delay_ms=5, loss_pct=10), frame=200) as (net, flow):

        async def change(turn: int) -> None:
            await net.update("a", "b", **changes[turn % len(changes)])
            assert net.impairment("a", "b").mean_loss_pct == pytest.approx(10)

        count = await stream(flow, 200, change, every_s=0.0002)
        arrivals = flow.receive()
        assert kernel_netem(net) == planned_netem(net)
    # Correlations are 20 and 40 % for one change in seven each. A chain that begins anew begins in the
    # good state: that spares up to mean / (1 - correlation) packets a time.
    inflation = (5 + 1.2 / 0.8 + 1.4 / 0.6) / 7
    least, most = binomial(count, 0.1, inflation=inflation)
    assert within(arrivals.lost(count).sum(), (least - 200 * 2 / 7 * 0.1 / 0.6, most))
    assert (arrivals.doubled, arrivals.damaged) == (0, 0)


async def test_the_wrong_field_changes_nothing() -> None:
    async with pair(Impairment(delay_ms=5)) as net:
        before, sent = kernel_netem(net), net.kernel.messages_sent
        wrong: list[dict[str, Any]] = [{"delay_ms": -1}, {"loss_pct": 101}, {"nonsense": 1}, {"queue_ms": 5}, {}]
        for fields in wrong:
            with pytest.raises(ValueError, match="link a->b"):
                await net.update("a", "b", **fields)
        assert (kernel_netem(net), net.kernel.messages_sent) == (before, sent)
