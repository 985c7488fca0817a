"""The same objects by pyroute2, one call for each, as a program that uses it directly would make them.

pyroute2 0.9 has no u32 hash tables and no offsets before the network header, so its filters are a
plain list of matches on the IPv4 destination; a call costs the same.
"""

from __future__ import annotations

import time

import pyroute2
from pyroute2 import netns

from benchmarks.iproute2 import name
from linkem_py.plan import State
from linkem_py.plan import objects as o


class Built:
    """A network that pyroute2 made, with the seconds that took."""

    def __init__(self, state: State) -> None:
        self.namespaces: list[str] = []
        self.calls = 0
        open_ones: dict[str, pyroute2.IPRoute] = {}
        began = time.perf_counter()
        try:
            for made in state.values():
                self._make(made, open_ones)
                self.calls += 1
        finally:
            self.seconds = time.perf_counter() - began
            for handle in open_ones.values():
                handle.close()

    def remove(self) -> None:
        """Delete every namespace."""
        for made in self.namespaces:
            netns.remove(name(made))

    def _make(self, made: o.Object, opened: dict[str, pyroute2.IPRoute]) -> None:
        if isinstance(made, o.Namespace):
            netns.create(name(made.name))
            self.namespaces.append(made.name)
            opened[made.name] = pyroute2.IPRoute(netns=name(made.name))
            return
        route = opened[made.ns]
        if isinstance(made, o.Bridge):
            route.link("add", ifname=made.name, kind="bridge")
            route.link("set", index=_index(route, made.name), state="up")
        elif isinstance(made, o.Veth):
            peer = {"ifname": made.peer_name, "address": made.peer_mac, "net_ns_fd": name(made.peer_ns)}
            route.link("add", ifname=made.name, address=made.mac, kind="veth", peer=peer)
            route.link("set", index=_index(route, made.name), master=_index(route, made.master))
        elif isinstance(made, o.Address):
            route.addr("add", index=_index(route, made.dev), address=made.address, prefixlen=made.prefixlen)
        elif isinstance(made, o.Neighbour):
            import ipaddress

            address = str(ipaddress.ip_address(made.address))
            route.neigh("add", dst=address, lladdr=made.mac.hex(":"), ifindex=_index(route, made.dev), state=128)
        elif isinstance(made, o.Forwarding):
            route.fdb("add", ifindex=_index(route, made.dev), lladdr=made.mac.hex(":"))
        elif isinstance(made, o.Up):
            route.link("set", index=_index(route, made.dev), state="up")
        else:
            self._traffic_control(route, made)

    def _traffic_control(self, route: pyroute2.IPRoute, made: o.Object) -> None:
        if isinstance(made, o.Qdisc):
            index = _index(route, made.dev)
            if isinstance(made.options, o.Netem):
                netem = made.options
                route.tc(
                    "add", "netem", index=index, handle=made.handle, parent=made.parent,
                    delay=netem.latency_ns // 1000, limit=netem.limit_packets, loss=netem.loss * 100 / 2**32,
                )  # fmt: skip
            elif made.kind == "clsact":
                route.tc("add", "clsact", index=index)
            else:
                options = {"limit": made.options.limit} if isinstance(made.options, o.Fifo) else {}
                route.tc("add", made.kind, index=index, handle=made.handle, parent=made.parent, **options)
        elif isinstance(made, o.Class):
            route.tc(
                "add-class", "htb", index=_index(route, made.dev), handle=made.classid, parent=made.parent,
                rate=min(made.options.rate, 2**32 - 1), burst=made.options.burst,
            )  # fmt: skip
        elif isinstance(made, o.Filter) and isinstance(made.options, o.U32) and made.options.classid:
            keys = [f"{key.value:#010x}/0xffffffff+16" for key in made.options.keys]
            route.tc(
                "add-filter", "u32", index=_index(route, made.dev), parent=made.parent, prio=made.priority,
                protocol=made.protocol, target=made.options.classid, keys=keys,
            )  # fmt: skip


_INDEXES: dict[tuple[int, str], int] = {}


def _index(route: pyroute2.IPRoute, device: str) -> int:
    # Looked up once for each device, as a careful program would.
    key = (id(route), device)
    if key not in _INDEXES:
        _INDEXES[key] = route.link_lookup(ifname=device)[0]
    return _INDEXES[key]
