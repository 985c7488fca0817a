"""Samples made up as the kernel would make them, and a report of them."""

from __future__ import annotations

import numpy as np

from linkem_py import Impairment
from linkem_py.model import Capabilities
from linkem_py.report import expect, judge
from linkem_py.report.figures import distribution
from linkem_py.report.goodput import Filled
from linkem_py.report.model import LinkReport, Machine, Report
from linkem_py.report.pace import Probing
from linkem_py.report.probes import Sample

MACHINE = Machine(
    floor_ms=0.04, floor_p99_ms=0.15, excess_ms=0.09, excess_spread_ms=0.02, excess_p99_ms=0.15,
    call_us=80, packet_us=5, allowance_ms=0.2,
)  # fmt: skip
QUIET = judge.Circumstances(isolated=False, own_rate=False, allowance_ms=0.2)


def sample_of(
    impairment: Impairment, *, trains: int = 1000, train: int = 4, payload: int = 24, every_ms: float = 5, seed: int = 1
) -> Sample:
    """What probing such a link would give, 0.09 ms late; loss is each packet's own, corruption none."""
    random = np.random.default_rng(seed)
    sent = np.arange(trains) * round(every_ms * 1e6) + 10**18
    numbers = np.arange(trains * train)
    delays = expect.simulate_ms(impairment, np.repeat((sent - sent[0]) / 1e6, train), seed=seed)
    delays[random.random(len(delays)) < expect.at_once_share(impairment)] = 0
    times = np.repeat(sent, train) + ((delays + 0.09) * 1e6).astype(np.int64)
    if impairment.keep_order:
        times = np.maximum.accumulate(times)  # rounding swaps packets that arrive together
    arrived = random.random(len(numbers)) >= impairment.mean_loss_pct / 100
    doubled = arrived & (random.random(len(numbers)) < impairment.duplicate_pct / 100)
    kept = np.concatenate([numbers[arrived], numbers[doubled]])
    return Sample(
        Probing(trains, train, payload), sent, np.full(trains, 80_000), np.full(trains, train),
        kept, times[kept], np.zeros(len(kept), bool),
    )  # fmt: skip


def delays_of(sample: Sample) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    first = sample.numbers % sample.probing.train == 0
    numbers = sample.numbers[first] // sample.probing.train
    return np.asarray((sample.times[first] - sample.sent[numbers]) / 1e6)


def filled(rate_kbit: float, *, offered_kbit: float, seconds: float = 1.0) -> Filled:
    """A link filled with 1000-byte frames that lets so many through."""
    return Filled(
        frame=1000, sent_bytes=round(offered_kbit * 125 * seconds), sending_s=seconds, paused_s=0.0,
        arrived_s=np.arange(0, seconds, 8 / rate_kbit),
    )  # fmt: skip


def report_of(**impairments: Impairment) -> Report:
    """A report on links from ``hub`` to peers of these names."""
    links = []
    for name, impairment in impairments.items():
        sample = sample_of(impairment)
        delays = delays_of(sample)
        figures = [*judge.link_figures(impairment, sample, delays, QUIET)]
        if impairment.rate_kbit is not None:
            rate = impairment.rate_kbit
            figures.append(judge.goodput(impairment, filled(rate, offered_kbit=1.2 * rate), skip_bytes=3000))
        links.append(
            LinkReport(
                source="hub", destination=name, segment="lan", impairment=impairment, sent=sample.packets,
                received=len(sample.numbers), figures=tuple(figures), delays=distribution(delays),
                stats={"packets": 5, "bytes": 400, "drops": 1, "lost": 1, "queue_drops": 0, "overlimits": 0},
            )
        )  # fmt: skip
    return Report(
        topology="made up", release="6.1", capabilities=Capabilities(), seed=7, notes=("netem has no seed",),
        started_at=1.8e9, duration_s=12.3, machine=MACHINE, links=tuple(links),
    )  # fmt: skip
