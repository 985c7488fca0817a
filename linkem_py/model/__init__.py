# What a network is, as values: nothing here touches the kernel, the clock or randomness.
#
#   impairment    Impairment: what one direction of a link does to packets
#   loss          GilbertElliott, FourState: loss with a memory
#   distribution  DelayTable: shapes of jitter
#   slot          Slot: a radio cell's bursts
#   cross_traffic CrossTraffic: background packets that share a link's queue; cross_stream: each of them
#   schedule      Schedule: how an impairment goes on in time; Steps, Markov, Trace, ...
#   presets       links, schedules and modifiers by name
#   scenario      Scenario: several links, what happens on them, for so long
#   access        Access: the line that all links of a peer's interface share
#   gateway       Gateway: a peer that forwards; nat: Nat, what it does to addresses and ports
#   topology      Topology over a networkx graph; Peer, Link, Segment
#   default_rate  a rate for links that have none
#   capabilities  Capabilities: what a kernel can do
#   durations     90, 90s, 1h
#   rules         the validators they share
"""Values: topologies, impairments, capabilities. Pure, validated at construction."""

from linkem_py.model.access import Access, AccessLink
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.cross_stream import CrossStream, Packet
from linkem_py.model.cross_traffic import IMIX, CrossTraffic
from linkem_py.model.distribution import DelayTable
from linkem_py.model.durations import format_duration, parse_duration
from linkem_py.model.gateway import Gateway
from linkem_py.model.impairment import Impairment
from linkem_py.model.loss import FourState, GilbertElliott
from linkem_py.model.nat import Nat
from linkem_py.model.schedule import (
    OUTAGE,
    Bufferbloat,
    Constant,
    Handover,
    Markov,
    Modifier,
    OrnsteinUhlenbeck,
    Overlay,
    Replay,
    Schedule,
    ScheduledChange,
    Steps,
    Stream,
    Sum,
    Trace,
)
from linkem_py.model.slot import Slot
from linkem_py.model.topology import DEFAULT_SEGMENT, Link, LinkKey, Peer, Segment, Topology

__all__ = [
    "DEFAULT_SEGMENT",
    "IMIX",
    "OUTAGE",
    "Access",
    "AccessLink",
    "Bufferbloat",
    "Capabilities",
    "Constant",
    "CrossStream",
    "CrossTraffic",
    "DelayTable",
    "FourState",
    "Gateway",
    "GilbertElliott",
    "Handover",
    "Impairment",
    "Link",
    "LinkKey",
    "Markov",
    "Modifier",
    "Nat",
    "OrnsteinUhlenbeck",
    "Overlay",
    "Packet",
    "Peer",
    "Replay",
    "Schedule",
    "ScheduledChange",
    "Segment",
    "Slot",
    "Steps",
    "Stream",
    "Sum",
    "Topology",
    "Trace",
    "format_duration",
    "parse_duration",
]
