import functools
import math

import numpy as np
import pytest

from linkem_py import GilbertElliott, Impairment
from linkem_py.report import expect
from linkem_py.report.verify import shares
from linkem_py.report.verify.check import Outcome, decide
from tests.report.verify.chains import lost_packets

LEVEL = 0.99


@functools.cache
def outcome(events: int, trials: int, asked: float, needed: float, *, inflation: float = 1.0) -> Outcome:
    return decide(
        asked=asked, measured=events / trials, tolerance=0.1 * asked,
        strict=shares.interval(events, trials, level=LEVEL, inflation=inflation), samples=trials, needed=needed,
    )  # fmt: skip


def test_the_sample_is_what_the_normal_limit_says() -> None:
    # 2 % to a tenth: 2.576^2 x 0.98 / 0.02 / 0.01.
    assert shares.needed(0.02, tolerance=0.002, level=LEVEL) == pytest.approx(32_512, rel=1e-3)
    assert shares.needed(0.02, tolerance=0.002, level=LEVEL, inflation=3) == pytest.approx(3 * 32_512, rel=1e-3)


def test_none_lost_proves_a_small_share_with_so_many_packets() -> None:
    needed = shares.needed(0.0, tolerance=0.0005, level=LEVEL)
    assert needed == pytest.approx(math.log(100) / 0.0005)
    assert (1 - 0.0005) ** needed == pytest.approx(0.01, rel=0.01)
    assert shares.needed(1.0, tolerance=0.0005, level=LEVEL) == needed


@pytest.mark.parametrize("share", [0.005, 0.02, 0.3])
def test_a_link_that_loses_as_asked_is_rejected_once_in_a_hundred(share: float) -> None:
    runs, needed = 1000, math.ceil(shares.needed(share, tolerance=0.1 * share, level=LEVEL))
    found = np.random.default_rng(5).binomial(needed, share, runs)
    rejected = sum(outcome(int(events), needed, share, needed) is not Outcome.WITHIN for events in found)
    # 10 expected; four standard deviations of a binomial to either side.
    assert 0 < rejected <= 10 + 4 * math.sqrt(10)


def test_bursty_losses_are_rejected_once_in_a_hundred_too() -> None:
    model = GilbertElliott(1, 25, 60)
    loss = expect.loss_of(Impairment(loss=model))
    runs = 400
    needed = math.ceil(shares.needed(loss.mean, tolerance=0.25 * loss.mean, level=LEVEL, inflation=loss.inflation))
    lost = lost_packets(model, runs, needed, seed=2).sum(axis=1)
    missed = np.mean(np.abs(lost / needed - loss.mean) > 0.25 * loss.mean)
    assert 0 < missed <= 0.01 + 4 * math.sqrt(0.01 / runs)
    independent = math.ceil(needed / loss.inflation)
    short = lost_packets(model, runs, independent, seed=3).sum(axis=1)
    # What so many independent losses would need is not enough: three in a hundred at the least are outside.
    assert np.mean(np.abs(short / independent - loss.mean) > 0.25 * loss.mean) > 0.03


def test_a_loss_of_3_percent_asked_as_2_is_rejected_always() -> None:
    needed = math.ceil(shares.needed(0.02, tolerance=0.002, level=LEVEL))
    found = np.random.default_rng(6).binomial(needed, 0.03, 1000)
    assert {outcome(int(events), needed, 0.02, needed) for events in found} == {Outcome.OUT}


def test_a_small_sample_rejects_what_is_far_off_and_decides_nothing_else() -> None:
    needed = shares.needed(0.02, tolerance=0.002, level=LEVEL)
    assert outcome(600, 3000, 0.02, needed) is Outcome.OUT
    assert outcome(60, 3000, 0.02, needed) is Outcome.UNDECIDED
    assert outcome(80, 3000, 0.02, needed) is Outcome.UNDECIDED
