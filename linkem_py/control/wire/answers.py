"""Replies as JSON, both ways, and the problem that an error is."""

from __future__ import annotations

from typing import Any

from linkem_py.control.wire.limits import brief, cut
from linkem_py.control.wire.replies import Problem, Reply
from linkem_py.control.wire.shape import as_flag, as_id, as_number, as_object, as_text, as_whole, member
from linkem_py.errors import LinkemError, OperationError, TopologyError
from linkem_py.model.topology import link_name

_MOST_MESSAGE = 1000


def problem_of(error: BaseException) -> Problem:
    """What may be said outside about an error: everything about one of ours, nothing about another.

    The value is cut, and one that JSON cannot hold becomes text.
    """
    if isinstance(error, TopologyError):
        value = brief(error.value)
        place = f"{error.where}: " if error.where else ""
        message = f"{place}{error.field} {error.rule}" + ("" if error.value is None else f": {value!r}")
        kind, field, rule = type(error).__name__, cut(str(error.field)), cut(error.rule, _MOST_MESSAGE)
        return Problem(message=cut(message, _MOST_MESSAGE), field=field, rule=rule, value=value, kind=kind)
    if isinstance(error, LinkemError):
        message = str(error)
        if isinstance(error, OperationError) and error.link is not None and link_name(error.link) not in message:
            message = f"{link_name(error.link)}: {message}"
        return Problem(message=cut(message, _MOST_MESSAGE), kind=type(error).__name__)
    return Problem(message="the command failed for a reason inside linkem: its log has it", kind="InternalError")


def reply_json(reply: Reply) -> dict[str, Any]:
    """``{"id", "ok", "revision", "applied_at", "error"}``; without ``id`` if the command had none."""
    data: dict[str, Any] = {} if reply.id is None else {"id": reply.id}
    data["ok"] = reply.ok
    data["revision"] = reply.revision
    data["applied_at"] = reply.applied_at
    data["error"] = None if reply.error is None else problem_json(reply.error)
    return data


def reply(data: dict[str, Any]) -> Reply:
    """A reply from its JSON; what it has besides is passed over. Raises `RequestError`."""
    at, error = data.get("applied_at"), data.get("error")
    return Reply(
        ok=as_flag(member(data, "ok"), "ok"),
        id=as_id(data.get("id")),
        revision=as_whole(member(data, "revision"), "revision"),
        applied_at=None if at is None else as_number(at, "applied_at"),
        error=None if error is None else problem(error, "error"),
    )


def problem_json(problem: Problem) -> dict[str, Any]:
    """``{"field", "rule", "value", "message", "kind"}``."""
    return {
        "field": problem.field,
        "rule": problem.rule,
        "value": problem.value,
        "message": problem.message,
        "kind": problem.kind,
    }


def problem(value: Any, path: str) -> Problem:
    """A problem from its JSON."""
    data = as_object(value, path)
    texts = {name: as_text(member(data, name, f"{path}."), f"{path}.{name}") for name in _TEXTS}
    return Problem(value=brief(data.get("value")), **texts)


_TEXTS = ("message", "field", "rule", "kind")
