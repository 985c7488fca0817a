"""What happens in a running network, as it happens."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from linkem_py.control.wire.replies import Problem
from linkem_py.control.wire.states import LinkState


@attrs.frozen(kw_only=True)
class Changed:
    """The kernel has taken a change.

    Attributes
    ----------
    revision, at : of the change
    what : as `Applied.what`: ``update``, ``clear``, ``partition``, ``heal``, ``connect``, ``add_link``,
        ``disconnect``, ``add_peer``, ``remove_peer``, ``set_access``, ``set_schedule``, ``schedule``, ``down``,
        ``up``, ``carrier down``, ``carrier up``, ``readdress``, ``join``, ``leave``
    links : the links concerned that exist now, as they are now
    removed : (source, destination, segment) of links that went
    peer : the peer that came or went, whose carrier or access link changed, that joined or left a segment, or
        got other addresses
    groups : the partition in force
    """

    revision: int
    at: float
    what: str
    links: tuple[LinkState, ...] = ()
    removed: tuple[tuple[str, str, str], ...] = ()
    peer: str | None = None
    groups: tuple[tuple[str, ...], ...] = ()


@attrs.frozen(kw_only=True)
class Refused:
    """A command was refused. `id` is its own, None if it had none."""

    at: float
    error: Problem
    id: str | None = None


@attrs.frozen(kw_only=True)
class Notice:
    """Something worth knowing, in words."""

    at: float
    message: str


@attrs.frozen(kw_only=True)
class Missed:
    """So many events are not here, because whoever listens was too slow: look at the whole again."""

    at: float
    count: int


Event: TypeAlias = Changed | Refused | Notice | Missed
