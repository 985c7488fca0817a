from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.frames import MAX_PAYLOAD, WINDOW_BYTES, Decoder, Frame, Kind, MuxError, credit

channels = st.integers(1, 2**32 - 1)
bare = st.sampled_from([Kind.OPEN, Kind.EOF, Kind.CLOSE, Kind.RESET])
any_frame = st.one_of(
    st.builds(Frame, bare, channels, st.just(b"")),
    st.builds(Frame, st.just(Kind.DATA), channels, st.binary(min_size=1, max_size=200)),
    st.builds(credit, channels, st.integers(0, 2**32 - 1)),
)


def in_pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(any_frame), st.lists(st.integers(0, 10_000)))
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames: list[Frame], cuts: list[int]) -> None:
    decoder = Decoder()
    stream = b"".join(frame.encode() for frame in frames)
    assert [frame for piece in in_pieces(stream, cuts) for frame in decoder.feed(piece)] == frames
    assert decoder.between_frames


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_bytes_are_frames_or_a_mux_error_and_little_is_kept_of_them(noise: bytes, cuts: list[int]) -> None:
    decoder = Decoder()
    found: list[Frame] = []
    try:
        for piece in in_pieces(noise, cuts):
            found += decoder.feed(piece)
    except MuxError:
        pass
    said = b"".join(frame.encode() for frame in found)
    assert noise.startswith(said)


@given(any_frame)
def test_what_stands_before_a_broken_frame_is_still_found(frame: Frame) -> None:
    frames = Decoder().feed(frame.encode() + b"\xff" * 9)
    assert next(frames) == frame
    with pytest.raises(MuxError):
        next(frames)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ((0, 1, 0), "frame: kind must be one of 1 to 6: 0"),
        ((7, 1, 0), "frame: kind must be one of 1 to 6: 7"),
        ((Kind.OPEN, 0, 0), "frame: channel must be at least 1: 0"),
        ((Kind.OPEN, 1, 1), "frame OPEN: length must be between 0 and 0: 1"),
        ((Kind.DATA, 1, 0), "frame DATA: length must be between 1 and 16384: 0"),
        ((Kind.DATA, 1, MAX_PAYLOAD + 1), "frame DATA: length must be between 1 and 16384: 16385"),
        ((Kind.CREDIT, 1, 3), "frame CREDIT: length must be between 4 and 4: 3"),
    ],
)
def test_what_breaks_a_rule_is_named(header: tuple[int, int, int], message: str) -> None:
    with pytest.raises(MuxError) as raised:
        list(Decoder().feed(struct.pack(">BII", *header)))
    assert str(raised.value) == message


def test_a_stream_that_ends_within_a_frame_is_noticed() -> None:
    decoder = Decoder()
    assert list(decoder.feed(Frame(Kind.DATA, 1, b"abc").encode()[:-1])) == []
    assert not decoder.between_frames


def test_a_frame_fits_into_the_window_many_times() -> None:
    assert MAX_PAYLOAD * 4 <= WINDOW_BYTES
