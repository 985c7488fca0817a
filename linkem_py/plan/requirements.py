"""What a topology needs of a kernel, and which of its settings a kernel cannot do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkem_py.errors import CapabilityError, TopologyError
from linkem_py.model.access import AccessLink
from linkem_py.model.capabilities import EVERYTHING, NEEDED, Capabilities
from linkem_py.model.topology import Link, Topology, access_name
from linkem_py.plan import placement
from linkem_py.plan.duplicates import isolates
from linkem_py.plan.translate import LEAST_IPV6_MTU, nanoseconds


def unmet(topology: Topology, capabilities: Capabilities) -> tuple[str, ...]:
    """Names of the capabilities that the topology cannot do without and that are missing."""
    needed = [name for name in NEEDED if name != "htb"]
    needed.append(topology.classifier)
    if topology.unlinked == "blocked":
        needed.append("gact")
    needed += [kind for link in topology.links.values() for _, kind in _qdiscs(link)]
    if any(link.impairment.duplicate_pct for link in topology.links.values()) and isolates(topology, capabilities):
        needed += INGRESS_NEEDS
    needed += unmet_by_placement(topology, capabilities)
    needed += [name for link in topology.accesses.values() for name in _access_needs(link)]
    return tuple(name for name in dict.fromkeys(needed) if not getattr(capabilities, name))


def unmet_by_placement(topology: Topology, capabilities: Capabilities) -> tuple[str, ...]:
    """Names of the capabilities that queues in the hub cannot do without and that are missing."""
    if all(peer.placement == "sender" for peer in topology.peers.values()):
        return ()
    return tuple(name for name in placement.NEEDS if not getattr(capabilities, name))


def check_links(topology: Topology, links: Iterable[Link], capabilities: Capabilities = EVERYTHING) -> None:
    """Raise `TopologyError` for a queue that the classifier cannot have, `CapabilityError` for one that is missing."""
    for link in links:
        for field, kind in _qdiscs(link):
            if topology.classifier == "prio":
                rule = "needs classifier='htb': under prio netem itself is shaper and queue"
                raise TopologyError(field, rule, kind).at(str(link))
            if not getattr(capabilities, kind):
                what = f"the kernel {capabilities.release} lacks {kind} (linkem doctor tells more)"
                raise CapabilityError(f"{link}: {field}: {what}")


def check_access(topology: Topology, ends: Iterable[tuple[str, str]], capabilities: Capabilities = EVERYTHING) -> None:
    """Raise `TopologyError` for an access link that the classifier cannot have, `CapabilityError` for what it lacks."""
    for end in ends:
        link = topology.accesses.get(end)
        if link is None:
            continue
        if topology.classifier == "prio":
            rule = "must be 'htb' for access links: the prio classifier has no rates"
            raise TopologyError("classifier", rule, topology.classifier, where=access_name(end))
        missing = [name for name in _access_needs(link) if not getattr(capabilities, name)]
        if missing:
            what = f"the kernel {capabilities.release} lacks {', '.join(missing)} (linkem doctor tells more)"
            raise CapabilityError(f"{access_name(end)}: downlink_at: {what}")


def _access_needs(link: AccessLink) -> tuple[str, ...]:
    """What an access link needs of a kernel besides what every network does."""
    return INGRESS_NEEDS if link.downward and link.access.downlink_at == "peer" else ()


def _qdiscs(link: Link) -> Iterator[tuple[str, str]]:
    """The qdiscs that a link needs besides those that every link has, and the field that asks for each."""
    if link.impairment.queue != "fifo":
        yield "queue", link.impairment.queue
    if link.impairment.shaper in ("tbf", "cake"):
        yield "shaper", link.impairment.shaper


CORRELATED_FROM_MS = 500.0  # jitter; see `notes`
INGRESS_NEEDS = ("ifb", "clsact", "mirred")
PARTITION_NEEDS = ("clsact", "u32_mark", "gact", "skbedit")


def unmet_by_partition(capabilities: Capabilities) -> tuple[str, ...]:
    """Names of the capabilities that a partition cannot do without and that are missing."""
    return tuple(name for name in PARTITION_NEEDS if not getattr(capabilities, name))


def notes(links: Iterable[Link], capabilities: Capabilities) -> Iterator[str]:
    """What these links ask for and this kernel cannot do, in words; each sentence once."""
    seeded = coarse = correlated = small = False
    for link in links:
        shape = link.impairment
        correlated = correlated or (shape.delay_correlation_pct > 0 and shape.jitter_ms < CORRELATED_FROM_MS)
        small = small or (shape.mtu is not None and shape.mtu < LEAST_IPV6_MTU)
        seeded = seeded or shape.seed is not None
        if not capabilities.netem_64bit:
            coarse = coarse or any(nanoseconds(time) % 64 for time in (shape.delay_ms, shape.jitter_ms))
    kernel = f"Linux {capabilities.release}" if capabilities.release else "this kernel"
    if seeded and not capabilities.seed:
        yield f"seed: {kernel} cannot seed netem (Linux 6.6 can): losses will differ from run to run"
    if small and capabilities.ipv6:
        yield f"mtu: IPv6 has no MTU below {LEAST_IPV6_MTU} bytes, and keeps that; IPv4 has what is asked"
    if coarse:
        yield f"delay_ms, jitter_ms: {kernel} takes netem's times in steps of 64 ns only"
    if correlated:
        # tabledist() takes the correlated number modulo the jitter or the size of the table, and
        # what the correlation shaped are the high bits, which that throws away.
        yield (
            f"delay_correlation_pct: netem of {kernel} loses it again for a jitter below half a second: "
            "delays measure as good as uncorrelated"
        )
