from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.guest.inside import frames
from linkem_py.guest.streams import Feed, Outlet, Sender


class Recorder(Sender):
    """A sender whose other end is a list."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.frames: list[tuple[int, bytes]] = []

    def send(self, frame: bytes) -> None:
        self.frames += frames.Decoder().feed(frame)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


def test_no_more_is_sent_than_the_line_can_bear(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sender = Sender(writer)
    sent = b"".join(frames.data(frames.STDIN, bytes([i]) * 300) for i in range(30))
    for i in range(30):
        sender.send(frames.data(frames.STDIN, bytes([i]) * 300))
    received = b""
    while len(received) < len(sent):
        part = os.read(reader, 1 << 16)
        assert len(part) <= frames.LINE_WINDOW
        received += part
        sender.acknowledge(len(part))
    assert received == sent


def test_a_guest_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    Sender(writer).send(frames.encode(frames.SIGNAL, b"\2"))


@given(st.lists(st.binary(min_size=1, max_size=7000), max_size=8), st.booleans())
def test_input_arrives_in_order_and_within_its_window(chunks: list[bytes], use_shared: bool) -> None:
    sender = Recorder()
    with mmap.mmap(-1, 8192) as shared:
        feed = Feed(sender, shared)
        feed.begin(use_shared=use_shared)
        received = b""
        for chunk in chunks:
            while chunk:
                part, chunk = chunk[: feed.room], chunk[feed.room :]
                feed.put(frames.STDIN, part)
                for kind, payload in sender.frames:
                    if kind == frames.SHARED:
                        _, offset, length = frames.parse_piece(payload)
                        received += shared[offset : offset + length]
                    else:
                        received += payload[1:]
                sender.frames.clear()
                feed.taken(len(part))
        assert received == b"".join(chunks)


def test_output_is_credited_when_it_is_written(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sender = Recorder()
    outlet = Outlet(frames.STDOUT, writer, sender, hand_over=False)
    outlet.put(b"x" * 5000)
    assert sender.frames == []
    while outlet:
        outlet.flush()
    assert os.read(reader, 10000) == b"x" * 5000
    counts = [frames.parse_amount(payload) for _, payload in sender.frames]
    assert sum(count for _, count in counts) == 5000
    assert {stream for stream, _ in counts} == {frames.STDOUT}


def test_a_reader_that_is_gone_is_reported_to_the_guest(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sender = Recorder()
    outlet = Outlet(frames.STDERR, writer, sender, hand_over=False)
    os.close(reader)
    outlet.put(b"x")
    outlet.flush()
    assert sender.frames == [(frames.CLOSE, bytes([frames.STDERR]))]
    assert not outlet


@pytest.mark.parametrize("hand_over", [False, True])
def test_the_end_is_passed_on_if_the_stream_was_handed_over(pipe: tuple[int, int], hand_over: bool) -> None:
    reader, writer = pipe
    outlet = Outlet(frames.STDOUT, writer, Recorder(), hand_over=hand_over)
    outlet.put(b"last")
    outlet.end()
    outlet.flush()
    assert os.read(reader, 10) == b"last"
    if hand_over:
        assert os.read(reader, 10) == b""
    else:
        with pytest.raises(BlockingIOError):
            os.read(reader, 10)
