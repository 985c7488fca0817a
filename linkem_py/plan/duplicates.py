"""The duplicate rule: some kernels refuse a duplicating netem beside another in one device's tree.

"netem: cannot mix duplicating netems with other netems in tree" (check_netem_in_tree, Linux 6.1.144
and its contemporaries). The rule is checked here, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from linkem_py.errors import DuplicateRestrictionError
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.topology import Link, Topology

RULE = "must not stand beside another link of the peer: some kernels refuse to mix duplicating netems with others"


def isolates(topology: Topology, capabilities: Capabilities) -> bool:
    """Whether a duplicating link gets its duplication on a device of its own."""
    if topology.duplicates == "isolate":
        return True
    return topology.duplicates == "auto" and not capabilities.mixed_duplicate


def check(topology: Topology, links: Iterable[Link]) -> None:
    """Under ``strict``, raise `DuplicateRestrictionError` if the outgoing links given break the rule.

    `links` are all links of whatever peers are in question, as they are going to be.
    """
    if topology.duplicates != "strict":
        return
    trees: dict[tuple[str, str], list[Link]] = {}
    for link in links:
        trees.setdefault((link.source, link.segment), []).append(link)
    for (peer, _segment), beside in trees.items():
        offenders = [link for link in beside if link.impairment.duplicate_pct]
        if offenders and len(beside) > 1:
            raise DuplicateRestrictionError(
                "duplicate_pct",
                RULE,
                offenders[0].impairment.duplicate_pct,
                where=f"peer {peer}: " + ", ".join(str(link) for link in offenders),
                peer=peer,
                links=tuple(link.key for link in offenders),
            )
