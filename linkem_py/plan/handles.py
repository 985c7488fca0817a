"""Which number every qdisc, class, table and device gets.

One allocator for all roles: each role owns a range of the 16-bit majors, so no two can meet. A
number follows from the destination's own (or, under prio, from the link's band) and from nothing
else, so no link's handle changes because another came or went.
"""

from __future__ import annotations

from linkem_py.model.topology import MOST_PEERS

GROUP_SIZE = 32  # destinations below one child htb; adding a class costs steps per class of its htb

_ROOT = 0x0001
_ACCESS_NETEM = 0x0002
_ACCESS_QUEUE = 0x0003
_GROUP = 0x0010
_NETEM = 0x1000
_QUEUE = 0x8000

#: Majors by role: (first, how many). `test_handles` proves that they are disjoint.
MAJORS: dict[str, tuple[int, int]] = {
    "root": (_ROOT, 1),
    "access netem": (_ACCESS_NETEM, 1),
    "access queue": (_ACCESS_QUEUE, 1),
    "group": (_GROUP, MOST_PEERS // GROUP_SIZE + 1),
    "netem": (_NETEM, MOST_PEERS + 1),
    "queue": (_QUEUE, MOST_PEERS + 1),
    "clsact": (0xFFFF, 1),
}

_GROUP_CLASS, _ACCESS_GROUP_CLASS, _ACCESS_CLASS = 0x0001, 0x1000, 0xFFF0

#: Minors of classes in the root htb by role: (first, how many), disjoint as well.
MINORS: dict[str, tuple[int, int]] = {
    "group": (_GROUP_CLASS, MOST_PEERS // GROUP_SIZE + 1),
    "group below an access link": (_ACCESS_GROUP_CLASS, MOST_PEERS // GROUP_SIZE + 1),
    "access link": (_ACCESS_CLASS, 1),
}

ROOT = _ROOT << 16
ACCESS_CLASS = ROOT | _ACCESS_CLASS
ACCESS_NETEM = _ACCESS_NETEM << 16
ACCESS_QUEUE = _ACCESS_QUEUE << 16
CLSACT = 0xFFFF0000

DESTINATIONS = 3 << 20  # u32 table of destinations, in the root and in each child htb
GROUP_BUCKETS = 256
MEMBER_BUCKETS = GROUP_SIZE


def group_of(number: int) -> int:
    """The group of destination `number`."""
    return number // GROUP_SIZE


def group_class(group: int) -> int:
    """Class of a group in the root htb: 1:(group + 1)."""
    return ROOT | (_GROUP_CLASS + group)


def access_group_class(group: int) -> int:
    """Class of a group below an access link's: 1:(1000 + group). Another number, since a class cannot move."""
    return ROOT | (_ACCESS_GROUP_CLASS + group)


def group_qdisc(group: int) -> int:
    """Handle of a group's child htb."""
    return (_GROUP + group) << 16


def member_class(number: int) -> int:
    """Class of a destination in its group's htb."""
    return group_qdisc(group_of(number)) | (number % GROUP_SIZE + 1)


def band_class(slot: int) -> int:
    """Class of a link under prio: band 0 (1:1) is for everything else."""
    return ROOT | (slot + 2)


def netem(number: int) -> int:
    """Handle of a destination's netem (under prio: of band number - 1)."""
    return (_NETEM + number) << 16


def queue(number: int) -> int:
    """Handle of the queue below a destination's netem."""
    return (_QUEUE + number) << 16


def netem_child(number: int) -> int:
    """The one class of a destination's netem, parent of its queue."""
    return netem(number) | 1


def group_entry(group: int) -> int:
    """Handle of the root's u32 entry that leads to a group."""
    return DESTINATIONS | (group % GROUP_BUCKETS) << 12 | (group // GROUP_BUCKETS + 1)


def member_entry(number: int) -> int:
    """Handle of the child's u32 entry that leads to a destination's class."""
    return DESTINATIONS | (number % MEMBER_BUCKETS) << 12 | 1


def describe(handle: int) -> str:
    """A handle or classid as tc writes it: ``1:``, ``10:2``, hexadecimal."""
    major, minor = handle >> 16, handle & 0xFFFF
    return f"{major:x}:{minor:x}" if minor else f"{major:x}:"


def destination_of(handle: int) -> int | None:
    """The destination whose netem or queue has this handle, None if it is another role's."""
    major = handle >> 16
    for role in ("netem", "queue"):
        first, count = MAJORS[role]
        if first <= major < first + count:
            return major - first
    return None


def in_root(classid: int) -> bool:
    """Whether a class is one of the root htb: a group's or an access link's, no destination's."""
    return classid >> 16 == _ROOT


def member_of(classid: int) -> int:
    """The destination of a class in a group's htb."""
    return ((classid >> 16) - _GROUP) * GROUP_SIZE + (classid & 0xFFFF) - 1
