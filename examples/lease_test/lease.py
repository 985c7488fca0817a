"""An election by leases: who has the grants of a majority leads until they run out."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Mapping
from typing import Any

import attrs

LEASE_S = 10.0
RENEW_S = LEASE_S / 3
PORT = 7000


@attrs.frozen
class Claim:
    """Somebody leads, from when it knows that to when its lease runs out, in seconds."""

    leader: str
    start_s: float
    end_s: float


class Node(asyncio.DatagramProtocol):
    """One voter and candidate.

    A vote is a promise for `LEASE_S` to nobody else. It is given between the question and the answer, so a
    lease counts from the question. With `bug` it counts from the answer, and so outlives the promises.
    """

    def __init__(self, name: str, addresses: Mapping[str, str], claims: list[Claim], *, seed: int, bug: bool) -> None:
        self.name = name
        self._names = {address: other for other, address in addresses.items()}
        self._others = [address for other, address in addresses.items() if other != name]
        self._majority = len(addresses) // 2 + 1
        self._claims = claims
        self._bug = bug
        self._random = random.Random(f"{seed} {name}")
        self._promised, self._promised_until_s = "", 0.0
        self._round, self._asked_s = 0, 0.0
        self._votes: set[str] = set()
        self._leads_until_s = 0.0

    async def live(self, sock: socket.socket) -> None:
        """Vote, and stand for election whenever nobody else has this one's promise."""
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=sock)
        try:
            while True:
                leads = self._leads_until_s > self._loop.time()
                await asyncio.sleep(RENEW_S if leads else self._random.uniform(0.2, 1.5))
                if self._vote(self.name):
                    self._ask()
        finally:
            self._transport.close()

    def _vote(self, candidate: str) -> bool:
        """Promise `candidate` the next `LEASE_S`, unless another has been promised them."""
        now = self._loop.time()
        if self._promised != candidate and now < self._promised_until_s:
            return False
        self._promised, self._promised_until_s = candidate, now + LEASE_S
        return True

    def _ask(self) -> None:
        self._round += 1
        self._asked_s = self._loop.time()
        self._votes = {self.name}
        for address in self._others:
            self._transport.sendto(f"ask {self._round}".encode(), (address, PORT))

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A question, or an answer to the latest one."""
        word, number = data.decode().split()
        other = self._names[addr[0]]
        if word == "ask":
            if self._vote(other):
                self._transport.sendto(f"yes {number}".encode(), addr)
        elif int(number) == self._round:
            self._votes.add(other)
            if len(self._votes) == self._majority:
                self._lead()

    def _lead(self) -> None:
        now = self._loop.time()
        self._leads_until_s = (now if self._bug else self._asked_s) + LEASE_S
        if self._leads_until_s > now:
            self._claims.append(Claim(self.name, now, self._leads_until_s))


def conflict(claims: list[Claim]) -> tuple[Claim, Claim] | None:
    """Two leaders at once, the first that there were; None if there never were."""
    latest: dict[str, Claim] = {}
    for claim in claims:  # in the order of their beginnings
        for other in latest.values():
            if other.leader != claim.leader and other.end_s > claim.start_s:
                return other, claim
        latest[claim.leader] = claim
    return None


def led_s(claims: list[Claim]) -> float:
    """For how long there was a leader."""
    total = end = 0.0
    for claim in claims:
        total += max(0.0, claim.end_s - max(claim.start_s, end))
        end = max(end, claim.end_s)
    return total
