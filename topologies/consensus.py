"""Five servers of a replicated log in three regions: any one region may fail and a majority is left."""

from __future__ import annotations

from itertools import combinations

from linkem_py import Topology
from linkem_py.model import presets

REGIONS = {"eu-1": "eu", "eu-2": "eu", "us-1": "us", "us-2": "us", "tokyo-1": "tokyo"}
#: The preset of the links between two regions.
BETWEEN = {
    frozenset({"eu"}): "region_same",
    frozenset({"us"}): "region_same",
    frozenset({"eu", "us"}): "region_eu_us",
    frozenset({"us", "tokyo"}): "region_us_tokyo",
    frozenset({"eu", "tokyo"}): "region_eu_tokyo",
}


def topology(rates: bool = False) -> Topology:
    """Every pair of the servers is linked, both directions alike; with `rates` at the rate of its regions."""
    network = Topology("consensus")
    for peer in REGIONS:
        network.add_peer(peer)
    for first, second in combinations(REGIONS, 2):
        link = presets.preset(BETWEEN[frozenset({REGIONS[first], REGIONS[second]})]).impairment
        network.connect(first, second, link if rates else link.evolve(rate_kbit=None))
    return network
