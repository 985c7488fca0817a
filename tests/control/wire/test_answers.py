from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given

from linkem_py.control.wire.json import dump, problem_of, reply, reply_json
from linkem_py.control.wire.replies import Problem, Reply
from linkem_py.errors import (
    CapabilityError,
    DuplicateRestrictionError,
    LinkemError,
    OperationError,
    RequestError,
    TopologyError,
)
from tests.control.wire.strategies import json_values, mutated, replies


@given(replies)
def test_a_reply_survives_the_wire(sent: Reply) -> None:
    received = reply(json.loads(dump(reply_json(sent))))
    assert received == sent


def test_a_reply_says_what_became_of_a_command() -> None:
    assert reply_json(Reply(ok=True, id="7", revision=3, applied_at=12.5)) == {
        "id": "7",
        "ok": True,
        "revision": 3,
        "applied_at": 12.5,
        "error": None,
    }
    assert "id" not in reply_json(Reply(ok=False))


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert reply({"ok": True, "revision": 1, "duration_s": 0.1}) == Reply(ok=True, revision=1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "ok must be given"),
        ({"ok": 1, "revision": 1}, "ok must be true or false: 1"),
        ({"ok": True, "revision": -1}, "revision must be at least 0: -1"),
        ({"ok": True, "revision": "1"}, "revision must be a whole number: '1'"),
        ({"ok": True, "revision": 1, "applied_at": math.nan}, "applied_at must be a finite number: 'nan'"),
        ({"ok": True, "revision": 1, "applied_at": "now"}, "applied_at must be a number: 'now'"),
        ({"ok": True, "revision": 1, "error": {"message": 1}}, "error.message must be a string: 1"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_reply_is_said(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        reply(data)
    assert problem_of(caught.value).message == message


@given(mutated(replies.map(reply_json)) | json_values)
def test_nothing_but_request_errors_come_out_of_broken_replies(value: Any) -> None:
    try:
        reply(value if isinstance(value, dict) else {"ok": True, "revision": 1, "error": value})
    except RequestError:
        pass


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (
            TopologyError("loss_pct", "must be between 0 and 100", 130, where="link a->b"),
            Problem(
                message="link a->b: loss_pct must be between 0 and 100: 130",
                field="loss_pct",
                rule="must be between 0 and 100",
                value=130,
                kind="TopologyError",
            ),
        ),
        (
            RequestError("peer", "is not in the topology", "x"),
            Problem(
                message="peer is not in the topology: 'x'",
                field="peer",
                rule="is not in the topology",
                value="x",
                kind="RequestError",
            ),
        ),
        (
            RequestError("changes", "must be given"),
            Problem(message="changes must be given", field="changes", rule="must be given", kind="RequestError"),
        ),
        (
            DuplicateRestrictionError("duplicate_pct", "must not stand beside another link", 1.0),
            Problem(
                message="duplicate_pct must not stand beside another link: 1.0",
                field="duplicate_pct",
                rule="must not stand beside another link",
                value=1.0,
                kind="DuplicateRestrictionError",
            ),
        ),
        (
            OperationError("change netem: no memory (errno 12)", link=("a", "b", "lte"), errno=12),
            Problem(message="link a->b (lte): change netem: no memory (errno 12)", kind="OperationError"),
        ),
        (
            OperationError("link a->b: change netem: no memory", link=("a", "b", "lan")),
            Problem(message="link a->b: change netem: no memory", kind="OperationError"),
        ),
        (OperationError("add htb: no memory"), Problem(message="add htb: no memory", kind="OperationError")),
        (CapabilityError("this kernel lacks u32"), Problem(message="this kernel lacks u32", kind="CapabilityError")),
        (LinkemError("other"), Problem(message="other", kind="LinkemError")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_problem_says_what_the_error_says(error: Exception, problem: Problem) -> None:
    assert problem_of(error) == problem


@pytest.mark.parametrize("error", [ValueError("/root/secret.py"), KeyError("x"), ExceptionGroup("g", [OSError("y")])])
def test_of_an_error_that_is_not_ours_nothing_gets_out(error: Exception) -> None:
    problem = problem_of(error)
    assert problem.kind == "InternalError"
    assert problem.message == "the command failed for a reason inside linkem: its log has it"
    assert (problem.field, problem.rule, problem.value) == ("", "", None)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 10**5000, "x" * 100_000, ["y" * 100_000], object(), {1: 2}, "\ud800", b"\xff"],
    ids=type,
)
def test_a_problem_is_small_and_json_whatever_the_value_was(value: Any) -> None:
    problem = problem_of(TopologyError("f" * 100_000, "rule" * 100_000, value))
    sent = dump(reply_json(Reply(ok=False, error=problem)))
    assert len(sent) < 3000
    assert reply(json.loads(sent)).error == problem
