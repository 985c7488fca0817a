import socket
import time

import numpy as np

from linkem_py.report import datagrams
from linkem_py.report.stations import echo_reply, echo_request


def pair() -> tuple[socket.socket, socket.socket]:
    one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (one, other):
        sock.bind(("127.0.0.1", 0))
        datagrams.prepare(sock, receive_bytes=1 << 20, send_bytes=1 << 20)
    return one, other


def test_a_train_arrives_whole_numbered_and_stamped() -> None:
    sender, receiver = pair()
    with sender, receiver:
        train = datagrams.Train("127.0.0.1", receiver.getsockname()[1], size=100, batch=50)
        reader = datagrams.Reader(16, 32)
        sender.sendto(b"", receiver.getsockname())  # the first one asks the kernel for timestamps
        time.sleep(0.05)
        reader.drain(receiver)
        train.number(1000, 50)
        before = time.time_ns()
        assert train.send(sender.fileno(), 50) == 50
        after = time.time_ns()
        found = reader.drain(receiver)
        numbers = np.concatenate([datagrams.numbers_of(one.payloads)[0] for one in found])
        times = np.concatenate([one.times for one in found])
        assert numbers.tolist() == list(range(1000, 1050))
        assert before <= times.min()
        assert times.max() <= after
        assert all((one.sizes == 100).all() and (one.hosts == 0x7F000001).all() for one in found)
        assert reader.read(receiver) is None
        assert datagrams.dropped(receiver) == 0


def test_datagrams_without_room_are_counted() -> None:
    sender, receiver = pair()
    with sender, receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        train = datagrams.Train("127.0.0.1", receiver.getsockname()[1], size=1000, batch=50)
        train.send(sender.fileno(), 50)
        arrived = sum(len(one.sizes) for one in datagrams.Reader(64).drain(receiver))
        assert datagrams.dropped(receiver) == 50 - arrived > 0


def test_any_flipped_bit_is_seen_and_the_number_survives_it() -> None:
    payload = np.zeros((1, 40), np.uint8)
    payload[:, :24].view("<u8")[:] = 123_456
    for bit in range(320):
        flipped = payload.copy()
        flipped[0, bit // 8] ^= 1 << bit % 8
        number, damaged = datagrams.numbers_of(flipped)
        assert number.tolist() == [123_456]
        assert damaged.all()
    assert not datagrams.numbers_of(payload)[1].any()


def test_echo_requests_have_a_right_checksum_and_replies_are_told_from_requests() -> None:
    for identifier, number in ((1, 0), (0xFFFF, 0xFFFF), (0x1234, 7)):
        request = echo_request(identifier, number)
        total = sum(int.from_bytes(request[i : i + 2], "big") for i in range(0, len(request), 2))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
        header = bytes([0x45, *bytes(19)])
        assert echo_reply(header + request) is None
        assert echo_reply(header + b"\0" + request[1:]) == (identifier, number)
    assert echo_reply(b"") is None
