from __future__ import annotations

from typing import Any

import pytest

from linkem_py.errors import TopologyError
from linkem_py.model import Bufferbloat, GilbertElliott, Handover, Impairment, Markov, OrnsteinUhlenbeck
from linkem_py.model.presets import (
    MODIFIERS,
    PAIRS,
    PRESETS,
    SCHEDULES,
    Preset,
    modifier,
    pair,
    preset,
    schedule,
    schedule_pair,
)

# name: delay ms / jitter ms / loss / loss correlation / reorder / duplicate / rate kbit/s / MTU
NUMBERS = """
good 5/1/.00001/0/0/0/50000/1500
typical 20/5/.001/.1/.002/0/20000/1500
poor 100/25/.02/.3/.01/.001/2000/1400
lte_uplink 40/15/.003/.2/.005/0/5000/1358
lte_downlink 35/12/.002/.15/.003/0/25000/1358
lte_barely_ok 90/35/.03/.4/.01/.001/1500/1358
nr_good 15/8/.0005/.1/.001/0/100000/1500
nr_cell_edge 25/15/.01/.4/.008/.0005/10000/1400
nr_mmwave 10/5/.0001/.05/.0005/0/1000000/1500
nr_mmwave_blocked 200/100/.5/.95/.1/.01/1000/1400
nr_sub6ghz 20/10/.002/.2/.003/.0001/200000/1500
nr_carrier_aggregation 18/12/.001/.15/.005/.0002/500000/1500
nr_beamforming_interference 30/20/.008/.6/.01/.001/50000/1400
nr_uplink 25/15/.004/.3/.006/.0003/50000/1500
nr_downlink 15/10/.001/.15/.002/.0001/300000/1500
race_4g_strong 45/20/.005/.2/.005/0/2000/1500
race_4g_moderate 65/35/.02/.4/.01/.001/1200/1500
race_4g_weak 120/60/.05/.6/.02/.002/300/1500
race_5g_strong 25/15/.003/.15/.003/0/2000/1500
race_5g_moderate 35/25/.015/.3/.008/.001/1400/1500
race_5g_weak 80/45/.04/.5/.015/.002/400/1500
race_handover_spike 200/100/.15/.8/.05/.01/100/1400
nr_urllc 3/1/.00001/.01/.0001/0/10000/1500
nr_embb 20/8/.001/.1/.002/.0001/800000/1500
nr_mmtc 100/50/.01/.3/.005/.001/1000/1200
satellite_geo_modem 300/50/.005/.2/.002/0/5000/1300
lan 0/0/0/0/0/0/-/1500
wifi 5/2/.001/0/0/0/-/1500
wifi_bad 40/15/.02/0/0/0/20000/1500
mobile_4g 25/8/.005/0/0/0/-/1500
mobile_3g 100/30/.02/0/0/0/2000/1500
satellite_leo 40/7/.01/0/0/0/-/1500
satellite_geo 300/20/.005/0/0/0/25000/1500
region_same 1/.5/.0001/0/0/0/-/1500
region_eu_us 40/5/.001/0/0/0/1000000/1500
region_us_tokyo 80/10/.002/0/0/0/500000/1500
region_eu_tokyo 120/15/.005/0/0/0/300000/1500
"""
MEASURED = [line.split() for line in NUMBERS.strip().splitlines()]
CELLULAR = {"lte_light", "lte_heavy", "nr_light", "nr_heavy", "cellular"}


@pytest.mark.parametrize(("name", "numbers"), MEASURED, ids=[name for name, _ in MEASURED])
def test_a_preset_has_its_numbers(name: str, numbers: str) -> None:
    *fractions, rate, mtu = numbers.split("/")
    delay, jitter, loss, correlation, reorder, duplicate = map(float, fractions)
    found = preset(name)
    impairment = found.impairment
    assert (impairment.delay_ms, impairment.jitter_ms) == (delay, jitter)
    assert impairment.mean_loss_pct == pytest.approx(100 * loss)
    assert impairment.reorder_pct == pytest.approx(100 * reorder)
    assert impairment.duplicate_pct == pytest.approx(100 * duplicate)
    assert impairment.rate_kbit == (None if rate == "-" else float(rate))
    assert found.mtu == int(mtu)
    if correlation:
        model = impairment.loss
        assert isinstance(model, GilbertElliott)
        # Lag-1 correlation of a two-state chain: 1 - p - r.
        assert 1 - (model.p_pct + model.r_pct) / 100 == pytest.approx(correlation)
        assert (model.bad_loss_pct, model.good_loss_pct) == (100, 0)
    else:
        assert impairment.loss is None


def test_no_preset_is_without_its_numbers_here() -> None:
    assert PRESETS.keys() == {name for name, _ in MEASURED} | CELLULAR
    assert all(entry.name == name and entry.about for name, entry in PRESETS.items())


@pytest.mark.parametrize(
    ("name", "rate", "delay", "jitter", "p", "r", "bad", "good"),
    [
        ("lte_light", 650, 70, 10, 0.006, 0.33, 0.5, 0.0005),
        ("lte_heavy", 1000, 150, 25, 0.013, 0.15, 0.6, 0.001),
        ("nr_light", 1150, 45, 7, 0.0039, 0.40, 0.5, 0.0002),
        ("nr_heavy", 1700, 110, 18, 0.0067, 0.20, 0.6, 0.0005),
        ("cellular", 4000, 40, 10, 0.002, 0.2, 0.05, 0.0002),
    ],
)
def test_a_cellular_preset_loses_in_bursts(
    name: str, rate: float, delay: float, jitter: float, p: float, r: float, bad: float, good: float
) -> None:
    impairment = preset(name).impairment
    assert (impairment.rate_kbit, impairment.delay_ms, impairment.jitter_ms) == (rate, delay, jitter)
    model = impairment.loss
    assert isinstance(model, GilbertElliott)
    assert model.mean_loss_pct == pytest.approx(100 * (good * r + bad * p) / (p + r))
    assert model.mean_burst_packets == pytest.approx(1 / r)


@pytest.mark.parametrize("name", ["lte_barely_ok", "lte-barely-ok", "LTE-Barely_OK", " lte-edge ", "lte_edge"])
def test_a_dash_equals_an_underscore_and_an_alias_its_preset(name: str) -> None:
    assert preset(name) is PRESETS["lte_barely_ok"]


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (preset, "lte-barly-ok", "preset is unknown (did you mean lte_barely_ok?): 'lte-barly-ok'"),
        (preset, "typicl", "preset is unknown (did you mean typical?): 'typicl'"),
        (pair, "nrr", "preset is unknown (did you mean nr?): 'nrr'"),
        (schedule, "race4g", "schedule is unknown (did you mean race_4g?): 'race4g'"),
        (modifier, "handovers", "modifier is unknown (did you mean handover?): 'handovers'"),
        (modifier, "xyzzy", "modifier must be one of handover, bufferbloat: 'xyzzy'"),
        (modifier, 5, "modifier must be one of handover, bufferbloat: 5"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(find: Any, name: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        find(name)
    assert str(caught.value) == message


def test_links_that_differ_by_direction_come_in_pairs() -> None:
    lte = (PRESETS["lte_uplink"], PRESETS["lte_downlink"])
    assert pair("lte") == pair("lte-uplink") == pair("lte_downlink") == lte
    assert pair("nr") == (PRESETS["nr_uplink"], PRESETS["nr_downlink"])
    assert pair("lte-edge") == (PRESETS["lte_barely_ok"], PRESETS["lte_barely_ok"])
    assert PAIRS.keys() == PRESETS.keys() | {"lte", "nr"}


def test_a_preset_says_what_it_is() -> None:
    made = Preset(name="mine", impairment=Impairment(delay_ms=5))
    assert str(made) == "mine: delay_ms=5, mtu=1500"
    with pytest.raises(TopologyError, match="mtu must be between 68 and 65535: 0"):
        Preset(name="mine", impairment=Impairment(), mtu=0)


@pytest.mark.parametrize("entry", SCHEDULES.values(), ids=SCHEDULES)
def test_every_schedule_can_be_carried_out(entry: Any) -> None:
    entry.schedule.check(entry.impairment)
    state = entry.impairment
    for change in entry.schedule.changes(0, 120, 1, entry.impairment):
        state = change.applied_to(state)


def test_schedules_have_their_numbers() -> None:
    def delays(name: str, *times: float) -> list[float]:
        entry = schedule(name)
        return [entry.schedule.in_force(at, under=entry.impairment).fields["delay_ms"] for at in times]

    assert delays("degradation-cycle", 0, 29, 30, 89, 90) == [5, 5, 100, 100, 5]
    assert delays("handover", 59, 60, 64, 65) == [40, 240, 240, 40]
    assert delays("nr_to_lte_uplink", 0, 60, 65) == [25, 200, 40]
    assert delays("nr_to_lte_downlink", 0, 60, 65) == [15, 200, 35]
    chains = {name: schedule(name).schedule for name in ("bursty_markov", "race_4g", "race_5g", "nr_mmwave_mobility")}
    assert all(isinstance(chain, Markov) for chain in chains.values())
    assert {name: chain.mean_dwell_s[0] for name, chain in chains.items()} == {  # type: ignore[attr-defined]
        "bursty_markov": 10,
        "race_4g": 8,
        "race_5g": 12,
        "nr_mmwave_mobility": 20,
    }
    assert schedule("cellular").schedule == OrnsteinUhlenbeck(4000, 1.5, 600, 400)
    assert schedule("wandering_rate").schedule == OrnsteinUhlenbeck(1000, 1, 200, 100)


def test_modifiers_are_made_by_name() -> None:
    assert modifier("handover") == Handover()
    assert modifier("bufferbloat", severity=2) == Bufferbloat(2)
    assert set(MODIFIERS) == {"handover", "bufferbloat"}
    with pytest.raises(TopologyError, match="much is not a setting of bufferbloat; they are severity: 5"):
        modifier("bufferbloat", much=5)


def test_what_happens_differs_by_direction_where_it_is_a_pair() -> None:
    assert [entry.name for entry in schedule_pair("nr-to-lte")] == ["nr_to_lte_uplink", "nr_to_lte_downlink"]
    assert [entry.name for entry in schedule_pair("race_4g")] == ["race_4g", "race_4g"]
    with pytest.raises(TopologyError, match=r"schedule is unknown \(did you mean nr_to_lte\?\): 'nr_to_lt'"):
        schedule_pair("nr_to_lt")
