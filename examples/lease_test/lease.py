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
ANSWERS_S = 1.0  # for which answers are waited
MOST_PAUSE_S = 1.5
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
        """Vote, and stand for election whenever nobody has this one's promise."""
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, sock=sock)
        try:
            while True:
                await asyncio.sleep(self._pause_s())
                if self._vote(self.name, self._round + 1):
                    self._ask()
                    await asyncio.sleep(ANSWERS_S)
                    if not self._leads():
                        self._give_up()
        finally:
            self._transport.close()

    def _leads(self) -> bool:
        return self._leads_until_s > self._loop.time()

    def _pause_s(self) -> float:
        """Until it renews its lease, or stands when it is free to: by chance, so that not all do at once."""
        if self._leads():
            return RENEW_S - ANSWERS_S
        return max(0.0, self._promised_until_s - self._loop.time()) + self._random.uniform(0, MOST_PAUSE_S)

    def _vote(self, candidate: str, number: int) -> bool:
        """Promise `candidate` the next `LEASE_S`, unless another has been promised them."""
        now = self._loop.time()
        if self._promised[0] != candidate and now < self._promised_until_s:
            return False
        self._promised, self._promised_until_s = (candidate, number), now + LEASE_S
        return True

    def _ask(self) -> None:
        self._round += 1
        self._asked_s = self._loop.time()
        self._votes = {self.name}
        self._tell_all("ask")

    def _give_up(self) -> None:
        """Set free whoever voted for it in vain. Answers that come after this are to another round."""
        self._tell_all("forget")
        self._forget(self.name, self._round)
        self._round += 1
        self._votes = set()

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
            self._forget(other, asked)
        elif asked == self._round:
            self._votes.add(other)
            if len(self._votes) == self._majority:
                self._lead()

    def _forget(self, candidate: str, number: int) -> None:
        if self._promised == (candidate, number):
            self._promised_until_s = 0.0

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
