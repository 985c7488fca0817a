"""Options of qdiscs, classes and filters in words, every number with its unit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from linkem_py.model.distribution import NAMES, table
from linkem_py.plan import addressing, handles, match
from linkem_py.plan.objects import (
    ETH_P_ALL,
    ETH_P_ARP,
    ETH_P_IP,
    ETH_P_IPV6,
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    TC_H_ROOT,
    U32,
    Cake,
    Class,
    Drop,
    Fifo,
    Filter,
    FourStateLoss,
    FqCodel,
    GilbertElliottLoss,
    Htb,
    HtbClass,
    Mark,
    Mirror,
    Netem,
    NetemSlot,
    Prio,
    Qdisc,
    Redirect,
    Tbf,
    U32Key,
    U32Table,
)
from linkem_py.plan.translate import CERTAIN, UNLIMITED_RATE, UNLIMITED_ROOM

_PLACES = {
    TC_H_ROOT: "root",
    TC_H_CLSACT: "clsact",
    TC_H_INGRESS_FILTERS: "ingress",
    TC_H_EGRESS_FILTERS: "egress",
}
_PROTOCOLS = {ETH_P_ALL: "all", ETH_P_IP: "IPv4", ETH_P_ARP: "ARP", ETH_P_IPV6: "IPv6"}
_WHOLE_WORD = 0xFFFFFFFF
_KNOWN_KEYS = {
    **{entry.keys: "neighbour discovery" for entry in match.discovery(0)},
    match.listener_reports().keys: "MLDv2 reports",
}


# --- numbers -------------------------------------------------------------------------------------


def scaled(value: float, unit: str) -> str:
    """A number with a decimal prefix: ``10 Mbit/s``, ``15.1 kB``."""
    for prefix in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.4g} {prefix}{unit}"
        value /= 1000
    return f"{value:.4g} T{unit}"


def rate(bytes_per_second: int) -> str:
    """A rate in bit/s."""
    return "unlimited" if bytes_per_second >= UNLIMITED_RATE else scaled(bytes_per_second * 8, "bit/s")


def duration(nanoseconds: int) -> str:
    """A time in milliseconds, or in microseconds where it is short."""
    return f"{nanoseconds / 1e6:.9g} ms" if nanoseconds >= 100_000 else f"{nanoseconds / 1e3:.9g} us"


def percentage(fraction: int) -> str:
    """One of the kernel's 32-bit fractions in percent."""
    return f"{100 * fraction / CERTAIN:.6g} %"


def place(handle: int) -> str:
    """Where a qdisc or a filter hangs, as tc writes it."""
    return _PLACES.get(handle) or handles.describe(handle)


def u32_handle(handle: int) -> str:
    """Table, bucket and entry of a u32 filter, as tc writes them."""
    return f"{handle >> 20:x}:{handle >> 12 & 0xFF:x}:{handle & 0xFFF:x}"


# --- qdiscs and classes --------------------------------------------------------------------------


def qdisc(made: Qdisc) -> str:
    """What a qdisc does; empty if that follows from its kind."""
    options = made.options
    if isinstance(options, Netem):
        return netem(options)
    if isinstance(options, Fifo):
        return "limit " + (scaled(options.limit, "B") if made.kind == "bfifo" else f"{options.limit} packets")
    if isinstance(options, FqCodel):
        marks = ", ECN marks first" if options.ecn else ""
        return f"limit {options.limit} packets, {_codel(options)}{marks}"
    if isinstance(options, Cake):
        shaper = f"rate {rate(options.rate)}, " if options.rate else ""
        return shaper + _codel(options)
    if isinstance(options, Tbf):
        return f"rate {rate(options.rate)}, burst {scaled(options.burst, 'B')}, limit {scaled(options.limit, 'B')}"
    if isinstance(options, Prio):
        return f"{options.bands} bands"
    if isinstance(options, Htb):
        return "what no filter matches passes at once" if not options.default else f"default {options.default:x}"
    return ""


def _codel(options: FqCodel | Cake) -> str:
    return f"target {duration(options.target_us * 1000)}, interval {duration(options.interval_us * 1000)}"


def class_(made: Class) -> str:
    """An htb class."""
    options: HtbClass = made.options
    text = f"rate {rate(options.rate)}"
    if options.ceil != options.rate:
        text += f", ceil {rate(options.ceil)}"
    return f"{text}, burst {scaled(options.burst, 'B')}"


def netem(options: Netem) -> str:
    """What a netem does, in the order in which it is asked for."""
    parts = [
        f"delay {duration(options.latency_ns)}" if options.latency_ns else "",
        _jitter(options) if options.jitter_ns else "",
        _event("loss", options.loss, options.loss_correlation),
        _loss_model(options.loss_model) if options.loss_model else "",
        "ECN marks instead" if options.ecn else "",
        _event("duplicate", options.duplicate, options.duplicate_correlation),
        _event("corrupt", options.corrupt, options.corrupt_correlation),
        _event("reorder", options.reorder, options.reorder_correlation),
        f"gap {options.gap} packets" if options.gap else "",
        f"rate {rate(options.rate)}{_overhead(options)}" if options.rate else "",
        _slot(options.slot) if options.slot else "",
        f"limit {options.limit_packets} packets",
        f"seed {options.seed}" if options.seed is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _jitter(options: Netem) -> str:
    text = f"jitter {duration(options.jitter_ns)} {table_name(options.table)}"
    correlation = options.delay_correlation
    return f"{text}, correlated {percentage(correlation)}" if correlation else text


def _overhead(options: Netem) -> str:
    packet = f" with {options.packet_overhead} bytes more a packet" if options.packet_overhead else ""
    cell = f" in cells of {options.cell_size} and {options.cell_overhead} bytes" if options.cell_size else ""
    return packet + cell


def _slot(slot: NetemSlot) -> str:
    parts = [f"slots every {duration(slot.delay_ns)}"]
    if slot.jitter_ns:
        parts.append(f"jitter {duration(slot.jitter_ns)} {table_name(slot.table)}")
    if slot.room_packets < UNLIMITED_ROOM:
        parts.append(f"of {slot.room_packets} packets")
    if slot.room_bytes < UNLIMITED_ROOM:
        parts.append(f"of {scaled(slot.room_bytes, 'B')}")
    return " ".join(parts)


def _event(name: str, fraction: int, correlation: int) -> str:
    if not fraction:
        return ""
    text = f"{name} {percentage(fraction)}"
    return f"{text} correlated {percentage(correlation)}" if correlation else text


def _loss_model(model: GilbertElliottLoss | FourStateLoss) -> str:
    if isinstance(model, GilbertElliottLoss):
        bad = percentage(CERTAIN - model.h)
        return (
            f"loss Gilbert-Elliott p {percentage(model.p)} r {percentage(model.r)} "
            f"({bad} lost in the bad state, {percentage(model.k1)} in the good one)"
        )
    fields = " ".join(f"{name} {percentage(value)}" for name, value in model._asdict().items())
    return f"loss four states {fields}"


def table_name(packed: bytes) -> str:
    """The name of a delay table if it is one of netem's, else its size."""
    return _known_tables().get(packed) or f"table of {len(packed) // 2} entries"


@lru_cache(maxsize=1)
def _known_tables() -> Mapping[bytes, str]:
    shapes = ((name, table(name)) for name in NAMES)
    return {b"" if shape is None else shape.packed(): name for name, shape in shapes}


# --- filters -------------------------------------------------------------------------------------


def filter_(made: Filter, peers: Mapping[int, str]) -> str:
    """A filter's priority, what it matches and where it leads; `peers` are the names by number."""
    options = made.options
    if isinstance(options, U32Table):
        return f"prio {made.priority}, table {made.handle >> 20:x}: of {options.divisor} buckets"
    protocol = _PROTOCOLS.get(made.protocol, f"{made.protocol:04x}")
    hook = made.parent in (TC_H_INGRESS_FILTERS, TC_H_EGRESS_FILTERS)
    target = "pass" if hook and options.classid else _target(options)
    return f"prio {made.priority}, {u32_handle(made.handle)} {protocol}, {_condition(options, peers)} -> {target}"


def _condition(options: U32, peers: Mapping[int, str]) -> str:
    if options.keys in _KNOWN_KEYS:
        return _KNOWN_KEYS[options.keys]
    parts = [_key(key, peers) for key in options.keys if key.mask]
    if options.mark is not None:
        parts.append(f"mark {options.mark[0]}")
    return " and ".join(parts) or "any packet"


def _key(key: U32Key, peers: Mapping[int, str]) -> str:
    if key.offset == match.MAC_LOW:
        mac = addressing.packed_mac(key.value >> 16, key.value & 0xFFFF)
        if key.mask == _WHOLE_WORD:
            return f"to {addressing.mac_text(mac)} ({peers.get(key.value & 0xFFFF, 'no peer')})"
        first, last = key.value & 0xFFFF, (key.value | ~key.mask) & 0xFFFF
        return f"to {addressing.mac_text(mac)} and the next (peers {max(1, first)} to {last})"
    if key.offset == match.SOURCE_LOW:
        mac = addressing.packed_mac(key.value >> 16, key.value & 0xFFFF)
        return f"from {addressing.mac_text(mac)} ({peers.get(key.value & 0xFFFF, 'no peer')})"
    if key.offset == match.SOURCE_HIGH:
        return f"from a MAC that begins with {key.value >> 24:02x}:{key.value >> 16 & 0xFF:02x}"
    if key.offset == match.MAC_HIGH:
        return f"to a MAC that begins with {key.value >> 8:02x}:{key.value & 0xFF:02x}"
    return f"byte {key.offset}: {key.value:08x}/{key.mask:08x}"


def _target(options: U32) -> str:
    action = options.action
    if isinstance(action, Drop):
        return "drop"
    if isinstance(action, Redirect):
        return f"out of {action.device}"
    if isinstance(action, Mirror):
        return f"a copy out of {action.device}"
    if isinstance(action, Mark):
        return f"mark {action.mark}"
    if options.link:
        bucket = f", bucket by the MAC's last bytes & {options.hash_mask:x}" if options.hash_mask else ""
        return f"table {options.link >> 20:x}:{bucket}"
    return handles.describe(options.classid)
