from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from linkem_py.control.wire.json import (
    counters,
    counters_json,
    description,
    description_json,
    dump,
    link_state,
    link_state_json,
    stats,
    stats_json,
    topology_json,
)
from linkem_py.control.wire.states import Description, LinkCounters, LinkRate, LinkState
from linkem_py.errors import TopologyError
from linkem_py.model import Impairment
from tests.control.wire import strategies
from tests.control.wire.strategies import json_values, mutated


def sent_and_received(data: Any) -> Any:
    return json.loads(dump(data))


@given(strategies.link_states)
def test_a_links_state_survives_the_wire(sent: LinkState) -> None:
    assert link_state(sent_and_received(link_state_json(sent))) == sent


@given(strategies.descriptions)
def test_a_description_survives_the_wire(sent: Description) -> None:
    assert description(sent_and_received(description_json(sent))) == sent


@given(strategies.counters)
def test_counters_survive_the_wire(sent: LinkCounters) -> None:
    assert counters(sent_and_received(counters_json(sent))) == sent


@given(strategies.rates)
def test_stats_survive_the_wire(sent: LinkRate) -> None:
    assert stats(sent_and_received(stats_json(sent))) == sent


def test_the_topology_is_what_stays_while_impairments_come_and_go() -> None:
    def told(impairment: Impairment, revision: int, groups: tuple[tuple[str, ...], ...]) -> dict[str, Any]:
        state = LinkState(link=("a", "b", "lan"), impairment=impairment, revision=revision, applied_at=revision)
        return topology_json(
            Description(
                name="n",
                topology="t",
                release="6.12",
                seed=1,
                started_at=2.0,
                revision=revision,
                segments={"lan": ("10.0.0.0/16", None)},
                peers={"a": {"lan": ("10.0.0.1",)}, "b": {"lan": ("10.0.0.2",)}},
                links=(state,),
                groups=groups,
            )
        )

    assert told(Impairment(), 0, ()) == told(Impairment(delay_ms=5), 8, ())
    assert told(Impairment(), 0, (("a",), ("b",)))["groups"] == [["a"], ["b"]]
    assert told(Impairment(), 0, ()) == {
        "name": "n",
        "topology": "t",
        "release": "6.12",
        "seed": 1,
        "started_at": 2.0,
        "segments": {"lan": {"ipv4": "10.0.0.0/16", "ipv6": None}},
        "peers": {"a": {"lan": ["10.0.0.1"]}, "b": {"lan": ["10.0.0.2"]}},
        "links": [{"src": "a", "dst": "b", "segment": "lan"}],
        "groups": [],
        "notes": [],
    }


@given(
    mutated(strategies.descriptions.map(description_json))
    | mutated(strategies.rates.map(stats_json))
    | mutated(strategies.link_states.map(link_state_json))
    | json_values
)
def test_nothing_but_request_and_topology_errors_come_out_of_broken_states(value: Any) -> None:
    data = value if isinstance(value, dict) else {"links": value}
    for read in (description, stats, counters, link_state):
        try:
            read(data)
        except TopologyError:
            pass
