"""``linkem show``, ``stats``, ``watch``: what a running network is, counts and does."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from linkem_py.cli import happenings, words
from linkem_py.cli.changing import key
from linkem_py.cli.console import BOLD, DIM, YELLOW, Cell, Paint, columns, paint_stdout, print_json
from linkem_py.cli.reach import reached


def show(options: argparse.Namespace) -> int:
    """``linkem show``."""
    with reached(options, options.network) as network:
        description = network.describe()
    if options.json:
        print_json(description)
    else:
        for line in description_lines(description, paint_stdout(), time.time()):
            print(line)
    return 0


def stats(options: argparse.Namespace) -> int:
    """``linkem stats``: once, or every so often until Ctrl-C."""
    paint = paint_stdout()
    before: dict[tuple[str, str, str], dict[str, Any]] = {}
    with reached(options, options.network) as network:
        while True:
            rows = network.counters()
            for row in rows:
                row.update(_rate(before.get(key(row)), row))
            if options.json:
                _print_rows(rows, one_line=options.interval is not None)
            else:
                print("\n".join(counters_lines(rows, paint)), flush=True)
            if options.interval is None:
                return 0
            before = {key(row): row for row in rows}
            time.sleep(options.interval)


def watch(options: argparse.Namespace) -> int:
    """``linkem watch``: until the network ends, or Ctrl-C."""
    paint = paint_stdout()
    with reached(options, options.network) as network:
        for event in network.events():
            if options.json:
                print(json.dumps(event, ensure_ascii=False), flush=True)
            else:
                print("\n".join(happenings.lines(event, paint)), flush=True)
    return 0


def description_lines(description: Mapping[str, Any], paint: Paint, now: float) -> list[str]:
    """A network as a whole. Pure."""
    topology = "" if description["topology"] == description["name"] else f", topology {description['topology']}"
    lines = [
        f"{paint(description['name'], BOLD)}{topology}, up for {words.age(now - description['started_at'])} on "
        f"Linux {description['release']}, seed {description['seed']}, revision {description['revision']}"
    ]
    lines += [paint(f"note: {note}", YELLOW) for note in description["notes"]]
    if description["groups"]:
        lines.append(paint(f"partition: {words.groups(description['groups'])}", YELLOW))
    for end in description.get("without_carrier", ()):
        lines.append(paint(f"without carrier: {words.end(end['peer'], end['segment'])}", YELLOW))
    lines += [f"{row['peer']} is a {words.gateway(row)}" for row in description.get("gateways", ())]
    lines += ["", *columns(_peers(description), paint), "", *columns(_links(description, now), paint)]
    return lines


def _peers(description: Mapping[str, Any]) -> list[list[Cell]]:
    segments = list(description["segments"])
    rows: list[list[Cell]] = [[("peer", DIM), *((segment, DIM) for segment in segments)]]
    access = description.get("access", {})
    for name, addresses in description["peers"].items():
        on = access.get(name, {})
        cells = ("  ".join((*addresses.get(segment, ()), words.access(on.get(segment, {})))) for segment in segments)
        rows.append([(name, BOLD), *(cell.rstrip() for cell in cells)])
    return rows


def _links(description: Mapping[str, Any], now: float) -> list[list[Cell]]:
    rows: list[list[Cell]] = [[("link", DIM), ("in force", DIM), ("last change", DIM)]]
    for row in description["links"]:
        changed = ""
        if row["revision"]:
            changed = f"{words.age(now - row['applied_at'])} ago, revision {row['revision']}"
        rows.append([(words.link(*key(row)), BOLD), words.state(row), changed])
    return rows


def counters_lines(rows: Sequence[Mapping[str, Any]], paint: Paint) -> list[str]:
    """Counters of links as a table, its numbers aligned on the right. Pure."""
    shown = [["link", "sent", "", "rate now", "drops", "lost", "queue", "backlog"], *map(_counters_row, rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    aligned: list[list[Cell]] = [
        [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        for row in shown
    ]
    aligned[0] = [(str(cell), DIM) for cell in aligned[0]]
    if not any(row[3] for row in shown[1:]):
        aligned = [[*row[:3], *row[4:]] for row in aligned]
    return columns(aligned, paint)


def _counters_row(row: Mapping[str, Any]) -> list[str]:
    return [
        words.link(*key(row)),
        f"{row['packets']:,} packets",
        words.size(row["bytes"]),
        words.rate(1000 * row["rate_kbit"]) if row["interval_s"] else "",
        f"{row['drops']:,}",
        f"{row['lost']:,}",
        f"{row['queue_drops']:,}",
        words.backlog(row["backlog_packets"], row["backlog_bytes"]) or "0 packets",
    ]


def _rate(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """As `LinkRate.between`, on plain values."""
    interval = now["at"] - before["at"] if before is not None else 0.0
    if before is None or interval <= 0 or now["bytes"] < before["bytes"]:
        return {"interval_s": 0.0, "rate_kbit": 0.0}
    return {"interval_s": interval, "rate_kbit": (now["bytes"] - before["bytes"]) * 8 / 1000 / interval}


def _print_rows(rows: list[dict[str, Any]], *, one_line: bool) -> None:
    if one_line:
        print(json.dumps(rows), flush=True)
    else:
        print_json(rows)
