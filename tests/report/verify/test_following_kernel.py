"""Traces of cellular links in the real kernel: what passes in each second is what the trace says."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.model import Trace
from linkem_py.report.verify.following import Followed, follow
from linkem_py.report.verify.rates import RateError, emptied

pytestmark = pytest.mark.kernel("netem", "htb")

LOG = logging.getLogger(__name__)
# Recordings that are not the project's to ship: beside it, or where the variable says.
RECORDED = Path(os.environ.get("LINKEM_TRACES", Path(__file__).resolve().parents[4] / "shared" / "traces"))
RECORDINGS = ("ATT-LTE-driving-2016.up", "Verizon-LTE-short.up")
SECONDS = 15
UNDER = Impairment(delay_ms=20, rate_kbit=3000)
# Held against when the kernel took each change, and what an outage lets through of a full queue: a frame more or
# less at either end of a second, and one that was begun at the rate before, are one percent of a megabit. What a
# shaper cannot send since the machine does something else it does not make up for; a pause costs what is left of
# the burst and the timer besides.
BOUND = 0.03
MOST_PAUSED = 0.10
KEY = ("a", "b", "lan")


def synthetic(seed: int, *, seconds: int, outages: tuple[tuple[float, float], ...]) -> str:
    """Packet times in milliseconds as mm-link reads them: a rate that wanders as LTE does, and outages."""
    random = np.random.default_rng(seed)
    level, credit, times = np.log(300.0), 0.0, []  # packets of 1,500 bytes a second: 3.6 Mbit/s
    for at_ms in range(1000 * seconds):
        if at_ms % 200 == 0:
            level += 0.3 * (np.log(300.0) - level) + 0.25 * random.standard_normal()
        if any(start <= at_ms / 1000 < end for start, end in outages):
            continue
        credit += float(np.exp(level)) / 1000
        times += [at_ms] * int(credit)
        credit -= int(credit)
    return "\n".join(map(str, times))


async def followed(trace: Trace, impairment: Impairment) -> Followed:
    """The trace followed, on a machine that runs most of the time; once more where it does not."""
    for _ in range(3):
        found = await followed_once(trace, impairment)
        if found.paused <= MOST_PAUSED:
            return found
    pytest.skip(f"the machine did something else for {found.paused:.0%} of the time, three times over")


async def followed_once(trace: Trace, impairment: Impairment) -> Followed:
    topology = Topology("cell")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", impairment)
    async with Network(topology, seed=1) as net:
        return await follow(net, KEY, trace, bins=SECONDS)


def assert_follows(found: Followed, record: Callable[[str, object], None]) -> None:
    error = RateError.of(found.asked_kbit, found.measured_kbit)
    link = RateError.of(found.made_kbit, found.measured_kbit)
    clock = RateError.of(found.asked_kbit, found.made_kbit)
    text = (
        f"mean absolute error {error.mean:.1%} of {found.asked_kbit.mean():.0f} kbit/s, worst {error.worst:.1%} "
        f"in second {error.worst_bin}; of it the link {link.mean:.1%}, late changes and emptied queues "
        f"{clock.mean:.1%}; machine paused {found.paused:.1%}"
    )
    LOG.info(text)
    record("trace", text)
    assert "cannot send more" not in found.limited
    assert link.mean <= BOUND + 2 * found.paused, text
    # All of it together: nothing is lost between the seconds.
    total = found.measured_kbit.sum() / found.made_kbit.sum()
    assert abs(total - 1) <= BOUND + 2 * found.paused, text


@pytest.mark.parametrize("shaper", ["htb", "tbf"])
async def test_a_link_passes_second_by_second_what_a_trace_says(
    shaper: str, record_property: Callable[[str, object], None]
) -> None:
    trace = Trace.mahimahi(synthetic(3, seconds=SECONDS, outages=((4.0, 5.4), (9.6, 11.0))))
    found = await followed(trace, UNDER.evolve(shaper=shaper))
    assert_follows(found, record_property)


async def test_an_outage_begins_and_ends_on_time(record_property: Callable[[str, object], None]) -> None:
    outages = ((2.0, 3.0), (4.0, 5.4), (7.2, 8.0), (9.6, 11.0), (12.4, 13.0))
    trace = Trace.mahimahi(synthetic(4, seconds=SECONDS, outages=outages))
    found = await followed_once(trace, UNDER)
    late = []
    cuts = [(at_s, rate) for at_s, rate in found.made if at_s > 0]
    for (_, before), (start, rate), (end, after) in zip(cuts, cuts[1:], cuts[2:], strict=False):
        if rate != 0 or not after:
            continue
        # An outage is made in front of the queue: what waits still arrives. Half a bin for the machine.
        (drained, _) = emptied([(0.0, before), (start, 0.0)], UNDER.evolve(rate_kbit=before), found.frame)[-1]
        inside = found.arrived_s[(found.arrived_s > drained + 0.1) & (found.arrived_s < end)]
        assert not len(inside), f"{len(inside)} frames within the outage of {start:.3f} to {end:.3f} s"
        late.append(float(found.arrived_s[found.arrived_s >= end].min()) - end - UNDER.delay_ms / 1000)
    assert len(late) == len(outages)
    text = f"first frames after outages, seconds late: {[round(one, 4) for one in late]}"
    LOG.info(text)
    record_property("outage", text)
    # In the median a fourth of a bin of the trace, or four frames' time: a machine may stop for a moment once.
    assert np.median(late) < 0.05


@pytest.mark.parametrize("name", RECORDINGS)
async def test_a_link_passes_second_by_second_what_was_recorded(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"the recorded trace {name} is not in {RECORDED}")
    found = await followed(Trace.mahimahi(path.read_text(), name=name), UNDER)
    assert_follows(found, record_property)
