"""The live view of ``linkem up``: the links as they are now, twice a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

import attrs

from linkem_py.cli import words
from linkem_py.control.station import Station
from linkem_py.control.wire.events import Changed, Event, Missed, Notice, Refused
from linkem_py.control.wire.reports import link_state_json
from linkem_py.control.wire.states import Description, LinkCounters, LinkRate, LinkState
from linkem_py.model import LinkKey

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REFRESH_S = 0.5
_BUSY_SHARE = 5  # of the time, a large network's counters take at most one part in so many
_SURROUNDINGS = 8  # lines of the terminal that are not links
_LEAST_ROWS = 3


@attrs.frozen
class Row:
    """A link, as it is now."""

    state: LinkState
    rate: LinkRate | None


class Picture:
    """What is known of the links: from the description, from then on from events and counters. No I/O."""

    def __init__(self, description: Description) -> None:
        self.states: dict[LinkKey, LinkState]
        self.groups: tuple[tuple[str, ...], ...]
        self.start_again(description)
        self.news = ""
        self._counters: dict[LinkKey, LinkCounters] = {}
        self._rates: dict[LinkKey, LinkRate] = {}

    def start_again(self, description: Description) -> None:
        """Events were missed: this is how it is now."""
        self.states = {state.link: state for state in description.links}
        self.groups = description.groups

    def heard(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Changed):
            self.states.update((state.link, state) for state in event.links)
            for key in event.removed:
                self.states.pop(key, None)
            self.groups = event.groups
        elif isinstance(event, Refused):
            self.news = f"{words.clock(event.at)}  refused: {event.error.message}"
        elif isinstance(event, Notice):
            self.news = f"{words.clock(event.at)}  {event.message}"

    def counted(self, counters: Iterable[LinkCounters]) -> None:
        """New counters."""
        rates = {one.link: LinkRate.between(self._counters.get(one.link), one) for one in counters}
        self._counters = {key: rate.counters for key, rate in rates.items()}
        self._rates = rates

    def rows(self, most: int) -> list[Row]:
        """At most so many links: all of them in order, or else those that changed last, then the busiest."""
        states = list(self.states.values())
        if len(states) > most:
            states.sort(key=lambda state: (-state.revision, -self._busy(state.link)))
        return [Row(state, self._rates.get(state.link)) for state in states[:most]]

    def _busy(self, key: LinkKey) -> float:
        rate = self._rates.get(key)
        return 0.0 if rate is None else rate.rate_kbit


async def show_live(station: Station, console: Console, title: str) -> None:
    """Show the links on a terminal until cancelled."""
    from rich.live import Live

    async with station.events() as events:
        picture = Picture(await station.describe())
        with Live(console=console, auto_refresh=False) as live:
            async with asyncio.TaskGroup() as group:
                group.create_task(_listen(events, picture, station))
                while True:
                    began = time.monotonic()
                    picture.counted(await station.counters())
                    live.update(render(picture, title, console.size.height, time.time()), refresh=True)
                    took = time.monotonic() - began
                    await asyncio.sleep(max(REFRESH_S - took, took * (_BUSY_SHARE - 1)))


async def _listen(events: AsyncIterator[Event], picture: Picture, station: Station) -> None:
    async for event in events:
        if isinstance(event, Missed):
            picture.start_again(await station.describe())
        else:
            picture.heard(event)


def render(picture: Picture, title: str, height: int, now: float) -> RenderableType:
    """The picture, for a terminal of so many lines."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = picture.rows(max(_LEAST_ROWS, height - _SURROUNDINGS))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("link", no_wrap=True)
    table.add_column("asked", no_wrap=True, overflow="ellipsis", ratio=1)
    for heading in ("rate now", "drops", "backlog", "last change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row, now))
    parts: list[RenderableType] = [Text(title, style="bold"), table]
    if more := len(picture.states) - len(rows):
        parts.append(Text(f"and {more:,} more links; those that changed last come first", style="dim"))
    if picture.groups:
        parts.append(Text(f"partition: {words.groups(picture.groups)}", style="yellow"))
    if picture.news:
        parts.append(Text(picture.news, style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def cells(row: Row, now: float) -> list[str]:
    """One row's texts."""
    counters = None if row.rate is None else row.rate.counters
    changed = f"{words.age(now - row.state.applied_at)} ago" if row.state.revision else "–"
    return [
        words.link(*row.state.link),
        words.state(link_state_json(row.state)),
        words.rate(1000 * row.rate.rate_kbit) if row.rate is not None else "",
        f"{counters.drops:,}" if counters is not None else "",
        words.backlog(counters.backlog_packets, counters.backlog_bytes) if counters is not None else "",
        changed,
    ]
