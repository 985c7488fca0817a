"""Where jitter meets the rate: in front of htb and tbf, which packets overtake each other and then queue; in
netem itself, where each waits for the one before it.

What is expected is worked out from the times at which packets were really sent, by the kernel's own formulas.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from linkem_py import Impairment
from tests.runtime.traffic import Arrivals, binomial, flowing, within

pytestmark = pytest.mark.kernel("netem", "htb", "tbf")

FRAME, RATE_KBIT = 1000, 4000.0
FRAME_MS = FRAME * 8 / RATE_KBIT
DELAY_MS, JITTER_MS = 100.0, 40.0
EVERY_MS = FRAME_MS / 0.9
COUNT = 1500
PLACEMENTS = ("sender", "hub")


class Swapped(NamedTuple):
    """How many packets arrive before the one sent just before them; how many would with that much chance."""

    seen: int
    bounds: tuple[float, float]


async def jittery(shaper: str | None, placement: str = "sender") -> Arrivals:
    """A paced flow at nine tenths of the rate over a link with jitter; no shaper: without the rate."""
    rate: dict[str, Any] = {} if shaper is None else {"rate_kbit": RATE_KBIT, "queue_ms": 1000, "shaper": shaper}
    impairment = Impairment(delay_ms=DELAY_MS, jitter_ms=JITTER_MS, **rate)
    async with flowing(impairment, frame=FRAME, settings={"placement": placement}) as (_, flow):
        arrivals = flow.exchange(COUNT, every_s=EVERY_MS / 1000)
    assert len(arrivals.numbers) == COUNT
    return arrivals


def swapped(arrivals: Arrivals) -> Swapped:
    """Delays are uniform: of two packets sent s apart the second arrives first with chance (2J - s)^2 / 8J^2."""
    places = np.argsort(arrivals.numbers)
    apart_ms = np.diff(arrivals.sent[places]) / 1e6
    share = float((np.clip(2 * JITTER_MS - apart_ms, 0, None) ** 2 / (8 * JITTER_MS**2)).mean())
    # Neighbouring pairs share a packet, which makes them differ, so they vary less than independent ones.
    return Swapped(int((np.diff(places) < 0).sum()), binomial(COUNT - 1, share))


def hurried(arrived_ms: NDArray[np.float64], packets: int = 10) -> float:
    """The share of stretches of so many packets that took less than three quarters of their time at the rate."""
    arrived_ms = np.sort(arrived_ms)
    lasted_ms = arrived_ms[packets:] - arrived_ms[:-packets]
    return float((lasted_ms < 0.75 * packets * FRAME_MS).mean())


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("shaper", ["htb", "tbf"])
async def test_delay_in_front_of_the_rate_swaps_packets_and_the_rate_paces_them(shaper: str, placement: str) -> None:
    free, shaped = await jittery(None, placement), await jittery(shaper, placement)
    for arrivals in (free, shaped):
        seen, bounds = swapped(arrivals)
        assert within(seen, bounds)
    # A jittery link without a rate lets stretches through in a hurry; the rate behind the jitter does not.
    random = np.random.default_rng(1)
    jitters_ms = random.uniform(-JITTER_MS, JITTER_MS, (50, COUNT))
    drawn = [hurried(np.sort(free.sent / 1e6 + jitter_ms)) for jitter_ms in jitters_ms]
    assert hurried(free.received / 1e6) >= min(drawn) / 2
    assert hurried(shaped.received / 1e6) < hurried(free.received / 1e6) / 2


@pytest.mark.parametrize("placement", PLACEMENTS)
async def test_netem_with_a_rate_keeps_the_order_and_each_packet_waits_for_the_one_before(placement: str) -> None:
    arrivals, shaped = await jittery("netem", placement), await jittery("htb", placement)
    assert arrivals.overtaken == 0
    assert shaped.overtaken > 0
    # Whoever draws a long delay holds up all behind it: the median delay is near the longest one, unlike htb's.
    typical_ms = expected_ms(np.sort(arrivals.sent))
    assert within(arrivals.median_ms, (typical_ms.min() - JITTER_MS / 4, typical_ms.max() + JITTER_MS / 2))
    assert arrivals.median_ms > shaped.median_ms


def expected_ms(sent: NDArray[np.int64], times: int = 50) -> NDArray[np.float64]:
    """Medians of the delays by netem's formula (netem_enqueue), of so many draws of the jitter.

    A packet goes when its delay is over and the one before it has gone, and takes its time at the rate.
    """
    random = np.random.default_rng(1)
    sent_ms = (sent - sent[0]) / 1e6
    ready = sent_ms + random.uniform(DELAY_MS - JITTER_MS, DELAY_MS + JITTER_MS, (times, len(sent)))
    gone = np.zeros(times)
    delays = np.empty_like(ready)
    for number in range(len(sent)):
        gone = np.maximum(gone, ready[:, number]) + FRAME_MS
        delays[:, number] = gone - sent_ms[number]
    medians: NDArray[np.float64] = np.median(delays, axis=1)
    return medians
