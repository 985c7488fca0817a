from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from linkem_py.control.wire.accesses import accesses, accesses_json, accesses_schema
from linkem_py.errors import RequestError, TopologyError
from linkem_py.model import Access


def test_only_what_differs_from_none_is_told() -> None:
    told = accesses_json({"a": {"lan": Access(uplink_kbit=4000), "lte": Access(downlink_kbit=1, downlink_at="peer")}})
    assert told == {"a": {"lan": {"uplink_kbit": 4000}, "lte": {"downlink_kbit": 1, "downlink_at": "peer"}}}
    assert Draft202012Validator(accesses_schema()).is_valid(told)
    assert accesses(told, "access")["a"]["lan"] == Access(uplink_kbit=4000)


def test_what_a_later_version_says_besides_is_passed_over() -> None:
    assert accesses({"a": {"lan": {"queue_ms": 5, "colour": "red"}}}, "") == {"a": {"lan": Access(queue_ms=5)}}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], RequestError, "access must be an object"),
        ({"a": 1}, RequestError, "access.a must be an object"),
        ({"a": {"lan": 1}}, RequestError, "access.a.lan must be an object"),
        ({"a": {"lan": {"uplink_kbit": "1"}}}, RequestError, "access.a.lan.uplink_kbit must be a number"),
        ({"a": {"lan": {"downlink_at": 1}}}, RequestError, "access.a.lan.downlink_at must be a string"),
        ({"a": {"lan": {"downlink_at": "x"}}}, TopologyError, "downlink_at must be one of"),
    ],
)
def test_what_is_no_access_link_is_refused_by_its_place(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        accesses(value, "access")
