"""A report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from linkem_py.report.model import Figure, Report, Verdict

SIGNS = {Verdict.OK: "✓", Verdict.OUT: "✗", Verdict.FEW: "?", Verdict.NONE: "–", Verdict.FREE: "·"}
STYLES = {Verdict.OK: "green", Verdict.OUT: "bold red", Verdict.FEW: "yellow", Verdict.NONE: "dim", Verdict.FREE: "dim"}
HEADINGS = ("link", "asked", "measured", "error", "95 % interval", "samples", "verdict")
LEAST_WIDTHS = {"error": 92, "samples": 102, "95 % interval": 126}


def render_table(report: Report) -> RenderableType:
    """A rich table: every figure of every link, asked beside measured; then what one should know.

    Print it with `rich.console.Console`. A sign and a word stand beside each colour: ✓ ok, ✗ out
    of tolerance, ? too few samples, – not measured, · not asked. A narrow terminal gets fewer columns.
    """
    return Responsive(lambda width: _table(report, width), remarks(report), summary(report))


class Responsive:
    """A table that leaves columns out where the terminal has no room for them, and what stands below it."""

    def __init__(self, table: Callable[[int], Table], remarks: Iterable[str], summary: RenderableType) -> None:
        self._table = table
        self._below = [*(Text(line, style="dim") for line in remarks), summary]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table(options.max_width)
        yield from self._below


def _table(report: Report, width: int) -> Table:
    table = Table(title=f"{report.topology}: asked and measured", box=box.SIMPLE_HEAD, title_justify="left")
    shown = [heading for heading in HEADINGS if width >= LEAST_WIDTHS.get(heading, 0)]
    for heading in shown:
        justify: JustifyMethod = "left" if heading in ("link", "verdict") else "right"
        table.add_column(heading, justify=justify, no_wrap=heading != "verdict")
    for link in report.links:
        table.add_row(Text(link.name, style="bold"))
        for figure in link.figures:
            if is_told(figure):
                cells = _cells(figure)
                table.add_row(*(cells[heading] for heading in shown))
        table.add_section()
    return table


def _cells(figure: Figure) -> dict[str, Text]:
    style = STYLES[figure.verdict]
    return {
        "link": Text(f"  {figure.name}"),
        "asked": Text(asked_text(figure)),
        "measured": Text(
            value_text(figure.measured, figure.unit), style=style if figure.verdict is Verdict.OUT else ""
        ),
        "error": Text(error_text(figure)),
        "95 % interval": Text(interval_text(figure)),
        "samples": Text(f"{figure.samples:,}" if figure.samples else ""),
        "verdict": Text(verdict_text(figure), style=style),
    }


def summary(report: Report) -> Text:
    """One line: how many figures have which verdict."""
    text = Text()
    for verdict in Verdict:
        if count := report.count(verdict):
            text.append(f"{SIGNS[verdict]} {count} {verdict}  ", style=STYLES[verdict])
    return text


def remarks(report: Report) -> list[str]:
    """What one should know to read the figures: the machine, notes on the links, the network's."""
    machine = report.machine
    lines = [
        f"kernel {report.release}, seed {report.seed}, measured in {report.duration_s:.0f} s",
        f"this machine by itself: {1000 * machine.floor_ms:.0f} us one way without impairment "
        f"(99 %: {1000 * machine.floor_p99_ms:.0f} us), timers {1000 * machine.excess_ms:.0f} us late in the mean; "
        f"delays may be off by {value_text(machine.allowance_ms, 'ms')}; nothing is subtracted",
    ]
    lines += [f"{figures} of {links}: {note}" for note, figures, links in _notes(report)]
    return [*lines, *report.notes]


def is_told(figure: Figure) -> bool:
    """Whether a figure is worth a line: not if nothing was asked, nothing seen, and that is fine."""
    quiet = figure.name in ("duplicates", "reordering")
    return not (quiet and not figure.asked and not figure.measured and figure.verdict is not Verdict.OUT)


def _notes(report: Report) -> Iterable[tuple[str, str, str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for link in report.links:
        for figure in link.figures:
            # A figure that was not measured has its reason in its own line.
            if figure.note and figure.verdict is not Verdict.NONE and is_told(figure):
                found.setdefault((figure.note, figure.name), []).append(link.name)
    for (note, name), links in found.items():
        yield note, name, ", ".join(links[:4]) + (f" and {len(links) - 4} more" if len(links) > 4 else "")


def verdict_text(figure: Figure) -> str:
    """The verdict with its sign, and for what was not measured the reason."""
    text = f"{SIGNS[figure.verdict]} {figure.verdict}"
    if figure.verdict is not Verdict.NONE:
        return text
    if figure.measured is not None:
        return f"{SIGNS[figure.verdict]} {figure.note}"
    return f"{text}: {figure.note}" if figure.note else text


def asked_text(figure: Figure) -> str:
    """What was asked, and what it comes to where that differs: ``10 ms (9.2)``."""
    if figure.asked is None:
        return "" if figure.expected is None else f"({value_text(figure.expected, figure.unit)})"
    text = value_text(figure.asked, figure.unit)
    if figure.expected is not None and (other := value_text(figure.expected, figure.unit)) != text:
        text += f" ({other.split(' ')[0]})"
    return text


def error_text(figure: Figure) -> str:
    """The difference from what was asked, with its sign, and in percent where that says something."""
    if figure.error is None or figure.reference is None:
        return ""
    unit = figure.unit
    text = f"{figure.error:+.2f} ms" if unit == "ms" else ""
    if unit == "%":
        text = f"{figure.error:+.3f} pp" if abs(figure.error) >= 5e-4 else "0 pp"
    elif unit != "ms":
        text = f"{100 * figure.error / figure.reference:+.1f} %"
    return text


def interval_text(figure: Figure) -> str:
    """The interval that holds the true value with 95 %."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = (value_text(bound, figure.unit).split(" ") for bound in (figure.low, figure.high))
    if low[1] == high[1]:
        return f"{low[0]} to {high[0]} {high[1]}"
    return f"{' '.join(low)} to {' '.join(high)}"


def value_text(value: float | None, unit: str) -> str:
    """A value with its unit, no more digits than it deserves: ``40.1 ms``, ``0.21 %``, ``500 Mbit/s``."""
    if value is None:
        return ""
    if unit == "kbit/s" and value >= 1000:
        value, unit = (value / 1e6, "Gbit/s") if value >= 1e6 else (value / 1e3, "Mbit/s")
        return f"{value:.4g} {unit}"
    if unit == "ms":
        return f"{value:.2f} ms" if value < 1000 else f"{value:.1f} ms"
    if unit == "%":
        digits = f"{value:.3g}" if value >= 0.1 else f"{value:.3f}".rstrip("0").rstrip(".")
        return f"{digits} %"
    return f"{value:.4g} {unit}"
