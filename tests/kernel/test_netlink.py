"""The netlink socket, without a kernel: chunks, answers, dumps."""

from __future__ import annotations

import errno
import random
import struct

import pytest

from linkem_py.errors import KernelError
from linkem_py.kernel.netlink import (
    ERROR_TRUESIZE_BYTES,
    Ack,
    AcknowledgementsLostError,
    NetlinkError,
    NetlinkSocket,
)
from tests.kernel.fake_netlink import (
    CAPPED,
    DONE,
    ERROR,
    INTERRUPTED,
    NLM_F_ACK,
    ROW,
    TLVS,
    FakeKernel,
    answer_errors,
    message,
    request,
    split,
)

SUCCESS = Ack(0, "", 0)


def netlink_of(fake: FakeKernel) -> NetlinkSocket:
    return NetlinkSocket(fake)  # type: ignore[arg-type]


def test_only_the_last_message_of_a_chunk_asks_for_an_acknowledgement() -> None:
    fake = FakeKernel(buffer_bytes=10 * ERROR_TRUESIZE_BYTES)
    netlink = netlink_of(fake)
    assert netlink.transact([request(0)] * 25) == [SUCCESS] * 25
    sent = [split(data) for data in fake.sends]
    assert [len(chunk) for chunk in sent] == [10, 10, 5]
    asked = [bool(int.from_bytes(one[6:8], "little") & NLM_F_ACK) for chunk in sent for one in chunk]
    assert [index for index, ask in enumerate(asked) if ask] == [9, 19, 24]
    numbers = [int.from_bytes(one[8:12], "little") for chunk in sent for one in chunk]
    assert numbers == list(range(1, 26))


def test_a_chunk_fits_the_send_buffer() -> None:
    fake = FakeKernel(buffer_bytes=10_000)
    sizes = [random.Random(1).randrange(0, 6000, 4) for _ in range(100)]
    netlink = netlink_of(fake)
    netlink.chunk_messages = 1000
    netlink.transact([request(0, size) for size in sizes])
    assert all(len(data) <= 10_000 - 32 for data in fake.sends)
    assert sum(map(len, fake.sends)) == sum(sizes) + 16 * len(sizes)


def test_a_message_longer_than_the_send_buffer_is_refused_before_any_is_sent() -> None:
    fake = FakeKernel(buffer_bytes=10_000)
    with pytest.raises(KernelError, match="exceeds the send buffer"):
        netlink_of(fake).transact([request(0)] * 20 + [request(0, 10_000)])
    assert fake.sends == []


def test_every_answer_goes_to_its_message() -> None:
    fake = FakeKernel(buffer_bytes=7 * ERROR_TRUESIZE_BYTES)
    numbers = [random.Random(2).choice([0, 0, 1, 17]) for _ in range(200)]
    netlink = netlink_of(fake)
    netlink._sequence = 2**32 - 50  # the numbers wrap around
    wanted = [Ack(number, f"no {number}", 36) if number else SUCCESS for number in numbers]
    assert netlink.transact([request(number) for number in numbers]) == wanted


def test_nothing_to_send_is_nothing_to_do() -> None:
    fake = FakeKernel()
    assert netlink_of(fake).transact([]) == []
    assert fake.sends == []


def test_answers_of_an_earlier_batch_are_passed_over() -> None:
    fake = FakeKernel()
    netlink = netlink_of(fake)
    netlink.transact([request(0)])
    fake.queue.append(message(ERROR, CAPPED, 1, struct.pack("=i", -5) + bytes(16)))
    assert netlink.transact([request(0)]) == [SUCCESS]


@pytest.mark.parametrize("lost", [[], [OSError(errno.ENOBUFS, "overflow")]])
def test_a_lost_answer_is_an_error_that_tells_what_is_known(lost: list[OSError]) -> None:
    fake = FakeKernel(buffer_bytes=4 * ERROR_TRUESIZE_BYTES)

    def answer(data: bytes, sends: int) -> list[bytes | OSError]:
        answers = answer_errors(data, sends)
        asks_for_ack = int.from_bytes(data[6:8], "little") & NLM_F_ACK
        return [*lost] if sends == 2 and asks_for_ack else answers

    fake.answer = answer
    netlink = netlink_of(fake)
    with pytest.raises(AcknowledgementsLostError, match="3 of 8") as caught:
        netlink.transact([request(number) for number in (0, 0, 0, 0, 0, 7, 0, 0, 0, 0)])
    assert caught.value.sent == 8
    assert caught.value.acks == [SUCCESS] * 4 + [None, Ack(7, "no 7", 36), None, None, None, None]
    assert len(fake.sends) == 2


def test_other_errors_of_the_socket_are_not_taken_for_lost_answers() -> None:
    fake = FakeKernel()
    fake.answer = lambda data, sends: [OSError(errno.EBADF, "closed")]
    with pytest.raises(OSError, match="closed"):
        netlink_of(fake).transact([request(0)])


def test_a_dump_is_all_rows_up_to_the_end() -> None:
    fake = FakeKernel()
    fake.answer = lambda data, sends: [
        message(ROW, 2, 99, b"not") + message(ROW, 2, 1, b"1") + message(ROW, 2, 1, b"22"),
        message(ROW, 2, 1, b"333"),
        message(DONE, 2, 1, struct.pack("=i", 0)),
    ]
    rows = netlink_of(fake).dump(request(0))
    assert [row[16:] for row in rows] == [b"1", b"22", b"333"]


@pytest.mark.parametrize("where", ["row", "end", "overflow"])
def test_an_interrupted_dump_begins_anew(where: str) -> None:
    fake = FakeKernel()

    def answer(data: bytes, sends: int) -> list[bytes | OSError]:
        broken = sends < 3
        flags = [INTERRUPTED if broken and where == name else 0 for name in ("row", "end")]
        overflow = [OSError(errno.ENOBUFS, "")] if broken and where == "overflow" else []
        row = message(ROW, 2 | flags[0], sends, bytes([sends]))
        return [row, *overflow, message(DONE, 2 | flags[1], sends, struct.pack("=i", 0))]

    fake.answer = answer
    assert [row[16:] for row in netlink_of(fake).dump(request(0))] == [b"\3"]
    assert len(fake.sends) == 3


def test_a_dump_that_is_always_interrupted_gives_up() -> None:
    fake = FakeKernel()
    fake.answer = lambda data, sends: [message(DONE, 2 | INTERRUPTED, sends, struct.pack("=i", 0))]
    with pytest.raises(NetlinkError, match="interrupted") as caught:
        netlink_of(fake).dump(request(0))
    assert caught.value.errno == errno.EINTR


@pytest.mark.parametrize("kind", [DONE, ERROR])
def test_a_dump_that_fails_says_why(kind: int) -> None:
    fake = FakeKernel()
    words = struct.pack("=HH8s", 12, 1, b"why not\0")
    head = struct.pack("=i", -errno.EINVAL) + (bytes(16) if kind == ERROR else b"")
    fake.answer = lambda data, sends: [message(kind, TLVS | CAPPED, sends, head + words)]
    with pytest.raises(NetlinkError, match="why not") as caught:
        netlink_of(fake).dump(request(0))
    assert caught.value.errno == errno.EINVAL


def test_the_words_are_found_behind_a_request_that_is_quoted_whole() -> None:
    quoted = struct.pack("=IHHII", 22, 16, 1, 1, 0) + b"abcdef\0\0"
    words = struct.pack("=HH4s", 8, 1, b"no!\0")
    fake = FakeKernel()
    fake.answer = lambda data, sends: [message(ERROR, TLVS, 1, struct.pack("=i", -1) + quoted + words)]
    assert netlink_of(fake).transact([request(0)]) == [Ack(1, "no!", 0)]


def test_a_closed_socket_can_be_closed_again() -> None:
    fake = FakeKernel()
    with netlink_of(fake) as netlink:
        assert repr(netlink) == "<NetlinkSocket fd=3 sent=0 chunk=138>"
        netlink.close()
    assert netlink.fileno() == -1
    assert "closed" in repr(netlink)
