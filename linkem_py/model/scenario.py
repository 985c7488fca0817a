"""Links with what happens on them, for so long: scenarios as values."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.presets.links import Preset, pair
from linkem_py.model.presets.lookup import find
from linkem_py.model.presets.schedules import schedule
from linkem_py.model.rules import Number, check_peer_name
from linkem_py.model.schedule.change import LONGEST_S
from linkem_py.model.schedule.fields import needed
from linkem_py.model.schedule.schedule import Schedule


def _preset(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Preset):
        raise TopologyError(attribute.name, "must be a Preset", value)


def _schedule(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, Schedule):
        raise TopologyError(attribute.name, "must be a Schedule", value)


@attrs.frozen(kw_only=True)
class ScenarioLink:
    """One of the links that a sender and a receiver have between them.

    Attributes
    ----------
    name : of the link; the segment it lies on
    uplink, downlink : what it is from the sender and to it
    uplink_schedule, downlink_schedule : what happens on it; None: nothing
    """

    name: str = attrs.field(validator=lambda _self, _attribute, value: check_peer_name(value))
    uplink: Preset = attrs.field(validator=_preset)
    downlink: Preset = attrs.field(validator=_preset)
    uplink_schedule: Schedule | None = attrs.field(default=None, validator=_schedule)
    downlink_schedule: Schedule | None = attrs.field(default=None, validator=_schedule)

    def __attrs_post_init__(self) -> None:
        for direction, own, what in (
            ("uplink", self.uplink, self.uplink_schedule),
            ("downlink", self.downlink, self.downlink_schedule),
        ):
            if what is not None:
                try:
                    what.check(own.impairment)
                except TopologyError as error:
                    raise error.at(f"{direction} of {self.name}") from None

    @classmethod
    def of(cls, name: str, preset: str, schedules: tuple[str, str] | None = None) -> ScenarioLink:
        """A link from the names of a preset (or pair) and of schedules for uplink and downlink."""
        uplink, downlink = pair(preset)
        if schedules is None:
            return cls(name=name, uplink=uplink, downlink=downlink)
        up, down = (schedule(which).schedule for which in schedules)
        return cls(name=name, uplink=uplink, downlink=downlink, uplink_schedule=up, downlink_schedule=down)


def _links(given: Any) -> tuple[ScenarioLink, ...]:
    links = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
    if not links:
        raise TopologyError("links", "must be at least one ScenarioLink", given)
    names: set[str] = set()
    for link in links:
        if not isinstance(link, ScenarioLink):
            raise TopologyError("links", "must be ScenarioLinks", link)
        if link.name in names:
            raise TopologyError("links", "must not have one name twice", link.name)
        names.add(link.name)
    return links


@attrs.frozen(kw_only=True)
class Scenario:
    """A sender and a receiver, one or several links between them, and how long it takes.

    Raises `TopologyError` naming field, rule and value; also where a schedule could lead to an
    impairment that cannot be.
    """

    name: str
    about: str = ""
    duration_s: float = attrs.field(validator=needed(Number(above=0, most=LONGEST_S)))
    links: tuple[ScenarioLink, ...] = attrs.field(converter=_links)


def _stressed(name: str, rate_kbit: float, delay_ms: float, loss_pct: float) -> ScenarioLink:
    own = Preset(name=name, impairment=Impairment(rate_kbit=rate_kbit, delay_ms=delay_ms, loss_pct=loss_pct))
    return ScenarioLink(name=name, uplink=own, downlink=own)


_ALL = (
    Scenario(name="baseline_good", about="one good link", duration_s=30, links=[ScenarioLink.of("link1", "good")]),
    Scenario(
        name="bonding_asymmetric",
        about="a typical link and a poor one",
        duration_s=120,
        links=[ScenarioLink.of("link1", "typical"), ScenarioLink.of("link2", "poor")],
    ),
    Scenario(
        name="mobile_handover",
        about="LTE with a handover from 60 to 65 s",
        duration_s=180,
        links=[ScenarioLink.of("lte", "lte", ("handover", "handover"))],
    ),
    Scenario(
        name="degrading_network",
        about="good, poor from 30 s, good from 90 s",
        duration_s=120,
        links=[ScenarioLink.of("link1", "good", ("degradation_cycle", "degradation_cycle"))],
    ),
    Scenario(
        name="nr_to_lte_handover",
        about="5G, a spike from 60 to 65 s, then LTE",
        duration_s=120,
        links=[ScenarioLink.of("mobile", "nr", ("nr_to_lte_uplink", "nr_to_lte_downlink"))],
    ),
    Scenario(
        name="nr_mmwave_mobility",
        about="5G millimetre waves with blockages",
        duration_s=120,
        links=[ScenarioLink.of("mmwave", "nr_mmwave", ("nr_mmwave_mobility", "nr_mmwave_mobility"))],
    ),
    Scenario(
        name="nr_network_slicing",
        about="three slices of a 5G network: low latency, broadband, many devices",
        duration_s=300,
        links=[
            ScenarioLink.of("urllc", "nr_urllc"),
            ScenarioLink.of("embb", "nr_embb"),
            ScenarioLink.of("mmtc", "nr_mmtc"),
        ],
    ),
    Scenario(
        name="bonded_stress",
        about="four unequal links, none of which is enough alone",
        duration_s=60,
        links=[
            _stressed("link1", 1000, 20, 0.1),
            _stressed("link2", 700, 30, 0.2),
            _stressed("link3", 350, 45, 0.3),
            _stressed("link4", 150, 60, 0.4),
        ],
    ),
)

SCENARIOS = MappingProxyType({entry.name: entry for entry in _ALL})


def scenario(name: Any) -> Scenario:
    """The scenario of that name; ``-`` equals ``_``. Raises `TopologyError` with the nearest name."""
    return find("scenario", name, SCENARIOS)
