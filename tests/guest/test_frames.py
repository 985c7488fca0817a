from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.guest.inside import frames

KINDS = st.integers(frames.HELLO, frames.CLOSE)
FRAMES = st.lists(st.tuples(KINDS, st.binary(max_size=300)), max_size=20)
U32 = st.integers(0, 2**32 - 1)


@given(FRAMES, st.lists(st.integers(1, 50), min_size=1))
def test_frames_survive_however_the_stream_is_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frames.encode(kind, payload) for kind, payload in sent)
    decoder = frames.Decoder()
    received = []
    turn = 0
    while stream:
        cut = cuts[turn % len(cuts)]
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
        turn += 1
    assert received == sent


@given(st.integers(0, 3), U32, U32)
def test_numbers_survive(stream: int, first: int, second: int) -> None:
    ((_, payload),) = frames.Decoder().feed(frames.amount(frames.CREDIT, stream, first))
    assert frames.parse_amount(payload) == (stream, first)
    ((_, payload),) = frames.Decoder().feed(frames.piece(stream, first, second))
    assert frames.parse_piece(payload) == (stream, first, second)
    ((_, payload),) = frames.Decoder().feed(frames.number(frames.ACK, first))
    assert frames.parse_number(payload) == first


@given(st.lists(st.binary(max_size=50)))
def test_lists_of_strings_survive(strings: list[bytes]) -> None:
    assert frames.unpack_strings(frames.pack_strings(strings)) == strings


def test_a_list_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="cut off"):
        frames.unpack_strings(frames.pack_strings([b"abc"])[:-1])


@given(
    st.lists(st.binary(), min_size=1),
    st.lists(st.binary()),
    st.binary(),
    st.dictionaries(st.sampled_from(frames.Job.NUMBERS), U32),
)
def test_a_job_survives(argv: list[bytes], env: list[bytes], cwd: bytes, numbers: dict[str, int]) -> None:
    job = frames.Job(argv=argv, env=env, cwd=cwd, hostname=b"h", modules=b"", numbers=numbers)
    copy = frames.Job.unpack(job.pack())
    assert (copy.argv, copy.env, copy.cwd, copy.hostname, copy.modules) == (argv, env, cwd, b"h", b"")
    assert copy.numbers == {name: numbers.get(name, 0) for name in frames.Job.NUMBERS}


@pytest.mark.parametrize("noise", [b"Kernel panic - not syncing", b"\0" * 10, b"\x0b\xff\xff\xff\xff"])
def test_what_is_not_the_protocol_is_refused(noise: bytes) -> None:
    with pytest.raises(ValueError, match="not a frame"):
        frames.Decoder().feed(noise)


def test_a_payload_has_a_limit() -> None:
    with pytest.raises(ValueError, match="at most"):
        frames.encode(frames.DATA, bytes(frames.MAX_PAYLOAD + 1))
