"""Devices, addresses, neighbours: what ip and bridge show of what we sent."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from linkem_py.kernel.codec import (
    LinkRow,
    address_dump_message,
    address_message,
    address_rows,
    forwarding_message,
    ifb_message,
    link_delete_message,
    link_dump_message,
    link_get_message,
    link_rows,
    master_message,
    mtu_message,
    neighbour_dump_message,
    neighbour_message,
    neighbour_rows,
    port_message,
    qdisc_dump_message,
    qdisc_rows,
    up_message,
    veth_message,
)
from linkem_py.kernel.codec.link import AF_BRIDGE
from linkem_py.plan.objects import HUB, Address, Forwarding, Ifb, Neighbour, Veth
from tests.kernel.scratch import ETH0, FIRST_IFB, FIRST_PORT, LAN, Scratch, mac, received, receiver, udp, until

pytestmark = pytest.mark.kernel("ifb")
PORT1 = FIRST_PORT + 1
SECOND_ETH, SECOND_PORT = 150, 350


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        made.lan(1, 2)
        yield made


def test_ip_shows_the_devices_that_were_meant(scratch: Scratch) -> None:
    hub = {link["ifname"]: link for link in scratch.json(HUB, "ip -d -j link")}
    assert hub["lan"]["ifindex"] == LAN
    data = hub["lan"]["linkinfo"]["info_data"]
    assert (data["stp_state"], data["forward_delay"], data["mcast_snooping"]) == (0, 0, 0)
    port = hub["p1"]
    assert (port["ifindex"], port["master"], port["address"]) == (PORT1, "lan", "fe:00:00:00:00:01")
    assert port["link_index"] == ETH0
    slave = port["linkinfo"]["info_slave_data"]
    assert (slave["state"], slave["learning"], slave["flood"]) == ("forwarding", False, False)
    assert (port["num_tx_queues"], port.get("num_rx_queues", 1)) == (1, 1)
    (eth0,) = (link for link in scratch.json("p1", "ip -d -j link") if link["ifname"] == "eth0")
    assert (eth0["ifindex"], eth0["address"], eth0["mtu"]) == (ETH0, mac(1).hex(":"), 1500)
    assert "UP" in eth0["flags"]


def test_packets_pass_and_counters_say_so(scratch: Scratch) -> None:
    sinks = [receiver(scratch, "p2"), receiver(scratch, "p2", v6=True)]
    for destination in ("10.0.0.2", "fd00::2"):
        udp(scratch, "p1", destination, 3)
    until(lambda: [received(sink) for sink in sinks] == [3, 3])
    netlink = scratch.spaces["p1"].netlink
    before, row, after = eth0_counters(scratch), eth0_row(scratch), eth0_counters(scratch)
    assert (row.ifindex, row.mac, row.mtu, row.kind, row.peer) == (ETH0, mac(1), 1500, "veth", PORT1)
    assert row.up
    assert row.operstate == 6
    assert before["tx"]["packets"] >= 6
    for way in ("rx", "tx"):
        for name in ("packets", "bytes", "dropped"):
            assert before[way][name] <= getattr(row.counters, f"{way}_{name}") <= after[way][name]
    assert next(link_rows([netlink.request(link_get_message("eth0"))]))[:8] == row[:8]


def eth0_row(scratch: Scratch) -> LinkRow:
    rows = link_rows(scratch.spaces["p1"].netlink.dump(link_dump_message()))
    return next(row for row in rows if row.name == "eth0")


def eth0_counters(scratch: Scratch) -> Any:
    return scratch.json("p1", "ip -s -j link show eth0")[0]["stats64"]


def test_addresses(scratch: Scratch) -> None:
    rows = list(address_rows(scratch.spaces["p1"].netlink.dump(address_dump_message())))
    assert (bytes([10, 0, 0, 1]), 24) in {(row.address, row.prefixlen) for row in rows if row.ifindex == ETH0}
    (shown,) = (
        address
        for link in scratch.json("p1", "ip -6 -j addr show eth0")
        for address in link.get("addr_info", ())
        if address.get("local") == "fd00::1"
    )
    assert shown["prefixlen"] == 64
    assert shown["nodad"]
    assert "tentative" not in shown
    for address in (Address("p1", "eth0", "fd00::1", 64), Address("p1", "eth0", "10.0.0.1", 24)):
        assert scratch.refused("p1", address_message("create", address, ETH0)) == errno.EEXIST
        scratch.send("p1", address_message("delete", address, ETH0))
        assert scratch.refused("p1", address_message("delete", address, ETH0)) == errno.EADDRNOTAVAIL


def test_neighbours_are_permanent(scratch: Scratch) -> None:
    rows = neighbour_rows(scratch.spaces["p1"].netlink.dump(neighbour_dump_message()))
    permanent = {(row.address, row.mac) for row in rows if row.state == 0x80}
    assert (bytes([10, 0, 0, 2]), mac(2)) in permanent
    assert {(entry["dst"], entry["lladdr"]) for entry in scratch.json("p1", "ip -j neigh show nud permanent")} == {
        ("10.0.0.2", mac(2).hex(":")), ("fd00::2", mac(2).hex(":")),
    }  # fmt: skip
    entry = Neighbour("p1", "eth0", bytes([10, 0, 0, 2]), mac(9))
    scratch.send("p1", neighbour_message("create", entry, ETH0))  # in the place of the other
    scratch.send("p1", neighbour_message("delete", entry, ETH0))
    assert len(scratch.json("p1", "ip -4 -j neigh show nud permanent")) == 0


def test_forwarding_entries_are_static(scratch: Scratch) -> None:
    rows = neighbour_rows(scratch.spaces[HUB].netlink.dump(neighbour_dump_message(AF_BRIDGE)))
    assert (PORT1, mac(1)) in {(row.ifindex, row.mac) for row in rows if row.state == 0x40}
    shown = scratch.json(HUB, "bridge -j fdb show br lan")
    (entry,) = (one for one in shown if one["mac"] == mac(1).hex(":") and one["ifname"] == "p1")
    assert entry["state"] == "static"
    made = Forwarding(HUB, "p1", mac(1))
    assert scratch.refused(HUB, forwarding_message("create", made, PORT1)) == errno.EEXIST
    scratch.send(HUB, forwarding_message("delete", made, PORT1))
    assert scratch.refused(HUB, forwarding_message("delete", made, PORT1)) == errno.ENOENT


def test_a_port_without_flooding_gets_only_what_is_its_own(scratch: Scratch) -> None:
    sink = receiver(scratch, "p2")
    scratch.send(HUB, forwarding_message("delete", Forwarding(HUB, "p2", mac(2)), FIRST_PORT + 2))
    udp(scratch, "p1", "10.0.0.2", 5)
    scratch.send(HUB, forwarding_message("create", Forwarding(HUB, "p2", mac(2)), FIRST_PORT + 2))
    udp(scratch, "p1", "10.0.0.2", 1)
    until(lambda: received(sink) == 1)
    scratch.send(HUB, forwarding_message("delete", Forwarding(HUB, "p2", mac(2)), FIRST_PORT + 2))
    scratch.send(HUB, port_message(FIRST_PORT + 2, flood=True))
    udp(scratch, "p1", "10.0.0.2", 2)
    until(lambda: received(sink) == 2)


def test_one_batch_can_build_on_devices_it_creates(scratch: Scratch) -> None:
    """By indexes chosen in advance, of both ends."""
    fd = scratch.spaces["p1"].fd
    veth = Veth(HUB, "p1b", "fe:00:00:00:01:01", "p1", "eth1", "02:00:00:00:01:01", "lan", mtu=1400)
    scratch.send(
        HUB,
        veth_message(veth, peer_ns_fd=fd, index=SECOND_PORT, peer_index=SECOND_ETH),
        master_message(SECOND_PORT, LAN),
        port_message(SECOND_PORT, flood=True),
        up_message(SECOND_PORT),
    )
    scratch.send("p1", up_message(SECOND_ETH), ifb_message(Ifb("p1", "ifb7"), index=FIRST_IFB))
    assert scratch.spaces["p1"].netlink.link_indexes() == {"lo": 1, "eth0": ETH0, "eth1": SECOND_ETH, "ifb7": FIRST_IFB}
    scratch.send("p1", mtu_message(SECOND_ETH, 1300), up_message(SECOND_ETH, up=False))
    (eth1,) = scratch.json("p1", "ip -j link show eth1")
    assert eth1["mtu"] == 1300
    assert "UP" not in eth1["flags"]
    scratch.send("p1", link_delete_message("ifb7"), link_delete_message(SECOND_ETH))
    assert "p1b" not in scratch.spaces[HUB].netlink.link_indexes()
    assert scratch.refused("p1", link_delete_message(SECOND_ETH)) == errno.ENODEV


def test_both_ends_of_a_pair_may_be_in_one_namespace(scratch: Scratch) -> None:
    veth = Veth(HUB, "x0", "fe:00:00:00:02:01", HUB, "x1", "fe:00:00:00:02:02", "lan", peer_master="lan")
    scratch.send(HUB, veth_message(veth, peer_ns_fd=None, index=500, peer_index=501), master_message(501, LAN))
    rows = {row.name: row for row in link_rows(scratch.spaces[HUB].netlink.dump(link_dump_message()))}
    assert (rows["x0"].master, rows["x1"].master) == (0, LAN)
    assert (rows["x0"].peer, rows["x1"].peer) == (501, 500)


def test_qdisc_rows_can_be_of_one_device_only(scratch: Scratch) -> None:
    scratch.ifb("p1")
    messages = scratch.spaces["p1"].netlink.dump(qdisc_dump_message())
    assert {row.ifindex for row in qdisc_rows(messages)} >= {FIRST_IFB}
    assert {row.ifindex for row in qdisc_rows(messages, FIRST_IFB)} == {FIRST_IFB}
