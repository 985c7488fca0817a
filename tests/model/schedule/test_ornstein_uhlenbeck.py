"""A process is checked against its formulas; bounds are those of the estimators at this sample size.

Four standard deviations of an estimator: a right process passes each with a probability of 99.99 %.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import GilbertElliott, Impairment, OrnsteinUhlenbeck
from linkem_py.model.schedule import OrnsteinUhlenbeckGroup
from linkem_py.model.schedule.randomness import BLOCK, generator, normals

SIGMAS = 4
TICKS = 40_000


def values(process: OrnsteinUhlenbeck, ticks: int, seed: int = 7) -> np.ndarray[Any, Any]:
    changes = process.stream(seed).until((ticks - 0.5) * process.tick_ms / 1000)
    return np.array([change.fields[process.field] for change in changes])


# --- statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("tick_ms", "tau_s"), [(50, 1.0), (200, 1.0), (1000, 1.0), (100, 0.02)])
def test_mean_variance_and_autocorrelation_are_those_of_the_formula(tick_ms: float, tau_s: float) -> None:
    process = OrnsteinUhlenbeck(1000, tau_s, 100, 1, tick_ms)
    found = values(process, TICKS)
    assert len(found) == TICKS
    decay = math.exp(-tick_ms / 1000 / tau_s)
    # Variances of the estimators for a process whose correlation at lag k is decay^k (Bartlett).
    of_mean = 100**2 / TICKS * (1 + decay) / (1 - decay)
    assert abs(found.mean() - 1000) < SIGMAS * math.sqrt(of_mean)
    of_variance = 2 * 100**4 / TICKS * (1 + decay**2) / (1 - decay**2)
    assert abs(found.var() - 100**2) < SIGMAS * math.sqrt(of_variance)
    centred = found - 1000
    for lag in (1, 2, 5, 10):
        measured = (centred[:-lag] * centred[lag:]).mean() / centred.var()
        rest = (1 + decay**2) * (1 - decay ** (2 * lag)) / (1 - decay**2) - 2 * lag * decay ** (2 * lag)
        assert abs(measured - decay**lag) < SIGMAS * math.sqrt(rest / TICKS)


def test_it_starts_in_its_stationary_distribution() -> None:
    process = OrnsteinUhlenbeck(1000, 10, 100, 1)
    first = np.array([values(process, 1, seed)[0] for seed in range(2000)])
    assert abs(first.mean() - 1000) < SIGMAS * 100 / math.sqrt(2000)
    assert abs(first.var() - 100**2) < SIGMAS * 100**2 * math.sqrt(2 / 2000)


def test_what_is_below_the_floor_is_set_to_it_and_the_rest_keeps_its_values() -> None:
    low = values(OrnsteinUhlenbeck(1000, 1, 300, 900, ceiling=1200), 2000)
    free = values(OrnsteinUhlenbeck(1000, 1, 300, 1, ceiling=1e6), 2000)
    assert np.array_equal(low, np.clip(free, 900, 1200))
    assert low.min() == 900
    assert low.max() == 1200


# --- what it sets -------------------------------------------------------------------------------


def test_it_sets_its_field_every_tick() -> None:
    changes = OrnsteinUhlenbeck(50, field="delay_ms", tick_ms=100).changes(0.1, 0.5)
    assert [change.at_s for change in changes] == [0.1, 0.2, 0.3, 0.4]
    assert all(list(change.fields) == ["delay_ms"] for change in changes)


def test_whole_numbers_are_rounded() -> None:
    process = OrnsteinUhlenbeck(20, sd=5, floor=2, field="queue_packets")
    found = [change.fields["queue_packets"] for change in process.changes(0, 10)]
    assert all(type(value) is int for value in found)
    assert len(set(found)) > 5
    assert process.bounds("queue_packets", Impairment(rate_kbit=1000)) == (2, 50)


def test_a_number_inside_the_loss_model_can_wander() -> None:
    under = Impairment(loss=GilbertElliott(1, 20))
    process = OrnsteinUhlenbeck(2, field="loss.p_pct")
    process.check(under)
    loss = process.changes(0, 1)[3].applied_to(under).loss
    assert isinstance(loss, GilbertElliott)
    assert loss.p_pct not in (1, 2)
    assert loss.r_pct == 20
    assert process.bounds("loss.p_pct", under) == pytest.approx((0.2, 4.4))
    with pytest.raises(TopologyError, match=r"loss.p_pct needs loss to be a GilbertElliott on this link"):
        process.check()


def test_the_names_for_a_rate_mean_the_same() -> None:
    assert OrnsteinUhlenbeck(mean_kbit=1000, tau_s=2, sd_kbit=100, floor_kbit=50) == OrnsteinUhlenbeck(1000, 2, 100, 50)


def test_what_is_not_given_follows_from_the_mean() -> None:
    process = OrnsteinUhlenbeck(1000)
    assert (process.tau_s, process.sd, process.floor, process.ceiling) == (1, 200, 100, 2200)
    assert process.bounds("rate_kbit") == (100, 2200)
    assert OrnsteinUhlenbeck(90, field="loss_pct").ceiling == 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (OrnsteinUhlenbeck, "mean must be given: None"),
        (lambda: OrnsteinUhlenbeck(1000, floor=2000), "floor must not be above the mean (1000): 2000"),
        (lambda: OrnsteinUhlenbeck(1000, ceiling=900), "ceiling must not be below the mean (1000): 900"),
        (lambda: OrnsteinUhlenbeck(1000, floor=0), "floor of rate_kbit must be between 1 and 8e+09: 0"),
        (lambda: OrnsteinUhlenbeck(1000, ceiling=True), "ceiling must be a finite number: True"),
        (lambda: OrnsteinUhlenbeck(1000, sd=-1), "sd must not be below 0: -1"),
        (lambda: OrnsteinUhlenbeck(1000, sd=math.nan), "sd must be a finite number: nan"),
        (lambda: OrnsteinUhlenbeck("much"), "mean must be a finite number: 'much'"),  # type: ignore[arg-type]
        (lambda: OrnsteinUhlenbeck(1000, 0), "tau_s must be above 0: 0"),
        (lambda: OrnsteinUhlenbeck(1000, None), "tau_s must be a number: None"),  # type: ignore[arg-type]
        (lambda: OrnsteinUhlenbeck(1000, tick_ms=0), "tick_ms must be between 1 and 3.6e+06: 0"),
        (lambda: OrnsteinUhlenbeck(1000, mean_kbit=1000), "mean_kbit must not stand beside mean (1000): 1000"),
        (
            lambda: OrnsteinUhlenbeck(mean_kbit=50, field="delay_ms"),
            "mean_kbit must be given as mean: the field is delay_ms: 50",
        ),
        (lambda: OrnsteinUhlenbeck(150, field="loss_pct"), "mean of loss_pct must be between 0 and 100: 150"),
    ],
)
def test_a_process_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(TopologyError, match=r"field must be a field that is a number \(did you mean rate_kbit\?\)"):
        OrnsteinUhlenbeck(1000, field="rate_kbits")
    with pytest.raises(TopologyError, match="field must be a field that is a number; they are delay_ms"):
        OrnsteinUhlenbeck(1000, field=3)  # type: ignore[arg-type]


def test_a_delay_that_may_fall_below_the_links_jitter_is_refused() -> None:
    process = OrnsteinUhlenbeck(50, field="delay_ms")
    process.check(Impairment(delay_ms=50, jitter_ms=5))
    with pytest.raises(TopologyError, match="jitter_ms must not be above delay_ms"):
        process.check(Impairment(delay_ms=50, jitter_ms=10))


def test_a_floor_at_which_other_settings_would_be_lost_is_refused() -> None:
    process = OrnsteinUhlenbeck(5, floor=0, field="loss_pct")
    process.check()
    with pytest.raises(
        TopologyError, match="floor must be above it, or loss_correlation_pct of the link would be gone"
    ):
        process.check(Impairment(loss_pct=1, loss_correlation_pct=20))


# --- many at once -------------------------------------------------------------------------------


def test_blocks_of_deviates_are_what_single_draws_give() -> None:
    draw, noise = generator(3), normals(3)
    assert [next(noise) for _ in range(3 * BLOCK)] == [draw.standard_normal() for _ in range(3 * BLOCK)]


def test_each_member_of_a_group_has_the_values_that_it_has_alone() -> None:
    processes = [
        OrnsteinUhlenbeck(1000 + index, 0.5 + index / 50, 300, 700, 100, field=field)
        for index, field in enumerate(["rate_kbit", "delay_ms", "queue_packets"] * 50)
    ]
    group = OrnsteinUhlenbeckGroup(processes, range(len(processes)))
    found = np.array([group.step() for _ in range(3 * BLOCK + 5)])
    for index, process in enumerate(processes):
        assert np.array_equal(found[:, index], values(process, len(found), index))


def test_members_come_and_go_without_moving_the_others() -> None:
    process = OrnsteinUhlenbeck(1000, 1, 200, 100)
    group = OrnsteinUhlenbeckGroup(tick_ms=200)
    started: dict[int, tuple[int, int]] = {}  # by slot: seed and first step
    rows: list[np.ndarray[Any, Any]] = []
    draw = np.random.default_rng(1)
    for step in range(4 * BLOCK):
        if step % 7 == 3 and len(started) > 4:
            slot = int(draw.choice(sorted(started)))
            group.remove(slot)
            first = started.pop(slot)[1]
            found = [row[slot] for row in rows[first:]]
            assert np.array_equal(found, values(process, len(found), slot + 1000 * first))
        for _ in range(3 if step < BLOCK else 1):
            free = group.add(process, 0)  # which slot it is decides the seed, so that each one is another
            group.remove(free)
            slot = group.add(process, free + 1000 * step)
            assert slot == free
            started[slot] = (free + 1000 * step, step)
        rows.append(group.step())
    assert len(group) == len(started) > 2 * BLOCK
    for slot, (seed, first) in started.items():
        assert np.array_equal([row[slot] for row in rows[first:]], values(process, len(rows) - first, seed))


def test_an_empty_slot_has_the_value_0() -> None:
    process = OrnsteinUhlenbeck(1000)
    group = OrnsteinUhlenbeckGroup([process, process], [1, 2])
    group.remove(0)
    row = group.step()
    assert row[0] == 0
    assert row[1] > 0
    assert repr(group) == "<OrnsteinUhlenbeckGroup: 1 processes every 200 ms>"


def test_what_a_group_cannot_hold_is_refused() -> None:
    process = OrnsteinUhlenbeck(1000)
    group = OrnsteinUhlenbeckGroup([process], [1])
    with pytest.raises(TopologyError, match=r"tick_ms must be the group's \(200\): 100"):
        group.add(OrnsteinUhlenbeck(1000, tick_ms=100), 1)
    with pytest.raises(TopologyError, match="slot must be that of a member: 1"):
        group.remove(1)
    group.remove(0)
    with pytest.raises(TopologyError, match="slot must be that of a member: 0"):
        group.remove(0)
    with pytest.raises(TopologyError, match="seeds must be one for each of the 1 processes: 0"):
        OrnsteinUhlenbeckGroup([process])
    with pytest.raises(TopologyError, match="tick_ms must be given for a group that starts empty"):
        OrnsteinUhlenbeckGroup()
