"""One picture of a run: links, RIST and application over the same time. Needs matplotlib."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from examples.rist_bonding.timeline import Timeline

COLOURS = ("#3b7ea1", "#c4500f", "#5a8f3c", "#7a5aa8")


def draw(timeline: Timeline, path: Path) -> None:
    """From top to bottom: throughput, round trips, retransmissions, delay and losses of the application."""
    figure = Figure(figsize=(10, 9), layout="constrained")
    FigureCanvasAgg(figure)
    rates, trips, again, delays = figure.subplots(4, sharex=True)
    throughput = list(timeline.throughput_kbit())
    for index, link in enumerate(timeline.links):
        colour = COLOURS[index % len(COLOURS)]
        rates.plot([at for at, _ in throughput], [row[index] / 1000 for _, row in throughput], color=colour, label=link)
        seen = [(sample.at, trip) for sample in timeline.sent if (trip := sample.round_trip_ms[index]) is not None]
        trips.plot([at for at, _ in seen], [trip for _, trip in seen], color=colour)
        again.step(
            [after.at for _, after in pairwise(timeline.sent)],
            [after.retransmitted[index] - before.retransmitted[index] for before, after in pairwise(timeline.sent)],
            color=colour,
        )
    again.plot(
        [after.at for _, after in pairwise(timeline.received)],
        [after.recovered - before.recovered for before, after in pairwise(timeline.received)],
        color="black", linestyle=":", label="recovered",
    )  # fmt: skip
    delays.plot(
        [delivery.sent_at for delivery in timeline.deliveries],
        [1000 * (delivery.at - delivery.sent_at) for delivery in timeline.deliveries],
        ".", markersize=2, color="#26323d", label="delivered",
    )  # fmt: skip
    missing = [timeline.sent_at(number) for number in timeline.missing]
    delays.plot(missing, [0.0] * len(missing), "x", color="red", label="missing")
    delays.axhline(timeline.buffer_ms, color="grey", linestyle="--", linewidth=0.8, label="receiver's buffer")
    for panel, words in (
        (rates, "link carries, Mbit/s"),
        (trips, "RIST's round trip, ms"),
        (again, "sent again, packets"),
        (delays, "camera to application, ms"),
    ):
        panel.set_ylabel(words)
        panel.set_ylim(bottom=0)
        for cut in timeline.cuts:
            panel.axvspan(cut.at, cut.until, color="#f0c9ad", alpha=0.6, zorder=0)
    rates.legend(loc="upper right", ncols=4)
    again.legend(loc="upper right")
    delays.legend(loc="upper right", ncols=3)
    delays.set_xlabel("s" + "".join(f"; {cut.link} is down where it is shaded" for cut in timeline.cuts))
    figure.savefig(path, dpi=110)
