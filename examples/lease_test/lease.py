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
        self._promised, self._promised_until_s = ("", 0), 0.0  # to whom, in which of its rounds
        self._round, self._asked_s = 0, 0.0
        self._votes: set[str] = set()
        self._leads_until_s = 0.0

    async def live(self, sock: socket.socket) -> None:
        """Vote, and stand for election whenever nobody else has this one's promise."""
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=sock)
        try:
            while True:
                await asyncio.sleep(self._pause_s())
                if self._leads_until_s < self._loop.time():
                    self._tell_all("forget")  # those who voted for it in vain are free to vote for others
                if self._vote(self.name, self._round + 1):
                    self._round += 1
                    self._asked_s = self._loop.time()
                    self._votes = {self.name}
                    self._tell_all("ask")
        finally:
            self._transport.close()

    def _pause_s(self) -> float:
        now = self._loop.time()
        if self._leads_until_s > now:
            return RENEW_S
        others_s = 0.0 if self._promised[0] == self.name else max(0.0, self._promised_until_s - now)
        return others_s + self._random.uniform(0.5, 3)

    def _vote(self, candidate: str, number: int) -> bool:
        """Promise `candidate` the next `LEASE_S`, unless another has been promised them."""
        now = self._loop.time()
        if self._promised[0] != candidate and now < self._promised_until_s:
            return False
        self._promised, self._promised_until_s = (candidate, number), now + LEASE_S
        return True

    def _tell_all(self, word: str) -> None:
        for address in self._others:
            self._transport.sendto(f"{word} {self._round}".encode(), (address, PORT))

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """A question, an answer to the latest one, or that an earlier one was in vain."""
        word, number = data.decode().split()
        other, asked = self._names[addr[0]], int(number)
        if word == "ask":
            if self._vote(other, asked):
                self._transport.sendto(f"yes {asked}".encode(), addr)
        elif word == "forget":
            if self._promised == (other, asked):
                self._promised_until_s = 0.0
        elif asked == self._round:
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
