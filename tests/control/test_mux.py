from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from linkem_py.control.frames import WINDOW_BYTES, Frame, Kind, MuxError, credit
from linkem_py.control.mux import MAX_CHANNELS, Accept, Mux

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

MEGABYTE = bytes(range(256)) * 4096


async def stream_pair() -> tuple[Streams, Streams]:
    ends = socket.socketpair()
    first, second = [await asyncio.open_connection(sock=end) for end in ends]
    return first, second


@contextlib.asynccontextmanager
async def muxes(accept: Accept | None = None, limit: int = 64 << 10) -> AsyncIterator[tuple[Mux, Mux]]:
    first, second = await stream_pair()
    async with (
        Mux(*second, first=False, accept=accept, limit=limit) as far,
        Mux(*first, first=True, limit=limit) as near,
    ):
        yield near, far


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(5000):
        writer.write(chunk)
        await writer.drain()


def accepted() -> tuple[Accept, asyncio.Queue[Streams], asyncio.Event]:
    """What accepts channels and keeps them open until told otherwise."""
    arrived: asyncio.Queue[Streams] = asyncio.Queue()
    done = asyncio.Event()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.put_nowait((reader, writer))
        await done.wait()

    return keep, arrived, done


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - of another task's state, which tells nobody
            await asyncio.sleep(0.001)


# ---------------------------------------------------------------------------------- what is carried


async def test_many_channels_carry_their_own_bytes_both_ways() -> None:
    async def talk(mux: Mux, number: int) -> None:
        reader, writer = await mux.open()
        said = b"%d " % number * 20_000
        writer.write(said)
        writer.write_eof()
        assert await reader.read() == said
        writer.close()
        await writer.wait_closed()

    async with muxes(echo) as (near, far):
        await asyncio.gather(*(talk(near, number) for number in range(40)))
        await until(lambda: "0 channels" in repr(near) and "0 channels" in repr(far))


async def test_a_megabyte_goes_both_ways_at_once_in_one_message() -> None:
    async def swap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(MEGABYTE[::-1])
        assert await reader.readexactly(len(MEGABYTE)) == MEGABYTE
        await writer.drain()

    async with muxes(swap) as (near, _):
        reader, writer = await near.open()
        writer.write(MEGABYTE)
        assert await reader.readexactly(len(MEGABYTE)) == MEGABYTE[::-1]
        assert await reader.read() == b""
        writer.close()


async def test_lines_are_read_up_to_the_limit() -> None:
    async with muxes(echo, limit=2 << 20) as (near, _):
        reader, writer = await near.open()
        writer.write(b"x" * (1 << 20) + b"\n")
        assert len(await reader.readline()) == (1 << 20) + 1
        writer.close()


async def test_either_side_may_open() -> None:
    first, second = await stream_pair()
    async with Mux(*first, first=True, accept=echo) as near, Mux(*second, first=False, accept=echo) as far:
        for mux in (near, far, near):
            reader, writer = await mux.open()
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()


async def test_a_channel_that_nobody_reads_holds_up_itself_alone() -> None:
    keep, arrived, done = accepted()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (keep if await reader.readexactly(1) == b"k" else echo)(reader, writer)

    async with muxes(accept) as (near, _):
        _, stalled = await near.open()
        stalled.write(b"k" + MEGABYTE)
        stuck = asyncio.ensure_future(stalled.drain())
        unread, _ = await arrived.get()
        other, writer = await near.open()
        writer.write(b"e" + MEGABYTE)
        assert await other.readexactly(len(MEGABYTE)) == MEGABYTE
        writer.close()
        assert not stuck.done()
        # Where it goes: the window, and what a StreamReader holds, twice its limit and a frame.
        assert stalled.transport.get_write_buffer_size() > len(MEGABYTE) - WINDOW_BYTES - 3 * (64 << 10)
        assert await unread.readexactly(len(MEGABYTE)) == MEGABYTE
        await stuck
        stalled.close()
        done.set()


async def test_a_short_message_overtakes_a_long_one_of_another_channel() -> None:
    order: list[str] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int(await reader.readline())
        await reader.readexactly(size)
        order.append(f"{size}")

    async with muxes(accept) as (near, _):
        writers = []
        for size in (1_000_000, 10):
            _, writer = await near.open()
            writer.write(b"%d\n" % size + b"." * size)
            writers.append(writer)
        await until(lambda: len(order) == 2)
        assert order == ["10", "1000000"]
        for writer in writers:
            writer.close()


# ------------------------------------------------------------------------------------- how it ends


async def test_what_was_written_before_close_arrives() -> None:
    keep, arrived, done = accepted()
    async with muxes(keep) as (near, _):
        _, writer = await near.open()
        writer.write(MEGABYTE)
        writer.close()
        reader, _ = await arrived.get()
        assert await reader.read() == MEGABYTE
        await writer.wait_closed()
        done.set()


async def test_one_direction_can_end_before_the_other() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        writer.write(question.upper())

    async with muxes(answer) as (near, _):
        reader, writer = await near.open()
        assert writer.can_write_eof()
        writer.write(b"why")
        writer.write_eof()
        with pytest.raises(RuntimeError):
            writer.write(b"more")
        assert await reader.read() == b"WHY"
        writer.close()


async def test_writing_to_a_channel_that_the_other_side_closed_is_an_error_as_on_a_socket() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)

    async with muxes(leave) as (near, _):
        reader, writer = await near.open()
        writer.write(b".")
        assert await reader.read() == b""
        writer.write(b"too late")
        await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await writer.drain()
        writer.close()


async def test_a_reset_is_an_error_for_the_reader() -> None:
    keep, arrived, done = accepted()
    async with muxes(keep) as (near, _):
        _, writer = await near.open()
        writer.write(b"half a mess")
        reader, _ = await arrived.get()
        writer.transport.abort()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(100)
        done.set()


async def test_who_only_writes_is_not_stuck_when_the_other_side_only_closed() -> None:
    async def talk_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(MEGABYTE)
        await writer.drain()
        assert await reader.read() == MEGABYTE

    async with muxes(talk_on) as (near, far):
        _, writer = await near.open()
        writer.write(MEGABYTE)
        writer.close()
        await writer.wait_closed()
        await until(lambda: "0 channels" in repr(near) and "0 channels" in repr(far))


async def test_a_side_that_accepts_nothing_resets_what_is_opened() -> None:
    async with muxes(None) as (near, far):
        reader, writer = await near.open()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        await until(lambda: "0 channels" in repr(near) and "0 channels" in repr(far))


async def test_a_handler_that_fails_ends_its_channel_alone() -> None:
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(str(context["exception"])))

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"!":
            raise ValueError("no good")
        writer.write(b"fine")

    async with muxes(fail) as (near, _):
        for word, answer in ((b"!", None), (b".", b"fine")):
            reader, writer = await near.open()
            writer.write(word)
            if answer is None:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            else:
                assert await reader.read() == answer
            writer.close()
    assert said == ["no good"]


async def test_at_the_end_what_was_written_is_still_sent_and_the_streams_closed() -> None:
    (far_reader, far_writer), second = await stream_pair()
    keep, arrived, done = accepted()
    async with Mux(far_reader, far_writer, first=False, accept=keep) as far:
        async with Mux(*second, first=True) as near:
            _, writer = await near.open()
            writer.write(b"x" * WINDOW_BYTES)
        reader, answers = await arrived.get()
        assert await reader.read() == b"x" * WINDOW_BYTES
        await far.wait_ended()
        with pytest.raises(ConnectionError):
            await far.open()
        answers.write(b"too late")
        assert answers.is_closing()
        assert writer.is_closing()
        await writer.wait_closed()
        done.set()


async def test_handlers_are_cancelled_at_the_end() -> None:
    seen: list[str] = []

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append("began")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            writer.write(b"last words")
            raise

    first, second = await stream_pair()
    async with Mux(*first, first=True) as near:
        async with Mux(*second, first=False, accept=wait):
            reader, writer = await near.open()
            await until(lambda: bool(seen))
        assert await reader.read() == b"last words"
        writer.close()
    assert seen == ["began", "cancelled"]


async def test_a_channel_that_is_opened_during_the_end_does_not_keep_it_from_ending() -> None:
    leaving, begun = asyncio.Event(), asyncio.Event()

    async def accept(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            if not leaving.is_set():
                leaving.set()
                begun.clear()
                await begun.wait()  # until the next one has come

    first, second = await stream_pair()
    async with Mux(*first, first=True) as near:
        async with asyncio.timeout(30):
            async with Mux(*second, first=False, accept=accept) as far:
                _, writer = await near.open()
                await begun.wait()
                opening = asyncio.create_task(open_when(leaving, near))
            for one in (writer, (await opening)[1]):
                one.close()
        assert "ended" in repr(far)


async def open_when(event: asyncio.Event, mux: Mux) -> Streams:
    await event.wait()
    return await mux.open()


async def test_when_the_other_side_dies_what_had_come_can_be_read_and_then_it_ends() -> None:
    first, (_, dying) = await stream_pair()
    async with Mux(*first, first=True) as near:
        reader, writer = await near.open()
        dying.write(Frame(Kind.DATA, 1, b"almost").encode())
        await dying.drain()
        dying.transport.abort()
        await near.wait_ended()
        assert await reader.read() == b"almost"
        writer.write(b"anybody?")
        with pytest.raises(ConnectionError):
            await writer.drain()


async def test_a_body_that_fails_ends_the_mux_and_its_error_is_what_is_seen() -> None:
    async def fail() -> None:
        async with muxes(echo) as (near, _):
            _, writer = await near.open()
            raise LookupError(writer)

    with pytest.raises(LookupError):
        await fail()


# --------------------------------------------------------------------- what is not the language of it


def frames(*them: Frame) -> bytes:
    return b"".join(frame.encode() for frame in them)


OPEN, CLOSE = Frame(Kind.OPEN, 1), Frame(Kind.CLOSE, 1)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (b"Traceback (most recent call last)", "frame: kind must be one of 1 to 6: 84"),
        (frames(Frame(Kind.DATA, 1, b"x")), "frame DATA: channel must be an open one: 1"),
        (frames(Frame(Kind.OPEN, 5)), "frame OPEN: channel must be 1, the next one: 5"),
        (frames(OPEN, OPEN), "frame OPEN: channel 1 must be new"),
        (frames(OPEN, CLOSE, CLOSE), "frame CLOSE: channel 1 must not be closed already"),
        (
            frames(OPEN, Frame(Kind.EOF, 1), Frame(Kind.DATA, 1, b"x")),
            "frame DATA: channel 1 must not be closed already",
        ),
        (frames(OPEN, credit(1, 1)), "frame CREDIT: amount must be what channel 1 has sent at most: 1"),
        (
            frames(OPEN, *[Frame(Kind.DATA, 1, b"x" * (16 << 10))] * 40),
            "frame DATA: length must be within the credit of channel 1: 16384",
        ),
        (
            frames(*(Frame(Kind.OPEN, 1 + 2 * n) for n in range(MAX_CHANNELS + 1))),
            f"frame OPEN: channels must be at most {MAX_CHANNELS}: one more was opened",
        ),
        (OPEN.encode()[:-1], "stream: must not end within a frame"),
    ],
)
async def test_a_malformed_stream_ends_the_mux_and_all_its_channels_with_what_was_wrong(
    noise: bytes, message: str
) -> None:
    keep, _, done = accepted()
    (_, talker), second = await stream_pair()
    async with Mux(*second, first=False, accept=keep) as mux:
        reader, writer = await mux.open()
        talker.write(noise)
        talker.write_eof()
        with pytest.raises(MuxError) as raised:
            await mux.wait_ended()
        assert str(raised.value) == message
        waits: list[Awaitable[object]] = [reader.read(), mux.open()]
        for waiting in waits:
            with pytest.raises(MuxError):
                await waiting
        done.set()
        writer.close()
    talker.close()
    await talker.wait_closed()


async def test_no_more_channels_than_allowed_can_be_opened() -> None:
    keep, _, done = accepted()
    async with muxes(keep) as (near, _):
        opened = [await near.open() for _ in range(MAX_CHANNELS)]
        with pytest.raises(ConnectionRefusedError):
            await near.open()
        done.set()
        for _, writer in opened:
            writer.close()
        await until(lambda: "0 channels" in repr(near))
        _, writer = await near.open()
        writer.close()


# ------------------------------------------------------------------------------ as an asyncio transport


async def test_the_transport_answers_as_those_of_asyncio_do() -> None:
    keep, arrived, done = accepted()
    async with muxes(keep) as (near, _):
        _, writer = await near.open()
        transport = writer.transport
        assert writer.get_extra_info("channel") == 1
        assert writer.get_extra_info("peername", "none") == "none"
        assert isinstance(transport.get_protocol(), asyncio.Protocol)
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        with pytest.raises(ValueError, match="must be"):
            transport.set_write_buffer_limits(high=1, low=2)
        assert isinstance(transport, asyncio.Transport)
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        transport.resume_reading()
        writer.writelines([b"a", b"b"])
        reader, _ = await arrived.get()
        assert await reader.readexactly(2) == b"ab"
        writer.close()
        assert writer.is_closing()
        writer.close()
        await writer.wait_closed()
        done.set()
