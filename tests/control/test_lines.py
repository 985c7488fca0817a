from __future__ import annotations

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.lines import LineReader, LineWriter
from tests.control.stations import PATIENCE_S


async def lines_of(chunks: list[bytes], most_bytes: int) -> list[bytes | None]:
    stream = asyncio.StreamReader()
    lines = LineReader(stream, most_bytes=most_bytes)
    found: list[bytes | None] = []
    for chunk in chunks:
        stream.feed_data(chunk)
        found += lines._split(await stream.read(2**16))
        assert len(lines._begun) <= most_bytes + 1
    return found


@given(st.lists(st.text("ab\n", max_size=12), max_size=30), st.integers(0, 8))
def test_lines_are_the_same_in_whatever_pieces_they_come(chunks: list[str], most: int) -> None:
    pieces = [chunk.encode() for chunk in chunks if chunk]
    found = asyncio.run(lines_of(pieces, most))
    *whole, rest = b"".join(pieces).split(b"\n")
    expected = [line if len(line) <= most else None for line in whole]
    if len(rest) > most:
        expected.append(None)  # said before its end
    assert found == expected


async def test_half_a_line_at_the_end_is_nothing() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b'one\n{"half')
    stream.feed_eof()
    lines = LineReader(stream)
    assert await lines.read() == [b"one"]
    assert await lines.read() == []


async def test_a_long_line_is_never_kept() -> None:
    stream = asyncio.StreamReader()
    lines = LineReader(stream, most_bytes=1000)
    stream.feed_data(b"x" * 1001)
    assert await lines.read() == [None]
    for _ in range(100):
        assert lines._split(b"x" * 1000) == []
        assert len(lines._begun) == 0
    assert lines._split(b"x\nnext\n") == [b"next"]


class Pair:
    """A `LineWriter`, and the reader at its other end."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes

    async def __aenter__(self) -> tuple[LineWriter, asyncio.StreamReader, asyncio.Task[None]]:
        ours, theirs = socket.socketpair()
        _, self._writer = await asyncio.open_connection(sock=ours)
        reader, self._other = await asyncio.open_connection(sock=theirs, limit=2**16)
        lines = LineWriter(self._writer, most_bytes=self._most_bytes)
        self._task = asyncio.create_task(lines.run())
        return lines, reader, self._task

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for writer in (self._writer, self._other):
            writer.transport.abort()
        await asyncio.gather(self._writer.wait_closed(), self._other.wait_closed(), return_exceptions=True)


async def test_lines_are_written_in_order() -> None:
    async with Pair(2**20) as (lines, reader, _):
        for number in range(1000):
            lines.send(b"%d" % number)
        await lines.flush()
        assert [await reader.readline() for _ in range(1000)] == [b"%d\n" % number for number in range(1000)]


async def test_whoever_can_wait_waits_for_a_reader_who_does_not_read() -> None:
    async with Pair(2**30) as (lines, reader, _):
        for _ in range(100):
            lines.send(b"x" * 2**16)
        waiting = asyncio.ensure_future(lines.room())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        while not waiting.done():
            await reader.read(2**16)
        assert lines.waiting < 2**20


async def test_those_who_wait_for_room_do_not_all_fill_it_at_once() -> None:
    async with Pair(2**30) as (lines, reader, _):
        lines.send(b"x" * 2**20)
        sent = 0

        async def send() -> None:
            nonlocal sent
            await lines.room()
            sent += 1
            lines.send(b"x" * 2**20)

        waiting = [asyncio.ensure_future(send()) for _ in range(20)]
        most = 0
        while not all(task.done() for task in waiting):
            await reader.read(2**16)
            most = max(most, lines.waiting)
        assert sent == 20
        assert most < 3 * 2**20


async def test_a_stream_is_given_up_when_too_much_waits_for_its_reader() -> None:
    async with Pair(2**20) as (lines, _, task):
        lines.send(b"x" * 2**20)
        await asyncio.sleep(0.01)  # it is being written
        for _ in range(100):
            lines.send(b"x" * 2**16)
        assert lines.waiting == 0
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(task, PATIENCE_S)
        lines.send(b"lost")
        assert lines.waiting == 0


async def test_the_writer_says_when_its_stream_has_ended() -> None:
    async with Pair(2**20) as (lines, reader, task):
        reader._transport.abort()  # type: ignore[attr-defined]
        while not task.done():
            lines.send(b"x" * 2**16)
            await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await task
