import attrs
import numpy as np
import pytest

from linkem_py import Impairment
from linkem_py.report import expect, judge
from linkem_py.report.model import Figure, Verdict
from tests.report.samples import QUIET, delays_of, filled, sample_of

AS_ASKED = [
    Impairment(),
    Impairment(delay_ms=40, jitter_ms=5, loss_pct=1),
    Impairment(delay_ms=40, jitter_ms=5, distribution="normal"),
    Impairment(delay_ms=10, jitter_ms=10, distribution="normal"),
    Impairment(delay_ms=30, jitter_ms=15, keep_order=True),
    Impairment(delay_ms=20, jitter_ms=5, delay_correlation_pct=50),
    Impairment(delay_ms=20, jitter_ms=2, reorder_pct=5),
    Impairment(delay_ms=20, duplicate_pct=3),
    Impairment(loss_pct=30),
]


def figures_of(impairment: Impairment, **options: int) -> dict[str, Figure]:
    sample = sample_of(impairment, **options)
    found = judge.link_figures(impairment, sample, delays_of(sample), QUIET)
    return {figure.name: figure for figure in found}


@pytest.mark.parametrize("impairment", AS_ASKED, ids=str)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_link_that_does_as_asked_is_ok(impairment: Impairment, seed: int) -> None:
    for figure in figures_of(impairment, seed=seed).values():
        assert figure.verdict in (Verdict.OK, Verdict.FREE), figure


@pytest.mark.parametrize(
    ("asked", "does", "name"),
    [
        (Impairment(delay_ms=40), Impairment(delay_ms=41), "delay"),
        (Impairment(delay_ms=40, jitter_ms=5), Impairment(delay_ms=40, jitter_ms=8), "jitter"),
        (Impairment(loss_pct=2), Impairment(loss_pct=5), "loss"),
        (Impairment(duplicate_pct=5), Impairment(), "duplicates"),
        (Impairment(delay_ms=20), Impairment(delay_ms=20, jitter_ms=8), "reordering"),
        (Impairment(delay_ms=20, reorder_pct=20), Impairment(delay_ms=20, reorder_pct=5), "reordering"),
        (Impairment(delay_ms=5, corrupt_pct=5), Impairment(delay_ms=5), "corruption"),
    ],
)
def test_a_link_that_does_something_else_is_out_of_tolerance(asked: Impairment, does: Impairment, name: str) -> None:
    sample = sample_of(does)
    found = {figure.name: figure for figure in judge.link_figures(asked, sample, delays_of(sample), QUIET)}
    assert found[name].verdict is Verdict.OUT, found[name]


def test_a_link_that_loses_everything_has_a_loss_and_no_delay() -> None:
    found = figures_of(Impairment(delay_ms=10, loss_pct=100))
    assert found["loss"].measured == 100
    assert found["loss"].verdict is Verdict.OK
    for name in ("delay", "jitter", "duplicates", "reordering"):
        assert found[name].verdict is Verdict.NONE
        assert found[name].note == "no packet arrived"


def test_few_probes_do_not_judge() -> None:
    found = figures_of(Impairment(delay_ms=40, jitter_ms=20, loss_pct=1), trains=15, train=1)
    assert found["loss"].verdict is Verdict.FEW
    assert found["delay"].verdict is Verdict.FEW


def test_jitter_that_hides_packets_sent_at_once_is_said() -> None:
    figure = figures_of(Impairment(delay_ms=10, jitter_ms=10, reorder_pct=5))["reordering"]
    assert figure.verdict is Verdict.NONE
    assert "jitter" in figure.note


def test_packets_sent_at_once_do_not_shorten_the_delay() -> None:
    found = figures_of(Impairment(delay_ms=20, reorder_pct=50))
    assert found["delay"].measured == pytest.approx(20.09, abs=0.01)
    assert found["reordering"].measured == pytest.approx(50, abs=5)


def test_the_loss_of_a_link_that_doubles_is_what_no_copy_survives() -> None:
    impairment = Impairment(loss_pct=10, duplicate_pct=50)
    sample = sample_of(impairment)
    for isolated in (True, False):
        around = attrs.evolve(QUIET, isolated=isolated)
        found = judge.link_figures(impairment, sample, delays_of(sample), around)
        loss = next(figure for figure in found if figure.name == "loss")
        expected = expect.fate(impairment, isolated=isolated, payload=24, frame=66).missing
        assert loss.asked == 10
        assert loss.expected == pytest.approx(100 * expected)


def test_netems_own_rate_adds_the_time_of_the_frame() -> None:
    impairment = Impairment(delay_ms=5, rate_kbit=100)
    sample = sample_of(impairment, trains=500, train=1, every_ms=50)
    found = judge.link_figures(impairment, sample, delays_of(sample), attrs.evolve(QUIET, own_rate=True))
    assert found[0].expected == pytest.approx(5 + 66 * 8 / 100, abs=0.01)


@pytest.mark.parametrize(("mean", "verdict"), [(81.0, Verdict.OUT), (80.2, Verdict.OK)])
def test_a_round_trip_is_both_delays(mean: float, verdict: Verdict) -> None:
    one = Impairment(delay_ms=40, jitter_ms=1)
    times = np.random.default_rng(2).normal(mean, 0.8, 200)
    figure = judge.round_trip(one, one, 200, times, QUIET)
    assert (figure.asked, figure.verdict) == (80, verdict)


def test_a_round_trip_without_replies_or_requests_is_not_measured() -> None:
    one = Impairment(delay_ms=40)
    assert judge.round_trip(one, one, 10, np.zeros(0), QUIET).verdict is Verdict.NONE
    assert judge.round_trip(one, one, 0, np.zeros(0), QUIET).verdict is Verdict.NONE


@pytest.mark.parametrize(
    ("passes", "offered", "paused_s", "verdict"),
    [
        (10_000, 12_500, 0, Verdict.OK),
        (10_000, 12_500, 0.3, Verdict.OK),  # what pauses did not hurt stands
        (8_000, 12_500, 0, Verdict.OUT),
        (8_000, 12_500, 0.1, Verdict.NONE),
        (8_000, 8_000, 0, Verdict.NONE),
    ],
)
def test_goodput_blames_the_link_only_if_the_machine_could_fill_it(
    passes: float, offered: float, paused_s: float, verdict: Verdict
) -> None:
    found = attrs.evolve(filled(passes, offered_kbit=offered), paused_s=paused_s)
    figure = judge.goodput(Impairment(rate_kbit=10_000), found, skip_bytes=3000)
    assert figure.verdict is verdict
    assert figure.measured == pytest.approx(passes, rel=0.01)
