"""From samples as the kernel would make them to checks; and what they need."""

import attrs
import numpy as np
import pytest

from linkem_py import GilbertElliott, Impairment, Slot
from linkem_py.report import judge
from linkem_py.report.pace import Probing
from linkem_py.report.probes import Sample
from linkem_py.report.verify import Check, Outcome, parse
from linkem_py.report.verify.checks import Checks, lost_in_order
from linkem_py.report.verify.following import Followed
from linkem_py.report.verify.needs import needs, wish
from tests.report.samples import QUIET, delays_of, filled, sample_of
from tests.report.verify.chains import lost_packets

LEVEL = 0.999
TOLERANCES = parse(())


def checks_of(impairment: Impairment, around: judge.Circumstances = QUIET, level: float = LEVEL) -> Checks:
    needed = needs(impairment, around, TOLERANCES, level=level)
    return Checks(impairment, around, needed, TOLERANCES, confidence=0.99, level=level)


def verified(asked: Impairment, sample: Sample) -> dict[str, Check]:
    return {check.quantity: check for check in checks_of(asked).of_probes(sample, delays_of(sample))}


def enough(asked: Impairment) -> dict[str, int]:
    wanted = wish(needs(asked, QUIET, TOLERANCES, level=LEVEL))
    train = max(1, min(8, wanted.packets // wanted.trains))
    return {"trains": -(-wanted.packets // train), "train": train}


AS_ASKED = [
    Impairment(),
    Impairment(delay_ms=40, jitter_ms=5, loss_pct=2),
    Impairment(delay_ms=40, jitter_ms=5, distribution="normal"),
    Impairment(delay_ms=60, jitter_ms=5, distribution="pareto"),
    Impairment(delay_ms=30, jitter_ms=15, keep_order=True),
    Impairment(delay_ms=20, reorder_pct=5),
    Impairment(delay_ms=20, duplicate_pct=3),
    Impairment(delay_ms=5, slot=Slot(20)),
]


@pytest.mark.parametrize("impairment", AS_ASKED, ids=str)
def test_a_link_that_does_as_asked_is_within_once_it_has_had_its_sample(impairment: Impairment) -> None:
    for check in verified(impairment, sample_of(impairment, seed=3, **enough(impairment))).values():
        assert check.outcome is Outcome.WITHIN, check
        assert check.needed is not None
        assert check.samples >= check.needed


@pytest.mark.parametrize(
    ("asked", "does", "quantity"),
    [
        (Impairment(loss_pct=2), Impairment(loss_pct=3), "loss"),
        (Impairment(), Impairment(loss_pct=1), "loss"),
        (Impairment(delay_ms=40), Impairment(delay_ms=41), "delay"),
        (Impairment(delay_ms=40, jitter_ms=5), Impairment(delay_ms=40, jitter_ms=8), "jitter"),
        (
            Impairment(delay_ms=40, jitter_ms=5, distribution="pareto"),
            Impairment(delay_ms=40, jitter_ms=5 * 3**0.5),
            "distribution",
        ),
        (Impairment(duplicate_pct=5), Impairment(), "duplicates"),
        (Impairment(delay_ms=20, reorder_pct=20), Impairment(delay_ms=20, reorder_pct=10), "reordering"),
        (Impairment(delay_ms=5, corrupt_pct=5), Impairment(delay_ms=5), "corruption"),
    ],
)
def test_a_link_that_does_something_else_is_out(asked: Impairment, does: Impairment, quantity: str) -> None:
    assert verified(asked, sample_of(does, **enough(asked)))[quantity].outcome is Outcome.OUT


def test_a_small_sample_is_undecided_and_not_a_pass() -> None:
    asked = Impairment(delay_ms=40, jitter_ms=20, loss_pct=1)
    found = verified(asked, sample_of(asked, trains=40, train=1))
    assert {check.outcome for check in found.values()} == {Outcome.UNDECIDED}


def test_a_link_that_loses_everything_has_no_other_check() -> None:
    asked = Impairment(delay_ms=10, loss_pct=100)
    found = verified(asked, sample_of(asked, **enough(asked)))
    assert {name: check.outcome for name, check in found.items()} == {"loss": Outcome.WITHIN}


def test_delays_of_which_none_arrived_are_undecided() -> None:
    found = verified(Impairment(delay_ms=10, jitter_ms=1), sample_of(Impairment(loss_pct=100)))
    assert found["loss"].outcome is Outcome.OUT
    for quantity in ("delay", "jitter", "distribution"):
        assert (found[quantity].outcome, found[quantity].note) == (Outcome.UNDECIDED, "no packet arrived")


def test_what_cannot_be_told_is_undecided() -> None:
    asked = Impairment(delay_ms=10, jitter_ms=10, reorder_pct=5)
    assert verified(asked, sample_of(asked))["reordering"].outcome is Outcome.UNDECIDED


def burst_sample(model: GilbertElliott, packets: int) -> Sample:
    base = sample_of(Impairment(), trains=packets, train=1)
    arrived = np.flatnonzero(~lost_packets(model, 1, packets, seed=9)[0])
    return attrs.evolve(base, numbers=base.numbers[arrived], times=base.times[arrived], damaged=base.damaged[arrived])


def test_bursts_are_those_of_the_model_or_not() -> None:
    asked = GilbertElliott(1, 25, 60)
    impairment = Impairment(loss=asked)
    found = verified(impairment, burst_sample(asked, 120_000))
    assert {found[name].outcome for name in ("bursts", "burst shape")} == {Outcome.WITHIN}
    # The same mean loss, and twice the sojourn in the bad state.
    found = verified(impairment, burst_sample(GilbertElliott(0.5, 12.5, 60), 120_000))
    assert {found[name].outcome for name in ("bursts", "burst shape")} == {Outcome.OUT}
    few = verified(impairment, burst_sample(asked, 60))
    assert {few[name].outcome for name in ("bursts", "burst shape")} == {Outcome.UNDECIDED}


def test_losses_are_told_in_the_order_sent_without_what_the_kernel_did_not_take() -> None:
    ints = np.array
    sample = Sample(
        Probing(3, 2, 24), ints([1, 2, 3]), ints([1, 1, 1]), ints([2, 1, 2]), ints([0, 4, 4, 2]), ints([1, 1, 1, 1]),
        np.zeros(4, bool),
    )  # fmt: skip
    assert lost_in_order(sample).tolist() == [False, True, False, False, True]


def test_rare_independent_losses_need_no_more_packets_for_their_bursts_than_for_their_mean() -> None:
    rare = needs(Impairment(loss_pct=0.01), QUIET, TOLERANCES, level=LEVEL)
    assert set(rare) == {"loss", "delay", "jitter"}
    assert {"bursts", "burst shape"} <= set(needs(Impairment(loss_pct=5), QUIET, TOLERANCES, level=LEVEL))
    both = needs(Impairment(loss_pct=5, duplicate_pct=5), QUIET, TOLERANCES, level=LEVEL)
    assert "bursts" not in both


def test_a_tighter_tolerance_needs_more() -> None:
    loose, tight = (
        wish(needs(Impairment(loss_pct=2), QUIET, parse([f"loss={share}%"]), level=LEVEL)) for share in (20, 10)
    )
    assert tight.packets == pytest.approx(4 * loose.packets, rel=0.01)
    assert tight.trains == loose.trains


@pytest.mark.parametrize(
    ("passes", "offered", "outcome"),
    [(10_000, 12_500, Outcome.WITHIN), (9_000, 12_500, Outcome.OUT), (8_000, 8_000, Outcome.UNDECIDED)],
)
def test_goodput_is_undecided_where_the_machine_could_not_fill_the_link(
    passes: float, offered: float, outcome: Outcome
) -> None:
    check = checks_of(Impairment(rate_kbit=10_000)).goodput(filled(passes, offered_kbit=offered), skip_bytes=3000)
    assert check.outcome is outcome
    assert "95.8% UDP payload" in check.note


def followed(factor: float, *, limited: str = "") -> Followed:
    asked = np.array([4000.0, 2000, 0, 3000] * 5)
    arrived = np.concatenate([
        second + np.linspace(0, 1, round(factor * rate / 8), endpoint=False) for second, rate in enumerate(asked)
    ])  # fmt: skip
    return Followed(asked, asked, (), arrived, 1000, limited, 0.0)


def test_seconds_are_held_against_the_schedule() -> None:
    checks = checks_of(Impairment(rate_kbit=4000))
    check, worst = checks.schedule(followed(1.0))
    assert check.outcome is Outcome.WITHIN
    assert check.measured == pytest.approx(0, abs=0.1)
    check, worst = checks.schedule(followed(0.8))
    assert check.outcome is Outcome.OUT
    assert check.measured == pytest.approx(20, abs=0.1)
    assert worst.outcome is Outcome.TOLD
    assert worst.measured == pytest.approx(100 * 800 / 2250, rel=0.01)
    assert worst.note == "second 0: 4000 asked, 3200 kbit/s"
    check, _ = checks.schedule(followed(0.8, limited="this machine paused"))
    assert check.outcome is Outcome.UNDECIDED
