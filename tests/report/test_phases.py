from __future__ import annotations

import attrs
import numpy as np
import pytest

from linkem_py import Impairment
from linkem_py.model import GilbertElliott
from linkem_py.model.presets import preset
from linkem_py.report import Verdict
from linkem_py.report.phases import Phase, Spell, goodput, hardest, part, phases
from linkem_py.report.probes import Sample

from .samples import QUIET, delays_of, sample_of

BEGAN_NS = 10**18
S = 10**9
FAST, SLOW = Impairment(delay_ms=5), Impairment(delay_ms=50, jitter_ms=5, loss_pct=10)


def varying(*states: Impairment | None, each_s: float = 2.0) -> tuple[list[Spell], Sample]:
    """A link that is each of these for so long (None: an outage), and what its probes would find."""
    samples, spells = [], []
    trains = round(each_s / 0.005)
    for index, state in enumerate(states):
        start_ns = round(BEGAN_NS + index * each_s * S)
        made = sample_of(state if state is not None else Impairment(loss_pct=100), trains=trains, seed=index)
        shift = start_ns - int(made.sent[0])
        samples.append(attrs.evolve(
            made, sent=made.sent + shift, times=made.times + shift, numbers=made.numbers + index * trains * 4
        ))  # fmt: skip
        end_ns = None if index == len(states) - 1 else round(start_ns + each_s * S) - 1_000_000
        spells.append(Spell(start_ns=start_ns, end_ns=end_ns, impairment=state or Impairment(), outage=state is None))
    fields = {
        name: np.concatenate([getattr(one, name) for one in samples])
        for name in ("sent", "took", "counts", "numbers", "times", "damaged")
    }
    return spells, Sample(samples[0].probing, **fields)


def found(*states: Impairment | None, each_s: float = 2.0) -> list[Phase]:
    spells, sample = varying(*states, each_s=each_s)
    return phases(spells, sample, BEGAN_NS, delays_of, QUIET)


def verdicts(phase: Phase) -> dict[str, Verdict]:
    return {figure.name: figure.verdict for figure in phase.figures}


def test_a_phase_is_all_the_time_in_which_a_link_did_the_same() -> None:
    fast, slow = found(FAST, SLOW, FAST)
    assert (fast.label, slow.label) == ("0 to 2 s, 4 to 6 s", "2 to 4 s")
    assert (fast.impairment, slow.impairment) == (FAST, SLOW)
    for phase, delay_ms in ((fast, 5), (slow, 50)):
        delay = next(figure for figure in phase.figures if figure.name == "delay")
        assert delay.asked == delay_ms
        assert delay.measured == pytest.approx(delay_ms, abs=1)
    assert Verdict.OUT not in {*verdicts(fast).values(), *verdicts(slow).values()}
    assert fast.sample.packets == pytest.approx(2 * slow.sample.packets, rel=0.02)


def test_a_phase_that_is_not_what_was_asked_is_told() -> None:
    spells, sample = varying(FAST, SLOW)
    spells[1] = attrs.evolve(spells[1], impairment=Impairment(delay_ms=60))
    _, slow = phases(spells, sample, BEGAN_NS, delays_of, QUIET)
    assert verdicts(slow)["delay"] is Verdict.OUT
    assert verdicts(slow)["loss"] is Verdict.OUT


def test_a_phase_is_called_as_its_preset() -> None:
    good, poor = found(preset("good").on_link, preset("poor").on_link)
    assert (good.label, poor.label) == ("good, 0 to 2 s", "poor, 2 to 4 s")


def test_an_outage_is_a_phase_in_which_all_is_lost() -> None:
    _, out = found(FAST, None)
    assert out.label == "outage, 2 to 4 s"
    (loss,) = out.figures
    assert (loss.name, loss.asked, loss.measured) == ("loss", 100, 100)


def test_a_rate_alone_makes_no_phase() -> None:
    (one,) = found(FAST.evolve(rate_kbit=1000), FAST.evolve(rate_kbit=5000))
    assert one.label == "0 to 4 s"
    (rate,) = [figure for figure in one.figures if figure.name == "goodput"]
    assert (rate.verdict, rate.note) == (Verdict.NONE, "the rate varied from 1 Mbit/s to 5 Mbit/s")


def test_a_change_that_probes_do_not_notice_interrupts_nothing() -> None:
    spells, sample = varying(FAST.evolve(rate_kbit=1000), FAST.evolve(rate_kbit=5000))
    late = attrs.evolve(spells[1], start_ns=spells[1].start_ns + S)  # the kernel took a second for it
    (one,) = phases([spells[0], late], sample, BEGAN_NS, delays_of, QUIET)
    assert one.sample.packets == sample.packets
    fast, slow = phases([spells[0], attrs.evolve(late, impairment=SLOW)], sample, BEGAN_NS, delays_of, QUIET)
    assert fast.sample.packets == pytest.approx(2 * slow.sample.packets, rel=0.02)


def test_many_spells_are_counted() -> None:
    fast, slow = found(*(FAST, SLOW) * 4, each_s=1.0)
    assert (fast.label, slow.label) == ("4 times, 4 s in all", "4 times, 3.99 s in all")


def test_many_states_are_held_against_their_mean() -> None:
    states = [Impairment(delay_ms=10.0 * number, jitter_ms=2, loss_pct=number) for number in range(1, 11)]
    (one,) = found(*states)
    assert one.label == "10 changes, 20 s"
    delay, jitter, loss = one.figures
    assert delay.asked == pytest.approx(55, abs=2)  # what is lost more often has less weight
    assert delay.verdict is Verdict.OK
    assert jitter.asked == pytest.approx(states[0].delay_spread_ms)
    assert jitter.verdict is Verdict.OK
    assert loss.asked == pytest.approx(5.5, abs=0.1)
    assert loss.verdict in (Verdict.OK, Verdict.FEW)


def test_means_that_are_wrong_are_told() -> None:
    spells, sample = varying(*(Impairment(delay_ms=10.0 * number) for number in range(1, 11)))
    late = [attrs.evolve(spell, impairment=spell.impairment.evolve(delay_ms=300 + n)) for n, spell in enumerate(spells)]
    (one,) = phases(late, sample, BEGAN_NS, delays_of, QUIET)
    assert verdicts(one)["delay"] is Verdict.OUT


def test_means_of_nothing_are_not_measured() -> None:
    (one,) = found(*(Impairment(loss_pct=100, delay_ms=n) for n in range(1, 11)), each_s=0.5)
    assert verdicts(one)["delay"] is verdicts(one)["jitter"] is Verdict.NONE


def test_packets_sent_at_once_are_part_of_the_mean() -> None:
    states = [Impairment(delay_ms=40.0 + number, reorder_pct=25) for number in range(10)]
    (one,) = found(*states)
    delay, jitter, _ = one.figures
    assert delay.asked == pytest.approx(0.75 * 44.5, abs=0.5)
    assert Verdict.OUT not in (delay.verdict, jitter.verdict)


def test_a_time_in_which_nothing_was_sent_is_no_phase() -> None:
    spells, sample = varying(FAST, SLOW)
    early = Spell(start_ns=0, end_ns=BEGAN_NS - 1, impairment=Impairment(delay_ms=1))
    assert [phase.impairment for phase in phases([early, *spells], sample, BEGAN_NS, delays_of, QUIET)] == [FAST, SLOW]


def test_part_of_a_sample_is_as_if_no_others_had_been_sent() -> None:
    whole = sample_of(Impairment(delay_ms=5, loss_pct=20, duplicate_pct=10), trains=200)
    trains = np.arange(200) % 3 == 1
    own = part(whole, trains)
    assert own.packets == 4 * trains.sum()
    assert set(own.numbers) <= set(range(own.packets))
    lost = set(range(whole.packets)) - set(whole.numbers.tolist())
    assert own.packets - len(np.unique(own.numbers)) == sum(bool(trains[number // 4]) for number in lost)
    assert delays_of(own) == pytest.approx(np.full(len(delays_of(own)), 5.09), abs=1e-6)


def test_a_train_that_crosses_a_change_belongs_to_neither_side() -> None:
    spells, sample = varying(FAST, SLOW)
    sample.took[399] = 5_000_000
    assert not any(spell.contains(sample)[399] for spell in spells)


def test_goodput_is_not_measured_where_it_varies() -> None:
    def spell(impairment: Impairment, *, outage: bool = False) -> Spell:
        return Spell(start_ns=0, end_ns=None, impairment=impairment, outage=outage)

    assert goodput([spell(FAST)]) == ()
    assert goodput([spell(Impairment(rate_kbit=5), outage=True)]) == ()
    (one,) = goodput([spell(Impairment(rate_kbit=500)), spell(Impairment(rate_kbit=500))])
    assert (one.asked, one.verdict, one.note) == (500, Verdict.NONE, "the link varies")


def test_probes_are_paced_for_the_rarest_events_at_the_lowest_rate() -> None:
    rare = Impairment(loss=GilbertElliott(0.1, 20), rate_kbit=9000)
    assert hardest([Impairment(loss_pct=10, rate_kbit=300), rare]) == rare.evolve(rate_kbit=300)
    assert hardest([FAST, SLOW]) in (FAST, SLOW)
    assert hardest([rare, Impairment(corrupt_pct=50)]) == Impairment(corrupt_pct=50, rate_kbit=9000)
