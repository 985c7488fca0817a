from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given

from linkem_py.errors import TopologyError
from linkem_py.model import DelayTable, Impairment, Slot
from tests.strategies import slots


@given(slots())
def test_a_slot_is_a_value(slot: Slot) -> None:
    assert attrs.evolve(slot) == slot
    assert hash(attrs.evolve(slot)) == hash(slot)
    assert Impairment(slot=slot).set_fields() == {"slot": slot}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"every_ms": 0}, "every_ms must be between 0.001 and 60000: 0"),
        ({"every_ms": None}, "every_ms must be a number: None"),
        ({"every_ms": 10, "jitter_ms": None}, "jitter_ms must be a number: None"),
        ({"every_ms": 10, "jitter_ms": 11}, r"jitter_ms must not be above every_ms \(10\): 11"),
        ({"every_ms": 5000, "jitter_ms": 1001}, "jitter_ms must be between 0 and 1000: 1001"),
        ({"every_ms": 10, "distribution": "normal"}, "distribution needs jitter_ms: 'normal'"),
        ({"every_ms": 10, "jitter_ms": 1, "distribution": "cauchy"}, "distribution must be one of uniform, normal"),
        ({"every_ms": 10, "packets": 0}, "packets must be between 1 and 2147483647: 0"),
        ({"every_ms": 10, "packets": 1.5}, "packets must be a whole number: 1.5"),
        ({"every_ms": 10, "kb": 0}, "kb must be above 0: 0"),
        (
            {"every_ms": 10, "jitter_ms": 1, "distribution": DelayTable([-1, 1] * 4097)},
            "distribution must have at most 8192 entries: 8194",
        ),
    ],
)
def test_a_broken_rule_names_field_and_value(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(TopologyError, match=text):
        Slot(**fields)


def test_a_slot_between_two_times_is_uniform_around_their_mean() -> None:
    assert Slot.between(10, 20, packets=5) == Slot(15, 5, packets=5)
    assert Slot.between(10, 10, kb=3) == Slot(10, kb=3)
    with pytest.raises(TopologyError, match=r"max_ms must not be below min_ms \(10\): 9"):
        Slot.between(10, 9)


def test_a_link_takes_a_slot_and_nothing_else_for_one() -> None:
    with pytest.raises(TopologyError, match="slot must be a Slot: 5"):
        Impairment(slot=5)  # type: ignore[arg-type]
    assert Impairment(slot=Slot(10)).evolve(slot=None) == Impairment()
