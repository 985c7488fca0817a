from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linkem_py.errors import TopologyError
from linkem_py.model import DelayTable
from linkem_py.model.distribution import NAMES, SCALE, SIZE, spread_in_jitters, table

# Rounding moves every entry by half a unit at most, and so the mean; the deviation likewise.
ROUNDING = 0.5 / SCALE
TABLES = [name for name in NAMES if name != "uniform"]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_keeps_the_delay_as_its_mean_and_the_jitter_as_its_deviation(name: Any) -> None:
    shape = table(name)
    assert shape is not None
    assert len(shape.values) == SIZE
    assert abs(shape.mean) <= ROUNDING
    assert abs(shape.spread - 1) <= ROUNDING
    assert abs(spread_in_jitters(name) - 1) <= ROUNDING
    assert list(shape.values) == sorted(shape.values)


def test_uniform_jitter_needs_no_table() -> None:
    assert table("uniform") is None
    assert spread_in_jitters("uniform") == pytest.approx(1 / np.sqrt(3))


def test_the_normal_table_is_normal() -> None:
    values = np.asarray(table("normal").values) / SCALE  # type: ignore[union-attr]
    within = [float(np.mean(np.abs(values) < deviations)) for deviations in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=1 / SIZE + 2e-3)
    assert np.allclose(values, -values[::-1], atol=2 * ROUNDING)


def test_the_pareto_table_has_its_tail_above() -> None:
    for shape in (table("pareto"), table("paretonormal")):
        assert shape is not None
        values = np.asarray(shape.values) / SCALE
        assert values.max() == pytest.approx(32767 / SCALE)
        assert values.min() > -3
        assert np.median(values) < 0


def test_tables_are_made_once() -> None:
    assert table("pareto") is table("pareto")
    own = DelayTable([1, 2, 3])
    assert table(own) is own


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50), st.integers(2, 64))
def test_a_table_of_samples_has_their_shape(samples: list[float], size: int) -> None:
    assume(np.ptp(np.quantile(samples, (np.arange(size) + 0.5) / size)) > 1e-6)
    made = DelayTable.from_samples(samples, size=size)
    assert len(made.values) == size
    assert list(made.values) == sorted(made.values)
    assert abs(made.mean) <= 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_table_of_samples_keeps_the_delay_as_its_mean_and_the_jitter_as_its_deviation(seed: int) -> None:
    draw = np.random.default_rng(seed)
    for samples in (draw.exponential(3, 5000), draw.normal(50, 7, 5000), draw.pareto(3, 5000) + 10):
        made = DelayTable.from_samples(samples)
        assert abs(made.mean) <= 2 * ROUNDING
        assert abs(made.spread - 1) <= 2 * ROUNDING


def test_quantiles_of_the_samples_are_entries_of_the_table() -> None:
    made = DelayTable.from_samples([0] * 300 + [10] * 300, size=6, name="two")
    assert made == DelayTable([-SCALE] * 3 + [SCALE] * 3, "two")


def test_a_table_is_packed_as_16_bit_numbers() -> None:
    assert DelayTable([-32768, 0, 32767]).packed() == np.array([-32768, 0, 32767], "=i2").tobytes()
    assert DelayTable(np.arange(3, dtype=np.int16)).values == (0, 1, 2)


def test_a_table_describes_itself_shortly() -> None:
    assert repr(DelayTable([-8192, 8192])) == "DelayTable('table', 2 entries, mean 0, spread 1)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DelayTable([1]), "distribution must have 2 to 16384 entries: 1"),
        (lambda: DelayTable(range(16385)), "distribution must have 2 to 16384 entries: 16385"),
        (lambda: DelayTable([0, 32768]), "distribution entries must be between -32768 and 32767: 32768"),
        (lambda: DelayTable([-32768, 32768]), "distribution entries must be between -32768 and 32767: 32768"),
        (lambda: DelayTable([-32769, 0]), "distribution entries must be between -32768 and 32767: -32769"),
        (lambda: DelayTable([0.5, 1]), "distribution must be made of whole numbers: [0.5, 1]"),  # type: ignore[list-item]
        (lambda: DelayTable(5), "distribution must be made of whole numbers: 5"),  # type: ignore[arg-type]
        (lambda: DelayTable("ab"), "distribution must be made of whole numbers: 'ab'"),  # type: ignore[arg-type]
        (lambda: DelayTable.from_samples([1.0]), "samples must be at least 2: 1"),
        (lambda: DelayTable.from_samples([1.0, float("inf")]), "samples must be finite numbers: inf"),
        (lambda: DelayTable.from_samples([3, 3, 3]), "samples must not all be equal: 3.0"),
        (lambda: DelayTable.from_samples([1, 2], size=1), "size must be between 2 and 16384: 1"),
        (
            lambda: DelayTable.from_samples([0] * 100 + [1], size=4),
            "samples must not all be equal but for fewer than one in 4: 0.0",
        ),
    ],
)
def test_a_table_that_the_kernel_would_not_take_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        make()
    assert str(caught.value) == message
