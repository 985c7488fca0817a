"""Links by name: numbers to start from, one direction each."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import attrs

from linkem_py.model.impairment import MOST_MTU, Impairment
from linkem_py.model.loss import GilbertElliott, LossModel
from linkem_py.model.presets.lookup import find
from linkem_py.model.rules import Whole


@attrs.frozen(kw_only=True)
class Preset:
    """One direction of a link, ready to use.

    Attributes
    ----------
    name : as it is asked for
    about : what kind of link it stands for
    impairment : what it does to packets. Correlated loss is a Gilbert-Elliott model of the same mean
        and lag-1 correlation
    mtu : the largest IP packet, in bytes
    """

    name: str
    about: str = ""
    impairment: Impairment
    mtu: int = attrs.field(default=1500, validator=Whole(least=68, most=65_535))

    @property
    def on_link(self) -> Impairment:
        """What a link of this preset has: the impairment, with the MTU where it is below that of the interfaces."""
        return self.impairment.evolve(mtu=self.mtu) if self.mtu < MOST_MTU else self.impairment

    def __str__(self) -> str:
        return f"{self.name}: {self.impairment}, mtu={self.mtu}"


def _loss(loss_pct: float, correlation_pct: float) -> dict[str, float | LossModel]:
    if correlation_pct:
        return {"loss": GilbertElliott.from_correlation(loss_pct, correlation_pct)}
    return {"loss_pct": loss_pct}


# Delay and jitter in ms; loss, its correlation, reorder and duplicate in percent; kbit/s; bytes.
_MEASURED: tuple[tuple[str, float, float, float, float, float, float, float | None, int, str], ...] = (
    ("good", 5, 1, 0.001, 0, 0, 0, 50_000, 1500, "a good fixed line"),
    ("typical", 20, 5, 0.1, 10, 0.2, 0, 20_000, 1500, "an ordinary line"),
    ("poor", 100, 25, 2, 30, 1, 0.1, 2_000, 1400, "a poor line"),
    ("lte_uplink", 40, 15, 0.3, 20, 0.5, 0, 5_000, 1358, "LTE, from the device"),
    ("lte_downlink", 35, 12, 0.2, 15, 0.3, 0, 25_000, 1358, "LTE, to the device"),
    ("lte_barely_ok", 90, 35, 3, 40, 1, 0.1, 1_500, 1358, "LTE at the edge of the cell: barely usable"),
    ("nr_good", 15, 8, 0.05, 10, 0.1, 0, 100_000, 1500, "5G, good reception"),
    ("nr_cell_edge", 25, 15, 1, 40, 0.8, 0.05, 10_000, 1400, "5G at the edge of the cell"),
    ("nr_mmwave", 10, 5, 0.01, 5, 0.05, 0, 1_000_000, 1500, "5G millimetre waves in sight of the mast"),
    ("nr_mmwave_blocked", 200, 100, 50, 95, 10, 1, 1_000, 1400, "5G millimetre waves, something in the way"),
    ("nr_sub6ghz", 20, 10, 0.2, 20, 0.3, 0.01, 200_000, 1500, "5G below 6 GHz"),
    ("nr_carrier_aggregation", 18, 12, 0.1, 15, 0.5, 0.02, 500_000, 1500, "5G over several carriers"),
    ("nr_beamforming_interference", 30, 20, 0.8, 60, 1, 0.1, 50_000, 1400, "5G with beams that disturb each other"),
    ("nr_uplink", 25, 15, 0.4, 30, 0.6, 0.03, 50_000, 1500, "5G, from the device"),
    ("nr_downlink", 15, 10, 0.1, 15, 0.2, 0.01, 300_000, 1500, "5G, to the device"),
    ("race_4g_strong", 45, 20, 0.5, 20, 0.5, 0, 2_000, 1500, "4G from a moving car, strong"),
    ("race_4g_moderate", 65, 35, 2, 40, 1, 0.1, 1_200, 1500, "4G from a moving car, moderate"),
    ("race_4g_weak", 120, 60, 5, 60, 2, 0.2, 300, 1500, "4G from a moving car, weak"),
    ("race_5g_strong", 25, 15, 0.3, 15, 0.3, 0, 2_000, 1500, "5G from a moving car, strong"),
    ("race_5g_moderate", 35, 25, 1.5, 30, 0.8, 0.1, 1_400, 1500, "5G from a moving car, moderate"),
    ("race_5g_weak", 80, 45, 4, 50, 1.5, 0.2, 400, 1500, "5G from a moving car, weak"),
    ("race_handover_spike", 200, 100, 15, 80, 5, 1, 100, 1400, "the seconds of a handover"),
    ("nr_urllc", 3, 1, 0.001, 1, 0.01, 0, 10_000, 1500, "5G slice: ultra-reliable, low latency"),
    ("nr_embb", 20, 8, 0.1, 10, 0.2, 0.01, 800_000, 1500, "5G slice: broadband"),
    ("nr_mmtc", 100, 50, 1, 30, 0.5, 0.1, 1_000, 1200, "5G slice: many small devices"),
    ("satellite_geo_modem", 300, 50, 0.5, 20, 0.2, 0, 5_000, 1300, "a geostationary satellite behind a modem"),
    ("lan", 0, 0, 0, 0, 0, 0, None, 1500, "a local network: no impairment"),
    ("wifi", 5, 2, 0.1, 0, 0, 0, None, 1500, "Wi-Fi nearby"),
    ("wifi_bad", 40, 15, 2, 0, 0, 0, 20_000, 1500, "Wi-Fi through walls"),
    ("mobile_4g", 25, 8, 0.5, 0, 0, 0, None, 1500, "4G, delay and loss only"),
    ("mobile_3g", 100, 30, 2, 0, 0, 0, 2_000, 1500, "3G"),
    ("satellite_leo", 40, 7, 1, 0, 0, 0, None, 1500, "satellites in low orbit"),
    ("satellite_geo", 300, 20, 0.5, 0, 0, 0, 25_000, 1500, "a geostationary satellite"),
    ("region_same", 1, 0.5, 0.01, 0, 0, 0, None, 1500, "within one region of a cloud"),
    ("region_eu_us", 40, 5, 0.1, 0, 0, 0, 1_000_000, 1500, "between Europe and the U.S."),
    ("region_us_tokyo", 80, 10, 0.2, 0, 0, 0, 500_000, 1500, "between the U.S. and Tokyo"),
    ("region_eu_tokyo", 120, 15, 0.5, 0, 0, 0, 300_000, 1500, "between Europe and Tokyo"),
)

# kbit/s, delay and jitter in ms; p, r, loss in bad and loss in good in percent.
_CELLULAR: tuple[tuple[str, float, float, float, tuple[float, float, float, float], str], ...] = (
    ("lte_light", 650, 70, 10, (0.6, 33, 50, 0.05), "LTE, few others in the cell: losses of three packets"),
    ("lte_heavy", 1000, 150, 25, (1.3, 15, 60, 0.1), "LTE, a busy cell: losses of seven packets"),
    ("nr_light", 1150, 45, 7, (0.39, 40, 50, 0.02), "5G, few others in the cell"),
    ("nr_heavy", 1700, 110, 18, (0.67, 20, 60, 0.05), "5G, a busy cell"),
    ("cellular", 4000, 40, 10, (0.2, 20, 5, 0.02), "a cellular link for the schedule cellular"),
)


def _presets() -> dict[str, Preset]:
    found = {}
    for name, delay, jitter, loss, correlation, reorder, duplicate, rate, mtu, about in _MEASURED:
        impairment = Impairment(
            delay_ms=delay,
            jitter_ms=jitter,
            reorder_pct=reorder,
            duplicate_pct=duplicate,
            rate_kbit=rate,
            **_loss(loss, correlation),  # type: ignore[arg-type]
        )
        found[name] = Preset(name=name, about=about, impairment=impairment, mtu=mtu)
    for name, rate, delay, jitter, numbers, about in _CELLULAR:
        impairment = Impairment(delay_ms=delay, jitter_ms=jitter, loss=GilbertElliott(*numbers), rate_kbit=rate)
        found[name] = Preset(name=name, about=about, impairment=impairment)
    return found


PRESETS = MappingProxyType(_presets())
ALIASES = MappingProxyType({"lte_edge": "lte_barely_ok"})

_UPLINKS = {"lte": ("lte_uplink", "lte_downlink"), "nr": ("nr_uplink", "nr_downlink")}
_ENDS = {end: ends for ends in _UPLINKS.values() for end in ends}

#: What a link is in both directions, uplink first: those that differ, and every preset with itself.
PAIRS = MappingProxyType(
    {
        name: (PRESETS[up], PRESETS[down])
        for name, (up, down) in (_UPLINKS | {name: _ENDS.get(name, (name, name)) for name in PRESETS}).items()
    }
)


def preset(name: Any) -> Preset:
    """The preset of that name; ``-`` equals ``_``. Raises `TopologyError` with the nearest name."""
    return find("preset", name, PRESETS, ALIASES)


def pair(name: Any) -> tuple[Preset, Preset]:
    """Uplink and downlink: of ``lte`` or ``nr``, or of a preset (twice itself, if it has no other direction).

    Raises `TopologyError` with the nearest name.
    """
    return find("preset", name, PAIRS, ALIASES)
