"""A rate for every link that has none."""

from __future__ import annotations

from linkem_py.model.impairment import Impairment
from linkem_py.model.topology import Topology


def at_least_rated(impairment: Impairment, rate_kbit: float | None) -> Impairment:
    """The impairment with this rate if it has none; as it is without a rate to give."""
    if rate_kbit is None or impairment.rate_kbit is not None:
        return impairment
    return impairment.evolve(rate_kbit=rate_kbit)


def give_rates(topology: Topology, rate_kbit: float | None) -> None:
    """Give this rate to every link of a topology that has none. Raises `TopologyError` if it cannot be a rate."""
    for link in list(topology.links.values()):
        impairment = at_least_rated(link.impairment, rate_kbit)
        if impairment is not link.impairment:
            topology.set_impairment(link.source, link.destination, impairment, segment=link.segment)
