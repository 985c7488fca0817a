"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from linkem_py.model import Topology
from linkem_py.report.model import Report, Verdict
from linkem_py.report.table import (
    SIGNS,
    asked_text,
    error_text,
    interval_text,
    is_told,
    remarks,
    value_text,
    verdict_text,
)

_COUNTERS = ("packets", "bytes", "lost", "queue_drops", "overlimits")


def render_markdown(report: Report, topology: Topology, *, pictures: Sequence[str] = (), remark: str = "") -> str:
    """The whole report as text. `pictures` are names of files to show, `remark` a line about them."""
    when = datetime.fromtimestamp(report.started_at, UTC)
    counts = ", ".join(f"{count} {SIGNS[verdict]} {verdict}" for verdict in Verdict if (count := report.count(verdict)))
    lines = [
        f"# {report.topology}: asked and measured",
        "",
        f"{len(topology.peers)} peers, {len(topology.links)} links; measured {when:%Y-%m-%d %H:%M} UTC.",
        f"Figures: {counts}.",
        "",
    ]
    if "graph.png" in pictures:
        lines += ["![Peers and links](graph.png)", ""]
    lines += ["## Figures", "", *_figures(report), "", "## What the figures include", ""]
    lines += [f"- {line}" for line in _explanations(report)]
    if "distributions.png" in pictures:
        lines += [
            "",
            "## Delays",
            "",
            "![Delays measured, with what was asked](distributions.png)",
            "",
            *_percentiles(report),
        ]
    if remark:
        lines += ["", remark]
    lines += ["", "## What the kernel counted", "", *_counters(report), ""]
    return "\n".join(lines)


def _figures(report: Report) -> list[str]:
    rows = [
        (
            link.name if index == 0 else "",
            figure.name,
            asked_text(figure),
            value_text(figure.measured, figure.unit),
            error_text(figure),
            interval_text(figure),
            f"{figure.samples:,}" if figure.samples else "",
            verdict_text(figure),
        )
        for link in report.links
        for index, figure in enumerate(figure for figure in link.figures if is_told(figure))
    ]
    heads = ("link", "figure", "asked", "measured", "error", "95 % interval", "samples", "verdict")
    return _table(heads, rows, left=(0, 1, 7))


def _explanations(report: Report) -> list[str]:
    return [
        *remarks(report),
        "delay: from right before the send call to the kernel's time stamp at the destination's interface; "
        "jitter: standard deviation of that delay",
        "loss: probes of which no copy arrived; the interval allows for losses that come in bursts",
        "round trip: ICMP echo, answered by the other peer's kernel",
        "full queue: how long packets wait beyond the delay while the link is overfilled",
        "goodput: Ethernet frames without their check sequence, as rates are counted",
        "in parentheses: what was asked comes to this here (see the notes)",
    ]


def _percentiles(report: Report) -> list[str]:
    measured = [link for link in report.links if link.delays is not None]
    if not measured:
        return ["No delay was measured."]
    names = [name for link in measured[:1] if link.delays for name in link.delays.percentiles_ms]
    rows = [
        (link.name, *(f"{link.delays.percentiles_ms[name]:.2f}" for name in names), f"{link.delays.most_ms:.2f}")
        for link in measured
        if link.delays is not None
    ]
    return _table(("ms", *names, "most"), rows, left=(0,))


def _counters(report: Report) -> list[str]:
    rows = [
        (link.name, *(f"{link.stats[name]:,}" if name in link.stats else "" for name in _COUNTERS))
        for link in report.links
    ]
    return _table(("link", *(name.replace("_", " ") for name in _COUNTERS)), rows, left=(0,))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> list[str]:
    cells = [heads, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|".join("-" * (width + 2) if i in left else "-" * (width + 1) + ":" for i, width in enumerate(widths))
    return [line(heads), f"|{rule}|", *(line(row) for row in rows)]
