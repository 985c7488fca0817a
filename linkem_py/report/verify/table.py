"""A verification as a table for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from linkem_py.report.table import Responsive, value_text
from linkem_py.report.verify.check import Check, Outcome, Verification

SIGNS = {Outcome.WITHIN: "✓", Outcome.OUT: "✗", Outcome.UNDECIDED: "?", Outcome.TOLD: "·"}
STYLES = {Outcome.WITHIN: "green", Outcome.OUT: "bold red", Outcome.UNDECIDED: "yellow", Outcome.TOLD: "dim"}
LEAST_WIDTHS = {"samples": 88, "interval": 118, "tolerance": 104}


def render_verification(found: Verification) -> RenderableType:
    """A rich table: every quantity of every link, asked beside measured. Print it with `rich.console.Console`.

    A narrow terminal gets fewer columns; the verdict is always there.
    """
    return Responsive(lambda width: _table(found, width), remarks(found), summary(found))


def _table(found: Verification, width: int) -> Table:
    table = Table(title=f"{found.topology}: verified", box=box.SIMPLE_HEAD, title_justify="left")
    interval = f"{100 * found.confidence:g} % interval"
    columns = [
        name
        for name in ("link", "asked", "tolerance", "measured", "interval", "samples", "verdict")
        if width >= LEAST_WIDTHS.get(name, 0)
    ]
    for name in columns:
        justify: JustifyMethod = "left" if name in ("link", "verdict") else "right"
        table.add_column(interval if name == "interval" else name, justify=justify, no_wrap=name != "verdict")
    for link in found.links:
        table.add_row(Text(link.name, style="bold"))
        for check in link.checks:
            cells = _cells(check)
            table.add_row(*(cells[name] for name in columns))
        table.add_section()
    return table


def _cells(check: Check) -> dict[str, Text]:
    style = STYLES[check.outcome]
    tolerance = "" if check.tolerance is None else f"±{quantity_text(check.tolerance, check.unit)}"
    interval = ""
    if check.low is not None and check.high is not None:
        low, high = (quantity_text(edge, check.unit) for edge in (check.low, check.high))
        same = low.split(" ")[-1] == high.split(" ")[-1]
        interval = f"{low.split(' ')[0] if same else low} to {high}"
    return {
        "link": Text(f"  {check.quantity}"),
        "asked": Text(("≥ " if check.unit == "p" else "") + quantity_text(check.asked, check.unit)),
        "tolerance": Text(tolerance),
        "measured": Text(
            quantity_text(check.measured, check.unit), style=style if check.outcome is Outcome.OUT else ""
        ),
        "interval": Text(interval),
        "samples": Text(samples_text(check)),
        "verdict": Text(f"{SIGNS[check.outcome]} {check.outcome}", style=style),
    }


def samples_text(check: Check) -> str:
    """How many samples there were, and where those are too few how many it takes: ``900 of 4,000``."""
    if not check.samples and not check.needed:
        return ""
    enough = check.needed is None or check.samples >= check.needed
    return f"{check.samples:,}" if enough else f"{check.samples:,} of {check.needed:,}"


def quantity_text(value: float | None, unit: str) -> str:
    """A value with its unit; a probability as it is."""
    if value is None:
        return ""
    if unit == "p":
        return f"{value:.2g}"
    return value_text(value, unit)


def remarks(found: Verification) -> list[str]:
    """What one should know to read the checks: the machine, how sure they are, notes on quantities."""
    checks = sum(check.outcome is not Outcome.TOLD for link in found.links for check in link.checks)
    lines = [
        f"kernel {found.release}, seed {found.seed}, {found.duration_s:.0f} s",
        f"{checks} checks, each judged at {100 * found.level:.5g} %, "
        f"so that all together are {100 * found.confidence:g} % sure",
        f"this machine by itself: {1000 * found.floor_ms:.0f} us one way; delays may be off by "
        f"{value_text(found.allowance_ms, 'ms')} more than their tolerance for that",
    ]
    noted: dict[tuple[str, str], list[str]] = {}
    for link in found.links:
        for check in link.checks:
            if check.note:
                noted.setdefault((check.note, check.quantity), []).append(link.name)
    for (note, quantity), names in noted.items():
        where = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        lines.append(f"{quantity} of {where}: {note}")
    return [*lines, *found.notes]


def summary(found: Verification) -> Text:
    """One line: how many checks ended how."""
    text = Text()
    for outcome in Outcome:
        if count := found.count(outcome):
            text.append(f"{SIGNS[outcome]} {count} {outcome}  ", style=STYLES[outcome])
    return text
