"""What a run came to, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from examples.rist_bonding.timeline import Timeline


def tables_of(timeline: Timeline) -> Iterator[Table]:
    """Over time; by link; the application; the link that was down."""
    yield over_time(timeline)
    yield by_link(timeline)
    yield application(timeline)
    if timeline.cuts:
        yield cuts(timeline)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    return table


def over_time(timeline: Timeline) -> Table:
    """A line for each second: throughput of each link, retransmissions, and what the application got."""
    table = _table(
        "over time: Mbit/s on each link, packets", "s", *timeline.links, "sent again", "recovered", "delivered", ""
    )
    for second in range(int(timeline.carried[-1].at)):
        rates = [rates for at, rates in timeline.throughput_kbit() if second < at <= second + 1]
        if not rates:
            continue
        means = [sum(link) / len(rates) for link in zip(*rates, strict=True)]
        delivered = sum(second < delivery.at <= second + 1 for delivery in timeline.deliveries)
        down = [cut.link for cut in timeline.cuts if cut.at < second + 1 and second < cut.until]
        table.add_row(
            str(second + 1),
            *(f"{mean / 1000:.2f}" for mean in means),
            str(_grown([(sample.at, sum(sample.retransmitted)) for sample in timeline.sent], second)),
            str(_grown([(sample.at, sample.recovered) for sample in timeline.received], second)),
            str(delivered),
            Text(f"{down[0]} down" if down else "", style="red"),
        )
    return table


def _grown(samples: list[tuple[float, int]], second: int) -> int:
    """By how much a counter grew in that second."""
    before, after = (max((count for at, count in samples if at <= end), default=0) for end in (second, second + 1))
    return after - before


def by_link(timeline: Timeline) -> Table:
    """Each link: as the network counts and as RIST does."""
    table = _table(
        f"links, {timeline.carried[-1].at:.0f} s: what the network carried and lost, what RIST says",
        "link", "Mbit/s", "frames lost", "sent", "arrived", "sent again", "round trip",
    )  # fmt: skip
    for name, link in timeline.summary()["links"].items():
        trip = "none seen" if link["round_trip_ms"] is None else f"{link['round_trip_ms']:.0f} ms"
        table.add_row(
            name, f"{link['throughput_kbit'] / 1000:.2f}", f"{link['frames_lost']:,}", f"{link['sent']:,}",
            f"{link['arrived']:,}", f"{link['retransmitted']:,}", trip,
        )  # fmt: skip
    return table


def application(timeline: Timeline) -> Table:
    """The stream from end to end."""
    found = timeline.summary()
    table = _table(
        f"stream of {timeline.rate_kbit / 1000:g} Mbit/s, a buffer of {timeline.buffer_ms} ms",
        "packets", "missing", "asked for", "recovered", "duplicates", "delay, median", "largest",
    )  # fmt: skip
    delay = found["delay_ms"]
    times = [f"{delay[name]:.0f} ms" for name in ("median", "max")] if delay else ["none came"] * 2
    counts = [found[name] for name in ("packets", "missing", "requests", "recovered", "duplicates")]
    table.add_row(*(f"{count:,}" for count in counts), *times)
    return table


def cuts(timeline: Timeline) -> Table:
    """What it did to the application that a link was down."""
    table = _table("failover", "link", "down", "packets", "missing", "longest pause", "usual", "whole again")
    for cut in timeline.cuts:
        outcome = timeline.outcome(cut)
        whole = f"after {outcome.whole_after_s:.1f} s" if outcome.lost else "at once"
        table.add_row(
            cut.link, f"{cut.at:.1f}-{cut.until:.1f} s", f"{outcome.sent:,}", f"{outcome.lost:,}",
            f"{outcome.pause_ms:.0f} ms", f"{outcome.usual_pause_ms:.0f} ms", whole,
        )  # fmt: skip
    return table
