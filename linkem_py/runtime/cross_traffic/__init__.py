# What sends cross traffic.
#
#   flow     Flow: one link's packets, sent when they are due; it has no clock
#   pacer    Pacer: one thread with the clock of all flows
#   sockets  FlowSockets: senders in the sources' namespaces, sinks in the destinations'
#   engine   CrossTrafficEngine: which flows there are, and at what load
#
# Absolute times: what comes late does not make what follows late. The thread has the senders for itself, and
# the event loop only tells it what to do.
"""Cross traffic of a running network."""

from linkem_py.runtime.cross_traffic.engine import CrossTrafficEngine
from linkem_py.runtime.cross_traffic.flow import BEHIND_S, LATE_S, Flow, Sender
from linkem_py.runtime.cross_traffic.pacer import Pacer
from linkem_py.runtime.cross_traffic.sockets import PORT, FlowSockets, SocketMaker

__all__ = [
    "BEHIND_S",
    "LATE_S",
    "PORT",
    "CrossTrafficEngine",
    "Flow",
    "FlowSockets",
    "Pacer",
    "Sender",
    "SocketMaker",
]
