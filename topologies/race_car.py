"""A car on a race track that sends its video home over two 4G modems and one 5G modem, all of them moving."""

from __future__ import annotations

from linkem_py import Topology, TopologyError
from linkem_py.model import presets

#: By segment: the schedule that its uplink follows.
MODEMS = {"lte-a": "race_4g", "lte-b": "race_4g", "nr": "race_5g"}


def topology(moving: bool = True) -> Topology:
    """``car`` and ``home``, on the segments of `MODEMS`.

    Each direction of each is strong, moderate or weak in turn, by its own chance. A car
    that is not `moving` has strong links only.
    """
    if not isinstance(moving, bool):
        raise TopologyError("moving", "must be true or false", moving)
    network = Topology("race_car")
    network.add_peer("car")
    network.add_peer("home")
    for segment, name in MODEMS.items():
        link = presets.preset(f"{name}_strong").impairment
        schedule = presets.schedule(name).schedule if moving else None
        network.connect("car", "home", link, segment=segment, schedule=schedule)
    return network
