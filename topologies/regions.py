"""Four data centres: ``eu-west``, ``us-east-1``, ``us-east-2`` (one region, two zones) and ``tokyo``."""

from __future__ import annotations

from itertools import combinations

from linkem_py import Impairment, Topology, TopologyError

REGIONS = {"eu-west": "eu", "us-east-1": "us", "us-east-2": "us", "tokyo": "tokyo"}

#: One way, either direction: delay and jitter in ms (uniform), loss in %, rate in kbit/s.
BETWEEN: dict[frozenset[str], tuple[float, float, float, float | None]] = {
    frozenset({"us"}): (1.0, 0.5, 0.01, None),
    frozenset({"eu", "us"}): (40.0, 5.0, 0.1, 1_000_000.0),
    frozenset({"us", "tokyo"}): (80.0, 10.0, 0.2, 500_000.0),
    frozenset({"eu", "tokyo"}): (120.0, 15.0, 0.5, 300_000.0),
}


def topology(delay_factor: float = 1.0, loss_factor: float = 1.0, rates: bool = True) -> Topology:
    """The numbers of `BETWEEN`, for every pair of peers in both directions.

    `delay_factor` multiplies delay and jitter, `loss_factor` the loss (0 for none); without
    `rates` no link has a rate, which suits a small machine.
    """
    for name, factor in (("delay_factor", delay_factor), ("loss_factor", loss_factor)):
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < 1000:
            raise TopologyError(name, "must be a number from 0 to 1000", factor)
    if not isinstance(rates, bool):
        raise TopologyError("rates", "must be true or false", rates)
    network = Topology("regions")
    for peer in REGIONS:
        network.add_peer(peer)
    for first, second in combinations(REGIONS, 2):
        delay_ms, jitter_ms, loss_pct, rate_kbit = BETWEEN[frozenset({REGIONS[first], REGIONS[second]})]
        link = Impairment(
            delay_ms=delay_ms * delay_factor,
            jitter_ms=jitter_ms * delay_factor,
            loss_pct=loss_pct * loss_factor,
            rate_kbit=rate_kbit if rates else None,
        )
        network.connect(first, second, link)
    return network
