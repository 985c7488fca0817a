# From a topology to kernel objects, and from one set of objects to another. Pure.
#
#   objects      the objects, in the kernel's units
#   addressing   addresses, MACs, names: from a peer's number
#   handles      majors, classids, u32 handles: one allocator for all roles
#   translate    an Impairment as netem, htb class and queue
#   match        u32 selectors
#   tree         the queueing tree of one interface
#   placement    where a tree stands: on the peer's interface, or in the hub
#   hub          bridges, ports, forwarding
#   access       access links: what all links of a peer share
#   partition    cuts between groups
#   routing      policy routing of peers on several segments
#   duplicates   the duplicate rule
#   desired      topology -> State
#   scope        the part of the whole that a change of structure is about
#   operations   State, State -> operations
#   locate       object -> the link that it belongs to
#   words        options of qdiscs, classes and filters in words, with units
#   show         State -> text, State -> JSON; an operation in a line
"""Plans: what the kernel must hold for a topology, and the steps that lead there. Pure."""

from linkem_py.plan.desired import EMPTY, State, desired
from linkem_py.plan.operations import Operation, inverse, operations

__all__ = ["EMPTY", "Operation", "State", "desired", "inverse", "operations"]
