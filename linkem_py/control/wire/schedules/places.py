"""Where in a schedule's JSON something is wrong, also when the model found it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from linkem_py.control.wire.limits import cut
from linkem_py.control.wire.shape import refuse
from linkem_py.errors import RequestError, TopologyError

# Where the model says that something is, and the member of the object that it is there.
_MEMBERS = {
    "step": "steps",
    "change": "changes",
    "point": "points",
    "span": "spans",
    "state": "states",
    "row of state": "matrix",
}
_PLACE = re.compile(r"(row of state|step|change|point|span|state) (.+)", re.DOTALL)


@contextmanager
def placed(path: str) -> Iterator[None]:
    """The model's errors as errors about what stands under `path`."""
    try:
        yield
    except RequestError:
        raise
    except TopologyError as error:
        refuse(f"{path}.{_member(error)}", error.rule, error.value)


def of_member(path: str, name: str) -> str:
    """The path of a member whose name anybody may have chosen."""
    return f"{path}.{cut(name, 64)}"


def _member(error: TopologyError) -> str:
    found = _PLACE.fullmatch(error.where)
    if found is None:
        return error.field
    inside = "" if error.field in (_MEMBERS[found[1]], "matrix", "span", found[1]) else f".{error.field}"
    name = f"[{found[2]}]" if found[1] in ("step", "change", "point", "span") else f".{cut(found[2], 64)}"
    return f"{_MEMBERS[found[1]]}{name}{inside}"
