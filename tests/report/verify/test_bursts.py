import math

import numpy as np
import pytest

from linkem_py import FourState, GilbertElliott, Impairment
from linkem_py.report import expect
from linkem_py.report.verify import bursts
from tests.report.verify.chains import lost_packets

MODELS = [
    GilbertElliott(1, 25),
    GilbertElliott(1, 25, 60),
    GilbertElliott(2, 20, 80, 0.5),
    FourState(1, 30, 20, 50, 0.5),
]


def runs_of(model: GilbertElliott | FourState | float) -> bursts.Runs:
    impairment = Impairment(loss_pct=model) if isinstance(model, float) else Impairment(loss=model)
    chain = expect.Chain.of(impairment)
    assert chain is not None
    runs = bursts.Runs.of(chain)
    assert runs is not None
    return runs


def test_runs_of_a_gilbert_model_are_geometric() -> None:
    runs = runs_of(GilbertElliott(1, 25))
    assert runs.mean == pytest.approx(1 / 0.25)
    assert runs.spread == pytest.approx(math.sqrt(0.75) / 0.25)
    assert runs.longer_than(3) == pytest.approx([1, 0.75, 0.75**2, 0.75**3])
    assert runs.per_packet == pytest.approx(0.01 / 0.26 * 0.25)


def test_a_bad_state_that_loses_a_part_makes_runs_shorter_than_its_sojourn() -> None:
    # Every loss is in the bad state, and the next one follows if it stays there and loses again.
    runs = runs_of(GilbertElliott(1, 25, 60))
    assert runs.mean == pytest.approx(1 / (1 - 0.75 * 0.6))
    assert runs.mean < 1 / 0.25


def test_runs_of_independent_losses_are_geometric_as_well() -> None:
    assert runs_of(5.0).mean == pytest.approx(1 / 0.95)
    assert runs_of(5.0).per_packet == pytest.approx(0.05 * 0.95)


@pytest.mark.parametrize("impairment", [Impairment(), Impairment(loss_pct=100)], ids=str)
def test_what_never_begins_or_ends_has_no_runs(impairment: Impairment) -> None:
    chain = expect.Chain.of(impairment)
    assert chain is not None
    assert bursts.Runs.of(chain) is None


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_runs_are_those_of_simulated_packets(model: GilbertElliott | FourState) -> None:
    runs = runs_of(model)
    lost = lost_packets(model, 200, 5000, seed=1)
    found = np.concatenate([bursts.lengths(one) for one in lost])
    # Five standard errors; what the ends cut are the longer ones, one or two of each sample of hundreds.
    error = 5 * runs.spread / math.sqrt(len(found))
    assert found.mean() == pytest.approx(runs.mean, abs=error + 0.01 * runs.mean)
    assert len(found) / lost.size == pytest.approx(runs.per_packet, rel=0.05)
    assert found.std() == pytest.approx(runs.spread, rel=0.05)
    share = runs.longer_than(4)
    for length in range(1, 5):
        assert np.mean(found > length) == pytest.approx(share[length], abs=0.01)


def test_lengths_leave_out_what_the_ends_cut() -> None:
    lost = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1], bool)
    assert bursts.lengths(lost).tolist() == [1, 3]
    assert bursts.lengths(np.ones(4, bool)).tolist() == []
    assert bursts.lengths(np.zeros(4, bool)).tolist() == []


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_model_asked_for_is_rejected_once_in_a_hundred(model: GilbertElliott | FourState) -> None:
    runs, rounds = runs_of(model), 1000
    lost = lost_packets(model, rounds, 8000, seed=4)
    fits = [bursts.fit(bursts.lengths(one), runs) for one in lost]
    rejected = sum(fit is not None and fit.probability < 0.01 for fit in fits)
    # 10 expected; four standard deviations, and half as many again since chi-square is a limit only.
    assert rejected <= 15 + 4 * math.sqrt(15)
    assert np.mean([fit is not None and fit.probability < 0.5 for fit in fits]) == pytest.approx(0.5, abs=0.1)


def test_bursts_of_another_length_are_rejected() -> None:
    asked = runs_of(GilbertElliott(1, 25))
    does = lost_packets(GilbertElliott(1 * 50 / 25, 50), 200, 20_000, seed=5)
    fits = [bursts.fit(bursts.lengths(one), asked) for one in does]
    assert all(fit is not None and fit.probability < 1e-4 for fit in fits)


def test_bursts_are_told_from_independent_losses_of_the_same_mean() -> None:
    asked = runs_of(5.0)
    does = lost_packets(GilbertElliott.from_correlation(5, 20), 200, 20_000, seed=6)
    fits = [bursts.fit(bursts.lengths(one), asked) for one in does]
    assert all(fit is not None and fit.probability < 1e-4 for fit in fits)


def test_few_runs_have_no_fit() -> None:
    runs = runs_of(GilbertElliott(1, 25))
    assert bursts.fit(np.array([1, 2, 3]), runs) is None
    fit = bursts.fit(np.array([1] * 25 + [2] * 75), runs)
    assert fit is not None
    assert fit.probability < 1e-6


def test_the_sample_makes_the_mean_length_known_as_well_as_asked() -> None:
    runs = runs_of(GilbertElliott(2, 20))
    packets = bursts.needed(runs, tolerance=0.1 * runs.mean, deviations=2.576)
    lost = lost_packets(GilbertElliott(2, 20), 300, math.ceil(packets), seed=7)
    means = np.array([bursts.lengths(one).mean() for one in lost])
    missed = np.mean(np.abs(means - runs.mean) > 0.1 * runs.mean)
    assert missed <= 0.01 + 4 * math.sqrt(0.01 / 300)
