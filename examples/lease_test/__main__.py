"""An election with leases of 10 s, under an hour of partitions, in a few seconds.

Five nodes elect a leader by majority. Every few seconds a partition cuts them in two or three groups; then it
heals. There must never be two leaders at once. With --bug a node's lease begins when it gets its votes, not when it
asked for them: a mistake of a tenth of a second in ten, which no quick test finds.

    linkem guest --virtual-time -- python -m examples.lease_test
    linkem guest --virtual-time -- python -m examples.lease_test --bug

The exit status is 1 if there were two leaders at once.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import sys
from contextlib import ExitStack

import attrs

from examples.lease_test.lease import PORT, Claim, Node, conflict, led_s
from linkem_py import Impairment, LinkemError, Network, Topology

NAMES = ("ada", "bob", "cid", "dan", "eve")
NEAR = Impairment(delay_ms=20, jitter_ms=5, loss_pct=1)
FAR = Impairment(delay_ms=150, jitter_ms=20, loss_pct=1)  # to and from the last one


@attrs.frozen
class Outcome:
    """What happened."""

    claims: list[Claim]
    partitions: int
    seconds: float

    def __str__(self) -> str:
        leaders = sum(one.leader != other.leader for one, other in zip(self.claims, self.claims[1:], strict=False))
        share = led_s(self.claims) / self.seconds
        text = (
            f"{self.seconds:,.0f} s, {self.partitions} partitions: {leaders + 1} leaders, for {share:.0%} of the time"
        )
        found = conflict(self.claims)
        if found is None:
            return f"{text}; never two at once"
        first, second = found
        return (
            f"{text}; two at once: {first.leader} led until {first.end_s:.3f} s, "
            f"and {second.leader} from {second.start_s:.3f} s"
        )


def topology() -> Topology:
    made = Topology("voters")
    for name in NAMES:
        made.add_peer(name)
    for index, name in enumerate(NAMES):
        for other in NAMES[:index]:
            made.connect(name, other, FAR if name == NAMES[-1] else NEAR)
    return made


async def cut_and_heal(network: Network, rng: random.Random) -> None:
    """Partitions at random, one after the other, without end."""
    while True:
        await asyncio.sleep(rng.uniform(2, 20))
        groups: list[set[str]] = [set(), set(), set()]
        for name in NAMES:
            groups[rng.randrange(3)].add(name)
        if sum(map(bool, groups)) > 1:
            await network.partition(*filter(None, groups))
            await asyncio.sleep(rng.uniform(5, 25))
            await network.heal()


async def run(seconds: float, *, seed: int = 1, bug: bool = False) -> Outcome:
    """All of it, for so long."""
    claims: list[Claim] = []
    changes: list[str] = []
    async with Network(topology(), seed=seed) as network, asyncio.TaskGroup() as group:
        network.subscribe(lambda applied: changes.append(applied.what))
        began = asyncio.get_running_loop().time()
        addresses = {name: network.peer(name).address for name in NAMES}
        with ExitStack() as sockets:
            tasks = [group.create_task(cut_and_heal(network, random.Random(seed)))]
            for name in NAMES:
                sock = sockets.enter_context(network.peer(name).socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.setblocking(False)
                sock.bind((addresses[name], PORT))
                tasks.append(group.create_task(Node(name, addresses, claims, seed=seed, bug=bug).live(sock)))
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
    moved = [attrs.evolve(claim, start_s=claim.start_s - began, end_s=claim.end_s - began) for claim in claims]
    return Outcome(moved, changes.count("partition"), seconds)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m examples.lease_test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=3600, help="for so long (3600)")
    parser.add_argument("--seed", type=int, default=1, help="other partitions, other delays (1)")
    parser.add_argument("--bug", action="store_true", help="let leases begin too late")
    options = parser.parse_args()
    try:
        outcome = asyncio.run(run(options.seconds, seed=options.seed, bug=options.bug))
    except LinkemError as error:
        sys.exit(str(error))
    print(outcome)
    return 1 if conflict(outcome.claims) else 0


if __name__ == "__main__":
    sys.exit(main())
