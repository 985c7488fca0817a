"""The netlink socket in a kernel: exact answers to batches of any size, whatever fails."""

from __future__ import annotations

import errno
import random
import socket
import struct
from collections.abc import Iterator

import pytest

from linkem_py.kernel.codec import (
    class_dump_message,
    class_message,
    class_rows,
    ifb_message,
    link_delete_message,
    link_dump_message,
    link_get_message,
    link_rows,
    mtu_message,
    qdisc_message,
)
from linkem_py.kernel.netlink import ERROR_TRUESIZE_BYTES, AcknowledgementsLostError, NetlinkError, NetlinkSocket
from linkem_py.plan.objects import TC_H_ROOT, Class, Htb, HtbClass, Ifb, Netem, Qdisc
from tests.kernel.scratch import Scratch


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        made.add("a")
        yield made


@pytest.fixture
def netlink(scratch: Scratch) -> NetlinkSocket:
    return scratch.spaces["a"].netlink


@pytest.mark.kernel
def test_errors_come_in_the_kernels_words(netlink: NetlinkSocket) -> None:
    qdisc = Qdisc("a", "lo", 0x10000, 0x20001, "htb", Htb())
    (ack,) = netlink.transact([qdisc_message("create", qdisc, 1)])
    assert ack.errno == errno.ENOENT
    assert ack.message == "Failed to find specified qdisc"


@pytest.mark.kernel("htb")
def test_thousands_of_failures_among_successes_are_told_apart(netlink: NetlinkSocket) -> None:
    """Also where every single one fails, no answer is lost with the buffers as they come."""
    netlink.transact([qdisc_message("create", Qdisc("a", "lo", 0x10000, TC_H_ROOT, "htb", Htb()), 1)])
    choose = random.Random(3)
    asked, wanted, present = [], [], set()
    for _ in range(3000):
        minor = choose.randrange(1, 100)
        asked.append(Class("a", "lo", 0x10000 | minor, 0x10000, "htb", HtbClass(1, 1, 1, 1, 1)))
        wanted.append(errno.EEXIST if minor in present else 0)
        present.add(minor)
    acks = netlink.transact([class_message("create", one, 1) for one in asked])
    assert [ack.errno for ack in acks] == wanted
    assert wanted.count(errno.EEXIST) > 2 * netlink.chunk_messages
    rows = class_rows(netlink.dump(class_dump_message(1, 0x10000)))
    assert {row.classid & 0xFFFF for row in rows} == present


@pytest.mark.kernel("netem")
def test_all_of_a_chunk_may_fail_with_many_words(netlink: NetlinkSocket) -> None:
    qdisc = Qdisc("a", "lo", 0x10000, 0x20001, "netem", Netem(1000))
    acks = netlink.transact([qdisc_message("create", qdisc, 1)] * 2000)
    assert {ack.errno for ack in acks} == {errno.ENOENT}
    assert all(ack.message for ack in acks)


@pytest.mark.kernel
def test_what_overflows_is_reported_and_the_size_of_a_chunk_is_well_below(netlink: NetlinkSocket) -> None:
    size = netlink.chunk_messages
    netlink.chunk_messages = 10**6
    count = 1000
    with pytest.raises(AcknowledgementsLostError) as caught:
        netlink.transact([link_delete_message(999)] * count)
    told = [ack for ack in caught.value.acks if ack is not None]
    assert {ack.errno for ack in told} == {errno.ENODEV}
    assert size <= len(told) < count
    netlink.chunk_messages = size
    assert {ack.errno for ack in netlink.transact([link_delete_message(999)] * count)} == {errno.ENODEV}


@pytest.mark.kernel
def test_large_messages_are_spread_over_sends(netlink: NetlinkSocket) -> None:
    padding = struct.pack("=HH", 4 + 20_000, 0x3FFF) + bytes(20_000)  # of a type the kernel does not know
    one = bytearray(mtu_message(1, 60_000) + padding)
    struct.pack_into("=I", one, 0, len(one))
    acks = netlink.transact([bytes(one)] * 50)
    assert len({ack.errno for ack in acks}) == 1


@pytest.mark.kernel("ifb")
def test_names_and_indexes(netlink: NetlinkSocket) -> None:
    assert netlink.link_indexes() == {"lo": 1}
    many = {f"ifb{number}": 1000 + number for number in range(300)}
    acks = netlink.transact([ifb_message(Ifb("a", name), index=index) for name, index in many.items()])
    assert {ack.errno for ack in acks} == {0}
    assert netlink.link_indexes() == {"lo": 1, **many}  # more than one datagram
    rows = {row.name: row.ifindex for row in link_rows(netlink.dump(link_dump_message()))}
    assert rows == netlink.link_indexes()
    (row,) = link_rows([netlink.request(link_get_message("ifb7"))])
    assert row.ifindex == 1007
    with pytest.raises(NetlinkError) as caught:
        netlink.request(link_get_message("nothing"))
    assert caught.value.errno == errno.ENODEV


@pytest.mark.kernel
def test_a_socket_stays_in_the_namespace_it_was_made_in(scratch: Scratch) -> None:
    scratch.add("b")
    scratch.send("b", ifb_message(Ifb("b", "only-b")))
    assert "only-b" in scratch.spaces["b"].netlink.link_indexes()
    assert "only-b" not in scratch.spaces["a"].netlink.link_indexes()


@pytest.mark.kernel
def test_the_default_buffers_are_used(netlink: NetlinkSocket) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as plain:
        received = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert netlink.chunk_messages == received // ERROR_TRUESIZE_BYTES
