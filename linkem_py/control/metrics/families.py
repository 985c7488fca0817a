"""What Prometheus is told of a network, with its conventions for names and units; docs/metrics.md has the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from linkem_py.control.wire.measures import Measures
from linkem_py.control.wire.states import LinkCounters, LinkState
from linkem_py.model import FourState, GilbertElliott, Impairment, LinkKey

LINK_LABELS = ("network", "segment", "source", "destination")

_LOSS = "share of packets that the link loses at random, on average"


class InForce(NamedTuple):
    """A parameter of a link: name, what it is, and its value; a link for which that is None has no sample."""

    name: str
    about: str
    value: Callable[[Impairment], float | None]


class Counted(NamedTuple):
    """A counter of a link; `kind` is total for what only grows, else it is the unit."""

    name: str
    about: str
    field: str
    grows: bool = True


def _loss(impairment: Impairment) -> float:
    model = impairment.loss
    return (model.mean_loss_pct if isinstance(model, GilbertElliott | FourState) else impairment.loss_pct) / 100


PARAMETERS = (
    InForce("linkem_link_delay_seconds", "one-way delay in force", lambda found: found.delay_ms / 1000),
    InForce("linkem_link_jitter_seconds", "jitter of the delay in force", lambda found: found.jitter_ms / 1000),
    InForce("linkem_link_loss_ratio", _LOSS, _loss),
    InForce(
        "linkem_link_duplicate_ratio", "share of packets that are doubled", lambda found: found.duplicate_pct / 100
    ),
    InForce("linkem_link_corrupt_ratio", "share of packets with a bit flipped", lambda found: found.corrupt_pct / 100),
    InForce("linkem_link_reorder_ratio", "share of packets sent ahead", lambda found: found.reorder_pct / 100),
    InForce(
        "linkem_link_rate_bytes_per_second",
        "rate in force, in Ethernet frames; none if it is unlimited",
        lambda found: None if found.rate_kbit is None else found.rate_kbit * 125,
    ),
)

COUNTERS = (
    Counted("linkem_link_sent_bytes", "bytes that left the link towards its destination", "bytes"),
    Counted("linkem_link_sent_packets", "packets that left the link towards its destination", "packets"),
    Counted("linkem_link_dropped_packets", "packets lost in the link, for whatever reason", "drops"),
    Counted("linkem_link_lost_packets", "packets that the loss in force took", "lost"),
    Counted("linkem_link_queue_dropped_packets", "packets that found the queue full", "queue_drops"),
    Counted("linkem_link_overlimits", "how often the rate made a packet wait", "overlimits"),
    Counted("linkem_link_backlog_bytes", "bytes in the link now, on their way or waiting", "backlog_bytes", False),
    Counted(
        "linkem_link_backlog_packets", "packets in the link now, on their way or waiting", "backlog_packets", False
    ),
)


def families(measures: Measures) -> Iterator[Metric]:
    """Everything that is told of a network."""
    network = measures.description.name
    yield from _network(measures)
    yield from _schedules(measures)
    states = measures.description.links
    for parameter in PARAMETERS:
        family = GaugeMetricFamily(parameter.name, parameter.about, labels=LINK_LABELS)
        for state in states:
            if (value := parameter.value(state.impairment)) is not None:
                family.add_metric(_labels(network, state.link), value)
        yield family
    for counted in COUNTERS:
        yield _counted(network, counted, measures.counters)
    yield from _conditions(network, states, measures)


def _network(measures: Measures) -> Iterator[Metric]:
    found = measures.description
    info = InfoMetricFamily("linkem_network", "the network, and the kernel that it runs on", labels=["network"])
    info.add_metric([found.name], {"topology": found.topology, "kernel": found.release, "seed": str(found.seed)})
    yield info
    for name, about, value in (
        ("linkem_network_start_time_seconds", "when the network was up, since the epoch", found.started_at),
        ("linkem_network_revision", "changes of the network so far", found.revision),
        ("linkem_network_peers", "peers", len(found.peers)),
        ("linkem_network_links", "links, each direction on its own", len(found.links)),
        ("linkem_network_partition_groups", "groups of the partition in force, 0 without one", len(found.groups)),
    ):
        yield _gauge(found.name, name, about, value)


def _schedules(measures: Measures) -> Iterator[Metric]:
    network, pace = measures.description.name, measures.schedules
    yield _gauge(network, "linkem_schedules_running", "schedules that go on", pace.running)
    yield _gauge(network, "linkem_schedules_failed", "schedules that an error ended", pace.failed)
    for name, about, value in (
        ("linkem_schedule_ticks", "batches of scheduled changes made", pace.ticks),
        ("linkem_schedule_late_ticks", "those begun more than 10 ms after they were due", pace.late),
    ):
        counter = CounterMetricFamily(name, about, labels=["network"])
        counter.add_metric([network], value)
        yield counter
    about = "the longest that a batch took from due to made"
    yield _gauge(network, "linkem_schedule_longest_lag_seconds", about, pace.longest_s)


def _conditions(network: str, states: tuple[LinkState, ...], measures: Measures) -> Iterator[Metric]:
    down, outages = set(measures.down), set(measures.outages)
    columns: tuple[tuple[str, str, Callable[[LinkState], float]], ...] = (
        ("linkem_link_up", "0 while nothing may enter the link: down, or an outage", _is_up(down | outages)),
        ("linkem_link_down", "1 while somebody has taken the link down", lambda state: state.link in down),
        ("linkem_link_outage", "1 while its schedule has an outage", lambda state: state.link in outages),
        ("linkem_link_revision", "revision of the link's last change", lambda state: state.revision),
        (
            "linkem_link_last_change_timestamp_seconds",
            "when the kernel took the link's last change, since the epoch",
            lambda state: state.applied_at,
        ),
    )
    for name, about, value in columns:
        family = GaugeMetricFamily(name, about, labels=LINK_LABELS)
        for state in states:
            family.add_metric(_labels(network, state.link), float(value(state)))
        yield family


def _is_up(out: set[LinkKey]) -> Callable[[LinkState], float]:
    return lambda state: state.link not in out


def _counted(network: str, counted: Counted, rows: tuple[LinkCounters, ...]) -> Metric:
    kind = CounterMetricFamily if counted.grows else GaugeMetricFamily
    family = kind(counted.name, counted.about, labels=LINK_LABELS)
    for row in rows:
        family.add_metric(_labels(network, row.link), getattr(row, counted.field))
    return family


def _gauge(network: str, name: str, about: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["network"])
    family.add_metric([network], value)
    return family


def _labels(network: str, key: LinkKey) -> tuple[str, str, str, str]:
    source, destination, segment = key
    return (network, segment, source, destination)
