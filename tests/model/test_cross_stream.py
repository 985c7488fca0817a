"""The packets of cross traffic: how many, when, and that nothing depends on when one asks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.model import IMIX, CrossStream, CrossTraffic, Packet
from linkem_py.model.cross_stream import cross_seed

SIGMAS = 5


def bits(packets: list[Packet]) -> int:
    return sum(8 * (14 + packet.packet_bytes) for packet in packets)


def stream(seed: int = 1, load_kbit: float = 1000, **fields: object) -> CrossStream:
    traffic = CrossTraffic(load_kbit=load_kbit, **fields)  # type: ignore[arg-type]
    return CrossStream(traffic, seed, traffic.load_at(None))


@pytest.mark.parametrize("sizes", [1500, 100, IMIX], ids=str)
def test_poisson_packets_offer_the_load_within_the_samples_bound(sizes: object) -> None:
    one, span_s = stream(packet_bytes=sizes), 400.0
    packets = one.until(span_s)
    frames = np.array([8 * (14 + size) for size, _ in one.traffic.sizes], float)
    shares = np.array([weight for _, weight in one.traffic.sizes], float)
    shares /= shares.sum()
    # A compound Poisson sum has the variance (number of packets) x E[size^2].
    count = 1e6 * span_s / (frames @ shares)
    assert abs(bits(packets) - 1e6 * span_s) < SIGMAS * math.sqrt(count * (frames**2 @ shares))
    for size, share in zip((size for size, _ in one.traffic.sizes), shares, strict=True):
        found = sum(packet.packet_bytes == size for packet in packets)
        spread = math.sqrt(len(packets) * share * (1 - share))
        assert abs(found - len(packets) * share) <= SIGMAS * spread


def test_poisson_gaps_are_exponential() -> None:
    times = np.array([packet.at_s for packet in stream().until(200)])
    gaps = np.diff(times)
    # Kolmogorov-Smirnov: beyond 1.95 / sqrt(n) once in a thousand samples; the seed is fixed.
    mean = 1514 * 8 / 1e6
    empirical = np.arange(1, len(gaps) + 1) / len(gaps)
    assert np.abs(empirical - (1 - np.exp(-np.sort(gaps) / mean))).max() < 1.95 / math.sqrt(len(gaps))


def test_paced_packets_come_as_long_after_each_other_as_they_take_at_the_load() -> None:
    packets = stream(arrivals="paced", packet_bytes=IMIX).until(20)
    for before, after in itertools.pairwise(packets):
        assert after.at_s - before.at_s == pytest.approx(8 * (14 + before.packet_bytes) / 1e6)
    assert 0 <= packets[0].at_s < 0.02


def test_times_on_and_off_have_their_shares() -> None:
    one, span_s = stream(on_ms=50, off_ms=150, packet_bytes=100), 2000.0
    packets = one.until(span_s)
    # Each cycle has an exponential time on, and n cycles the relative spread sqrt(2 (1 - share)^2 / n), that of an
    # alternating renewal process (Cox, Renewal Theory, 7); Poisson's own is far below.
    cycles, share = span_s / 0.2, one.traffic.mean_share
    bound = SIGMAS * (math.sqrt(2 / cycles) * (1 - share) + 1 / math.sqrt(len(packets)))
    assert bits(packets) / (1e6 * span_s * share) == pytest.approx(1, abs=bound)
    gaps = np.diff([packet.at_s for packet in packets])
    silent = gaps[gaps > 0.02]  # 22 mean gaps: none of those while it is on
    assert silent.sum() / span_s == pytest.approx(0.75, abs=0.15)


@given(
    cuts=st.lists(st.floats(0, 2), max_size=20),
    seed=st.integers(0, 2**64 - 1),
    arrivals=st.sampled_from(["poisson", "paced"]),
    on=st.booleans(),
)
def test_however_time_is_cut_the_packets_are_the_same(cuts: list[float], seed: int, arrivals: str, on: bool) -> None:
    fields = {"arrivals": arrivals, "packet_bytes": IMIX} | ({"on_ms": 20, "off_ms": 30} if on else {})
    whole, cut = stream(seed, **fields), stream(seed, **fields)  # type: ignore[arg-type]
    assert [packet for end in [*sorted(cuts), 2.0] for packet in cut.until(end)] == whole.until(2.0)
    assert cut.next_s == whole.next_s


def test_packets_are_due_before_the_end_and_next_says_when() -> None:
    one = stream()
    first = one.next_s
    assert one.until(first) == []
    assert one.until(math.nextafter(first, 1)) == [Packet(first, 1500)]
    assert one.next_s > first


def test_another_load_changes_the_times_and_nothing_else() -> None:
    one, two = stream(packet_bytes=IMIX), stream(packet_bytes=IMIX)
    same = one.until(10)
    halved = two.until(1)
    two.set_load(1, 500)
    halved += two.until(19)
    assert [packet.packet_bytes for packet in halved] == [packet.packet_bytes for packet in same]
    for slow, fast in zip(halved, same, strict=True):
        assert slow.at_s == pytest.approx(fast.at_s if fast.at_s < 1 else 2 * fast.at_s - 1)
    assert two.load_kbit == 500


def test_without_a_load_nothing_is_sent_until_there_is_one() -> None:
    one = CrossStream(CrossTraffic(load_pct=10), 1, 0.0)
    assert one.next_s == math.inf
    assert one.until(100) == []
    one.set_load(100, 1000)
    packets = one.until(110)
    assert len(packets) > 500
    assert packets[0].at_s >= 100


def test_a_load_for_a_time_that_is_past_holds_from_where_it_got_to() -> None:
    one = stream()
    given_ = one.until(10)
    one.set_load(5, 2000)
    assert all(packet.at_s >= 10 for packet in one.until(12))
    assert given_[-1].at_s < 10


def test_streams_differ_by_link_and_are_the_same_again() -> None:
    key, other = ("a", "b", "lan"), ("b", "a", "lan")
    assert stream(cross_seed(1, key)).until(1) == stream(cross_seed(1, key)).until(1)
    assert stream(cross_seed(1, key)).until(1) != stream(cross_seed(1, other)).until(1)
    assert stream(cross_seed(1, key)).until(1) != stream(cross_seed(2, key)).until(1)


def test_a_stream_says_where_it_is() -> None:
    states = {stream(seed, on_ms=10, off_ms=10).is_on for seed in range(20)}
    assert states == {True, False}
    assert repr(stream()).startswith("<CrossStream: 1000 kbit/s, on, next at ")
    assert any("off" in repr(stream(seed, on_ms=10, off_ms=10)) for seed in range(20))
