"""A picture of a recording: every link over time, asked and measured. Needs matplotlib; draws into a file only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from linkem_py.model.topology import DEFAULT_SEGMENT
from linkem_py.report.pictures import ASKED, BAND, INK, MEASURED
from linkem_py.report.timeline import ABSENT, CARRIER, OUTAGE, PARTITION, Steps, Timeline

MOST_LINKS = 12
SUFFIXES = (".png", ".svg", ".pdf")
_SHADES = {OUTAGE: "#d5dade", PARTITION: "#dccbe9", CARRIER: "#bfd3c6", ABSENT: "#f1ece0"}
_RATES = ((1e6, "Gbit/s"), (1e3, "Mbit/s"), (1.0, "kbit/s"))
_SIZES = ((1e6, "MB"), (1e3, "kB"), (1.0, "B"))


@attrs.frozen
class Row:
    """One kind of panel, which every link has: what its axis says, by what its values are divided, what draws it."""

    name: str
    label: str
    scale: float
    draw: Callable[[Any, Timeline, float], None]


def draw_recording(timelines: Sequence[Timeline], path: Path, *, title: str = "") -> Path:
    """Draw links over time, at most `MOST_LINKS`, into a .png, .svg or .pdf file.

    What no link has is left out: without counters there is nothing measured, without losses no such panels.
    """
    rows = rows_of(timelines)
    columns = 1 if len(timelines) == 1 else 2 if len(timelines) <= 4 else 3
    height = math.ceil(len(timelines) / columns)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "linkem", "path.simplify": True}):
        figure = Figure(
            figsize=(9.0 if columns == 1 else 5.2 * columns, 1.0 + height * (0.6 + 1.15 * len(rows))),
            layout="constrained",
        )
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, color=INK)
        outer = figure.add_gridspec(height, columns)
        for index, one in enumerate(timelines):
            place = divmod(index, columns)
            _draw_link(figure, outer[place].subgridspec(len(rows), 1), one, rows, is_first=place[1] == 0)
        handles, texts = _legend(figure, timelines)
        figure.legend(handles, texts, loc="outside lower center", ncols=min(4, len(texts)), frameon=False, fontsize=9)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def rows_of(timelines: Sequence[Timeline]) -> list[Row]:
    """The kinds of panels that say something of at least one of the links; the delay's if none does."""
    rate, rate_unit = _unit(_RATES, [steps for one in timelines for steps in (one.rate_kbit, one.goodput_kbit)])
    size, size_unit = _unit(_SIZES, [Steps(one.backlog_s, one.backlog_bytes) for one in timelines])
    rows = []
    if any(one.rate_kbit.has_any or one.goodput_kbit.has_any for one in timelines):
        rows.append(Row("rate", f"rate\n({rate_unit})", rate, _draw_rate))
    if not rows or any(one.delay_ms.has_any for one in timelines):
        rows.append(Row("delay", "delay\n(ms)", 1.0, _draw_delay))
    if any(one.loss_pct.has_any or one.lost_pct.has_any for one in timelines):
        rows.append(Row("loss", "loss\n(% of packets)", 1.0, _draw_loss))
    if any(np.any(one.backlog_bytes) for one in timelines):
        rows.append(Row("backlog", f"backlog\n({size_unit})", size, _draw_backlog))
    return rows


def _unit(units: Sequence[tuple[float, str]], series: Sequence[Steps]) -> tuple[float, str]:
    greatest = max((float(np.max(np.nan_to_num(one.values), initial=0.0)) for one in series), default=0.0)
    return next((unit for unit in units if greatest >= unit[0]), units[-1])


def _draw_link(figure: Figure, grid: Any, one: Timeline, rows: Sequence[Row], *, is_first: bool) -> None:
    panels = grid.subplots(sharex=True, squeeze=False)[:, 0]
    for panel, row in zip(panels, rows, strict=True):
        for span in one.spans:
            panel.axvspan(span.start_s, span.end_s, color=_SHADES[span.kind], linewidth=0, zorder=0)
        row.draw(panel, one, row.scale)
        for artist in (*panel.lines, *panel.patches):
            if artist.get_gid() is not None:
                artist.set_gid(f"{artist.get_gid()} {'/'.join(one.key)}")
        panel.set_ylim(0, _top(panel))
        panel.tick_params(labelsize=8)
        panel.yaxis.get_major_locator().set_params(nbins=4)
        if is_first:
            panel.set_ylabel(row.label, fontsize=8)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    source, destination, segment = one.key
    name = f"{source}->{destination}" + ("" if segment == DEFAULT_SEGMENT else f" ({segment})")
    panels[0].set_title(name, fontsize=10, color=INK, loc="left")
    panels[-1].set_xlim(one.start_s, one.end_s)
    panels[-1].set_xlabel("since the recording began (s)", fontsize=8)
    # Those on the left share their margins, and so their labels can stand below each other.
    if is_first:
        figure.align_ylabels(list(panels))


def _top(panel: Any) -> float:
    """Some room above the highest value; an axis without any goes to 1."""
    highest = panel.dataLim.y1
    return 1.12 * highest if math.isfinite(highest) and highest > 0 else 1.0


# --- the panels ----------------------------------------------------------------------------------


def _draw_rate(panel: Any, one: Timeline, scale: float) -> None:
    _measured(panel, one.goodput_kbit, scale, "goodput")
    _asked(panel, one.rate_kbit, scale, "rate")


def _draw_delay(panel: Any, one: Timeline, scale: float) -> None:
    if one.jitter_ms.has_any:
        low, high = (one.delay_ms.values + sign * one.jitter_ms.values for sign in (-1, 1))
        panel.stairs(
            high, one.delay_ms.edges_s, baseline=np.maximum(low, 0), fill=True, color=BAND, linewidth=0, zorder=1,
            gid="jitter",
        )  # fmt: skip
    _asked(panel, one.delay_ms, scale, "delay")


def _draw_loss(panel: Any, one: Timeline, scale: float) -> None:
    _measured(panel, one.lost_pct, scale, "lost")
    _asked(panel, one.loss_pct, scale, "loss")


def _draw_backlog(panel: Any, one: Timeline, scale: float) -> None:
    panel.plot(one.backlog_s, one.backlog_bytes / scale, color=MEASURED, linewidth=1.2, zorder=2, gid="backlog")


def _asked(panel: Any, steps: Steps, scale: float, name: str) -> None:
    if not np.all(np.isnan(steps.values)):
        _stairs(panel, steps, scale, color=ASKED, linewidth=1.4, zorder=3, gid=name)


def _measured(panel: Any, steps: Steps, scale: float, name: str) -> None:
    if not np.all(np.isnan(steps.values)):
        panel.stairs(steps.values / scale, steps.edges_s, fill=True, color=MEASURED, alpha=0.25, linewidth=0, zorder=1)
        _stairs(panel, steps, scale, color=MEASURED, linewidth=1.2, zorder=2, gid=name)


def _stairs(panel: Any, steps: Steps, scale: float, **how: Any) -> None:
    panel.stairs(steps.values / scale, steps.edges_s, baseline=None, **how)


def _legend(figure: Figure, timelines: Sequence[Timeline]) -> tuple[list[Any], list[str]]:
    """What is in the picture, and nothing else."""
    drawn = {str(artist.get_gid()).split()[0] for panel in figure.axes for artist in (*panel.lines, *panel.patches)}
    found: list[tuple[Any, str]] = [(Patch(color=ASKED), "asked")]
    if "jitter" in drawn:
        found.append((Patch(color=BAND), "asked: delay ± jitter"))
    if drawn & {"goodput", "lost", "backlog"}:
        found.append((Patch(color=MEASURED), "measured"))
    kinds = {span.kind for one in timelines for span in one.spans}
    found += [(Patch(color=colour), kind) for kind, colour in _SHADES.items() if kind in kinds]
    return [handle for handle, _ in found], [text for _, text in found]
