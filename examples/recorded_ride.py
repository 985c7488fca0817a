"""A camera sends over a fading uplink, and all that happens is recorded.

The uplink's rate drifts, from second 6 to 8 nothing passes, at 11 the delay doubles, and from 14 to 16 a partition
lies between the two. What was recorded can be drawn, and run again:

    linkem guest -- python examples/recorded_ride.py ride.jsonl          (or as root, without a guest)
    linkem plot ride.jsonl -o ride.svg --link camera studio
    linkem replay ride.jsonl --speed 2
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
from pathlib import Path

from linkem_py import GilbertElliott, Impairment, LinkemError, Network, Topology
from linkem_py.model.schedule import OUTAGE, OrnsteinUhlenbeck, Overlay

SECONDS, SEED, PORT = 20.0, 7, 9000
SIZE, SENT_KBIT = 1200, 3500.0
UPLINK = Impairment(delay_ms=40, jitter_ms=8, rate_kbit=4000, loss=GilbertElliott(p_pct=0.5, r_pct=20), queue_ms=300)


def topology() -> Topology:
    made = Topology("ride")
    for name in ("camera", "studio"):
        made.add_peer(name)
    fading = OrnsteinUhlenbeck(mean_kbit=4000, sd_kbit=900, tau_s=2, floor_kbit=800, tick_ms=250)
    made.add_link("camera", "studio", UPLINK, schedule=Overlay(fading, OUTAGE, [(6, 8)]))
    made.add_link("studio", "camera", Impairment(delay_ms=30))
    return made


async def send(network: Network) -> None:
    """Datagrams at an even pace, whatever becomes of them."""
    loop = asyncio.get_running_loop()
    pause_s = SIZE * 8 / 1000 / SENT_KBIT
    with network.peer("camera").socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((network.peer("studio").address, PORT))
        due_s = loop.time()
        while True:
            with contextlib.suppress(OSError):  # nobody listens there, and the studio says so
                sock.send(bytes(SIZE))
            due_s += pause_s
            await asyncio.sleep(due_s - loop.time())


async def ride(file: Path, seconds: float = SECONDS) -> None:
    """All of it, in so many seconds."""
    share = seconds / SECONDS
    async with Network(topology(), seed=SEED, record=file, record_stats_s=0.25) as network:
        sending = asyncio.create_task(send(network))
        await asyncio.sleep(11 * share)
        await network.update("camera", "studio", delay_ms=80)
        await asyncio.sleep(3 * share)
        await network.partition({"camera"}, {"studio"})
        await asyncio.sleep(2 * share)
        await network.heal()
        await asyncio.sleep(4 * share)
        sending.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="to record into")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for so long (default: %(default)s)")
    options = parser.parse_args()
    try:
        asyncio.run(ride(options.file, options.seconds))
    except LinkemError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
