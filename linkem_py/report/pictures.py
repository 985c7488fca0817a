"""Pictures of a topology and of measured delays. Needs matplotlib; draws into files only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import Bbox

from linkem_py.model import Impairment, Link, Topology
from linkem_py.model.topology import DEFAULT_SEGMENT
from linkem_py.report.model import LinkReport, Report
from linkem_py.report.table import value_text

INK, MEASURED, ASKED, BAND = "#26323d", "#3b7ea1", "#c4500f", "#f0c9ad"
MOST_LABELS = 45  # pairs of peers; beyond that colours say the delay
ALIKE = 8  # links; more of one kind are described once, in the title
MOST_PANELS = 24
COLUMNS = 3

Places = Mapping[str, tuple[float, float]]


# --- the graph -----------------------------------------------------------------------------------


def draw_graph(topology: Topology, path: Path) -> Path:
    """Peers and links, both directions as curved arrows, each with what it does."""
    places = _places(topology)
    labels = _labels(topology)
    alike = _all_alike(topology)
    crowded = len(labels) > MOST_LABELS and not alike
    side = 11.0 if crowded else max(8.0, 2.2 * math.sqrt(len(topology.peers)) + 0.3 * min(len(labels), 20))
    xs, ys = (np.array([place[axis] for place in places.values()]) for axis in (0, 1))
    width, height = float(np.ptp(xs)) or 1.0, float(np.ptp(ys))
    flat = height < 0.4 * width
    figure = Figure(figsize=(side, side * (0.5 if flat else 0.9)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_title(topology), color=INK)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect("equal")
    room = max(height, 0.4 * width)
    axes.set_xlim(xs.min() - 0.15 * width, xs.max() + 0.15 * width)
    axes.set_ylim((ys.min() + ys.max() - room) / 2 - 0.1 * room, (ys.min() + ys.max() + room) / 2 + 0.1 * room)
    names = {
        name: axes.text(
            *place, name, ha="center", va="center", color="white", fontsize=11 if len(places) <= 30 else 7, zorder=3,
            bbox={"boxstyle": "round,pad=0.45", "facecolor": INK, "edgecolor": "white", "linewidth": 2},
        )
        for name, place in places.items()
    }  # fmt: skip
    figure.canvas.draw()
    longest = max((link.impairment.delay_ms for link in topology.links.values()), default=1.0) or 1.0
    width_of_lines = 0.7 if len(labels) > MOST_LABELS else 1.4
    colours = ScalarMappable(Normalize(0, longest), "viridis_r")
    for link in topology.links.values():
        axes.add_patch(
            FancyArrowPatch(
                places[link.source], places[link.destination], arrowstyle="-|>", mutation_scale=12,
                connectionstyle=f"arc3,rad={_bend(topology, link)}", linewidth=width_of_lines,
                color=colours.to_rgba(np.array(link.impairment.delay_ms)) if crowded else MEASURED,
                alpha=0.6 if crowded else 1.0, zorder=1,
                patchA=names[link.source].get_bbox_patch(), patchB=names[link.destination].get_bbox_patch(),
            )
        )  # fmt: skip
    if crowded:
        figure.colorbar(colours, ax=axes, label="delay, one way (ms)", shrink=0.6)
    elif not alike:
        curves = [(link.source, link.destination, _bend(topology, link)) for link in topology.links.values()]
        _place_labels(axes, places, labels, curves, [text.get_window_extent() for text in names.values()])
    figure.savefig(path, dpi=110)
    return path


def _title(topology: Topology) -> str:
    count = len(topology.peers)
    text = f"{topology.name}: {count} peers, {len(topology.links)} links"
    if _all_alike(topology):
        words = short_text(next(iter(topology.links.values())).impairment).replace("\n", ", ")
        text += f"\nevery link: {words}"
    if len({link.key[:2] for link in topology.links.values()}) == count * (count - 1):
        return text
    return f"{text}\npeers without a link are {'blocked' if topology.unlinked == 'blocked' else 'unimpaired'}"


def _all_alike(topology: Topology) -> bool:
    links = topology.links.values()
    return len(links) > ALIKE and len({link.impairment for link in links}) == 1


def _places(topology: Topology) -> Places:
    graph = nx.Graph(topology.graph)
    names = list(graph.nodes)
    degrees = dict(graph.degree)
    count = len(names)
    hubs = [name for name in names if degrees[name] == count - 1 > 2]
    if len(hubs) == 1 and graph.number_of_edges() == count - 1:
        found = nx.circular_layout([name for name in names if name != hubs[0]])
        found[hubs[0]] = np.zeros(2)
    elif count > 1 and graph.number_of_edges() == count - 1 and max(degrees.values()) <= 2 and nx.is_connected(graph):
        ends = [name for name in names if degrees[name] == 1]
        # A row, folded like a snake where it is long.
        order, width = nx.shortest_path(graph, ends[0], ends[-1]), 6
        found = {}
        for index, name in enumerate(order):
            row, column = divmod(index, width)
            found[name] = np.array([column if row % 2 == 0 else width - 1 - column, -float(row)])
    elif count <= 40 or graph.number_of_edges() > 4 * count:
        found = nx.circular_layout(names)
        # A peer at the top, so that a pair of opposite ones does not share a line of text.
        turn = math.pi / 2 if count != 4 else math.pi / 4
        found = {name: _turned(place, turn) for name, place in found.items()} if count > 2 else found
    else:
        found = nx.spring_layout(graph, seed=1, iterations=100)
    return {name: (float(place[0]), float(place[1])) for name, place in found.items()}


def _turned(place: Any, angle: float) -> Any:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([cosine * place[0] - sine * place[1], sine * place[0] + cosine * place[1]])


def _bend(topology: Topology, link: Link) -> float:
    return 0.1 + 0.12 * list(topology.segments).index(link.segment)


def _labels(topology: Topology) -> list[tuple[str, str, float, str]]:
    """(from, to, bend, text): one for both directions where they are alike, bend 0 then."""
    labels = []
    for link in topology.links.values():
        back = topology.links.get((link.destination, link.source, link.segment))
        alike = back is not None and back.impairment == link.impairment
        text = short_text(link.impairment)
        if link.segment != DEFAULT_SEGMENT or len(topology.segments) > 1:
            text = f"{link.segment}: {text}"
        bend = _bend(topology, link)
        if alike and len(topology.segments) == 1:
            if link.source < link.destination:
                labels.append((link.source, link.destination, 0.0, text))
        else:
            labels.append((link.source, link.destination, bend, text))
    return labels


def short_text(impairment: Impairment) -> str:
    """What a link does, in a few words: ``40 ± 5 ms, 0.1 % lost, 1 Gbit/s``."""
    lines = []
    if impairment.delay_ms:
        jitter = f" ± {impairment.jitter_ms:g}" if impairment.jitter_ms else ""
        lines.append(f"{impairment.delay_ms:g}{jitter} ms")
    if impairment.mean_loss_pct:
        bursts = " in bursts" if impairment.loss is not None or impairment.loss_correlation_pct else ""
        lines.append(f"{impairment.mean_loss_pct:.3g} % lost{bursts}")
    if impairment.rate_kbit is not None:
        lines.append(value_text(impairment.rate_kbit, "kbit/s"))
    for field, word in (("duplicate_pct", "doubled"), ("corrupt_pct", "corrupted"), ("reorder_pct", "sent at once")):
        if value := getattr(impairment, field):
            lines.append(f"{value:g} % {word}")
    return "\n".join(lines) or "unimpaired"


def _place_labels(
    axes: Any,
    places: Places,
    labels: Iterable[tuple[str, str, float, str]],
    curves: Iterable[tuple[str, str, float]],
    taken: Iterable[Bbox],
) -> None:
    """Put each label on its arrow, where it covers no other label and no peer."""
    taken = list(taken)
    lines = {
        (source, destination, bend): [
            axes.transData.transform(_on_curve(places[source], places[destination], bend, share))
            for share in np.linspace(0, 1, 60)
        ]
        for source, destination, bend in curves
    }
    for source, destination, bend, words in labels:
        own = frozenset((source, destination))
        crossing = [point for key, points in lines.items() if frozenset(key[:2]) != own for point in points]
        text = axes.text(
            0, 0, words, ha="center", va="center", fontsize=8.5, color=INK, zorder=2, linespacing=1.15,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "#c8d0d6", "linewidth": 0.8},
        )  # fmt: skip
        best: tuple[float, float] = (math.inf, 0.5)
        for share in (0.5, 0.4, 0.6, 0.34, 0.66, 0.28, 0.72, 0.22, 0.78):
            text.set_position(_on_curve(places[source], places[destination], bend, share))
            box = text.get_window_extent().expanded(1.1, 1.2)
            # Far worse than to lie on another link's line is to cover words.
            covered = 1e3 * sum(_overlap(box, other) for other in taken) + sum(
                box.contains(*point) for point in crossing
            )
            if covered < best[0]:
                best = (covered, share)
        text.set_position(_on_curve(places[source], places[destination], bend, best[1]))
        taken.append(text.get_window_extent())


def _on_curve(source: Any, destination: Any, bend: float, share: float) -> tuple[float, float]:
    # The curve that matplotlib's arc3 draws: a quadratic one through a point beside the middle.
    start, end = np.array(source), np.array(destination)
    control = (start + end) / 2 + bend * np.array([end[1] - start[1], start[0] - end[0]])
    point = (1 - share) ** 2 * start + 2 * share * (1 - share) * control + share**2 * end
    return float(point[0]), float(point[1])


def _overlap(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return 0.0 if common is None else float(common.width * common.height)


# --- the delays ----------------------------------------------------------------------------------


def draw_distributions(report: Report, path: Path) -> Path:
    """Delays measured on every link, and the mean and jitter that were asked for."""
    links = [link for link in report.links if link.delays is not None]
    shown = links[:MOST_PANELS]
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(4.6 * columns, 2.3 * rows + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    more = f" (the first {len(shown)} of {len(links)} links)" if len(links) > len(shown) else ""
    figure.suptitle(f"{report.topology}: one-way delays{more}", color=INK)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, link in zip(panels.flat, shown, strict=False):
        _draw_panel(panel, link)
    for panel in panels.flat[len(shown) :]:
        panel.set_axis_off()
    handles, texts = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=110)
    return path


def _draw_panel(panel: Any, link: LinkReport) -> None:
    delays = link.delays
    assert delays is not None
    edges = delays.start_ms + delays.width_ms * np.arange(len(delays.counts) + 1)
    share = 100 * np.array(delays.counts) / max(1, sum(delays.counts))
    asked, spread = link.impairment.delay_ms, link.impairment.delay_spread_ms
    measured, jitter = link.figure("delay").measured, link.figure("jitter").measured
    if spread:
        panel.axvspan(asked - spread, asked + spread, color=BAND, label="asked: mean ± standard deviation", zorder=0)
    panel.stairs(share, edges, fill=True, color=MEASURED, alpha=0.85, label="measured", zorder=1)
    panel.axvline(asked, color=ASKED, linewidth=1.8, label="asked: mean", zorder=2)
    if measured is not None:
        panel.axvline(measured, color=INK, linewidth=1.2, linestyle=(0, (3, 2)), label="measured: mean", zorder=3)
        panel.set_title(
            f"{link.name}\nasked {asked:.2f}, sd {spread:.2f}; measured {measured:.2f}, sd {jitter or 0:.2f} ms",
            fontsize=9, color=INK, loc="left",
        )  # fmt: skip
    panel.set_xlabel("ms", fontsize=8)
    panel.set_ylabel("% of packets", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.set_ylim(bottom=0)
    low, high = panel.get_xlim()
    panel.set_xlim(max(0.0, min(low, asked * 0.99 - 0.05)), max(high, asked * 1.01 + 0.05))
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
