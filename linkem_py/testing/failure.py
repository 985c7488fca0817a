"""What the report of a failed test says of its networks: every link's state, and what was changed when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkem_py.runtime import Applied, LinkStats, Network, NetworkStats

#: Links and changes that are shown at most: those of a mesh of a hundred peers would hide the failure.
MOST = 60


def describe(network: Network, stats: NetworkStats | None) -> str:
    """A network as text; without `stats` only the impairments that its topology has."""
    return "\n".join([*_links(network, stats), *_partition(network), *_notes(network), *_changes(network)])


def _links(network: Network, stats: NetworkStats | None) -> list[str]:
    default = next(iter(network.topology.segments), "")
    rows = [("link", "packets", "lost", "queue drops", "backlog", "impairment")]
    links = list(network.topology.links.values())
    for link in links[:MOST]:
        source, destination, segment = link.key
        name = f"{source}->{destination}" + (f" ({segment})" if segment != default else "")
        rows.append((name, *_counters(None if stats is None else stats[link.key]), str(link.impairment)))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        f"{row[0]:<{widths[0]}}  "
        + "".join(f"{cell:>{width}}  " for cell, width in zip(row[1:5], widths[1:], strict=True))
        + row[5]
        for row in rows
    ]
    return lines + _more(links, "links")


def _counters(stats: LinkStats | None) -> tuple[str, str, str, str]:
    if stats is None:
        return ("-", "-", "-", "-")
    return (f"{stats.packets:,}", f"{stats.lost:,}", f"{stats.queue_drops:,}", f"{stats.backlog_packets:,}")


def _partition(network: Network) -> list[str]:
    if not network.groups:
        return []
    return ["partition: " + " | ".join(",".join(sorted(group)) for group in network.groups)]


def _notes(network: Network) -> list[str]:
    return [f"note: {note}" for note in network.notes]


def _changes(network: Network) -> list[str]:
    journal = network.journal
    if not len(journal):
        return ["no change since it was built"]
    last = list(journal)[-MOST:]
    earlier = journal.revision - len(last)
    gone = [f"... and {earlier} before them"] if earlier else []
    return ["changes:", *gone, *(_change(applied, network.started_at) for applied in last)]


def _change(applied: Applied, began: float) -> str:
    words = [applied.what, *([applied.peer] if applied.peer else [])]
    if applied.groups and applied.what == "partition":
        words += [" | ".join(",".join(sorted(group)) for group in applied.groups)]
    links = [f"{change.link[0]}->{change.link[1]} {_fields(change.fields.items())}" for change in applied.links[:8]]
    if len(applied.links) > 8:
        links.append(f"... {len(applied.links) - 8} more")
    return f"  +{applied.at - began:.3f} s  {' '.join([*words, '; '.join(links)]).rstrip()}"


def _fields(fields: Iterable[tuple[str, object]]) -> str:
    return " ".join(f"{name}={value}" for name, value in fields)


def _more(shown: Sequence[object], what: str) -> list[str]:
    return [f"... and {len(shown) - MOST} more {what}"] if len(shown) > MOST else []
