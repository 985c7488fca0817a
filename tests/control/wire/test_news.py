from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from linkem_py.control.wire.events import Changed, Event, Missed, Notice, Refused
from linkem_py.control.wire.json import dump, event, event_json
from linkem_py.control.wire.replies import Problem
from linkem_py.errors import RequestError, TopologyError
from tests.control.wire.strategies import events, json_values, mutated


@given(events)
def test_an_event_survives_the_wire(sent: Event) -> None:
    assert event(json.loads(dump(event_json(sent)))) == sent


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (Changed(revision=1, at=2.0, what="heal"), "changed"),
        (Refused(at=2.0, error=Problem(message="no")), "refused"),
        (Notice(at=2.0, message="hello"), "notice"),
        (Missed(at=2.0, count=3), "missed"),
    ],
)
def test_an_event_says_what_it_is_and_when(sent: Event, name: str) -> None:
    assert event_json(sent)["event"] == name
    assert event_json(sent)["at"] == 2.0


def test_an_event_that_there_is_not_is_refused() -> None:
    with pytest.raises(RequestError, match=r"event is unknown \(did you mean changed\?\): 'change'"):
        event({"event": "change", "at": 1})


@given(mutated(events.map(event_json)) | json_values)
def test_nothing_but_request_and_topology_errors_come_out_of_broken_events(value: Any) -> None:
    try:
        event(value if isinstance(value, dict) else {"event": "changed", "at": 1, "links": value})
    except TopologyError:
        pass
