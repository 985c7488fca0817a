"""A camera that sends by LTE, 5G and Wi-Fi to a studio: three segments, to be bonded by what runs in it."""

from __future__ import annotations

from linkem_py import Impairment, Topology, TopologyError
from linkem_py.model import OrnsteinUhlenbeck, presets


def topology(
    lte: str = "lte",
    nr: str = "nr",
    wifi: str = "wifi_bad",
    rates: bool = True,
    with_lan: bool = False,
    moving: bool = False,
) -> Topology:
    """``camera`` and ``studio``, on the segments ``lte``, ``nr`` and ``wifi`` an address and a link each way.

    What the camera sends from its address on a segment leaves by it: ``camera.socket(segment="lte")``,
    to ``studio.lte`` or to another address of the studio. `lte`, `nr` and `wifi` name presets, pairs of
    an uplink and a downlink. Without `rates` no link has a rate, which suits a small machine. With
    `with_lan` both are on ``lan`` too, unimpaired, for what controls a test. When the camera is
    `moving`, the rate of each direction wanders around its preset's, by its own chance.
    """
    for name, value in (("rates", rates), ("with_lan", with_lan), ("moving", moving)):
        if not isinstance(value, bool):
            raise TopologyError(name, "must be true or false", value)
    if moving and not rates:
        raise TopologyError("moving", "must be false without rates: it is they that move", moving)
    network = Topology("bonding_cellular")
    network.add_peer("camera")
    network.add_peer("studio")
    for segment, name in (("lte", lte), ("nr", nr), ("wifi", wifi)):
        up, down = (preset.impairment for preset in presets.pair(name))
        if not rates:
            up, down = up.evolve(rate_kbit=None), down.evolve(rate_kbit=None)
        schedule, back_schedule = (wandering(up), wandering(down)) if moving else (None, None)
        network.connect(
            "camera", "studio", up, back=down, segment=segment, schedule=schedule, back_schedule=back_schedule
        )
    if with_lan:
        network.join("camera", "lan")
        network.join("studio", "lan")
    return network


def wandering(link: Impairment) -> OrnsteinUhlenbeck | None:
    """A rate around the link's, in the proportions of the schedule ``cellular``; None for a link without one."""
    if link.rate_kbit is None:
        return None
    mean = link.rate_kbit
    return OrnsteinUhlenbeck(mean_kbit=mean, sd_kbit=0.15 * mean, tau_s=1.5, floor_kbit=0.125 * mean)
