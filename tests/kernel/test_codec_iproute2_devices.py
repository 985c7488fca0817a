"""What we send is what ip and bridge (iproute2 6.1) send for the same device."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from linkem_py.kernel.codec import (
    address_message,
    bridge_message,
    forwarding_message,
    ifb_message,
    link_delete_message,
    master_message,
    neighbour_message,
    port_message,
    up_message,
    veth_message,
)
from linkem_py.plan.objects import (
    HUB,
    Address,
    Bridge,
    Forwarding,
    Ifb,
    Neighbour,
    Veth,
)
from tests.kernel.wire import parse, recorded, recorded_without_ack

ETH0, BR0, PORT = 3, 5, 7  # interface indexes in the recording
LO, HI = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
FD00_2 = bytes([0xFD, *bytes(14), 2])
VETH = Veth(HUB, "a0", "fe:00:00:00:00:01", "a", "eth9", "02:00:00:00:00:01", "br0")

EXACT: dict[str, Callable[[], bytes]] = {
    "master": lambda: master_message(PORT, BR0),
    "up": lambda: up_message(PORT),
    "down": lambda: up_message(PORT, up=False),
    "link_delete": lambda: link_delete_message(PORT),
    "neighbour6": lambda: neighbour_message("create", Neighbour("a", "eth0", FD00_2, HI), ETH0),
    "forwarding": lambda: forwarding_message("create", Forwarding(HUB, "a0", LO), PORT),
}


@pytest.mark.parametrize("name", EXACT)
def test_is_the_same_to_the_byte(name: str) -> None:
    assert EXACT[name]() == recorded_without_ack(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("veth", veth_message(VETH, peer_ns_fd=4, master_ifindex=BR0)),
        ("address6", address_message("create", Address("a", "eth0", "fd00::1", 64), ETH0)),
        ("address4", address_message("create", Address("a", "eth0", "10.0.0.1", 24), ETH0)),
    ],
    ids=["veth", "address6", "address4"],
)
def test_devices_and_addresses(name: str, message: bytes) -> None:
    assert parse(message) == parse(recorded(name))


def test_a_bridge_has_no_default_vlan() -> None:
    ours = parse(bridge_message(Bridge(HUB, "br0")))
    assert ours.attributes.pop((18, 2, 39)) == b"\0\0"
    assert ours == parse(recorded("bridge"))


def test_an_ifb_has_one_queue() -> None:
    ours = parse(ifb_message(Ifb(HUB, "ifb7")))
    assert ours.attributes.pop((31,)) == ours.attributes.pop((32,)) == struct.pack("=I", 1)
    assert ours == parse(recorded("ifb"))
    roomy = parse(ifb_message(Ifb(HUB, "ifb7", queue_packets=1000)))
    assert roomy.attributes.keys() - ours.attributes.keys() - {(31,), (32,)} == {(13,)}
    assert roomy.attributes[13,] == struct.pack("=I", 1000)


def test_interface_indexes_can_be_chosen_for_both_ends() -> None:
    ours = parse(veth_message(VETH, peer_ns_fd=4, index=100, peer_index=101))
    theirs = parse(recorded("veth_index"))
    assert ours[:3] == theirs[:3]
    assert ours.attributes[18, 2, 1, 0] == theirs.attributes[18, 2, 1, 0]


@pytest.mark.parametrize(("name", "flood"), [("port", False), ("port_flood", True)])
def test_flags_of_a_port(name: str, flood: bool) -> None:
    ours, theirs = parse(port_message(PORT, flood=flood)), parse(recorded(name))
    assert ours[:3] == theirs[:3]
    assert ours.attributes.pop((18, 4)) == b"bridge\0"  # the kernel reads neither this nor ip's "bridge_slave"
    assert theirs.attributes.pop((18, 1)) == b"bridge_slave"
    assert ours == theirs


def test_a_neighbour_replaces_what_was_learnt() -> None:
    made = Neighbour("a", "eth0", bytes([10, 0, 0, 2]), HI)
    ours, theirs = parse(neighbour_message("create", made, ETH0)), parse(recorded("neighbour4"))
    assert ours.fixed == theirs.fixed
    assert ours.attributes == theirs.attributes
    assert ours.flags == 0x501  # REQUEST, CREATE, REPLACE
    assert neighbour_message("delete", made, ETH0)[16:] == recorded("neighbour4_delete")[16:]


def test_deleting_an_address_or_forwarding_entry_names_it() -> None:
    address = parse(address_message("delete", Address("a", "eth0", "10.0.0.1", 24), ETH0))
    assert address.attributes.pop((1,)) == bytes([10, 0, 0, 1])
    wanted = parse(recorded("address4_delete"))
    wanted.attributes.pop((1,), None)
    assert address == wanted
    forwarding = parse(forwarding_message("delete", Forwarding(HUB, "a0", LO), PORT))
    assert forwarding.attributes == parse(recorded("forwarding_delete")).attributes
