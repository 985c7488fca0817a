"""The same objects by ``ip -batch`` and ``tc -batch``, as the fastest shell script would make them."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from linkem_py.plan import State, handles
from linkem_py.plan import objects as o

PREFIX = "lkbench-"


def name(namespace: str) -> str:
    """The name under /run/netns that stands for a namespace."""
    return PREFIX + namespace.strip("/")


def commands(state: State) -> tuple[list[str], dict[str, list[str]], dict[str, list[str]]]:
    """Lines for ``ip -batch``, and by namespace for ``ip -n NS -batch`` and ``tc -n NS -batch``."""
    first: list[str] = []
    ip: dict[str, list[str]] = defaultdict(list)
    tc: dict[str, list[str]] = defaultdict(list)
    for made in state.values():
        if isinstance(made, o.Namespace):
            first.append(f"netns add {name(made.name)}")
            ip[made.name].append("link set lo up")
        elif isinstance(made, o.Bridge):
            ip[made.ns].append(f"link add {made.name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
            ip[made.ns].append(f"link set {made.name} up")
        elif isinstance(made, o.Veth):
            ip[made.ns] += [
                f"link add {made.name} address {made.mac} numtxqueues 1 numrxqueues 1 type veth "
                f"peer name {made.peer_name} address {made.peer_mac} numtxqueues 1 numrxqueues 1 "
                f"netns {name(made.peer_ns)}",
                f"link set {made.name} master {made.master}",
                f"link set {made.name} type bridge_slave learning off flood off",
            ]
        elif isinstance(made, o.Address):
            nodad = " nodad" if ":" in made.address else ""
            ip[made.ns].append(f"address add {made.address}/{made.prefixlen} dev {made.dev}{nodad}")
        elif isinstance(made, o.Neighbour):
            ip[made.ns].append(
                f"neigh add {_address(made.address)} lladdr {made.mac.hex(':')} dev {made.dev} nud permanent"
            )
        elif isinstance(made, o.Up):
            ip[made.ns].append(f"link set {made.dev} up")
        elif isinstance(made, o.Qdisc):
            tc[made.ns].append(_qdisc(made))
        elif isinstance(made, o.Class):
            tc[made.ns].append(
                f"class add dev {made.dev} parent {handles.describe(made.parent)} classid "
                f"{handles.describe(made.classid)} htb rate {made.options.rate * 8}bit "
                f"burst {made.options.burst}b quantum {made.options.quantum}"
            )
        elif isinstance(made, o.Filter):
            tc[made.ns].append(_filter(made))
    return first, ip, tc


def _address(packed: bytes) -> str:
    import ipaddress

    return str(ipaddress.ip_address(packed))


def _qdisc(made: o.Qdisc) -> str:
    if made.kind == "clsact":
        return f"qdisc add dev {made.dev} clsact"
    where = "root" if made.parent == o.TC_H_ROOT else f"parent {handles.describe(made.parent)}"
    line = f"qdisc add dev {made.dev} {where} handle {handles.describe(made.handle)} {made.kind}"
    if isinstance(made.options, o.Netem):
        netem = made.options
        line += f" limit {netem.limit_packets} delay {netem.latency_ns / 1000:g}us"
        if netem.jitter_ns:
            line += f" {netem.jitter_ns / 1000:g}us"
        if netem.loss:
            line += f" loss {netem.loss * 100 / (2**32 - 1):.6f}%"
    elif isinstance(made.options, o.Fifo):
        line += f" limit {made.options.limit}"
    return line


def _filter(made: o.Filter) -> str:
    line = f"filter add dev {made.dev} parent {handles.describe(made.parent)} protocol "
    line += {o.ETH_P_ALL: "all", o.ETH_P_ARP: "arp", o.ETH_P_IPV6: "ipv6"}[made.protocol] + f" prio {made.priority} "
    table, bucket, node = made.handle >> 20, made.handle >> 12 & 0xFF, made.handle & 0xFFF
    options = made.options
    if isinstance(options, o.U32Table):
        return line + f"handle {table:x}: u32 divisor {options.divisor}"
    line += f"handle {table:x}:{bucket:x}:{node:x} u32 " if table else f"handle ::{node:x} u32 "
    if table:
        line += f"ht {table:x}:{bucket:x}: "
    line += " ".join(f"match u32 {key.value:#010x} {key.mask:#010x} at {key.offset}" for key in options.keys)
    if options.link:
        if options.hash_mask:
            line += f" hashkey mask {options.hash_mask:#010x} at {options.hash_offset}"
        line += f" link {options.link >> 20:x}:"
    elif options.classid:
        line += f" flowid {handles.describe(options.classid)}"
    else:
        line += " action drop"
    return line


class Built:
    """A network that the scripts of `commands` made, with the seconds they took."""

    def __init__(self, state: State) -> None:
        first, ip, tc = commands(state)
        self.namespaces = [made.name for made in state.values() if isinstance(made, o.Namespace)]
        forwarding = [made for made in state.values() if isinstance(made, o.Forwarding)]
        self.lines = len(forwarding) + sum(len(part) for part in (first, *ip.values(), *tc.values()))
        with tempfile.TemporaryDirectory() as folder:
            files = {
                (tool, ns): _write(Path(folder), f"{tool}-{ns.strip('/')}", lines)
                for tool, by in (("ip", ip), ("tc", tc))
                for ns, lines in by.items()
            }
            start = _write(Path(folder), "first", first)
            entries = [f"fdb add {made.mac.hex(':')} dev {made.dev} master static" for made in forwarding]
            fdb = _write(Path(folder), "fdb", entries)
            began = time.perf_counter()
            _run("ip", "-batch", str(start))
            for (tool, ns), file in _hub_first(files):
                _run(tool, "-n", name(ns), "-batch", str(file))
                if ns == o.HUB and tool == "ip":
                    _run("bridge", "-n", name(ns), "-batch", str(fdb))
            self.seconds = time.perf_counter() - began

    def remove(self) -> None:
        """Delete every namespace."""
        with tempfile.TemporaryDirectory() as folder:
            file = _write(Path(folder), "last", [f"netns del {name(ns)}" for ns in self.namespaces])
            _run("ip", "-batch", str(file))


def _hub_first(files: dict[tuple[str, str], Path]) -> Iterator[tuple[tuple[str, str], Path]]:
    return iter(sorted(files.items(), key=lambda item: (item[0][1] != o.HUB, item[0][1], item[0][0])))


def _write(folder: Path, stem: str, lines: list[str]) -> Path:
    file = folder / stem
    file.write_text("\n".join(lines) + "\n")
    return file


def _run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[:500]}")
