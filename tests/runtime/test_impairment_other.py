"""Duplication, corruption, reordering, their correlations, and the seed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from linkem_py import CapabilityWarning, Impairment, Network, Topology
from tests.runtime.traffic import binomial, flowing, kernel_events, kernel_netem, lag_one, pair, planned_netem, within

pytestmark = pytest.mark.kernel("netem")

# `strict` with one link: the link's own netem duplicates; `isolate`: a device of its own does.
ways = pytest.mark.parametrize("duplicates", ["strict", "isolate"])
needs_ifb = pytest.mark.kernel("ifb", "clsact", "mirred")


# ------------------------------------------------------------------------------ duplication


@ways
@needs_ifb
async def test_duplication(duplicates: str) -> None:
    count = 4000
    async with flowing(Impairment(duplicate_pct=30), settings={"duplicates": duplicates}) as (net, flow):
        copies = flow.exchange(count).copies(count)
        assert set(copies) == {1, 2}
        assert within((copies == 2).sum(), binomial(count, 0.3))
        assert lag_one(copies) == pytest.approx(0, abs=5 / count**0.5)
        await net.update("a", "b", duplicate_pct=100, delay_ms=30)
        arrivals = flow.exchange(500)
        assert set(arrivals.copies(500)) == {2}
        assert arrivals.delays_ms.min() >= 30
        await net.update("a", "b", duplicate_pct=None)
        assert set(flow.exchange(500).copies(500)) == {1}


@ways
@needs_ifb
async def test_correlated_duplication(duplicates: str) -> None:
    count = 4000
    impairment = Impairment(duplicate_pct=50, duplicate_correlation_pct=70)
    async with flowing(impairment, settings={"duplicates": duplicates}) as (_, flow):
        doubled = flow.exchange(count).copies(count) == 2
    mean, correlation = kernel_events(0.5, 0.7, count)
    assert correlation[0] > 0.3
    assert within(doubled.mean(), mean)
    assert within(lag_one(doubled), correlation)


# ------------------------------------------------------------------------------- corruption


async def test_corruption_flips_bits_anywhere_in_the_frame() -> None:
    count, frame = 3000, 1442
    async with flowing(Impairment(corrupt_pct=20), frame=frame, checksum=False) as (net, flow):
        arrivals = flow.exchange(count)
        # Without a checksum a flipped bit of the payload arrives. One of a header loses the packet; in
        # the addresses of Ethernet it may also pass unnoticed.
        payload, headers = (frame - 42) / frame, 42 / frame
        assert within(arrivals.damaged, binomial(count, 0.2 * payload))
        assert arrivals.lost(count).sum() - arrivals.damaged <= binomial(count, 0.2 * headers)[1]
        await net.update("a", "b", corrupt_pct=None)
        arrivals = flow.exchange(500)
        assert (len(arrivals.numbers), arrivals.damaged) == (500, 0)


async def test_corrupted_datagrams_fail_their_checksum() -> None:
    count, frame = 3000, 1442
    async with flowing(Impairment(corrupt_pct=20), frame=frame) as (net, flow):
        arrivals = flow.exchange(count)
        lost = arrivals.lost(count).sum()
        errors = await net.peer("b").call(udp_checksum_errors)
    assert arrivals.damaged == 0
    # A flipped bit in the sender's hardware address, or in that of the receiver, may change nothing.
    assert binomial(count, 0.2 * (frame - 12) / frame)[0] <= lost <= binomial(count, 0.2)[1]
    assert binomial(count, 0.2 * (frame - 42) / frame)[0] <= errors <= lost


def udp_checksum_errors() -> int:
    """InCsumErrors of UDP in the namespace of the calling thread."""
    with open("/proc/thread-self/net/snmp") as file:
        names, values = (line.split() for line in file if line.startswith("Udp:"))
    return int(dict(zip(names, values, strict=True))["InCsumErrors"])


async def test_correlated_corruption() -> None:
    count = 4000
    async with flowing(Impairment(corrupt_pct=50, corrupt_correlation_pct=70), frame=1442) as (_, flow):
        lost = flow.exchange(count).lost(count)
    mean, correlation = kernel_events(0.5, 0.7, count)
    assert correlation[0] > 0.3
    # At most 12 bytes of 1,442 may be flipped without harm.
    assert within(lost.mean(), (mean[0] * 1430 / 1442, mean[1]))
    assert within(lag_one(lost), (correlation[0] * 1430 / 1442, correlation[1]))


# -------------------------------------------------------------------------------- reordering


async def test_reordering_sends_a_share_at_once() -> None:
    count, delay_ms = 3000, 400.0
    async with flowing(Impairment(delay_ms=delay_ms, reorder_pct=25)) as (net, flow):
        arrivals = flow.exchange(count)
        at_once = arrivals.delays_ms < delay_ms
        assert len(at_once) == count
        assert within(at_once.sum(), binomial(count, 0.25))
        assert np.median(arrivals.delays_ms[at_once]) < delay_ms / 10
        assert arrivals.overtaken > 0
        await net.update("a", "b", reorder_pct=None)
        arrivals = flow.exchange(500)
        assert arrivals.delays_ms.min() >= delay_ms
        assert arrivals.overtaken == 0


async def test_only_every_so_many_packets_are_sent_at_once() -> None:
    count, delay_ms = 1000, 400.0
    async with flowing(Impairment(delay_ms=delay_ms, reorder_pct=100, reorder_gap=5)) as (net, flow):
        arrivals = flow.exchange(count)
        at_once = np.sort(arrivals.numbers[arrivals.delays_ms < delay_ms])
        assert at_once.tolist() == list(range(4, count, 5))
        await net.update("a", "b", reorder_pct=50)
        arrivals = flow.exchange(3000)
        at_once = np.sort(arrivals.numbers[arrivals.delays_ms < delay_ms])
        # Four are delayed, then each has its chance: 4 + a geometric number, of mean 2 and variance 2.
        gaps = np.diff(at_once)
        assert gaps.min() == 5
        assert gaps.mean() == pytest.approx(6, abs=5 * (2 / len(gaps)) ** 0.5)
        await net.update("a", "b", reorder_gap=None)
        arrivals = flow.exchange(1000)
        assert within((arrivals.delays_ms < delay_ms).sum(), binomial(1000, 0.5))


async def test_correlated_reordering() -> None:
    count, delay_ms = 4000, 800.0
    impairment = Impairment(delay_ms=delay_ms, reorder_pct=50, reorder_correlation_pct=70)
    async with flowing(impairment) as (_, flow):
        arrivals = flow.exchange(count)
    at_once = arrivals.delays_ms[np.argsort(arrivals.numbers)] < delay_ms
    mean, correlation = kernel_events(0.5, 0.7, count)
    assert correlation[0] > 0.3
    assert within(at_once.mean(), mean)
    assert within(lag_one(at_once), correlation)


# -------------------------------------------------------------------------------------- seed


def seeded(seed: int | None) -> Topology:
    topology = Topology("seeded")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(loss_pct=30, seed=seed))
    return topology


async def test_a_kernel_without_seeds_is_said_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with Network(seeded(7)) as net:
            if net.capabilities.seed:
                pytest.skip("this kernel has seeds")
            await net.update("a", "b", seed=8)
            await net.update("b", "a", seed=9)
            notes = net.notes
    said = [warning for warning in caught if issubclass(warning.category, CapabilityWarning)]
    assert len(said) == 1
    assert [str(said[0].message)] == list(notes)
    assert notes[0].startswith("seed: ")
    assert net.capabilities.release in notes[0]


async def test_nothing_is_said_where_no_seed_is_asked_for() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CapabilityWarning)
        async with Network(seeded(None)) as net:
            assert net.notes == ()


@pytest.mark.kernel("seed")
async def test_the_same_seed_loses_the_same_packets() -> None:
    lost = []
    for seed in (7, 7, 8):
        async with flowing(Impairment(loss_pct=30, seed=seed)) as (net, flow):
            assert kernel_netem(net).seed == planned_netem(net).seed == seed
            lost.append(flow.exchange(1000).lost(1000).tolist())
    assert lost[0] == lost[1] != lost[2]


@pytest.mark.kernel("seed")
async def test_every_change_has_a_seed_of_its_own() -> None:
    async with pair(Impairment(loss_pct=30)) as net:
        seeds = {kernel_netem(net).seed}
        for loss_pct in (31, 32):
            await net.update("a", "b", loss_pct=loss_pct)
            assert kernel_netem(net) == planned_netem(net)
            seeds.add(kernel_netem(net).seed)
    assert len(seeds) == 3
