"""All or nothing: carry operations out, and undo exactly what succeeded when one of them fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from linkem_py.errors import OperationError
from linkem_py.model.topology import LinkKey, link_name
from linkem_py.plan.operations import Operation, contained, inverse
from linkem_py.plan.show import describe


class Failure(NamedTuple):
    """Why an operation was not carried out: the kernel's number and words."""

    errno: int
    message: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (os.strerror(self.errno) if self.errno else "", self.message) if part)


#: The outcome of an operation that was never sent, because one before it had failed.
NOT_TRIED = Failure(0, "not tried")

Execute: TypeAlias = Callable[[Sequence[Operation]], list[Failure | None]]
Locate: TypeAlias = Callable[[Operation], LinkKey | None]


def apply_or_roll_back(execute: Execute, operations: Sequence[Operation], locate: Locate | None = None) -> None:
    """Carry out all operations, or none.

    `execute` returns one outcome for each operation: None for success. If any failed, what had
    succeeded is undone in reverse order and `OperationError` names the first that failed.
    """
    outcome = execute(operations)
    failed = [index for index, failure in enumerate(outcome) if failure is not None]
    if not failed:
        return
    first = next((index for index in failed if outcome[index] is not NOT_TRIED), failed[0])
    error = _error(operations[first], outcome[first] or NOT_TRIED, locate)
    for operation, failure in _to_the_end(execute, inverse(_done(operations, outcome))):
        error.rolled_back = False
        error.add_note(f"could not be undone: {describe(operation)}: {failure}")
    raise error


def _done(operations: Sequence[Operation], outcome: Sequence[Failure | None]) -> list[Operation]:
    """What took effect. An object is deleted too when it went with another, whatever its own outcome."""
    deleted = {op.object.key: op.object for op in reversed(operations) if op.verb == "delete"}
    pairs = list(zip(operations, outcome, strict=True))
    gone = contained(
        deleted, [op.object.key for op, failed in pairs if op.verb == "delete" and not op.implied and failed is None]
    )
    return [op for op, failed in pairs if (op.object.key in gone if op.verb == "delete" else failed is None)]


def _to_the_end(execute: Execute, undo: Sequence[Operation]) -> list[tuple[Operation, Failure]]:
    """Carry out what can be, also past a failure; what failed."""
    failures: list[tuple[Operation, Failure]] = []
    while undo:
        pairs = list(zip(undo, execute(undo), strict=True))
        failures += [(op, failed) for op, failed in pairs if failed is not None and failed is not NOT_TRIED]
        rest = [op for op, failed in pairs if failed is NOT_TRIED]
        if len(rest) == len(undo):
            failures += [(op, NOT_TRIED) for op in rest]
            break
        undo = rest
    return failures


def _error(operation: Operation, failure: Failure, locate: Locate | None) -> OperationError:
    link = locate(operation) if locate is not None else None
    text = describe(operation)
    prefix = f"{link_name(link)}: " if link is not None else ""
    return OperationError(
        f"{prefix}{text}: {failure}",
        operation=text,
        namespace=str(getattr(operation.object, "ns", getattr(operation.object, "name", ""))),
        errno=failure.errno,
        message=failure.message,
        link=link,
    )
