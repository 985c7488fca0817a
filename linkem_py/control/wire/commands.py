"""What a running network can be told to do from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import attrs

from linkem_py.model import LinkKey
from linkem_py.model.schedule import Schedule


class LinkUpdate(NamedTuple):
    """One link's part of an update.

    Attributes
    ----------
    link : (source, destination, segment)
    fields : fields of `Impairment` by name; only these change, None takes a setting away
    clear : no impairment first; then the fields, if there are any
    """

    link: LinkKey
    fields: Mapping[str, Any]
    clear: bool = False


@attrs.frozen(kw_only=True)
class Update:
    """Change links: all of them, or none.

    `id` names the command in its reply; one that comes again with the same `id` is a redelivery.
    """

    changes: tuple[LinkUpdate, ...]
    id: str | None = None


@attrs.frozen(kw_only=True)
class Partition:
    """Cut everything between these groups of peers; replaces an earlier partition."""

    groups: tuple[frozenset[str], ...]
    id: str | None = None


@attrs.frozen(kw_only=True)
class Heal:
    """End the partition."""

    id: str | None = None


class LinkSchedule(NamedTuple):
    """One link's part of a `Reschedule`: the schedule that begins, None to end the one that goes on."""

    link: LinkKey
    schedule: Schedule | None


@attrs.frozen(kw_only=True)
class Reschedule:
    """Have schedules go on over links from what they are now: all of them, or none."""

    changes: tuple[LinkSchedule, ...]
    id: str | None = None


@attrs.frozen(kw_only=True)
class Switch:
    """Let nothing into a link, or again what comes.

    Attributes
    ----------
    link : (source, destination, segment)
    up : whether anything passes from then on
    both : whether the way back goes with it, if there is one
    """

    link: LinkKey
    up: bool
    both: bool = False
    id: str | None = None


@attrs.frozen(kw_only=True)
class Carrier:
    """Take the carrier of a peer's interface on a segment away, or give it back."""

    peer: str
    segment: str
    up: bool
    id: str | None = None


@attrs.frozen(kw_only=True)
class Readdress:
    """Give a peer other addresses on a segment: these, or the next free ones in place of those that are None."""

    peer: str
    segment: str
    ipv4: str | None = None
    ipv6: str | None = None
    id: str | None = None


Command: TypeAlias = Update | Partition | Heal | Reschedule | Switch | Carrier | Readdress
