"""``python -m benchmarks [SECTION ...] [--json FILE]``: run them, print a table, keep the numbers."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row
from benchmarks.sections import SECTIONS


def machine() -> dict[str, str | int]:
    """What the numbers belong to."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in ("model name", "host"):
            model = value.strip()
    return {
        "kernel": platform.release(),
        "kind": "user-mode kernel" if os.environ.get("LINKEM_GUEST") else "host kernel",
        "processor": model,
        "cpus": os.cpu_count() or 1,
        "python": platform.python_version(),
    }


def table(rows: list[Row], where: dict[str, str | int]) -> Table:
    """The rows as a table."""
    made = Table(title=f"Linux {where['kernel']} ({where['kind']}, {where['cpus']} CPU), {where['processor']}")
    for heading, justify in (("", "left"), ("", "right"), ("", "left"), ("aim", "left"), ("", "left")):
        made.add_column(heading, justify=justify)  # type: ignore[arg-type]
    section = ""
    for row in rows:
        if row.section != section:
            made.add_section()
            made.add_row(f"[bold]{row.section}[/bold]")
            section = row.section
        met = "" if row.met is None else "met" if row.met else "MISSED"
        value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
        made.add_row(f"  {row.what}", value, row.unit, row.aim, met)
    return made


def main() -> int:
    """Run what is asked for, all by default."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the numbers go")
    asked = parser.parse_args()
    unknown = [name for name in asked.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"there is no section {unknown[0]!r}; the sections are {', '.join(SECTIONS)}")
    where = machine()
    rows: list[Row] = []
    for name in asked.sections or SECTIONS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += SECTIONS[name]()
    Console(width=None if sys.stdout.isatty() else 150).print(table(rows, where))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps({"machine": where, "rows": [attrs.asdict(row) for row in rows]}, indent=1) + "\n")
    print(f"The numbers are in {asked.json}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
