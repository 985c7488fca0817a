"""Counters of every link, read from the kernel."""

from __future__ import annotations

from collections.abc import Mapping

from linkem_py.kernel.codec.decode import Counters
from linkem_py.kernel.driver import KernelDriver
from linkem_py.model.topology import LinkKey, Topology
from linkem_py.plan import handles
from linkem_py.plan.placement import place
from linkem_py.runtime.changes import CrossTrafficStats, LinkStats

_NOTHING = Counters()


def read(
    kernel: KernelDriver, topology: Topology, cross_traffic: Mapping[LinkKey, CrossTrafficStats]
) -> dict[LinkKey, LinkStats]:
    """Statistics of every link, two dumps for each peer that has any."""
    result: dict[LinkKey, LinkStats] = {}
    for peer in topology.peers.values():
        for segment in topology.segments.values():
            links = topology.outgoing(peer.name, segment.name)
            if not links:
                continue
            where = place(peer, segment)
            qdiscs = {row.handle: row.counters for row in kernel.qdiscs(*where)}
            classes = {}
            if topology.classifier == "htb":
                parents = {
                    handles.group_qdisc(handles.group_of(topology.peers[link.destination].number)) for link in links
                }
                classes = {row.classid: row.counters for row in kernel.classes(*where, sorted(parents))}
            for link in links:
                number = topology.peers[link.destination].number
                netem = handles.netem(number if topology.classifier == "htb" else link.slot + 1)
                # netem counts what its queue refused among its own drops, and what waits in it as its own.
                counters = qdiscs.get(netem, _NOTHING)
                queue = qdiscs.get(handles.queue(number), _NOTHING)
                result[link.key] = LinkStats(
                    packets=counters.packets,
                    bytes=counters.bytes,
                    drops=counters.drops,
                    lost=max(0, counters.drops - queue.drops),
                    queue_drops=queue.drops,
                    overlimits=classes.get(handles.member_class(number), counters).overlimits + queue.overlimits,
                    backlog_packets=counters.backlog_packets,
                    backlog_bytes=counters.backlog_bytes,
                    impairment=link.impairment,
                    cross_traffic=cross_traffic.get(link.key),
                )
    return result
