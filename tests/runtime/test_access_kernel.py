"""Access links: what all links of a peer have together, up and down, measured on a kernel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from linkem_py import Impairment, Network, OperationError, Topology
from linkem_py.model.access import DownlinkPlace
from linkem_py.plan import addressing
from linkem_py.plan.translate import FRAME, access_class, queue_bytes
from tests.runtime.check import assert_kernel_matches, present
from tests.runtime.traffic import Arrivals, Flow, stream

pytestmark = pytest.mark.kernel("netem", "htb", "ifb", "clsact", "mirred", "skbedit", "gact")

SIZE = 1400 + 42
ACCESS_KBIT = 4_000.0
LINK = Impairment(rate_kbit=2 * ACCESS_KBIT, delay_ms=5)
NOISE = 0.03  # what the machine's own lateness costs, as in the tests of single links
LATE_MS = 100.0
PLACES = ("hub", "peer")


@contextlib.asynccontextmanager
async def network(
    links: dict[tuple[str, str], Impairment], access: dict[str, dict[str, Any]], **settings: Any
) -> AsyncIterator[Network]:
    """a, b and c with these links one way each, and these access links."""
    topology = Topology("access", **settings)
    for name in "abc":
        topology.add_peer(name, **access.get(name, {}))
    for (source, destination), impairment in links.items():
        topology.add_link(source, destination, impairment)
    async with Network(topology, seed=1) as net:
        yield net


def carried(flows: Sequence[Flow], *, kbit: float, seconds: float) -> list[Arrivals]:
    """What arrives of flows that each offer so much, all at once."""
    gap_s = SIZE * 8 / (kbit * 1000) / len(flows)
    for _ in range(round(seconds / gap_s / len(flows))):
        for flow in flows:
            flow.send(1, every_s=gap_s)
    return [flow.receive() for flow in flows]


def goodput_kbit(arrivals: Sequence[Arrivals]) -> float:
    """Of all together: median over twenty stretches of time, of which a late machine spoils one."""
    received = np.sort(np.concatenate([one.received for one in arrivals]))
    parts = np.array_split(received[len(received) // 10 :], 20)
    ends = np.array([part[-1] for part in parts])
    sizes = np.array([len(part) for part in parts])
    return float(np.median(sizes[1:] * SIZE * 8e6 / np.diff(ends)))


def tolerance(arrivals: Sequence[Arrivals]) -> float:
    """A stretch may begin and end within a burst, and is measured in whole frames."""
    stretch = sum(len(one.received) for one in arrivals) * 0.9 / 20 * SIZE
    return NOISE + (access_class(ACCESS_KBIT).burst + FRAME) / stretch


async def test_links_share_the_uplink_and_one_gets_all_of_it_while_the_other_is_idle() -> None:
    links = {("a", "b"): LINK, ("a", "c"): LINK}
    async with network(links, {"a": {"uplink_kbit": ACCESS_KBIT}}) as net:
        with Flow(net, "a", "b", frame=SIZE) as to_b, Flow(net, "a", "c", frame=SIZE) as to_c:
            both = carried([to_b, to_c], kbit=1.5 * ACCESS_KBIT, seconds=1.5)
            assert goodput_kbit(both) == pytest.approx(ACCESS_KBIT, rel=tolerance(both))
            shares = [len(one.numbers) for one in both]
            # Turns of one frame each; at the end one queue may hold what the other has not.
            assert abs(shares[0] - shares[1]) <= queue_bytes(LINK) / SIZE
            alone = carried([to_b], kbit=1.5 * ACCESS_KBIT, seconds=1.0)
            assert goodput_kbit(alone) == pytest.approx(ACCESS_KBIT, rel=tolerance(alone))


async def test_links_keep_their_own_ceilings_below_the_uplink() -> None:
    slow = Impairment(rate_kbit=ACCESS_KBIT / 4)
    async with network({("a", "b"): slow, ("a", "c"): LINK}, {"a": {"uplink_kbit": ACCESS_KBIT}}) as net:
        with Flow(net, "a", "b", frame=SIZE) as to_b, Flow(net, "a", "c", frame=SIZE) as to_c:
            both = carried([to_b, to_c], kbit=1.5 * ACCESS_KBIT, seconds=1.5)
        # Only while both send: what b's link has left in its queue then goes on alone.
        until = both[1].received[-1]
        together = [one._replace(received=one.received[one.received <= until]) for one in both]
        assert goodput_kbit(together) == pytest.approx(ACCESS_KBIT, rel=tolerance(together))
        slowly = goodput_kbit([together[0]])
        assert slowly <= ACCESS_KBIT / 4 * (1 + tolerance([together[0]]))


async def test_what_waits_for_the_uplink_is_bounded_also_on_a_link_that_does_nothing() -> None:
    async with network({("a", "b"): Impairment()}, {"a": {"uplink_kbit": ACCESS_KBIT}}) as net:
        with Flow(net, "a", "b", frame=SIZE) as flow:
            count = 400
            refused = flow.send(count)
            arrivals = flow.receive()
            stats = (await net.stats())["a", "b"]
        assert refused == 0, "the queue drops, the sender's socket does not wait"
        lost = count - len(arrivals.numbers)
        assert lost == stats.queue_drops > 0
        assert arrivals.median_ms <= 100 + LATE_MS
        assert arrivals.delays_ms.max() >= 90


async def test_control_traffic_and_peers_without_a_link_pass_beside_the_uplink() -> None:
    async with network({("a", "b"): LINK}, {"a": {"uplink_kbit": 80.0}}) as net:
        with Flow(net, "a", "b", frame=SIZE) as full, Flow(net, "a", "c", frame=SIZE) as beside:
            full.send(20)  # 144 ms each
            beside.send(20)
            waited, passed = full.receive(), beside.receive()
        assert len(waited.numbers) == len(passed.numbers) == 20
        assert passed.delays_ms.max() < waited.median_ms


@pytest.mark.parametrize("place", PLACES)
async def test_senders_share_the_downlink(place: DownlinkPlace) -> None:
    links = {("a", "c"): LINK, ("b", "c"): LINK}
    access = {"c": {"downlink_kbit": ACCESS_KBIT, "downlink_at": place}}
    async with network(links, access) as net:
        with Flow(net, "a", "c", frame=SIZE) as from_a, Flow(net, "b", "c", frame=SIZE) as from_b:
            both = carried([from_a, from_b], kbit=1.5 * ACCESS_KBIT, seconds=1.5)
            assert goodput_kbit(both) == pytest.approx(ACCESS_KBIT, rel=tolerance(both))
            assert all(one.median_ms <= 100 + 100 + LATE_MS for one in both), "the link's queue, then this one"
            alone = carried([from_b], kbit=1.5 * ACCESS_KBIT, seconds=1.0)
            assert goodput_kbit(alone) == pytest.approx(ACCESS_KBIT, rel=tolerance(alone))


@pytest.mark.parametrize("place", PLACES)
async def test_a_full_downlink_drops_and_makes_no_sender_wait(place: DownlinkPlace) -> None:
    access = {"b": {"downlink_kbit": ACCESS_KBIT, "downlink_at": place}}
    async with network({("a", "b"): Impairment()}, access) as net:
        with Flow(net, "a", "b", frame=SIZE) as flow:
            assert flow.send(400) == 0
            arrivals = flow.receive()
        assert 0 < len(arrivals.numbers) < 400
        assert arrivals.median_ms <= 100 + LATE_MS


@pytest.mark.parametrize(
    ("end", "rate", "place"),
    [("a", "uplink_kbit", "hub"), ("b", "downlink_kbit", "hub"), ("b", "downlink_kbit", "peer")],
)
async def test_a_live_change_empties_no_queue(end: str, rate: str, place: DownlinkPlace) -> None:
    def at(kbit: float | None) -> dict[str, Any]:
        return {rate: kbit}

    access = {end: {rate: 200.0, "queue_ms": 4000, "downlink_at": place}}
    async with network({("a", "b"): Impairment()}, access) as net:
        with Flow(net, "a", "b", frame=SIZE) as flow:
            for rate_kbit in (400.0, 20_000.0, None, 300.0):
                flow.next = 0
                flow.send(25)  # more than a second's worth
                applied = await net.set_access(end, **at(rate_kbit))
                assert {step.verb for step in applied.steps} == {"change"}
                await net.set_access(end, **at(20_000.0))
                assert len(flow.receive().numbers) == 25
                await net.set_access(end, **at(200.0))
            assert_kernel_matches(net)


async def test_a_live_change_costs_steady_traffic_no_packet() -> None:
    access = {"a": {"uplink_kbit": 20_000.0}, "b": {"downlink_kbit": 20_000.0}}
    async with network({("a", "b"): Impairment(delay_ms=20)}, access) as net:
        with Flow(net, "a", "b", frame=200) as flow:

            async def change(turn: int) -> None:
                rate_kbit = (None, 8_000.0, 30_000.0)[turn % 3]
                await net.set_access("a", uplink_kbit=rate_kbit)
                await net.set_access("b", downlink_kbit=rate_kbit, queue_ms=200 + turn)

            count = await stream(flow, 30, change)
            arrivals = flow.receive()
        assert (len(arrivals.numbers), arrivals.overtaken, arrivals.doubled) == (count, 0, 0)


@pytest.mark.parametrize("duplicates", ["auto", "isolate"])
async def test_an_access_link_can_come_move_and_go_while_the_network_runs(duplicates: str) -> None:
    links = {("a", "b"): Impairment(delay_ms=5, duplicate_pct=1), ("a", "c"): LINK, ("b", "a"): LINK}
    async with network(links, {}, duplicates=duplicates) as net:
        for fields in (
            {"uplink_kbit": 1000.0},
            {"downlink_kbit": 2000.0},
            {"downlink_at": "peer"},
            {"downlink_at": "hub"},
            {"downlink_at": "peer", "queue_ms": 30},
            {"uplink_kbit": None, "downlink_kbit": None},
            {"uplink_kbit": 3000.0, "downlink_at": None},
        ):
            await net.set_access("a", **fields)
            assert_kernel_matches(net)
            with Flow(net, "b", "a") as there, Flow(net, "a", "c") as back:
                assert len(there.exchange(5).numbers) == 5
                assert len(back.exchange(5).numbers) == 5
        await net.add_peer("d", uplink_kbit=500, downlink_kbit=600, downlink_at="peer")
        await net.connect("a", "d", Impairment(delay_ms=1))
        assert_kernel_matches(net)
        await net.remove_peer("a")
        assert_kernel_matches(net)


async def test_a_refused_access_link_leaves_everything_as_it_was() -> None:
    async with network({("a", "b"): LINK}, {}) as net:
        before = present(net)
        in_the_way = addressing.ingress(net.topology.segments["lan"])
        await asyncio.to_thread(net.kernel.run_in, "a", lambda: _add_ifb(in_the_way))
        with pytest.raises(OperationError, match=in_the_way):
            await net.set_access("a", uplink_kbit=100, downlink_kbit=100, downlink_at="peer")
        assert present(net) == before
        assert not net.topology.accesses
        with Flow(net, "a", "b") as flow:
            assert len(flow.exchange(5).numbers) == 5


def _add_ifb(name: str) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        route.link("add", ifname=name, kind="ifb")


@pytest.mark.parametrize("place", PLACES)
async def test_a_partition_cuts_and_heals_in_front_of_an_access_link(place: DownlinkPlace) -> None:
    access = {"b": {"downlink_kbit": ACCESS_KBIT, "uplink_kbit": ACCESS_KBIT, "downlink_at": place}}
    async with network({("a", "b"): LINK, ("b", "a"): LINK, ("c", "b"): LINK}, access) as net:
        with (
            Flow(net, "a", "b", frame=SIZE) as there,
            Flow(net, "b", "a", frame=SIZE) as back,
            Flow(net, "c", "b", frame=SIZE) as within,
        ):
            await net.partition({"a"}, {"b", "c"})
            assert_kernel_matches(net)
            for flow, arrive in ((there, 0), (back, 0), (within, 20)):
                assert len(flow.exchange(20).numbers) == arrive
            await net.set_access("b", downlink_kbit=ACCESS_KBIT / 2)
            await net.set_access("b", downlink_kbit=ACCESS_KBIT)
            await net.heal()
            there.next = 0
            after = carried([there], kbit=1.5 * ACCESS_KBIT, seconds=1.0)
            assert goodput_kbit(after) == pytest.approx(ACCESS_KBIT, rel=tolerance(after))
