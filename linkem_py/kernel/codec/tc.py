"""Messages of traffic control: qdiscs, classes, filters, and the dumps of each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from socket import htons
from typing import Any, Literal, TypeAlias

from linkem_py.kernel.codec.attributes import attribute, text
from linkem_py.kernel.codec.cake import encode_cake
from linkem_py.kernel.codec.clsact import encode_clsact
from linkem_py.kernel.codec.fifo import encode_fifo
from linkem_py.kernel.codec.fq_codel import encode_fq_codel
from linkem_py.kernel.codec.htb import encode_htb, encode_htb_class
from linkem_py.kernel.codec.netem import encode_netem
from linkem_py.kernel.codec.prio import encode_prio
from linkem_py.kernel.codec.tbf import encode_tbf
from linkem_py.kernel.codec.u32 import TC_U32_ROOT, encode_u32, encode_u32_table
from linkem_py.plan.objects import Class, Fifo, Filter, Netem, Qdisc, QdiscOptions, U32Table

Verb: TypeAlias = Literal["create", "change", "delete"]

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTCLASS, RTM_DELTCLASS, RTM_GETTCLASS = 40, 41, 42
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
NLM_F_REQUEST = 0x001
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
CREATE_FLAGS = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL

TCA_KIND = 1
TCA_OPTIONS = 2

FIRST_ROOT_TABLE = 0x80000000  # 800:, the root table of the first u32 priority of a qdisc

# nlmsghdr (length, type, flags, sequence, port), then tcmsg (ifindex, handle, parent, info)
_HEAD = struct.Struct("=IHH8x4xIIII")
_ATTRIBUTE = struct.Struct("=HH")
_QDISC = {
    "create": (RTM_NEWQDISC, CREATE_FLAGS),
    "change": (RTM_NEWQDISC, NLM_F_REQUEST),
    "delete": (RTM_DELQDISC, NLM_F_REQUEST),
}
_CLASS = {
    "create": (RTM_NEWTCLASS, CREATE_FLAGS),
    "change": (RTM_NEWTCLASS, NLM_F_REQUEST),
    "delete": (RTM_DELTCLASS, NLM_F_REQUEST),
}
_FILTER = {
    "create": (RTM_NEWTFILTER, CREATE_FLAGS),
    "change": (RTM_NEWTFILTER, NLM_F_REQUEST),
    "delete": (RTM_DELTFILTER, NLM_F_REQUEST),
}
_ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "htb": encode_htb,
    "prio": encode_prio,
    "clsact": encode_clsact,
    "fq_codel": encode_fq_codel,
    "cake": encode_cake,
    "tbf": encode_tbf,
}
_KIND_NETEM = text(TCA_KIND, "netem")
_FIFO_OPTIONS = {kind: text(TCA_KIND, kind) + _ATTRIBUTE.pack(8, TCA_OPTIONS) for kind in ("bfifo", "pfifo")}
_KIND_HTB = text(TCA_KIND, "htb")
_KIND_U32 = text(TCA_KIND, "u32")


def qdisc_message(verb: Verb, qdisc: Qdisc, ifindex: int, before: QdiscOptions | None = None) -> bytes:
    """RTM_NEWQDISC or RTM_DELQDISC. A change fails unless the qdisc is there; `before` is what it has, if known."""
    kind, flags = _QDISC[verb]
    options = qdisc.options
    tail = b""
    if verb == "delete":
        pass
    elif isinstance(options, Netem):
        payload = encode_netem(options, change=verb == "change", before=before if isinstance(before, Netem) else None)
        tail = _KIND_NETEM + _ATTRIBUTE.pack(4 + len(payload), TCA_OPTIONS) + payload
    elif isinstance(options, Fifo):
        tail = _FIFO_OPTIONS[qdisc.kind] + encode_fifo(options)
    else:
        tail = _qdisc_tail(qdisc.kind, options)
    return _HEAD.pack(36 + len(tail), kind, flags, ifindex, qdisc.handle, qdisc.parent, 0) + tail


@lru_cache(maxsize=64)
def _qdisc_tail(kind: str, options: Any) -> bytes:
    payload = _ENCODERS[kind](options)
    return text(TCA_KIND, kind) + (attribute(TCA_OPTIONS, payload) if payload else b"")


def class_message(verb: Verb, class_: Class, ifindex: int) -> bytes:
    """RTM_NEWTCLASS or RTM_DELTCLASS of an htb class. A change fails unless the class is there."""
    kind, flags = _CLASS[verb]
    tail = b""
    if verb != "delete":
        payload = encode_htb_class(class_.options)
        tail = _KIND_HTB + _ATTRIBUTE.pack(4 + len(payload), TCA_OPTIONS) + payload
    return _HEAD.pack(36 + len(tail), kind, flags, ifindex, class_.classid, class_.parent, 0) + tail


def filter_message(
    verb: Verb,
    filter_: Filter,
    ifindex: int,
    redirect_ifindex: int = 0,
    *,
    root_table: int = FIRST_ROOT_TABLE,
) -> bytes:
    """RTM_NEWTFILTER or RTM_DELTFILTER of a u32 table or entry.

    `redirect_ifindex` is the index of the device that a `Redirect` or `Mirror` names. An entry whose handle has
    no table stands in the root table of its priority. The kernel chooses that table's number, so to
    change or delete the entry it has to be told: `root_table` is 800: for the first u32 priority of
    a qdisc (both hooks of a clsact count as one), 801: for the second, and so on.

    A change replaces class, link and action; the kernel keeps keys and hash of an entry.
    """
    kind, flags = _FILTER[verb]
    handle = filter_.handle
    if verb != "create" and not handle & TC_U32_ROOT:
        handle |= root_table
    tail = _KIND_U32
    if verb != "delete":
        options = filter_.options
        if isinstance(options, U32Table):
            payload = encode_u32_table(options)
        else:
            payload = encode_u32(options, handle, redirect_ifindex)
        tail += _ATTRIBUTE.pack(4 + len(payload), TCA_OPTIONS) + payload
    info = filter_.priority << 16 | htons(filter_.protocol)
    return _HEAD.pack(36 + len(tail), kind, flags, ifindex, handle, filter_.parent, info) + tail


def filters_delete_message(ifindex: int, parent: int, priority: int, protocol: int) -> bytes:
    """RTM_DELTFILTER of all the filters of one priority, root table and all."""
    info = priority << 16 | htons(protocol)
    return _HEAD.pack(36, RTM_DELTFILTER, NLM_F_REQUEST, ifindex, 0, parent, info)


def qdisc_dump_message(ifindex: int = 0) -> bytes:
    """Dump of the qdiscs of every device: the kernel does not heed `ifindex`, `qdisc_rows` can."""
    return _HEAD.pack(36, RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, ifindex, 0, 0, 0)


def class_dump_message(ifindex: int, parent: int = 0) -> bytes:
    """Dump of the classes of one device, or of its qdisc with the handle `parent` only.

    That of a whole device stops short at a netem without a qdisc below it: name the parents.
    """
    return _HEAD.pack(36, RTM_GETTCLASS, NLM_F_REQUEST | NLM_F_DUMP, ifindex, 0, parent, 0)


def filter_dump_message(ifindex: int, parent: int) -> bytes:
    """Dump of the filters of one qdisc (its handle) or hook of a clsact."""
    return _HEAD.pack(36, RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP, ifindex, 0, parent, 0)
