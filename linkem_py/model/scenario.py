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
from linkem_py.model.rules import Number, check_peer_name, check_segment_name
from linkem_py.model.schedule.change import LONGEST_S
from linkem_py.model.schedule.fields import needed
from linkem_py.model.schedule.schedule import Schedule
from linkem_py.model.topology import LinkKey, Topology, link_name

SENDER, RECEIVER = "sender", "receiver"


def _preset(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Preset):
        raise TopologyError(attribute.name, "must be a Preset", value)


def _schedule(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, Schedule):
        raise TopologyError(attribute.name, "must be a Schedule", value)


@attrs.frozen(kw_only=True)
class ScenarioLink:
    """A link between two peers of a scenario, by default its sender and its receiver.

    Attributes
    ----------
    name : the segment that it lies on; links of the same peers differ in it
    uplink, downlink : what it is from `source` to `destination`, and back; None: there is no way back
    uplink_schedule, downlink_schedule : what happens on it; None: nothing
    source, destination : the peers
    """

    name: str = attrs.field(validator=lambda _self, _attribute, value: check_segment_name(value))
    uplink: Preset = attrs.field(validator=_preset)
    downlink: Preset | None = attrs.field(validator=attrs.validators.optional(_preset))
    uplink_schedule: Schedule | None = attrs.field(default=None, validator=_schedule)
    downlink_schedule: Schedule | None = attrs.field(default=None, validator=_schedule)
    source: str = attrs.field(default=SENDER, validator=lambda _self, _attribute, value: check_peer_name(value))
    destination: str = attrs.field(default=RECEIVER, validator=lambda _self, _attribute, value: check_peer_name(value))

    def __attrs_post_init__(self) -> None:
        if self.downlink is None and self.downlink_schedule is not None:
            raise TopologyError("downlink_schedule", "needs a downlink", self.downlink_schedule)
        for direction, own, what in (
            ("uplink", self.uplink, self.uplink_schedule),
            ("downlink", self.downlink, self.downlink_schedule),
        ):
            if own is not None and what is not None:
                try:
                    what.check(own.on_link)
                except TopologyError as error:
                    raise error.at(f"{direction} of {self.name}") from None

    @property
    def keys(self) -> tuple[LinkKey, ...]:
        """The directions that it has, as links of a topology."""
        there = (self.source, self.destination, self.name)
        return (there,) if self.downlink is None else (there, (self.destination, self.source, self.name))

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
    seen: set[LinkKey] = set()
    for link in links:
        if not isinstance(link, ScenarioLink):
            raise TopologyError("links", "must be ScenarioLinks", link)
        for key in link.keys:
            if key in seen:
                raise TopologyError("links", "must not have the same name and direction twice", link_name(key))
            seen.add(key)
    return links


def _peers(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@attrs.frozen(kw_only=True)
class Scenario:
    """Peers, what is between them and what happens to it, and how long it takes.

    Attributes
    ----------
    name, about : what it is called, and what happens
    duration_s : how long it takes
    links : at least one
    peers : by default a sender and a receiver

    Raises `TopologyError` naming field, rule and value; also where a schedule could lead to an
    impairment that cannot be.
    """

    name: str = attrs.field()
    about: str = ""
    duration_s: float = attrs.field(validator=needed(Number(above=0, most=LONGEST_S)))
    links: tuple[ScenarioLink, ...] = attrs.field(converter=_links)
    peers: tuple[str, ...] = attrs.field(default=(SENDER, RECEIVER), converter=_peers)

    def __attrs_post_init__(self) -> None:
        self.topology()

    def topology(self) -> Topology:
        """A network of these peers and links, a new one each time. Raises `TopologyError`."""
        network = Topology(self.name)
        for peer in self.peers:
            network.add_peer(peer)
        for link in self.links:
            network.add_link(
                link.source, link.destination, link.uplink.on_link, schedule=link.uplink_schedule, segment=link.name
            )
            if link.downlink is not None:
                network.add_link(
                    link.destination, link.source, link.downlink.on_link,
                    schedule=link.downlink_schedule, segment=link.name,
                )  # fmt: skip
        return network


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
