"""Namespaces for one test, with the codec's own messages to fill them and other programs to look."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any, Self

from linkem_py.kernel.codec import (
    QdiscRow,
    address_message,
    bridge_message,
    class_dump_message,
    class_message,
    class_rows,
    filter_dump_message,
    filter_message,
    filter_rows,
    forwarding_message,
    ifb_message,
    neighbour_message,
    port_message,
    qdisc_dump_message,
    qdisc_message,
    qdisc_rows,
    up_message,
    veth_message,
)
from linkem_py.kernel.namespaces import Namespace, NamespaceThread
from linkem_py.plan.objects import (
    ETH_P_ALL,
    HUB,
    TC_H_CLSACT,
    TC_H_ROOT,
    Address,
    Bridge,
    Class,
    Clsact,
    Filter,
    FilterOptions,
    Forwarding,
    HtbClass,
    Ifb,
    Neighbour,
    Qdisc,
    QdiscOptions,
    Veth,
)

ETH0, LAN, FIRST_PORT, FIRST_IFB = 100, 200, 300, 400
CLSACT = 0xFFFF0000
GBIT10 = HtbClass(rate=1_250_000_000, ceil=1_250_000_000, burst=20_000, cburst=20_000, quantum=60_000)


def mac(number: int) -> bytes:
    return bytes([2, 0]) + number.to_bytes(4, "big")


class Scratch:
    """Namespaces by name; gone on exit."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()
        self.thread = NamespaceThread()
        self._undo.callback(self.thread.close)
        self.spaces: dict[str, Namespace] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._undo.close()

    def add(self, name: str) -> Namespace:
        space = self.thread.create(name, [("?net.ipv6.conf.default.router_solicitations", "0")])
        self._undo.callback(space.close)
        self.spaces[name] = space
        return space

    def send(self, name: str, *messages: bytes) -> None:
        """All must succeed."""
        answers = self.spaces[name].netlink.transact(messages)
        assert [ack for ack in answers if ack.errno] == []

    def refused(self, name: str, message: bytes) -> int:
        """The error number of the one message, 0 if the kernel took it."""
        return self.spaces[name].netlink.transact([message])[0].errno

    def run(self, name: str, command: str) -> str:
        """Standard output of a command that succeeds."""
        arguments = command.split()
        done = self.thread.run(
            lambda: subprocess.run(arguments, capture_output=True, text=True, check=False), self.spaces[name]
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, name: str, command: str) -> Any:
        return json.loads(self.run(name, command))

    def socket(self, name: str, family: int, kind: int) -> socket.socket:
        made = self.thread.run(lambda: socket.socket(family, kind), self.spaces[name])
        self._undo.callback(made.close)
        return made

    # --- networks ---------------------------------------------------------------------------

    def lan(self, *peers: int) -> None:
        """A bridge, and for each number a namespace ``p<number>`` at 10.0.0.<number> and fd00::<number>."""
        self.add(HUB)
        self.send(HUB, bridge_message(Bridge(HUB, "lan"), index=LAN))
        for number in peers:
            self._peer(number, peers)

    def _peer(self, number: int, peers: tuple[int, ...]) -> None:
        name, port = f"p{number}", FIRST_PORT + number
        fd = self.add(name).fd
        macs = f"fe:00:00:00:00:{number:02x}", mac(number).hex(":")
        veth = Veth(HUB, name, macs[0], name, "eth0", macs[1], "lan")
        self.send(
            HUB,
            veth_message(veth, peer_ns_fd=fd, master_ifindex=LAN, index=port, peer_index=ETH0),
            port_message(port, flood=False),
            up_message(port),
            forwarding_message("create", Forwarding(HUB, name, mac(number)), port),
        )
        self.send(
            name,
            up_message(ETH0),
            address_message("create", Address(name, "eth0", f"10.0.0.{number}", 24), ETH0),
            address_message("create", Address(name, "eth0", f"fd00::{number}", 64), ETH0),
            *(self._neighbour(name, other, v6) for other in peers if other != number for v6 in (False, True)),
        )

    @staticmethod
    def _neighbour(name: str, number: int, v6: bool) -> bytes:
        address = f"fd00::{number}" if v6 else f"10.0.0.{number}"
        packed = socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, address)
        return neighbour_message("create", Neighbour(name, "eth0", packed, mac(number)), ETH0)

    def ifb(self, name: str, index: int = FIRST_IFB) -> None:
        self.send(name, ifb_message(Ifb(name, f"ifb{index}"), index=index))

    # --- traffic control --------------------------------------------------------------------

    def qdisc(
        self, name: str, kind: str, options: QdiscOptions, handle: int = 0x10000, parent: int = TC_H_ROOT,
        dev: int = ETH0,
    ) -> None:  # fmt: skip
        self.send(name, qdisc_message("create", Qdisc(name, "", handle, parent, kind, options), dev))

    def clsact(self, name: str, dev: int = ETH0) -> None:
        self.qdisc(name, "clsact", Clsact(), CLSACT, TC_H_CLSACT, dev)

    def htb_class(self, name: str, classid: int, options: HtbClass = GBIT10, dev: int = ETH0) -> None:
        made = Class(name, "", classid, classid & 0xFFFF0000, "htb", options)
        self.send(name, class_message("create", made, dev))

    def filter(
        self, name: str, parent: int, handle: int, options: FilterOptions, dev: int = ETH0, redirect: int = 0
    ) -> None:
        made = Filter(name, "", parent, 1, ETH_P_ALL, handle, options)
        self.send(name, filter_message("create", made, dev, redirect))

    def qdiscs(self, name: str, dev: int = ETH0) -> dict[int, QdiscRow]:
        rows = qdisc_rows(self.spaces[name].netlink.dump(qdisc_dump_message()), dev)
        return {row.handle: row for row in rows}

    def class_packets(self, name: str, parent: int, dev: int = ETH0) -> dict[int, int]:
        rows = class_rows(self.spaces[name].netlink.dump(class_dump_message(dev, parent)))
        return {row.classid: row.counters.packets for row in rows}

    def filters(self, name: str, parent: int, dev: int = ETH0) -> dict[int, bytes]:
        rows = filter_rows(self.spaces[name].netlink.dump(filter_dump_message(dev, parent)))
        return {row.handle: row.options for row in rows}


def udp(scratch: Scratch, source: str, destination: str, count: int, payload: bytes = b"x") -> None:
    """Datagrams to port 9; IPv6 if the address says so, multicast out of eth0."""
    v6 = ":" in destination
    sender = scratch.socket(source, socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    if v6:
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, ETH0)
    else:
        own = socket.inet_aton(f"10.0.0.{source.removeprefix('p')}")
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
    for _ in range(count):
        sender.sendto(payload, (destination, 9))
    sender.close()


def receiver(scratch: Scratch, name: str, *, v6: bool = False, group: str = "") -> socket.socket:
    """A socket bound to port 9, that does not wait."""
    made = scratch.socket(name, socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    if v6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(("::" if v6 else "0.0.0.0", 9))
    if group:
        own = socket.inet_aton(f"10.0.0.{name.removeprefix('p')}")
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + own)
    made.setblocking(False)
    return made


def received(sock: socket.socket) -> int:
    """How many datagrams wait."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(2048)
            count += 1
    return count


def until(condition: Callable[[], bool], patience_s: float = 5) -> None:
    """Wait for something that is about to happen."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
