"""``linkem schedule``: how a link of a running network goes on in time, and what goes on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from linkem_py.cli import words
from linkem_py.cli.changing import accepted, key, say
from linkem_py.cli.console import BOLD, DIM, Cell, columns, paint_stdout, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.cli.reach import reached

_USAGE = "linkem schedule [NAME] SRC DST PRESET, or --file FILE, or --off"


def run(options: argparse.Namespace) -> int:
    """Begin or end a schedule; without a link, list what goes on."""
    given: list[str] = options.arguments
    if options.off and options.file is not None:
        raise UsageError(f"either a schedule begins or one ends: {_USAGE}")
    if len(given) < 2:
        if options.off or options.file is not None:
            raise UsageError(f"a link is named by its two ends: {_USAGE}")
        return _list(options, given[0] if given else None)
    if options.off:
        places, schedule = given, None
    elif options.file is not None:
        from linkem_py.cli.schedule_files import read

        places, schedule = given, read(options.file)
    else:
        places, schedule = given[:-1], {"type": "preset", "name": given[-1]}
    if len(places) not in (2, 3):
        raise UsageError(f"after the link comes its schedule: {_USAGE}")
    return _set(options, places, schedule)


def _set(options: argparse.Namespace, places: Sequence[str], schedule: Mapping[str, Any] | None) -> int:
    name = None if len(places) == 2 else places[0]
    source, destination = places[-2:]
    links = [(source, destination), (destination, source)] if options.both else [(source, destination)]
    changes = [{"src": one, "dst": other, "segment": options.segment, "schedule": schedule} for one, other in links]
    with reached(options, name) as network:
        reply = accepted(network.command("schedule", {"changes": changes}))
        states = {key(row): row for row in network.describe()["links"]}
        rows = [states[one, other, options.segment] for one, other in links if (one, other, options.segment) in states]
        lines = [
            f"{words.link(*key(row))}: schedule {words.schedule(row['schedule'])}"
            if "schedule" in row
            else f"{words.link(*key(row))}: {words.state(row)}, no schedule"
            for row in rows
        ]
        say(options, network, reply, lines, links=rows)
    return 0


def _list(options: argparse.Namespace, name: str | None) -> int:
    with reached(options, name) as network:
        rows = [row for row in network.describe()["links"] if "schedule" in row]
    if options.json:
        print_json({"network": network.name, "links": rows})
        return 0
    paint = paint_stdout()
    if not rows:
        print(f"{paint(network.name, BOLD)}  no schedule goes on")
        return 0
    table: list[list[Cell]] = [[("link", DIM), ("schedule", DIM), ("in force", DIM), ("last change", DIM)]]
    now = time.time()
    for row in rows:
        changed = f"{words.age(now - row['applied_at'])} ago" if row["revision"] else ""
        plain = {name: value for name, value in row.items() if name != "schedule"}
        table.append(
            [(words.link(*key(row)), BOLD), words.schedule(row["schedule"]), words.state(plain), changed],
        )
    print(paint(network.name, BOLD))
    print("\n".join(columns(table, paint)))
    return 0
