"""Hypothesis strategies: impairments, topologies, and topologies that follow from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import strategies as st

from linkem_py.model import (
    Capabilities,
    DelayTable,
    FourState,
    GilbertElliott,
    Impairment,
    Link,
    LinkKey,
    Slot,
    Topology,
)
from linkem_py.model.distribution import NAMES as NAMES_OF_SHAPES
from linkem_py.model.distribution import Distribution
from linkem_py.model.impairment import QUEUES
from linkem_py.model.topology import Placement
from linkem_py.plan import addressing
from linkem_py.plan.tree import Planner

STRICT_KERNEL = Capabilities(mixed_duplicate=False)
NAMES = ("a", "b", "c", "d", "e")
SEGMENTS = ("lan", "lte", "nr")
KINDS = ("remove_link", "add_link", "disconnect", "connect", "set", "remove_peer", "add_peer", "access")

percentages = st.sampled_from([0.1, 1.0, 2.5, 33.3, 99.0]) | st.floats(0.001, 99.9)
segments = st.sampled_from(SEGMENTS)
kernels = st.builds(Capabilities, mixed_duplicate=st.booleans(), seed=st.booleans(), gact=st.booleans())
seeds = st.none() | st.integers(0, 2**64 - 1)


def losses() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.just({}),
        st.fixed_dictionaries({"loss_pct": percentages}, optional={"loss_correlation_pct": percentages}),
        st.builds(GilbertElliott, percentages, percentages, percentages, percentages).map(
            lambda model: {"loss": model}
        ),
        st.builds(FourState, st.floats(0.1, 40), st.floats(1, 40), st.floats(0, 40), percentages, st.floats(0, 40)).map(
            lambda model: {"loss": model}
        ),
    )


tables = st.builds(DelayTable, st.lists(st.integers(-32768, 32767), min_size=2, max_size=5))
shapes: st.SearchStrategy[Distribution] = st.sampled_from(NAMES_OF_SHAPES) | tables


@st.composite
def slots(draw: st.DrawFn) -> Slot:
    """Any slot that is allowed."""
    every_ms = draw(st.floats(0.001, 1000))
    jitter_ms = draw(st.just(0.0) | st.floats(0.0005, 1).map(lambda share: share * every_ms))
    shape: Distribution = draw(shapes) if jitter_ms else "uniform"
    packets, kb = draw(st.none() | st.integers(1, 2**31 - 1)), draw(st.none() | st.floats(0.01, 2e6))
    return Slot(every_ms, jitter_ms, shape, packets, kb)


@st.composite
def impairments(draw: st.DrawFn) -> Impairment:
    """Any impairment that is allowed."""
    fields: dict[str, Any] = draw(losses())
    if fields:
        fields["ecn"] = draw(st.booleans())
    if draw(st.booleans()):
        fields["delay_ms"] = draw(st.floats(0.001, 2000))
        if draw(st.booleans()):
            fields["jitter_ms"] = draw(st.floats(0.0005, 1).map(lambda share: share * fields["delay_ms"]))
            fields["distribution"] = draw(shapes)
            fields["delay_correlation_pct"] = draw(st.sampled_from([0.0, 25.0]))
    if draw(st.booleans()):
        fields["slot"] = draw(slots())
    if draw(st.booleans()):
        fields |= draw(_with_correlation("duplicate"))
    if draw(st.booleans()):
        fields |= draw(_with_correlation("corrupt"))
    if "delay_ms" in fields and draw(st.booleans()):
        fields |= draw(_with_correlation("reorder"))
        fields["reorder_gap"] = draw(st.none() | st.integers(1, 10))
    elif draw(st.booleans()):
        fields["keep_order"] = True
    if draw(st.booleans()):
        fields["rate_kbit"] = draw(st.floats(1, 8e9))
        fields["burst_kb"] = draw(st.none() | st.floats(0.1, 4e6))
        if draw(st.integers(0, 3)) == 3:
            return Impairment(**fields | draw(shapers), seed=draw(seeds))
        fields["queue"] = draw(st.sampled_from(QUEUES))
        fields |= {} if fields["queue"] == "cake" else draw(queues)
        if fields["queue"] != "fifo":
            fields["ecn"] = draw(st.booleans())
    fields["mtu"] = draw(st.none() | st.integers(68, 1500))
    fields["seed"] = draw(seeds)
    return Impairment(**fields)


def _with_correlation(event: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({f"{event}_pct": percentages}, optional={f"{event}_correlation_pct": percentages})


queues: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"queue_ms": st.floats(0.1, 600_000)}),
    st.fixed_dictionaries({"queue_packets": st.integers(1, 2**32 - 1)}),
)
cells = st.integers(1, 1000)
waits = st.floats(0.1, 600_000)
shapers: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"shaper": st.just("tbf")}, optional={"queue_ms": waits, "burst_kb": st.floats(0.1, 4e6)}),
    st.fixed_dictionaries(
        {"shaper": st.just("netem")}, optional={"queue_ms": waits, "packet_overhead": st.integers(-100, 100)}
    ),
    st.fixed_dictionaries({"shaper": st.just("netem"), "cell_size": cells}, optional={"cell_overhead": cells}),
    st.just({"shaper": "cake"}),
).map(lambda fields: {"burst_kb": None, **fields})
placements: st.SearchStrategy[Placement | None] = st.none() | st.sampled_from(["sender", "hub"])
accesses: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "uplink_kbit": st.none() | st.floats(1, 8e9),
        "downlink_kbit": st.none() | st.floats(1, 8e9),
        "downlink_at": st.sampled_from([None, "hub", "peer"]),
        "queue_ms": st.none() | st.floats(0.1, 600_000),
    },
)
settings = st.fixed_dictionaries(
    {},
    optional={
        "ipv6": st.none(),
        "unlinked": st.just("blocked"),
        "classifier": st.just("prio"),
        "duplicates": st.sampled_from(["strict", "isolate"]),
        "offload": st.just(True),
        "placement": st.just("hub"),
    },
)


@st.composite
def topologies(draw: st.DrawFn, settings: st.SearchStrategy[dict[str, Any]] = settings) -> Topology:
    """A small topology; some have peers without links before the others, so that numbers are higher."""
    topology = Topology("t", **draw(settings))
    for number in range(30 if draw(st.integers(0, 9)) == 9 else 0):
        topology.add_peer(f"filler{number}")
    for name in draw(st.permutations(NAMES))[: draw(st.integers(2, len(NAMES)))]:
        topology.add_peer(name, placement=draw(placements))
    named = [name for name in topology.peers if name in NAMES]
    couples = [(first, second) for first in named for second in named if first < second]
    several = draw(st.booleans())
    for segment in draw(st.lists(st.sampled_from(SEGMENTS[1:]), unique=True)) if several else ():
        topology.add_segment(segment)
    ways = st.tuples(st.sampled_from(couples), segments if several else st.just("lan"))
    for (first, second), segment in draw(st.lists(ways, unique=True, max_size=4)):
        there, back = draw(st.sampled_from([(True, True), (True, False), (False, True)]))
        if there:
            topology.add_link(first, second, draw(impairments()), segment=segment)
        if back:
            topology.add_link(second, first, draw(impairments()), segment=segment)
    if several:
        for name in draw(st.lists(st.sampled_from(named), unique=True, max_size=2)):
            topology.join(name, draw(st.sampled_from(sorted(topology.segments))))
    if topology.classifier == "htb" and draw(st.booleans()):
        for name in draw(st.lists(st.sampled_from(named), unique=True, max_size=3)):
            topology.set_access(name, segment=draw(st.sampled_from(sorted(topology.segments))), **draw(accesses))
    topology.settle()  # as a network does
    for _ in range(draw(st.integers(0, 2))):
        readdress(draw, topology)
    return allowed(topology)


def readdress(draw: Callable[..., Any], topology: Topology) -> tuple[str, str] | None:
    """Give some peer other addresses on a segment that it is on, as a modem gets, or some that it chose."""
    ends = [
        (name, segment) for segment in topology.segments for name in topology.peers if topology.is_on(name, segment)
    ]
    if not ends:
        return None
    name, segment = draw(st.sampled_from(ends))
    found = topology.segments[segment]
    chosen = found.ipv4.network_address + draw(st.integers(1, 60))
    free = all(addressing.ipv4(found, peer) != chosen for peer in topology.peers.values())
    topology.readdress(name, segment=segment, ipv4=str(chosen) if free and draw(st.booleans()) else None)
    return name, segment


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Topology, Topology]:
    """A topology, and what became of it by additions, removals, updates and other addresses."""
    before = draw(topologies())
    after = before
    for _ in range(draw(st.integers(1, 4))):
        after = edited(draw, after)
    if draw(st.booleans()):
        readdress(draw, after)
    return before, after


def edited(draw: Callable[..., Any], topology: Topology) -> Topology:
    """A copy with one edit. A peer that comes has a name that none had before."""
    after = topology.copy()
    names = [name for name in after.peers if not name.startswith("filler")]
    ends = st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True) if len(names) > 1 else None
    kind = draw(st.sampled_from(KINDS))
    if after.classifier == "prio" and kind == "access":
        kind = "set"
    if kind == "add_peer":
        taken = {int(name[3:]) for name in after.peers if name.startswith("new")}
        after.add_peer(
            f"new{max(taken, default=0) + 1}",
            placement=draw(placements),
            **({} if after.classifier == "prio" else draw(accesses)),
        )
    elif kind == "access":
        if names:
            segment = draw(st.sampled_from(sorted(after.segments)))
            after.set_access(draw(st.sampled_from(names)), segment=segment, **draw(accesses))
    elif kind == "remove_peer" and names:
        after.remove_peer(draw(st.sampled_from(names)))
    elif kind in ("connect", "add_link") and ends is not None:
        source, destination = draw(ends)
        segment = draw(segments if len(after.segments) > 1 else st.sampled_from(["lan", "lan", "lte"]))
        there, back = (source, destination, segment) in after.links, (destination, source, segment) in after.links
        if kind == "connect" and not there and not back:
            after.connect(
                source, destination, draw(impairments()), back=draw(st.none() | impairments()), segment=segment
            )
        elif kind == "add_link" and not there:
            after.add_link(source, destination, draw(impairments()), segment=segment)
    elif after.links:
        source, destination, segment = draw(st.sampled_from(list(after.links)))
        if kind == "disconnect":
            after.disconnect(source, destination, segment=segment)
        elif kind == "remove_link":
            after.remove_link(source, destination, segment)
        else:
            after.set_impairment(source, destination, draw(impairments()), segment=segment)
    after.settle()
    return allowed(after)


def allowed(topology: Topology) -> Topology:
    """The topology without the duplication that ``strict`` forbids, and the queues that prio cannot have."""
    if topology.classifier == "prio":
        for link in list(topology.links.values()):
            topology.put_link(attrs.evolve(link, impairment=link.impairment.evolve(queue=None, shaper=None)))
    if topology.duplicates == "strict":
        for link in list(topology.links.values()):
            if len(topology.outgoing(link.source, link.segment)) > 1:
                plain = link.impairment.evolve(duplicate_pct=None)
                topology.put_link(attrs.evolve(link, impairment=plain))
    return topology


def changed(planner: Planner, link: Link, impairment: Impairment) -> Link:
    """A link as a running network changes it: the revision counts what takes a netem message."""
    shaped = link.shaped or impairment.rate_kbit is not None
    new = attrs.evolve(link, impairment=impairment, shaped=shaped)
    if planner.unseeded(link) == planner.unseeded(new):
        return new
    return attrs.evolve(new, revision=link.revision + 1)


def keys_between(before: Topology, after: Topology) -> list[LinkKey]:
    """Links that are in only one of two topologies."""
    return [*(before.links.keys() ^ after.links.keys())]
