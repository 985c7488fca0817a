"""What a running network can be told to do from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import attrs

from linkem_py.model import LinkKey


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


Command: TypeAlias = Update | Partition | Heal
