from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.mqtt.backoff import Backoff


def test_bound_doubles_up_to_its_own_bound() -> None:
    backoff = Backoff(0.1, 10.0)
    assert [backoff.bound_s(attempt) for attempt in range(9)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    )


@given(st.integers(0, 10**9), st.integers())
def test_wait_is_never_longer_than_the_bound(attempt: int, seed: int) -> None:
    backoff = Backoff()
    assert 0 <= backoff.wait_s(attempt, Random(seed)) <= backoff.bound_s(attempt) <= 10


def test_clients_do_not_come_back_in_step() -> None:
    waits = {Backoff().wait_s(3, Random(seed)) for seed in range(100)}
    assert len(waits) == 100


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0), (-1, 1)])
def test_bounds_are_positive(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must be > 0"):
        Backoff(*bounds)
