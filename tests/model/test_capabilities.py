from __future__ import annotations

import attrs
import pytest

from linkem_py.model import Capabilities
from linkem_py.model.capabilities import EVERYTHING, NEEDED


def test_nothing_is_missing_by_default() -> None:
    assert Capabilities() == EVERYTHING
    assert EVERYTHING.missing == ()


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Capabilities) if field.name != "release"])
def test_only_what_a_network_cannot_do_without_counts_as_missing(name: str) -> None:
    lacking = Capabilities(**{name: False})  # type: ignore[arg-type]
    assert lacking.missing == ((name,) if name in NEEDED else ())
