"""All that can be measured of a network at one moment, and its JSON, both ways."""

from __future__ import annotations

from typing import Any

import attrs

from linkem_py.control.wire.reports import counters, counters_json, description, description_json
from linkem_py.control.wire.requests import link, link_json
from linkem_py.control.wire.shape import as_list, as_number, as_object, as_whole, member
from linkem_py.control.wire.states import Description, LinkCounters
from linkem_py.model import LinkKey


@attrs.frozen(kw_only=True)
class SchedulePace:
    """How the schedules of a network keep their times.

    Attributes
    ----------
    running, failed : schedules that go on, and that were ended by an error
    ticks : batches given to the kernel
    late : those begun more than 10 ms after they were due
    longest_s : the longest from due to made, in seconds
    """

    running: int = 0
    failed: int = 0
    ticks: int = 0
    late: int = 0
    longest_s: float = 0.0


@attrs.frozen(kw_only=True)
class Measures:
    """What `Metrics` tells of.

    Attributes
    ----------
    description : the network and what is in force
    counters : of every link
    down : links that nothing enters because somebody took them down
    outages : links that nothing enters because their schedule says so
    schedules : see `SchedulePace`
    """

    description: Description
    counters: tuple[LinkCounters, ...]
    down: tuple[LinkKey, ...] = ()
    outages: tuple[LinkKey, ...] = ()
    schedules: SchedulePace = SchedulePace()


def measures_json(measures: Measures) -> dict[str, Any]:
    """``{"description", "counters", "down", "outages", "schedules"}``."""
    return {
        "description": description_json(measures.description),
        "counters": [counters_json(one) for one in measures.counters],
        "down": [link_json(key) for key in measures.down],
        "outages": [link_json(key) for key in measures.outages],
        "schedules": attrs.asdict(measures.schedules),
    }


def measures(data: dict[str, Any]) -> Measures:
    """Measures from their JSON."""
    rows = as_list(member(data, "counters"), "counters")
    pace = as_object(member(data, "schedules"), "schedules")
    counts = {
        name: as_whole(member(pace, name, "schedules."), f"schedules.{name}")
        for name in ("running", "failed", "ticks", "late")
    }
    longest_s = as_number(member(pace, "longest_s", "schedules."), "schedules.longest_s")
    return Measures(
        description=description(as_object(member(data, "description"), "description")),
        counters=tuple(counters(as_object(row, f"counters[{n}]"), f"counters[{n}].") for n, row in enumerate(rows)),
        down=_links(data, "down"),
        outages=_links(data, "outages"),
        schedules=SchedulePace(**counts, longest_s=longest_s),
    )


def _links(data: dict[str, Any], name: str) -> tuple[LinkKey, ...]:
    rows = as_list(member(data, name), name)
    return tuple(link(as_object(row, f"{name}[{n}]"), f"{name}[{n}].") for n, row in enumerate(rows))
