from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given

from linkem_py.errors import TopologyError
from linkem_py.model import FourState, GilbertElliott, Impairment, ScheduledChange
from linkem_py.model.schedule.fields import clash, difference, number_of
from tests.strategies import impairments

CHAIN = GilbertElliott(1, 20)


def test_fields_change_what_they_name() -> None:
    change = ScheduledChange.of(3, {"rate_kbit": 500})
    assert change.applied_to(Impairment(delay_ms=5, rate_kbit=1000)) == Impairment(delay_ms=5, rate_kbit=500)


def test_none_takes_a_setting_away() -> None:
    assert ScheduledChange.of(0, {"rate_kbit": None}).applied_to(Impairment(rate_kbit=5)) == Impairment()


@given(impairments(), impairments())
def test_an_impairment_replaces_the_whole(before: Impairment, after: Impairment) -> None:
    assert ScheduledChange.of(0, after).applied_to(before) == after


@given(impairments(), impairments())
def test_a_difference_leads_from_one_impairment_to_the_other(before: Impairment, after: Impairment) -> None:
    assert before.evolve(**difference(before, after)) == after


def test_without_fields_nothing_changes() -> None:
    assert ScheduledChange(0.0).applied_to(Impairment(delay_ms=5)) == Impairment(delay_ms=5)
    assert ScheduledChange(0.0, clear=True).applied_to(Impairment(delay_ms=5)) == Impairment()


def test_parameters_of_the_loss_model_are_those_of_the_model_in_force() -> None:
    change = ScheduledChange.of(0, {"loss.p_pct": 2, "loss.bad_loss_pct": 50})
    assert change.applied_to(Impairment(loss=CHAIN)).loss == GilbertElliott(2, 20, 50)


def test_a_model_and_its_parameters_can_come_together() -> None:
    change = ScheduledChange.of(0, {"loss.r_pct": 50, "loss": CHAIN})
    assert change.applied_to(Impairment(loss_pct=5)) == Impairment(loss=GilbertElliott(1, 50))


@pytest.mark.parametrize("under", [Impairment(), Impairment(loss_pct=5), Impairment(loss=FourState(5))])
def test_parameters_of_a_model_that_is_not_there_are_refused(under: Impairment) -> None:
    with pytest.raises(TopologyError, match=r"loss.p_pct needs loss to be a GilbertElliott on this link"):
        ScheduledChange.of(0, {"loss.p_pct": 2}).applied_to(under)


def test_an_outage_stands_beside_the_fields() -> None:
    change = ScheduledChange.of(1, {"outage": True, "rate_kbit": 5})
    assert change == ScheduledChange(1, {"rate_kbit": 5}, outage=True)
    assert ScheduledChange.of(1, {}, outage=True).outage
    assert not ScheduledChange.of(1, Impairment(), outage=True).outage


def test_numbers_of_numpy_become_pythons() -> None:
    change = ScheduledChange.of(np.float64(3), {"rate_kbit": np.float32(5), "queue_packets": np.int16(7)})
    assert [type(value) for value in (change.at_s, *change.fields.values())] == [float, float, int]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"rate": 5}, "rate is not a field (did you mean rate_kbit?); the fields are delay_ms, "),
        ({"xyzzy": 5}, "xyzzy is not a field; the fields are delay_ms, "),
        ({3: 5}, "3 is not a field; the fields are delay_ms, "),
        ({"rate_kbit": 0}, "rate_kbit must be between 1 and 8e+09: 0"),
        ({"loss_pct": float("nan")}, "loss_pct must be a finite number: nan"),
        ({"loss.p_pct": 200}, "loss.p_pct must be between 0 and 100: 200"),
        ({"loss.p_pct": None}, "loss.p_pct must be a number: None"),
        ({"loss": 5}, "loss must be a GilbertElliott or a FourState: 5"),
        ({"outage": 1}, "outage must be true or false: 1"),
        (5, "impairment must be an Impairment or a mapping of its fields: 5"),
    ],
)
def test_what_is_no_change_is_refused(what: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        ScheduledChange.of(0, what)
    assert str(caught.value).startswith(message)


def test_every_field_can_be_scheduled() -> None:
    for field in attrs.fields(Impairment):
        assert ScheduledChange.of(0, {field.name: None}).fields == {field.name: None}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("rate_kbit", "rate_kbit", True),
        ("rate_kbit", "delay_ms", False),
        ("loss", "loss_pct", True),
        ("loss_pct", "loss_correlation_pct", False),
        ("loss_pct", "loss.p_pct", True),
        ("loss", "loss.p_pct", True),
        ("loss.r_pct", "loss.p_pct", False),
        ("queue_ms", "queue_packets", True),
    ],
)
def test_fields_clash_that_replace_each_other(first: str, second: str, expected: bool) -> None:
    assert clash(first, second) is clash(second, first) is expected


def test_numbers_are_found_also_inside_the_loss_model() -> None:
    assert number_of(Impairment(loss=CHAIN), "loss.r_pct") == 20
    assert number_of(Impairment(loss_pct=3), "loss.r_pct") is None
    assert number_of(Impairment(loss_pct=3), "loss_pct") == 3
    assert number_of(Impairment(), "rate_kbit") is None
