"""What is measured. Every comparison is made in one run on one kernel, in turns."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import Callable, Iterator

import networkx as nx

from benchmarks import iproute2, pyroute2_calls
from benchmarks.access import access
from benchmarks.control import control, control_of_a_guest
from benchmarks.measure import Row, available_kb, median_of, percentile, send_many, wait_until_freed
from benchmarks.schedules import schedules
from benchmarks.shaping import shaping
from benchmarks.virtual_time import virtual_time
from linkem_py import Impairment, Network, Topology
from linkem_py.kernel.driver import KernelDriver
from linkem_py.kernel.probe import probe
from linkem_py.plan import EMPTY, State, desired, handles, match, operations
from linkem_py.plan import objects as o
from linkem_py.plan.desired import state
from linkem_py.plan.hub import PEER_SYSCTLS
from linkem_py.plan.translate import UNLIMITED_CLASS

LINK = Impairment(delay_ms=5, loss_pct=1)


def mesh(peers: int) -> Topology:
    """Every peer linked to every other, both ways."""
    return Topology.from_graph("mesh", nx.complete_graph(peers), LINK)


def up_and_down(topology: Topology) -> tuple[float, float]:
    """Seconds from nothing to ready, and from ready to nothing left in the kernel."""

    async def run() -> tuple[float, float]:
        network = Network(topology, seed=1)
        began = time.perf_counter()
        await network.start()
        ready = time.perf_counter()
        await network.close()
        wait_until_freed()
        return ready - began, time.perf_counter() - ready

    return asyncio.run(run())


def build(peers: int = 100, runs: int = 3, small: int = 20) -> Iterator[Row]:
    """A full mesh, beside iproute2's batches and pyroute2's calls."""
    topology = mesh(peers)
    links = len(topology.links)
    planned = desired(topology, probe(), seed=1)
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(runs):
        ours.append(up_and_down(topology))
        built = iproute2.Built(planned)
        began = time.perf_counter()
        built.remove()
        wait_until_freed()
        theirs.append((built.seconds, time.perf_counter() - began))
    section = f"{peers} peers, {links:,} impaired links, {len(planned):,} kernel objects"
    up, down = (statistics.median(pair[i] for pair in ours) for i in (0, 1))
    their_up, their_down = (statistics.median(pair[i] for pair in theirs) for i in (0, 1))
    yield Row(section, "linkem_py, from nothing to ready", up, "s")
    yield Row(section, "ip -batch and tc -batch, the same objects", their_up, "s")
    yield Row(section, "ratio", their_up / up, "times as fast", "at least 3", their_up / up >= 3)
    yield Row(section, "linkem_py, from ready to nothing left", down, "s")
    yield Row(section, "ip netns del -batch, until nothing left", their_down, "s")
    yield Row(section, "ratio", their_down / down, "times as fast")
    topology = mesh(small)
    planned = desired(topology, probe(), seed=1)
    section = f"{small} peers, {len(topology.links):,} impaired links"
    up = median_of(runs, lambda: up_and_down(topology)[0])
    calls = pyroute2_calls.Built(planned)
    calls.remove()
    wait_until_freed()
    yield Row(section, "linkem_py, from nothing to ready", up, "s")
    yield Row(section, f"pyroute2, {calls.calls:,} objects, one call each", calls.seconds, "s")
    ratio = calls.seconds / up
    yield Row(section, "ratio", ratio, "times as fast", "at least 15", ratio >= 15)


def _star(destinations: int) -> Topology:
    topology = Topology("star")
    topology.add_peer("centre")
    for number in range(destinations):
        topology.add_peer(f"leaf{number}")
        topology.add_link("centre", f"leaf{number}", LINK)
    return topology


def _only(planned: State, ns: str) -> Iterator[o.Object]:
    """What a peer's namespace holds, on a pair of its own: the cost of links without that of peers."""
    yield o.Namespace(ns, PEER_SYSCTLS)
    yield o.Namespace(o.HUB)
    yield o.Bridge(o.HUB, "br-lan")
    yield o.Veth(o.HUB, "lan.1", "02:4d:00:01:00:01", ns, "eth0", "02:4c:00:01:00:01", master="br-lan")
    for made in planned.values():
        if isinstance(made, o.Qdisc | o.Class | o.Filter | o.Neighbour) and made.ns == ns:
            yield made


def per_link(few: int = 50, many: int = 1000, runs: int = 7) -> Iterator[Row]:
    """Cost of a link of one peer, by the number of its links; planning, sending, and the kernel's part."""

    def cost(destinations: int) -> float:
        topology = _star(destinations)
        wanted = state(_only(desired(topology, probe(), seed=1), "centre"))
        base = {key: made for key, made in wanted.items() if not _of_links(made)}
        driver = KernelDriver()
        driver.apply(operations(EMPTY, base))
        began = time.perf_counter()
        driver.apply(operations(base, state(_only(desired(topology, probe(), seed=1), "centre"))))
        seconds = time.perf_counter() - began
        driver.close()
        wait_until_freed()
        return seconds / destinations

    pairs = [(cost(few), cost(many)) for _ in range(runs)]
    less, more = (statistics.median(pair[i] for pair in pairs) * 1e6 for i in (0, 1))
    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
    section = "cost of one link of one peer, from plan to kernel"
    yield Row(section, f"with {few} destinations", less, "us")
    yield Row(section, f"with {many:,} destinations", more, "us")
    yield Row(section, "ratio", ratio, "times", "at most 1.3", ratio <= 1.3)


def _of_links(made: o.Object) -> bool:
    """Whether an object is there because of the links, and not of the interface."""
    if isinstance(made, o.Class | o.Neighbour):
        return True
    if isinstance(made, o.Qdisc):
        return made.parent != o.TC_H_ROOT
    if not isinstance(made, o.Filter):
        return False
    return made.parent != handles.ROOT or (made.handle & ~0xFFF) not in (0, handles.DESTINATIONS)


def updates(peers: int = 46, batch: int = 1000, singles: int = 500, batches: int = 20) -> Iterator[Row]:
    """One live update, and many in a batch, while the network runs."""

    async def run() -> tuple[list[float], list[float], list[float]]:
        async with Network(mesh(peers), seed=1) as net:
            keys = list(net.topology.links)[:batch]
            one, many, together = [], [], []
            for turn in range(singles):
                source, destination, _ = keys[turn % len(keys)]
                began = time.perf_counter()
                await net.update(source, destination, delay_ms=5 + turn % 7)
                one.append(time.perf_counter() - began)
            for turn in range(batches):
                # No two links alike, and none as before.
                changes = {key: {"delay_ms": 20 + turn + place / batch} for place, key in enumerate(keys)}
                began = time.perf_counter()
                await net.update_links(changes)
                many.append(time.perf_counter() - began)
                alone = [{key: {"loss_pct": 1 + turn + place / batch}} for place, key in enumerate(keys)]
                began = time.perf_counter()
                await net.update_batches(alone)
                together.append(time.perf_counter() - began)
            return one, many, together

    one, many, together = asyncio.run(run())
    section = "live updates, from the call to the kernel's answer"
    yield Row(section, "one link, median", statistics.median(one) * 1e3, "ms")
    yield Row(section, "one link, 99th percentile", percentile(one, 0.99) * 1e3, "ms")
    yield Row(section, f"{batch:,} links in one batch, median", statistics.median(many) * 1e3, "ms")
    yield Row(section, f"{batch:,} links in one batch, 99th percentile", percentile(many, 0.99) * 1e3, "ms")
    yield Row(section, "links per second in batches", batch / statistics.median(many), "per s")
    yield Row(section, "single updates per second, handed over together", batch / statistics.median(together), "per s")


def classification(many: int = 1000, packets: int = 20_000, runs: int = 5) -> Iterator[Row]:
    """Packets per second to one destination, by the number of destinations; linear filters for contrast."""
    single, several, linear = [], [], []
    for _ in range(runs):
        single.append(_rate(_star_state(1), packets))
        several.append(_rate(_star_state(many), packets))
        linear.append(_rate(_linear_state(many), packets))
    section = "packets per second to the last of the destinations, 64 bytes, one sender"
    first, second, third = map(statistics.median, (single, several, linear))
    ratio = statistics.median(b / a for a, b in zip(single, several, strict=True))
    yield Row(section, "one destination", first, "per s")
    yield Row(section, f"{many:,} destinations", second, "per s")
    yield Row(section, "ratio", ratio, "of one's", "at least 0.95", ratio >= 0.95)
    yield Row(section, f"{many:,} destinations, filters in a linear list", third, "per s")
    yield Row(section, "ratio", third / first, "of one's")


def _star_state(destinations: int) -> State:
    topology = Topology("star")
    topology.add_peer("centre")
    for number in range(destinations):
        topology.add_peer(f"leaf{number}")
        topology.add_link("centre", f"leaf{number}", Impairment())
    return state(_two_peers(desired(topology, probe(), seed=1), destinations))


def _two_peers(planned: State, destinations: int) -> Iterator[o.Object]:
    """The centre with all its links, and only the last of the leaves: the others' namespaces do not matter."""
    last = f"leaf{destinations - 1}"
    for made in planned.values():
        owner = made.name if isinstance(made, o.Namespace) else made.ns
        if isinstance(made, o.Veth):
            owner = made.peer_ns
        elif owner == o.HUB and isinstance(made, o.Up | o.Forwarding | o.Qdisc | o.Filter):
            owner = {"lan.1": "centre", f"lan.{destinations + 1}": last}.get(made.dev, "")
        if owner in ("centre", last, o.HUB):
            yield made


def _linear_state(destinations: int) -> State:
    wanted = _star_state(destinations)
    kept: list[o.Object] = [
        made
        for made in wanted.values()
        if not isinstance(made, o.Class | o.Filter) and not (isinstance(made, o.Qdisc) and made.parent != o.TC_H_ROOT)
    ]
    for number in range(2, destinations + 2):
        classid = handles.ROOT | number
        kept.append(o.Class("centre", "eth0", classid, handles.ROOT, "htb", UNLIMITED_CLASS))
        kept.append(o.Qdisc("centre", "eth0", handles.netem(number), classid, "netem", o.Netem(limit_packets=1000)))
        entry = match.destination(1, number, classid=classid)
        kept.append(o.Filter("centre", "eth0", handles.ROOT, 3, o.ETH_P_ALL, number, entry))
    return state(kept)


def _rate(wanted: State, packets: int) -> float:
    driver = KernelDriver()
    driver.apply(operations(EMPTY, wanted))
    try:
        last = next(made for made in wanted.values() if isinstance(made, o.Address) and made.ns != "centre")
        make: Callable[[], socket.socket] = lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # noqa: E731
        receiver, sender = driver.run_in(last.ns, make), driver.run_in("centre", make)
        receiver.bind((last.address, 9))
        send_many(sender, (last.address, 9), packets // 10)
        rate = send_many(sender, (last.address, 9), packets)
        receiver.close()
        sender.close()
        return rate
    finally:
        driver.close()
        wait_until_freed()


def many_peers(peers: int = 1000) -> Iterator[Row]:
    """A thousand peers in a ring, up and down: time and memory of each."""
    topology = Topology.from_graph("ring", nx.cycle_graph(peers), LINK)

    async def run() -> tuple[float, float, float]:
        network = Network(topology, seed=1)
        before = available_kb()
        began = time.perf_counter()
        await network.start()
        up = time.perf_counter() - began
        used = before - available_kb()
        began = time.perf_counter()
        await network.close()
        wait_until_freed()
        return up, time.perf_counter() - began, used / peers

    up, down, memory = asyncio.run(run())
    section = f"{peers:,} peers in a ring"
    yield Row(section, "up", up, "s")
    yield Row(section, "up, for each peer", up / peers * 1e3, "ms")
    yield Row(section, "down, until nothing left", down, "s")
    yield Row(section, "memory for each peer, kernel and Python", memory, "KiB")


SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "build": build,
    "per_link": per_link,
    "updates": updates,
    "classification": classification,
    "many_peers": many_peers,
    "schedules": schedules,
    "shaping": shaping,
    "access": access,
    "control": control,
    "control_of_a_guest": control_of_a_guest,
    "virtual_time": virtual_time,
}
