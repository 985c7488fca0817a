from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from linkem_py.control.wire.json import dump, fields, fields_json, impairment, impairment_json
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import DelayTable, FourState, GilbertElliott, Impairment, Slot
from tests.control.wire.strategies import json_values, mutated
from tests.strategies import impairments


@given(impairments())
def test_an_impairment_survives_the_wire(sent: Impairment) -> None:
    assert impairment(json.loads(dump(impairment_json(sent)))) == sent


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        (Impairment(), {}),
        (Impairment(delay_ms=5, ecn=True, loss_pct=1), {"delay_ms": 5, "loss_pct": 1, "ecn": True}),
        (
            Impairment(loss=GilbertElliott(1, 2)),
            {
                "loss": {
                    "model": "gilbert_elliott",
                    "p_pct": 1,
                    "r_pct": 2,
                    "bad_loss_pct": 100.0,
                    "good_loss_pct": 0.0,
                }
            },
        ),
        (
            Impairment(loss=FourState(1)),
            {
                "loss": {
                    "model": "four_state",
                    "p13_pct": 1,
                    "p31_pct": None,
                    "p32_pct": 0.0,
                    "p23_pct": 100.0,
                    "p14_pct": 0.0,
                }
            },
        ),
        (
            Impairment(delay_ms=5, jitter_ms=1, distribution=DelayTable([-1, 1], "two")),
            {"delay_ms": 5, "jitter_ms": 1, "distribution": {"table": [-1, 1], "name": "two"}},
        ),
        (Impairment(slot=Slot(10)), {"slot": {"every_ms": 10}}),
        (
            Impairment(slot=Slot(10, 2, DelayTable([-1, 1], "two"), packets=3, kb=0.5)),
            {
                "slot": {
                    "every_ms": 10,
                    "jitter_ms": 2,
                    "distribution": {"table": [-1, 1], "name": "two"},
                    "packets": 3,
                    "kb": 0.5,
                }
            },
        ),
    ],
    ids=str,
)
def test_only_what_is_set_is_on_the_wire_by_its_name(sent: Impairment, data: dict[str, Any]) -> None:
    assert impairment_json(sent) == data


def test_an_impairment_out_of_range_is_refused_by_the_model() -> None:
    with pytest.raises(TopologyError, match="delay_ms must be between"):
        impairment({"delay_ms": -1})


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (10, "slot must be an object"),
        ({}, "slot.every_ms must be given: None"),
        ({"every_ms": 5, "size": 1}, "slot.size"),
        ({"every_ms": 5, "jitter_ms": 6}, r"slot.jitter_ms must not be above every_ms \(5\): 6"),
        ({"every_ms": 5, "jitter_ms": 1, "distribution": {}}, "slot.distribution.table"),
    ],
)
def test_a_broken_slot_names_the_place(slot: Any, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        fields({"slot": slot})


def test_whole_numbers_of_json_are_packets() -> None:
    assert fields({"slot": {"every_ms": 5, "packets": 3.0}}) == {"slot": Slot(5, packets=3)}


def test_null_takes_a_setting_away_both_ways() -> None:
    assert fields({"loss": None, "delay_ms": None}) == {"loss": None, "delay_ms": None}
    assert fields_json({"loss": None, "delay_ms": None}) == {"loss": None, "delay_ms": None}


def test_an_error_outside_a_command_has_no_link() -> None:
    with pytest.raises(RequestError) as caught:
        fields({"loss": 1})
    assert (caught.value.where, caught.value.field) == ("", "loss")


@given(mutated(impairments().map(impairment_json)) | json_values)
def test_nothing_but_request_and_topology_errors_come_out_of_broken_impairments(value: Any) -> None:
    try:
        impairment(value if isinstance(value, dict) else {"loss": value})
    except TopologyError:
        pass
