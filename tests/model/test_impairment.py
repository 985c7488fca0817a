from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import DelayTable, FourState, GilbertElliott, Impairment, Slot
from linkem_py.model.impairment import _RULES, FIELDS
from tests import strategies as own

PERCENTAGES = [name for name in FIELDS if name.endswith("_pct")]
TIMES = ["delay_ms", "jitter_ms"]
FLAGS = ["keep_order", "kernel_loss_correlation", "ecn"]
WHOLE = ["reorder_gap", "queue_packets", "seed"]
NUMBERS = [*PERCENTAGES, *TIMES, "rate_kbit", "burst_kb", "queue_ms"]
CANNOT_BE_NONE = [*PERCENTAGES, *TIMES]
LOST = GilbertElliott(1, 10)
CHAIN = "must be below 100: the first packet would decide for all"
NO_MARKS = "ecn needs loss_pct, loss or a queue that marks: it marks what would be lost"
SIZES_ITSELF = "must not stand beside the queue 'cake', which sizes itself"
ONE_QUEUE = "must not stand beside queue_packets (6): give one of them"
SHAPES = "must be one of uniform, normal, pareto, paretonormal, or a DelayTable"


def refused(**fields: Any) -> TopologyError:
    with pytest.raises(TopologyError) as caught:
        Impairment(**fields)
    return caught.value


# --- one field ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("10", "must be a number"),
        (True, "must be a number"),
        ([1], "must be a number"),
        (1j, "must be a number"),
        (math.nan, "must be a finite number"),
        (math.inf, "must be a finite number"),
        (-math.inf, "must be a finite number"),
    ],
    ids=repr,
)
def test_a_number_must_be_a_finite_number(name: str, value: Any, rule: str) -> None:
    error = refused(**{name: value})
    assert (error.field, error.rule) == (name, rule)
    assert str(error) == f"{name} {rule}: {value!r}"


@pytest.mark.parametrize("name", PERCENTAGES)
@pytest.mark.parametrize("value", [-0.001, 100.001, 130, -(10**400), 10**400], ids=lambda value: f"{str(value)[:8]}")
def test_a_percentage_is_between_0_and_100(name: str, value: float) -> None:
    error = refused(**{name: value})
    assert (error.field, error.rule, error.value) == (name, "must be between 0 and 100", value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"delay_ms": -1}, "delay_ms must be between 0 and 3.6e+06: -1"),
        ({"delay_ms": 3_600_001}, "delay_ms must be between 0 and 3.6e+06: 3600001"),
        ({"jitter_ms": -0.1}, "jitter_ms must be between 0 and 2147.48: -0.1"),
        ({"delay_ms": 5000, "jitter_ms": 2148}, "jitter_ms must be between 0 and 2147.48: 2148"),
        ({"rate_kbit": 0}, "rate_kbit must be between 1 and 8e+09: 0"),
        ({"rate_kbit": 0.5}, "rate_kbit must be between 1 and 8e+09: 0.5"),
        ({"rate_kbit": 9e9}, "rate_kbit must be between 1 and 8e+09: 9000000000.0"),
        ({"burst_kb": 0}, "burst_kb must be above 0: 0"),
        ({"burst_kb": -1}, "burst_kb must be above 0: -1"),
        ({"burst_kb": 5e6}, "burst_kb must be between 0 and 4e+06: 5000000.0"),
        ({"queue_ms": 0}, "queue_ms must be above 0: 0"),
        ({"queue_ms": 600_001}, "queue_ms must be between 0 and 600000: 600001"),
        ({"queue_packets": 0}, "queue_packets must be between 1 and 4294967295: 0"),
        ({"queue_packets": 2**32}, "queue_packets must be between 1 and 4294967295: 4294967296"),
        ({"reorder_gap": 0}, "reorder_gap must be between 1 and 4294967295: 0"),
        ({"seed": -1}, "seed must be between 0 and 18446744073709551615: -1"),
        ({"seed": 2**64}, "seed must be between 0 and 18446744073709551615: 18446744073709551616"),
        ({"distribution": "gauss"}, f"distribution {SHAPES}: 'gauss'"),
        ({"distribution": None}, f"distribution {SHAPES}: None"),
        ({"distribution": ["normal"]}, f"distribution {SHAPES}: ['normal']"),
        ({"loss": 5}, "loss must be a GilbertElliott or a FourState: 5"),
    ],
    ids=str,
)  # fmt: skip
def test_a_field_out_of_bounds_is_refused(fields: dict[str, Any], message: str) -> None:
    assert str(refused(**fields)) == message


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1.5, 2.0, "3", True, math.nan], ids=repr)
def test_a_whole_number_must_be_one(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert (error.field, error.rule) == (name, "must be a whole number")


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [1, 0, "yes", None], ids=repr)
def test_a_flag_must_be_true_or_false(name: str, value: Any) -> None:
    error = refused(**{name: value})
    assert (error.field, error.rule, error.value) == (name, "must be true or false", value)


@pytest.mark.parametrize("name", CANNOT_BE_NONE)
def test_what_has_a_value_always_cannot_be_none(name: str) -> None:
    assert str(refused(**{name: None})) == f"{name} must be a number: None"


def test_fields_are_named() -> None:
    with pytest.raises(TypeError):
        Impairment(5)  # type: ignore[call-arg]


# --- rules across fields ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"delay_ms": 10, "jitter_ms": 11}, "jitter_ms must not be above delay_ms (10): 11"),
        ({"jitter_ms": 1}, "jitter_ms must not be above delay_ms (0): 1"),
        ({"delay_ms": 1, "distribution": "normal"}, "distribution needs jitter_ms: 'normal'"),
        ({"delay_ms": 1, "delay_correlation_pct": 5}, "delay_correlation_pct needs jitter_ms: 5"),
        ({"loss_correlation_pct": 5}, "loss_correlation_pct needs loss_pct: 5"),
        ({"duplicate_correlation_pct": 5}, "duplicate_correlation_pct needs duplicate_pct: 5"),
        ({"corrupt_correlation_pct": 5}, "corrupt_correlation_pct needs corrupt_pct: 5"),
        ({"delay_ms": 1, "reorder_correlation_pct": 5}, "reorder_correlation_pct needs reorder_pct: 5"),
        ({"kernel_loss_correlation": True}, "kernel_loss_correlation needs loss_correlation_pct: True"),
        ({"loss_pct": 1, "kernel_loss_correlation": True}, "kernel_loss_correlation needs loss_correlation_pct: True"),
        ({"loss_pct": 5, "loss_correlation_pct": 100}, f"loss_correlation_pct {CHAIN}: 100"),
        ({"loss_pct": 1, "loss": LOST}, f"loss must not stand beside loss_pct (1): give one of them: {LOST!r}"),
        ({"loss_correlation_pct": 5, "loss": LOST}, "loss_correlation_pct needs loss_pct: 5"),
        ({"ecn": True}, f"{NO_MARKS}: True"),
        ({"ecn": True, "loss": GilbertElliott(0, 0)}, f"{NO_MARKS}: True"),
        ({"reorder_pct": 5}, "reorder_pct needs delay_ms: packets sent at once overtake those that wait: 5"),
        ({"delay_ms": 1, "reorder_gap": 5}, "reorder_gap needs reorder_pct: 5"),
        ({"delay_ms": 1, "reorder_pct": 5, "keep_order": True}, "reorder_pct must not stand beside keep_order: 5"),
        ({"burst_kb": 5}, "burst_kb needs rate_kbit: 5"),
        ({"queue_ms": 5}, "queue_ms needs rate_kbit: 5"),
        ({"queue": "cake"}, "queue needs rate_kbit: 'cake'"),
        ({"queue": "red", "rate_kbit": 5}, "queue must be one of fifo, fq_codel, cake: 'red'"),
        ({"queue": "cake", "rate_kbit": 5, "queue_ms": 5}, f"queue_ms {SIZES_ITSELF}: 5"),
        ({"queue": "cake", "rate_kbit": 5, "queue_packets": 5}, f"queue_packets {SIZES_ITSELF}: 5"),
        ({"shaper": "tbf"}, "shaper needs rate_kbit: 'tbf'"),
        ({"shaper": "hfsc", "rate_kbit": 5}, "shaper must be one of htb, tbf, netem, cake: 'hfsc'"),
        (
            {"shaper": "tbf", "rate_kbit": 5, "queue": "cake"},
            "queue needs the shaper 'htb' and must not stand beside 'tbf': 'cake'",
        ),
        (
            {"shaper": "tbf", "rate_kbit": 5, "queue_packets": 5},
            "queue_packets must not stand beside the shaper 'tbf': 5",
        ),
        ({"shaper": "netem", "rate_kbit": 5, "burst_kb": 5}, "burst_kb must not stand beside the shaper 'netem': 5"),
        ({"shaper": "cake", "rate_kbit": 5, "queue_ms": 5}, "queue_ms must not stand beside the shaper 'cake': 5"),
        ({"rate_kbit": 5, "cell_size": 48}, "cell_size needs the shaper 'netem': 48"),
        ({"rate_kbit": 5, "shaper": "netem", "cell_overhead": 5}, "cell_overhead needs cell_size: 5"),
        ({"mtu": 67}, "mtu must be between 68 and 1500: 67"),
        ({"queue_packets": 5}, "queue_packets needs rate_kbit: 5"),
        ({"rate_kbit": 1, "queue_ms": 5, "queue_packets": 6}, f"queue_ms {ONE_QUEUE}: 5"),
    ],
    ids=str,
)  # fmt: skip
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any], message: str) -> None:
    assert str(refused(**fields)) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"delay_ms": 10, "jitter_ms": 10, "distribution": "pareto", "delay_correlation_pct": 100},
        {"delay_ms": 3_600_000},
        {"loss_pct": 100, "loss_correlation_pct": 100},
        {"loss_pct": 5, "loss_correlation_pct": 100, "kernel_loss_correlation": True},
        {"loss": FourState(1, 10), "ecn": True},
        {"delay_ms": 1, "reorder_pct": 100, "reorder_gap": 2**32 - 1},
        {"rate_kbit": 1, "queue_packets": 2**32 - 1, "burst_kb": 4e6},
        {"rate_kbit": 8e9, "queue_ms": 600_000},
        {"seed": 2**64 - 1},
    ],
    ids=str,
)
def test_what_is_within_the_rules_is_accepted(fields: dict[str, Any]) -> None:
    assert Impairment(**fields).set_fields() == fields


# --- copies with changes ------------------------------------------------------------------------


@given(own.impairments())
def test_a_copy_of_all_set_fields_is_equal(impairment: Impairment) -> None:
    assert Impairment.from_mapping(impairment.set_fields()) == impairment
    assert Impairment(**impairment.set_fields()) == impairment
    assert hash(Impairment(**impairment.set_fields())) == hash(impairment)


@given(own.impairments(), own.impairments())
def test_a_change_of_all_fields_gives_the_other_impairment(first: Impairment, second: Impairment) -> None:
    assert first.evolve(**attrs.asdict(second, recurse=False)) == second


@given(own.impairments(), st.sampled_from(FIELDS))
def test_any_setting_can_be_taken_away(impairment: Impairment, name: str) -> None:
    less = impairment.evolve(**{name: None})
    assert name not in less.set_fields()
    assert less.set_fields().items() <= impairment.set_fields().items()


FULL = Impairment(
    delay_ms=10,
    jitter_ms=2,
    distribution="normal",
    delay_correlation_pct=5,
    loss_pct=1,
    loss_correlation_pct=20,
    kernel_loss_correlation=True,
    ecn=True,
    duplicate_pct=1,
    duplicate_correlation_pct=2,
    corrupt_pct=1,
    corrupt_correlation_pct=2,
    reorder_pct=3,
    reorder_correlation_pct=4,
    reorder_gap=5,
    rate_kbit=1000,
    burst_kb=3,
    queue_ms=50,
)


@pytest.mark.parametrize(
    ("changes", "gone", "become"),
    [
        (
            {"delay_ms": None},
            "delay_ms jitter_ms distribution delay_correlation_pct reorder_pct reorder_correlation_pct reorder_gap",
            {},
        ),
        ({"delay_ms": 0, "jitter_ms": 0, "reorder_pct": 0},
         "delay_ms jitter_ms distribution delay_correlation_pct reorder_pct reorder_correlation_pct reorder_gap", {}),
        ({"jitter_ms": 0}, "jitter_ms distribution delay_correlation_pct", {}),
        ({"loss_pct": None}, "loss_pct loss_correlation_pct kernel_loss_correlation ecn", {}),
        ({"loss_correlation_pct": 0}, "loss_correlation_pct kernel_loss_correlation", {}),
        ({"loss": LOST}, "loss_pct loss_correlation_pct kernel_loss_correlation", {"loss": LOST}),
        ({"duplicate_pct": 0}, "duplicate_pct duplicate_correlation_pct", {}),
        ({"corrupt_pct": None}, "corrupt_pct corrupt_correlation_pct", {}),
        ({"reorder_pct": None}, "reorder_pct reorder_correlation_pct reorder_gap", {}),
        ({"rate_kbit": None}, "rate_kbit burst_kb queue_ms", {}),
        ({"queue_packets": 9}, "queue_ms", {"queue_packets": 9}),
        ({"delay_ms": 20}, "", {"delay_ms": 20}),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_what_makes_no_sense_without_a_setting_goes_with_it(
    changes: dict[str, Any], gone: str, become: dict[str, Any]
) -> None:
    expected = {name: value for name, value in FULL.set_fields().items() if name not in gone.split()} | become
    assert FULL.evolve(**changes).set_fields() == expected


def test_one_loss_setting_replaces_the_other() -> None:
    model = Impairment(loss=LOST, ecn=True)
    assert model.evolve(loss_pct=5).set_fields() == {"loss_pct": 5, "ecn": True}
    assert model.evolve(loss_pct=5).evolve(loss=LOST) == model
    assert model.evolve(loss_pct=0) == model


def test_a_change_that_names_both_loss_settings_is_refused() -> None:
    with pytest.raises(TopologyError, match="loss must not stand beside loss_pct"):
        Impairment().evolve(loss_pct=1, loss=LOST)


def test_a_dependent_setting_that_is_named_is_not_dropped_silently() -> None:
    with pytest.raises(TopologyError, match="jitter_ms must not be above"):
        FULL.evolve(delay_ms=0, jitter_ms=2)
    with pytest.raises(TopologyError, match="ecn needs"):
        FULL.evolve(loss_pct=0, ecn=True)


@pytest.mark.parametrize("name", ["delay", "self", "cls", "DELAY_MS", ""])
def test_an_unknown_field_is_refused_with_the_fields_there_are(name: str) -> None:
    message = f"{name} is not a field; the fields are {', '.join(FIELDS)}: 1"
    with pytest.raises(TopologyError) as caught:
        Impairment().evolve(**{name: 1})
    assert str(caught.value) == message
    with pytest.raises(TopologyError) as caught:
        Impairment.from_mapping({name: 1})
    assert str(caught.value) == message


# --- what it says about itself ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("impairment", "mean"),
    [(Impairment(), 0), (Impairment(loss_pct=3), 3), (Impairment(loss=GilbertElliott(10, 30)), 25)],
)
def test_the_mean_loss_is_that_of_whichever_form_is_set(impairment: Impairment, mean: float) -> None:
    assert impairment.mean_loss_pct == pytest.approx(mean)


@pytest.mark.parametrize(
    ("distribution", "spread"),
    [("uniform", 2 / math.sqrt(3)), ("normal", 2), ("pareto", 2), ("paretonormal", 2), (DelayTable([-8192, 8192]), 2)],
    ids=str,
)
def test_the_spread_of_the_delay_is_a_standard_deviation(distribution: Any, spread: float) -> None:
    impairment = Impairment(delay_ms=5, jitter_ms=2, distribution=distribution)
    assert impairment.delay_spread_ms == pytest.approx(spread, rel=1e-3)


def test_an_impairment_says_what_is_set() -> None:
    assert str(Impairment()) == "unimpaired"
    assert str(Impairment(delay_ms=5, loss_pct=1)) == "delay_ms=5, loss_pct=1"
    assert Impairment().is_clear
    assert not Impairment(seed=0).is_clear


# --------------------------------------------------------------------- numbers of other kinds


@pytest.mark.parametrize(
    "value", [np.float32(1.5), np.float64(1.5), np.int64(1), np.uint8(1), Fraction(3, 2), np.array([1.5])[0]]
)
def test_other_kinds_of_number_become_pythons_own(value: Any) -> None:
    for impairment in (Impairment(delay_ms=value), Impairment().evolve(delay_ms=value)):
        assert impairment.delay_ms == value
        assert type(impairment.delay_ms) in (int, float)
    assert type(GilbertElliott(p_pct=value, r_pct=value).p_pct) in (int, float)


def test_a_whole_number_of_another_kind_is_a_whole_number() -> None:
    impairment = Impairment(rate_kbit=100, queue_packets=np.int32(7))
    assert (impairment.queue_packets, type(impairment.queue_packets)) == (7, int)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (np.float32("nan"), "must be a finite number"),
        (np.bool_(True), "must be a number"),
        (np.array([1.0, 2.0]), "must be a number"),
        (Fraction(10**400, 3), "must be a number"),
        (Decimal("1.5"), "must be a number"),
        (1j, "must be a number"),
        (np.float64(-1), "must be between 0 and 3.6e+06"),
    ],
)
def test_a_number_of_another_kind_keeps_the_rules(value: Any, rule: str) -> None:
    makers: list[Callable[..., Impairment]] = [Impairment, Impairment().evolve]
    for make in makers:
        with pytest.raises(TopologyError) as caught:
            make(delay_ms=value)
        assert (caught.value.field, caught.value.rule) == ("delay_ms", rule)


# ------------------------------------------------------------- a change and the long way round

ALTERNATIVES: dict[str, tuple[str, ...]] = {
    "loss": ("loss_pct", "loss_correlation_pct", "kernel_loss_correlation"),
    "loss_pct": ("loss",),
    "queue_ms": ("queue_packets",),
    "queue_packets": ("queue_ms",),
}
DEPENDENTS: dict[str, tuple[str, ...]] = {
    "delay_ms": ("jitter_ms", "reorder_pct"),
    "jitter_ms": ("distribution", "delay_correlation_pct"),
    "loss_pct": ("loss_correlation_pct", "kernel_loss_correlation"),
    "loss_correlation_pct": ("kernel_loss_correlation",),
    "duplicate_pct": ("duplicate_correlation_pct",),
    "corrupt_pct": ("corrupt_correlation_pct",),
    "reorder_pct": ("reorder_correlation_pct", "reorder_gap"),
    "rate_kbit": ("burst_kb", "queue_ms", "queue_packets", "queue", "shaper"),
    "shaper": ("packet_overhead", "cell_size"),
    "cell_size": ("cell_overhead",),
}


def made_anew(old: Impairment, changes: dict[str, Any]) -> Impairment:
    """What `evolve` means, by making the whole again with every check there is."""
    default = attrs.asdict(Impairment(), recurse=False)
    given = {name: default[name] if value is None else value for name, value in changes.items()}
    for first, others in ALTERNATIVES.items():
        if given.get(first) not in (None, 0):
            given |= {name: default[name] for name in others if not any(other in changes for other in others)}
    for first, others in DEPENDENTS.items():
        if first in given and given[first] == default[first]:
            given |= {name: default[name] for name in others if name not in changes}
    lossless = not given.get("loss_pct", old.loss_pct) and given.get("loss", old.loss) is None
    if lossless and given.get("queue", old.queue) == "fifo":
        given.setdefault("ecn", False)
    return attrs.evolve(old, **given)


def outcome(make: Any) -> Any:
    try:
        return make()
    except TopologyError as error:
        return str(error)


percentages = st.sampled_from([None, 0, 0.0, 50, 100, 100.0, 101, -1, "5", True, math.nan]) | st.floats(0, 100)
values: dict[str, st.SearchStrategy[Any]] = {name: percentages for name in FIELDS if name.endswith("_pct")} | {
    "delay_ms": st.sampled_from([None, 0, 1, 20.5, 3000, 4e6, "1"]),
    "jitter_ms": st.sampled_from([None, 0, 0.5, 2000, 2200]),
    "distribution": st.sampled_from([None, "uniform", "normal", "cauchy", DelayTable([-1, 1]), 5]),
    "keep_order": st.sampled_from([None, False, True, 1]),
    "slot": st.sampled_from([None, Slot(10), Slot(10, 5, packets=3), 5]),
    "kernel_loss_correlation": st.sampled_from([None, False, True, "yes"]),
    "loss": st.sampled_from([None, GilbertElliott(1, 20), GilbertElliott(0, 20), FourState(1), 5]),
    "ecn": st.sampled_from([None, False, True, 0]),
    "reorder_gap": st.sampled_from([None, 1, 5, 0, 1.5]),
    "rate_kbit": st.sampled_from([None, 1, 1000.5, 0, 9e9]),
    "burst_kb": st.sampled_from([None, 0, 5, 5e6]),
    "queue_ms": st.sampled_from([None, 0, 5, 700_000]),
    "queue_packets": st.sampled_from([None, 0, 5, 1.5]),
    "queue": st.sampled_from([None, "fifo", "fq_codel", "cake", "red", 5]),
    "shaper": st.sampled_from([None, "htb", "tbf", "netem", "cake", "hfsc"]),
    "packet_overhead": st.sampled_from([None, 0, 5, -5, 1501]),
    "cell_size": st.sampled_from([None, 48, 0]),
    "cell_overhead": st.sampled_from([None, 5, -1501]),
    "mtu": st.sampled_from([None, 68, 1500, 67, 1280.5]),
    "seed": st.sampled_from([None, 0, 7, -1]),
}
settings_of_changes = st.lists(st.sampled_from(FIELDS), unique=True, min_size=1, max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({name: values[name] for name in names})
)


@settings(max_examples=1500)
@given(own.impairments(), settings_of_changes)
def test_a_change_has_the_outcome_of_making_the_whole_anew(old: Impairment, changes: dict[str, Any]) -> None:
    before = attrs.astuple(old, recurse=False)
    new = outcome(lambda: old.evolve(**changes))
    assert new == outcome(lambda: made_anew(old, changes))
    if isinstance(new, Impairment):
        assert hash(new) == hash(made_anew(old, changes))
        assert repr(new) == repr(made_anew(old, changes))
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            new.delay_ms = 5  # type: ignore[misc]
    assert attrs.astuple(old, recurse=False) == before


def test_which_field_is_refused_first_does_not_depend_on_the_order_of_asking() -> None:
    for changes in ({"delay_ms": -1, "loss_pct": -2}, {"loss_pct": -2, "delay_ms": -1}):
        with pytest.raises(TopologyError, match="delay_ms"):
            Impairment().evolve(**changes)


@pytest.mark.parametrize("number", range(len(_RULES)))
@given(own.impairments())
def test_a_rule_reads_the_fields_that_it_names_and_no_others(number: int, impairment: Impairment) -> None:
    rule, fields = _RULES[number]
    assert set(fields) <= set(FIELDS)
    part = SimpleNamespace(**{name: getattr(impairment, name) for name in fields})
    part.mean_loss_pct = impairment.mean_loss_pct if "loss" in fields else None
    rule(part)  # type: ignore[arg-type]  # AttributeError otherwise


@pytest.mark.parametrize("under", [Impairment(rate_kbit=5), Impairment(rate_kbit=5, queue_ms=3, delay_ms=1)], ids=str)
def test_another_rate_is_what_evolve_gives(under: Impairment) -> None:
    for rate_kbit in (7, 7.25, 1.0, 8e9):
        assert under.at_rate(rate_kbit) == under.evolve(rate_kbit=rate_kbit)
        assert hash(under.at_rate(rate_kbit)) == hash(under.evolve(rate_kbit=rate_kbit))
    for wrong in (0.5, math.nan, 8.1e9):
        with pytest.raises(TopologyError, match="rate_kbit must be"):
            under.at_rate(wrong)
