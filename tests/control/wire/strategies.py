"""Hypothesis strategies: what can be said over the wire, as values and as JSON."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from linkem_py.control.wire.commands import (
    Carrier,
    Heal,
    LinkSchedule,
    LinkUpdate,
    Partition,
    Readdress,
    Reschedule,
    Switch,
    Update,
)
from linkem_py.control.wire.events import Changed, Missed, Notice, Refused
from linkem_py.control.wire.replies import Problem, Reply
from linkem_py.control.wire.states import Description, GatewayState, LinkCounters, LinkRate, LinkState, RunningSchedule
from linkem_py.model import Access, FourState, GilbertElliott
from linkem_py.model.presets import SCHEDULES
from tests.strategies import impairments

names = st.sampled_from(["a", "b", "c", "peer-1", "p" * 63])
keys = st.tuples(names, names, st.sampled_from(["lan", "lte"]))
ids = st.none() | st.sampled_from(["7", "x", "a b", "é" * 128, "-", "~"]) | st.uuids().map(str)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
times = st.floats(0, 2e9)
counts = st.integers(0, 2**64)

loss_models = st.builds(GilbertElliott, st.just(1.0), st.floats(1, 100), st.floats(0, 100)) | st.builds(
    FourState, st.floats(1, 50), p31_pct=st.none() | st.floats(1, 50)
)
fields = impairments().map(lambda impairment: impairment.set_fields()) | st.fixed_dictionaries(
    {},
    optional={
        "delay_ms": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "loss": st.none() | loss_models,
        "queue_packets": st.none() | st.integers(-(2**70), 2**70),
        "keep_order": st.none() | st.booleans(),
        "distribution": st.none() | texts,
    },
)


@st.composite
def link_updates(draw: st.DrawFn) -> LinkUpdate:
    given = draw(fields)
    return LinkUpdate(draw(keys), given, not given or draw(st.booleans()))


groups = st.lists(st.frozensets(names, min_size=1), min_size=2, max_size=4)
updates = st.builds(
    Update,
    changes=st.lists(link_updates(), min_size=1, max_size=4, unique_by=lambda change: change.link).map(tuple),
    id=ids,
)
# Few: schedules have tests of their own.
schedules = st.sampled_from([SCHEDULES[name].schedule for name in ("handover", "cellular", "bursty_markov")])
reschedules = st.builds(
    Reschedule,
    changes=st.lists(
        st.builds(LinkSchedule, keys, st.none() | schedules),
        min_size=1,
        max_size=3,
        unique_by=lambda change: change.link,
    ).map(tuple),
    id=ids,
)
switches = st.builds(Switch, link=keys, up=st.booleans(), both=st.booleans(), id=ids)
carriers = st.builds(Carrier, peer=names, segment=st.sampled_from(["lan", "lte"]), up=st.booleans(), id=ids)
addresses = st.none() | st.sampled_from(["10.1.0.9", "fd00:2::9", "nonsense"])
readdresses = st.builds(
    Readdress, peer=names, segment=st.sampled_from(["lan", "lte"]), ipv4=addresses, ipv6=addresses, id=ids
)
partitions = st.builds(Partition, groups=groups.map(tuple), id=ids)
# What a schema can say all of.
plain_commands = st.one_of(updates, switches, carriers, readdresses, partitions, st.builds(Heal, id=ids))
commands = plain_commands | reschedules

scalars = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
problems = st.builds(Problem, message=texts, field=texts, rule=texts, value=scalars | texts, kind=texts)
replies = st.builds(
    Reply,
    ok=st.booleans(),
    id=ids,
    revision=counts,
    applied_at=st.none() | times,
    error=st.none() | problems,
)
running = st.builds(RunningSchedule, type=texts, name=texts)
link_states = st.builds(
    LinkState,
    link=keys,
    impairment=impairments(),
    revision=counts,
    applied_at=times,
    schedule=st.none() | running,
    down=st.booleans(),
)
in_force = st.lists(st.lists(names, max_size=3).map(tuple), max_size=3).map(tuple)
accesses = st.builds(
    Access,
    uplink_kbit=st.none() | st.floats(0.001, 8e9),
    downlink_kbit=st.none() | st.floats(0.001, 8e9),
    downlink_at=st.sampled_from(["hub", "peer"]),
    queue_ms=st.none() | st.floats(0.001, 600_000),
)
gateways = st.builds(GatewayState, peer=names, inside=names, outside=names, nat=st.none() | texts)
descriptions = st.builds(
    Description,
    name=texts,
    topology=texts,
    release=texts,
    seed=counts,
    started_at=times,
    revision=counts,
    segments=st.dictionaries(names, st.tuples(texts, st.none() | texts), max_size=2),
    peers=st.dictionaries(
        names, st.dictionaries(names, st.lists(texts, max_size=2).map(tuple), max_size=2), max_size=3
    ),
    links=st.lists(link_states, max_size=2).map(tuple),
    groups=in_force,
    notes=st.lists(texts, max_size=2).map(tuple),
    without_carrier=st.lists(st.tuples(names, names), max_size=2).map(tuple),
    access=st.dictionaries(names, st.dictionaries(names, accesses, max_size=2), max_size=2),
    gateways=st.lists(gateways, max_size=2).map(tuple),
)
counters = st.builds(
    LinkCounters,
    link=keys,
    at=times,
    **{field.name: counts for field in attrs.fields(LinkCounters) if field.name not in ("link", "at")},
)
rates = st.builds(
    LinkRate, counters=counters, interval_s=times, interval_packets=counts, interval_drops=counts, rate_kbit=times
)
events = st.one_of(
    st.builds(
        Changed,
        revision=counts,
        at=times,
        what=texts,
        links=st.lists(link_states, max_size=2).map(tuple),
        removed=st.lists(keys, max_size=2).map(tuple),
        peer=st.none() | names,
        groups=in_force,
    ),
    st.builds(Refused, at=times, error=problems, id=ids),
    st.builds(Notice, at=times, message=texts),
    st.builds(Missed, at=times, count=counts),
)

# Values of JSON, with the names that mean something more often than chance would have them.
WORDS = (
    "id command set changes src dst segment clear groups partition heal delay_ms loss model p_pct gilbert_elliott "
    "distribution table name ok event links a lan schedule type up both peer"
)
words = st.sampled_from(WORDS.split())
leaves = scalars | texts | words
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | texts, inner, max_size=5), max_leaves=12
)


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[Any]) -> Any:
    """JSON with one place in it replaced, removed, or added to."""
    value = draw(valid)
    places: list[tuple[Any, Any]] = []
    _find_places(value, places)
    if not places:
        return draw(json_values)
    inside, where = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["replace", "remove", "add"]))
    if kind == "replace":
        inside[where] = draw(json_values)
    elif kind == "remove":
        del inside[where]
    elif isinstance(inside, dict):
        inside[draw(words | texts)] = draw(json_values)
    else:
        inside.insert(where, draw(json_values))
    return value


def _find_places(value: Any, places: list[tuple[Any, Any]]) -> None:
    rows: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        rows = list(value.items())
    elif isinstance(value, list):
        rows = list(enumerate(value))
    for name, inner in rows:
        places.append((value, name))
        _find_places(inner, places)
