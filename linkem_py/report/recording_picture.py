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
from linkem_py.report.timeline import ABSENT, CARRIER, OUTAGE, PARTITION, Steps, Timeline, Values

MOST_LINKS = 12
_SHADES = {OUTAGE: "#d5dade", PARTITION: "#dccbe9", CARRIER: "#bfd3c6", ABSENT: "#f1ece0"}
_RATES = ((1e6, "Gbit/s"), (1e3, "Mbit/s"), (1.0, "kbit/s"))
_SIZES = ((1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_TIMES, _SHARES = ((1.0, "ms"),), ((1.0, "% of packets"),)


@attrs.frozen
class Row:
    """One kind of panel, which every link has.

    Attributes
    ----------
    units : what its values can be divided by, and the unit that they have then, the greatest first
    series : the values, which choose the unit
    """

    name: str
    units: Sequence[tuple[float, str]]
    series: Callable[[Timeline], Sequence[Values]]
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
            _draw_link(figure, outer[place].subgridspec(len(rows), 1), one, rows)
        handles, texts = _legend(figure, timelines)
        figure.legend(
            handles, texts, loc="outside lower center", ncols=5 if columns == 1 else 7, frameon=False, fontsize=9
        )
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def rows_of(timelines: Sequence[Timeline]) -> list[Row]:
    """The kinds of panels that say something of at least one of the links; the delay's if none does."""
    rows = []
    if any(one.rate_kbit.has_any or one.goodput_kbit.has_any for one in timelines):
        rows.append(Row("rate", _RATES, lambda one: (one.rate_kbit.values, one.goodput_kbit.values), _draw_rate))
    if not rows or any(one.delay_ms.has_any for one in timelines):
        rows.append(Row("delay", _TIMES, lambda one: (one.delay_ms.values,), _draw_delay))
    if any(one.loss_pct.has_any or one.lost_pct.has_any for one in timelines):
        rows.append(Row("loss", _SHARES, lambda one: (one.loss_pct.values,), _draw_loss))
    if any(np.any(one.backlog_bytes) for one in timelines):
        rows.append(Row("backlog", _SIZES, lambda one: (one.backlog_bytes,), _draw_backlog))
    return rows


def _unit(units: Sequence[tuple[float, str]], series: Sequence[Values]) -> tuple[float, str]:
    greatest = max(float(np.max(np.nan_to_num(values), initial=0.0)) for values in series)
    return next((unit for unit in units if greatest >= unit[0]), units[-1])


def _draw_link(figure: Figure, grid: Any, one: Timeline, rows: Sequence[Row]) -> None:
    panels = grid.subplots(sharex=True, squeeze=False)[:, 0]
    for panel, row in zip(panels, rows, strict=True):
        for span in one.spans:
            panel.axvspan(span.start_s, span.end_s, color=_SHADES[span.kind], linewidth=0, zorder=0)
        scale, unit = _unit(row.units, row.series(one))
        row.draw(panel, one, scale)
        for artist in (*panel.lines, *panel.patches):
            if artist.get_gid() is not None:
                artist.set_gid(f"{artist.get_gid()} {'/'.join(one.key)}")
        panel.set_ylim(0, _top(panel))
        panel.tick_params(labelsize=8)
        panel.yaxis.get_major_locator().set_params(nbins=4)
        panel.set_ylabel(f"{row.name}\n({unit})", fontsize=8)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    source, destination, segment = one.key
    name = f"{source}->{destination}" + ("" if segment == DEFAULT_SEGMENT else f" ({segment})")
    panels[0].set_title(name, fontsize=10, color=INK, loc="left")
    panels[-1].set_xlim(one.start_s, one.end_s)
    panels[-1].set_xlabel("since the recording began (s)", fontsize=8)
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
