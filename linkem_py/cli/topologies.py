"""``linkem topologies``: what comes with linkem_py."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from linkem_py.cli.console import BOLD, DIM, Cell, Paint, columns, paint_stdout, print_json
from linkem_py.cli.shipped import Shipped, find_shipped


def run(options: argparse.Namespace) -> int:
    """List them with their parameters."""
    found = find_shipped()
    if options.json:
        print_json([topology.as_json() for topology in found])
    else:
        for line in table(found, paint_stdout()):
            print(line)
    return 0


def table(topologies: Iterable[Shipped], paint: Paint) -> list[str]:
    """A line for each topology, and one with its parameters. Pure."""
    rows: list[list[Cell]] = []
    for topology in topologies:
        rows.append([(topology.name, BOLD), topology.summary.replace("``", "")])
        if topology.parameters:
            rows.append(["", ("--set " + "  ".join(str(one) for one in topology.parameters), DIM)])
    return columns(rows, paint, indent=0) or ["none"]
