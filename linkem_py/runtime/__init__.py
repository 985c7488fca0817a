# Networks that run.
#
#   network     Network: builds, changes and takes away
#   blocking    BlockingNetwork: the same without asyncio
#   peer        NetworkPeer: programs, sockets, calls in a peer
#   processes   programs that end with the network, and the space they live in
#   init        process 1 of that space (a script)
#   mounts      an /etc/hosts with the peers' names
#   sockets     asyncio streams over sockets in a peer
#   statistics  counters, read from the kernel
#   draft       changes of links, checked and not made yet
#   journal     the last changes, and whoever is told
#   schedules   what carries out the schedules of links
#   cross_traffic  what sends background packets
#   recording   what happened, as a file
#   traces      recorded links from files
#   replay      a recording, done again
#   captures    packets before and after a peer's queues
#   changes     Applied, LinkStats: what was done and what is
"""Running networks."""

from linkem_py.runtime.blocking import BlockingNetwork, BlockingPeer
from linkem_py.runtime.captures import Capture
from linkem_py.runtime.changes import Applied, Change, Clearing, CrossTrafficStats, LinkChange, LinkStats, NetworkStats
from linkem_py.runtime.network import CapabilityWarning, Network
from linkem_py.runtime.peer import NetworkPeer
from linkem_py.runtime.recording import Recording, read_recording
from linkem_py.runtime.replay import Played
from linkem_py.runtime.schedules import ScheduleState
from linkem_py.runtime.traces import read_trace

__all__ = [
    "Applied",
    "BlockingNetwork",
    "BlockingPeer",
    "CapabilityWarning",
    "Capture",
    "Change",
    "Clearing",
    "CrossTrafficStats",
    "LinkChange",
    "LinkStats",
    "Network",
    "NetworkPeer",
    "NetworkStats",
    "Played",
    "Recording",
    "ScheduleState",
    "read_recording",
    "read_trace",
]
