"""Virtual time: how much faster than real time an hour of three bonded links passes.

Run as a program it is what happens in the guest: ``python -m benchmarks.virtual_time SECONDS [KBIT]``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import Row
from linkem_py import LinkemError, Network
from linkem_py.guest import VirtualTime, find_virtual_time_kernel, run_in_guest
from linkem_py.guest.virtual_time import Passed
from topologies import race_car

PORT, SIZE = 7000, 1200
PROBE_S = 0.5
AIM = 60


def virtual_time(seconds: float = 3600.0, flow_s: float = 60.0, flow_kbit: float = 10_000.0) -> Iterator[Row]:
    """The race car's modems: its schedules with probes, and with a continuous flow besides. Only outside a guest."""
    if os.environ.get("LINKEM_GUEST"):
        print("virtual time is measured outside a guest: python -m benchmarks virtual_time")
        return
    try:
        kernel = find_virtual_time_kernel()
    except LinkemError as error:
        print(f"virtual time is not measured: {error}")
        return
    for section, arguments, aim in (
        (f"{seconds:,.0f} s of virtual time: three links with schedules, probes every {PROBE_S:g} s", [seconds], AIM),
        (
            f"the same for {flow_s:,.0f} s, with a flow of {flow_kbit / 1000:g} Mbit/s over one link",
            [flow_s, flow_kbit],
            0,
        ),
    ):
        found: list[Passed] = []
        with open(os.devnull, "rb") as null:
            status = run_in_guest(
                [sys.executable, "-m", "benchmarks.virtual_time", *map(str, arguments)],
                kernel=kernel,
                stdin=null.fileno(),
                virtual=VirtualTime(tell=found.append),
            )
        if status or not found:
            raise subprocess.CalledProcessError(status, "benchmarks.virtual_time")
        ratio = found[0].virtual_s / found[0].real_s
        yield Row(section, "real time, from the program's start to its end", found[0].real_s, "s")
        yield Row(section, "ratio", ratio, "times real time", *((f"at least {aim}", ratio >= aim) if aim else ()))


async def drive(seconds: float, flow_kbit: float) -> None:
    """The links of the car with their schedules, probes over all of them both ways, and a flow if there is one."""
    async with Network(race_car.topology(), seed=1) as net:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        sockets = [_socket(net, peer, segment) for segment in net.topology.segments for peer in ("car", "home")]

        async def send(sock: socket.socket, every_s: float, size: int) -> None:
            due_s = loop.time()
            while due_s < end_s:
                sock.send(bytes(size))
                due_s += every_s
                await asyncio.sleep(due_s - loop.time())

        async with asyncio.TaskGroup() as group:
            for sock in sockets:
                group.create_task(send(sock, PROBE_S, 64))
            if flow_kbit:
                group.create_task(send(sockets[0], SIZE * 8 / 1000 / flow_kbit, SIZE))
        for sock in sockets:
            sock.close()


def _socket(net: Network, peer: str, segment: str) -> socket.socket:
    """Bound to the peer's address on a segment, and connected to the other's there; what arrives is thrown away."""
    other = "home" if peer == "car" else "car"
    sock = net.peer(peer).socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    sock.bind((net.names[f"{peer}.{segment}"][0], PORT))
    sock.connect((net.names[f"{other}.{segment}"][0], PORT))
    return sock


if __name__ == "__main__":
    asyncio.run(drive(float(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))
