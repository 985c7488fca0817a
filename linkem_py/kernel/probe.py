"""What the kernel at hand can do, found by trying in a scratch namespace."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import Any

import attrs

from linkem_py.errors import KernelError, PrivilegeError
from linkem_py.kernel import nftables
from linkem_py.kernel.codec.attributes import text
from linkem_py.kernel.codec.decode import filter_rows, qdisc_rows
from linkem_py.kernel.codec.link import bridge_message, ifb_message, link_delete_message, veth_message
from linkem_py.kernel.codec.netem import decode_netem
from linkem_py.kernel.codec.tc import (
    CREATE_FLAGS,
    RTM_NEWQDISC,
    TCA_KIND,
    class_message,
    filter_dump_message,
    filter_message,
    qdisc_dump_message,
    qdisc_message,
)
from linkem_py.kernel.codec.u32 import decode_u32
from linkem_py.kernel.namespaces import Namespace, NamespaceThread
from linkem_py.model.capabilities import Capabilities
from linkem_py.model.topology import Topology
from linkem_py.plan import handles
from linkem_py.plan.nat import ruleset
from linkem_py.plan.objects import (
    ETH_P_ALL,
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_ROOT,
    U32,
    Action,
    Bridge,
    Class,
    Clsact,
    Drop,
    Filter,
    Htb,
    Ifb,
    Mark,
    Netem,
    Qdisc,
    Redirect,
    Ruleset,
    U32Key,
    Veth,
)
from linkem_py.plan.translate import UNLIMITED_CLASS

_BRIDGE, _PORT, _END, _IFB = 10, 11, 12, 13  # interface indexes of the scratch devices
_FLAGS = tuple(name for name in attrs.fields_dict(Capabilities) if name != "release")
_HEAD = struct.Struct("=IHH8x4xIIII")


def probe(*, nat: bool = False) -> Capabilities:
    """The capabilities of the running kernel. Found once per process; takes some 10 ms.

    `nat` is tried only if asked for, and False otherwise: it loads a dozen modules that most networks do without.
    Without the privilege to make a namespace everything is False.
    """
    found = _probe()
    return attrs.evolve(found, nat=_nat()) if nat and found.privileged else found


@cache
def _nat() -> bool:
    thread = NamespaceThread()
    try:
        scratch = thread.create("probe", ())
        try:
            return not any(thread.run(partial(nftables.load, made), scratch) for made in _trials())
        finally:
            scratch.close()
    finally:
        thread.close()


def _trials() -> Iterator[Ruleset]:
    """The rules of NATs that have all there is between them."""
    topology = Topology("probe")
    for name in ("full_cone", "symmetric"):
        topology.add_gateway(name.replace("_", "-"), inside="in", outside="out", nat=name)
    for name in topology.gateways:
        yield from ruleset(topology, name)


@cache
def _probe() -> Capabilities:
    release = os.uname().release
    _load_ifb()
    thread = NamespaceThread()
    try:
        scratch = thread.create("probe", ())
        try:
            return _look(scratch, release)
        finally:
            scratch.close()
    except PrivilegeError:
        return _only(release, {})
    finally:
        thread.close()


def _load_ifb() -> None:
    # Loaded by the kernel on demand, the module puts two devices of its own, ifb0 and ifb1, into the
    # host's namespace. Loaded by us first, it does not. Who may not load modules leaves it at that.
    if not os.path.exists("/sys/module/ifb"):
        with contextlib.suppress(OSError):
            subprocess.run(["modprobe", "-q", "ifb", "numifbs=0"], capture_output=True, check=False)


def _look(scratch: Namespace, release: str) -> Capabilities:
    bridge = _works(scratch, bridge_message(Bridge("", "b0"), index=_BRIDGE))
    pair = Veth("", "v0", "02:00:00:00:00:01", "", "v1", "02:00:00:00:00:02", master="")
    veth = _works(scratch, veth_message(pair, peer_ns_fd=None, index=_PORT, peer_index=_END))
    ifb = _works(scratch, ifb_message(Ifb("", "i0"), index=_IFB))
    found = Capabilities(
        release=release, privileged=True, bridge=bridge, veth=veth, ifb=ifb, ipv6=os.path.exists("/proc/net/if_inet6")
    )
    if not veth:
        return _only(release, {"privileged": True, "bridge": bridge, "ifb": ifb, "ipv6": found.ipv6})
    kinds = {
        kind: _has_qdisc(scratch, kind)
        for kind in ("htb", "prio", "netem", "tbf", "bfifo", "fq_codel", "cake", "clsact")
    }
    found = _with(found, kinds)
    found = _with(found, _filters(scratch, found))
    found = _with(found, _netem(scratch, found))
    return attrs.evolve(found, mixed_duplicate=_mixed_duplicate(scratch, found), nat=False)


def _only(release: str, flags: Mapping[str, bool]) -> Capabilities:
    """Nothing but these."""
    return _with(Capabilities(release=release), {**dict.fromkeys(_FLAGS, False), **flags})


def _with(found: Capabilities, flags: Mapping[str, bool]) -> Capabilities:
    changes: dict[str, Any] = dict(flags)
    return attrs.evolve(found, **changes)


def _works(scratch: Namespace, *messages: bytes) -> bool:
    return not any(ack.errno for ack in scratch.netlink.transact(messages))


def _has_qdisc(scratch: Namespace, kind: str) -> bool:
    # Without options some kinds are refused, but only one that is not there is unknown (ENOENT).
    tail = text(TCA_KIND, kind)
    parent, handle = (TC_H_CLSACT, handles.CLSACT) if kind == "clsact" else (TC_H_ROOT, handles.ROOT)
    create = _HEAD.pack(36 + len(tail), RTM_NEWQDISC, CREATE_FLAGS, _PORT, handle, parent, 0) + tail
    refused = scratch.netlink.transact([create])[0].errno
    if not refused:
        _remove(scratch, _PORT, handle, parent, kind)
    return refused not in (errno.ENOENT, errno.EOPNOTSUPP)


def _remove(scratch: Namespace, ifindex: int, handle: int, parent: int, kind: str) -> None:
    options = Clsact() if kind == "clsact" else Htb()
    if not _works(scratch, qdisc_message("delete", Qdisc("", "", handle, parent, kind, options), ifindex)):
        raise KernelError(f"the scratch qdisc {kind} could not be removed")


def _filters(scratch: Namespace, found: Capabilities) -> dict[str, bool]:
    if not found.clsact:
        return dict.fromkeys(("u32", "u32_mark", "gact", "mirred", "skbedit"), False)
    _works(scratch, qdisc_message("create", Qdisc("", "", handles.CLSACT, TC_H_CLSACT, "clsact", Clsact()), _PORT))
    tried: tuple[tuple[str, Action | None], ...] = (
        ("u32", None),
        ("gact", Drop()),
        ("mirred", Redirect("v1")),
        ("skbedit", Mark(1)),
    )
    result = {}
    for node, (name, action) in enumerate(tried, 1):
        options = U32(keys=(U32Key(0, 0, 0),), classid=0 if action else 0x10001, action=action)
        entry = Filter("", "", TC_H_EGRESS_FILTERS, 1, ETH_P_ALL, node, options)
        result[name] = _works(scratch, filter_message("create", entry, _PORT, redirect_ifindex=_END))
    result["u32_mark"] = _matches_marks(scratch)
    _remove(scratch, _PORT, handles.CLSACT, TC_H_CLSACT, "clsact")
    return result


def _matches_marks(scratch: Namespace) -> bool:
    # A kernel without CONFIG_CLS_U32_MARK takes the condition and forgets it: only a look tells.
    asked = U32(keys=(U32Key(0, 0, 0),), classid=0x10001, mark=(1, 0xFFFF))
    entry = Filter("", "", TC_H_EGRESS_FILTERS, 2, ETH_P_ALL, 1, asked)
    if not _works(scratch, filter_message("create", entry, _PORT)):
        return False
    rows = filter_rows(scratch.netlink.dump(filter_dump_message(_PORT, TC_H_EGRESS_FILTERS)))
    shown = [decode_u32(row.options) for row in rows if row.priority == entry.priority]
    return any(isinstance(found, U32) and found.mark == asked.mark for found in shown)


def _netem(scratch: Namespace, found: Capabilities) -> dict[str, bool]:
    if not found.netem:
        return {"seed": False, "netem_64bit": False}
    asked = Netem(limit_packets=1000, latency_ns=1_000_001, seed=0x0123456789ABCDEF)
    qdisc = Qdisc("", "", handles.ROOT, TC_H_ROOT, "netem", asked)
    if not _works(scratch, qdisc_message("create", qdisc, _PORT)):
        return {"seed": False, "netem_64bit": False}
    rows = qdisc_rows(scratch.netlink.dump(qdisc_dump_message()), _PORT)
    nothing = asked._replace(latency_ns=0, seed=0)
    shown = next((decode_netem(row.options) for row in rows if row.kind == "netem"), nothing)
    _remove(scratch, _PORT, handles.ROOT, TC_H_ROOT, "netem")
    return {"seed": shown.seed == asked.seed, "netem_64bit": shown.latency_ns == asked.latency_ns}


def _mixed_duplicate(scratch: Namespace, found: Capabilities) -> bool:
    """Whether a duplicating netem is taken beside another; without htb to hold both, it is not."""
    if not (found.netem and found.htb):
        return False
    plain, doubling = Netem(limit_packets=10), Netem(limit_packets=10, duplicate=2**31)
    messages = [qdisc_message("create", Qdisc("", "", handles.ROOT, TC_H_ROOT, "htb", Htb()), _PORT)]
    for minor, options in ((1, plain), (2, doubling)):
        classid = handles.ROOT | minor
        messages.append(class_message("create", Class("", "", classid, handles.ROOT, "htb", UNLIMITED_CLASS), _PORT))
        messages.append(qdisc_message("create", Qdisc("", "", (minor + 1) << 16, classid, "netem", options), _PORT))
    works = _works(scratch, *messages)
    _works(scratch, link_delete_message(_PORT))
    return works
