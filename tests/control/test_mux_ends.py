"""However the two ends of channels take their leave: nothing is lost that need not be, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from linkem_py.control.mux import Mux

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CHANNELS = 3


class Step(NamedTuple):
    side: int
    channel: int
    action: str
    size: int


steps = st.lists(
    st.builds(
        Step,
        st.integers(0, 1),
        st.integers(0, CHANNELS - 1),
        st.sampled_from(["write", "write", "write", "eof", "close", "abort", "wait"]),
        st.sampled_from([1, 1000, 70_000, 400_000]),
    ),
    max_size=25,
)


class End:
    """One end of one channel, what it sent, and what it got."""

    def __init__(self, streams: Streams) -> None:
        self.reader, self.writer = streams
        self.sent, self.got = bytearray(), bytearray()
        self.mute = False
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await self.reader.read(30_000):
                self.got += chunk

    async def do(self, action: str, size: int = 0) -> None:
        if action == "wait":
            await asyncio.sleep(0)
        elif action == "abort":
            self.writer.transport.abort()
        elif action == "close":
            self.writer.close()
        elif self.mute or self.writer.is_closing():
            return
        elif action == "eof":
            self.writer.write_eof()
        else:
            chunk = bytes([size % 251]) * size
            self.sent += chunk
            self.writer.write(chunk)
        self.mute = self.mute or action in ("eof", "close", "abort")

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def play(script: Sequence[Step]) -> list[tuple[End, End]]:
    """The ends of the channels after all of it, and after both ends of each have said their last word."""
    arrived: asyncio.Queue[Streams] = asyncio.Queue()
    done = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.put_nowait((reader, writer))
        await done.wait()

    first, second = [await asyncio.open_connection(sock=end) for end in socket.socketpair()]
    async with Mux(*first, first=True) as near, Mux(*second, first=False, accept=keep) as far, asyncio.timeout(30):
        pairs = []
        for _ in range(CHANNELS):
            here = End(await near.open())
            pairs.append((here, End(await arrived.get())))
        for step in script:
            await pairs[step.channel][step.side].do(step.action, step.size)
        ends = [end for pair in pairs for end in pair]
        for end in ends:
            await end.do("eof")
        await asyncio.gather(*(end.reading for end in ends))
        for end in ends:
            await end.leave()
        done.set()
        while not ("open, 0 channels" in repr(near) and "open, 0 channels" in repr(far)):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
    return pairs


@settings(max_examples=60)
@given(steps)
def test_channels_may_end_in_any_order_and_nothing_is_left_of_them(script: list[Step]) -> None:
    for pair in asyncio.run(play(script)):
        for sender, receiver in (pair, pair[::-1]):
            assert sender.sent.startswith(receiver.got)


@settings(max_examples=30)
@given(steps.map(lambda them: [step for step in them if step.action in ("write", "wait", "eof")]))
def test_where_nobody_leaves_early_everything_arrives(script: list[Step]) -> None:
    for pair in asyncio.run(play(script)):
        for sender, receiver in (pair, pair[::-1]):
            assert sender.sent == receiver.got
