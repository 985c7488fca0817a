"""What is to be checked on a link, and how many packets that takes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from linkem_py.model import Impairment
from linkem_py.plan.requirements import CORRELATED_FROM_MS
from linkem_py.report import expect, judge
from linkem_py.report.pace import HEADERS, Wish, payload_of
from linkem_py.report.verify import bursts, delays, shares, tails
from linkem_py.report.verify.delays import AskedDelay
from linkem_py.report.verify.tolerance import Tolerance

Tolerances = Mapping[str, Tolerance]

LEAST_TRAINS = 100
LEAST_RUNS = 50  # of losses, to say anything about their lengths
SHAPE_MARGIN = 1.5  # so that the sample's own whim leaves five where five are expected
MARGIN = 1.1  # what is planned over what is needed: some probes meet a pause of the machine


@attrs.frozen
class Need:
    """A quantity to check: how many of its samples it takes, and how many packets, or trains of them, those are."""

    quantity: str
    samples: int
    packets: float = 0.0
    trains: float = 0.0


def needs(
    impairment: Impairment, around: judge.Circumstances, tolerances: Tolerances, *, level: float
) -> dict[str, Need]:
    """What probes are to find out about a link, by quantity. A link that loses everything has no delays."""
    share = expect.fate(
        impairment, isolated=around.isolated, payload=payload_of(impairment), frame=payload_of(impairment) + HEADERS
    )
    loss = _loss(impairment, share.missing, tolerances, level)
    found = [loss]
    if share.missing < 1:
        passing = 1 - share.missing
        found += [
            *_delays(impairment, around, tolerances, level, passing),
            *_bursts(impairment, tolerances, level, loss.packets),
        ]
        for quantity, asked, wanted in (
            ("duplicates", impairment.duplicate_pct, share.doubled),
            ("corruption", impairment.corrupt_pct, share.damaged),
            ("reordering", impairment.reorder_pct, expect.at_once_share(impairment)),
        ):
            if asked:
                tolerance = tolerances[quantity].of(100 * wanted) / 100
                samples = shares.needed(
                    wanted, tolerance=tolerance, level=level, inflation=inflation_of(impairment, quantity)
                )
                found.append(Need(quantity, math.ceil(samples), samples / passing))
    return {need.quantity: need for need in found}


def wish(found: Mapping[str, Need]) -> Wish:
    """So many packets and trains."""
    trains = math.ceil(MARGIN * max(LEAST_TRAINS, *(need.trains for need in found.values())))
    packets = max(trains, *(math.ceil(MARGIN * need.packets) for need in found.values()))
    return Wish(packets, trains)


def inflation_of(impairment: Impairment, quantity: str) -> float:
    """How much more a share varies than one of independent events; see `judge.Counted`."""
    field = {"duplicates": "duplicate", "corruption": "corrupt", "reordering": "reorder"}[quantity]
    correlation = getattr(impairment, f"{field}_correlation_pct") / 100
    return float((1 + correlation) / (1.001 - correlation)) if correlation else 1.0


def _loss(impairment: Impairment, missing: float, tolerances: Tolerances, level: float) -> Need:
    samples = shares.needed(
        missing, tolerance=tolerances["loss"].of(100 * missing) / 100, level=level,
        inflation=expect.loss_of(impairment).inflation,
    )  # fmt: skip
    return Need("loss", math.ceil(samples), samples)


def _delays(
    impairment: Impairment, around: judge.Circumstances, tolerances: Tolerances, level: float, passing: float
) -> list[Need]:
    z = tails.deviations(level)
    mean, spread = expect.delay_ms(impairment)
    if impairment.slot is not None:
        # Between a wait for the whole slot and none; how often which depends on the traffic.
        spread = math.hypot(spread, impairment.slot.every_ms / 2, impairment.slot.jitter_ms)
    passing *= 1 - expect.at_once_share(impairment)
    off = tolerances["delay"].of(mean) + around.allowance_ms
    found = [("delay", (z * spread / off) ** 2)]
    off = tolerances["jitter"].of(spread) + around.allowance_ms
    # Variance of a standard deviation: s^2 (k - 1) / 4n for a kurtosis k, which for a mixture with slots is small.
    kurtosis = AskedDelay(impairment).kurtosis if impairment.jitter_ms else 3.0
    found.append(("jitter", (z * spread / off) ** 2 * (kurtosis - 1) / 4))
    if has_shape(impairment, around):
        found.append(("distribution", delays.needed(tolerance=tolerances["distribution"].of(0) / 100, level=level)))
    return [
        Need(quantity, math.ceil(max(LEAST_TRAINS, samples)), trains=max(LEAST_TRAINS, samples) / max(0.02, passing))
        for quantity, samples in found
    ]


def has_shape(impairment: Impairment, around: judge.Circumstances) -> bool:
    """Whether delays are independent draws of what is asked, so that their distribution can be held against it."""
    if not impairment.jitter_ms or impairment.reorder_pct or judge.waits_for_others(impairment, around):
        return False
    return not (impairment.delay_correlation_pct and impairment.jitter_ms >= CORRELATED_FROM_MS)


def runs_of(impairment: Impairment) -> bursts.Runs | None:
    """The runs of losses that a link has; None where copies or damage hide them."""
    if impairment.duplicate_pct or impairment.corrupt_pct or not 0 < impairment.mean_loss_pct < 100:
        return None
    chain = expect.Chain.of(impairment)
    return None if chain is None else bursts.Runs.of(chain)


def _bursts(impairment: Impairment, tolerances: Tolerances, level: float, loss_packets: float) -> list[Need]:
    """Lengths of runs of losses. Of independent losses only as far as the packets for their mean tell them."""
    runs = runs_of(impairment)
    if runs is None:
        return []
    mean = bursts.needed(runs, tolerance=tolerances["bursts"].of(runs.mean), deviations=tails.deviations(level))
    mean = max(mean, LEAST_RUNS / runs.per_packet)
    rare = float(runs.longer_than(1)[1])
    shape = max(LEAST_RUNS, SHAPE_MARGIN * bursts.LEAST_EXPECTED / rare) / runs.per_packet if rare > 0 else math.inf
    most = loss_packets if impairment.loss is None and not impairment.loss_correlation_pct else math.inf
    found = [("bursts", mean)] if mean <= most else []
    if shape <= min(most, max(mean, loss_packets)):
        found.append(("burst shape", shape))
    return [Need(quantity, math.floor(packets * runs.per_packet), packets) for quantity, packets in found]
