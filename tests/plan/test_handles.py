from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.model.topology import DEFAULT_SEGMENT, MOST_PEERS, PRIO_DESTINATIONS, Peer, Segment, Topology
from linkem_py.plan import addressing, handles

numbers = st.integers(1, MOST_PEERS)


def test_no_two_roles_share_a_major() -> None:
    ranges = sorted((first, first + count) for first, count in handles.MAJORS.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert ranges[0][0] > 0
    assert ranges[-1][1] == 0x10000


@pytest.mark.parametrize("number", [1, 31, 32, 33, 255, 256, 8191, 8192, MOST_PEERS])
def test_every_number_stays_within_the_range_of_its_role(number: int) -> None:
    majors = {
        "group": handles.group_qdisc(handles.group_of(number)) >> 16,
        "netem": handles.netem(number) >> 16,
        "queue": handles.queue(number) >> 16,
    }
    for role, major in majors.items():
        first, count = handles.MAJORS[role]
        assert first <= major < first + count


def test_no_two_destinations_share_a_number() -> None:
    everyone = range(1, MOST_PEERS + 1)
    for number_of in (handles.netem, handles.queue, handles.member_class):
        assert len({number_of(number) for number in everyone}) == MOST_PEERS
    entries = {(handles.group_of(number), handles.member_entry(number)) for number in everyone}
    assert len(entries) == MOST_PEERS
    groups = range(handles.group_of(MOST_PEERS) + 1)
    for of_group in (handles.group_class, handles.group_qdisc, handles.group_entry):
        assert len({of_group(group) for group in groups}) == len(groups)


@given(numbers)
def test_a_handle_tells_its_destination(number: int) -> None:
    assert handles.destination_of(handles.netem(number)) == number
    assert handles.destination_of(handles.queue(number)) == number
    assert handles.member_of(handles.member_class(number)) == number
    assert handles.netem_child(number) >> 16 == handles.netem(number) >> 16


@pytest.mark.parametrize("handle", [handles.ROOT, handles.CLSACT, handles.group_qdisc(0), handles.group_qdisc(895)])
def test_a_handle_of_another_role_has_no_destination(handle: int) -> None:
    assert handles.destination_of(handle) is None


@given(numbers)
def test_an_entry_stands_in_the_bucket_that_the_kernel_looks_in(number: int) -> None:
    """u32_hash_fold: (word & mask) >> (lowest bit of mask), then the divisor's bits."""
    word = addressing.mac_words(1, number)[1]
    group_bucket = (word & 0xFFE0) >> 5 & handles.GROUP_BUCKETS - 1
    assert handles.group_entry(handles.group_of(number)) >> 12 & 0xFF == group_bucket
    assert handles.member_entry(number) >> 12 & 0xFF == word & handles.MEMBER_BUCKETS - 1
    assert 1 <= handles.group_entry(handles.group_of(number)) & 0xFFF < 0x1000


def test_the_bands_of_prio_leave_the_first_to_everything_else() -> None:
    bands = [handles.band_class(slot) & 0xFFFF for slot in range(PRIO_DESTINATIONS)]
    assert bands == list(range(2, 17))


@pytest.mark.parametrize(("handle", "text"), [(0x10000, "1:"), (0x100002, "10:2"), (0xFFFF0000, "ffff:")])
def test_a_handle_is_written_as_tc_writes_it(handle: int, text: str) -> None:
    assert handles.describe(handle) == text


# --- addresses ----------------------------------------------------------------------------------


@pytest.fixture
def segment() -> Segment:
    return Topology("t").segments[DEFAULT_SEGMENT]


@given(numbers)
def test_every_peer_has_addresses_of_its_own_within_the_subnets(number: int) -> None:
    segment = Topology("t").segments[DEFAULT_SEGMENT]
    peer = Peer("p", number)
    four, six = addressing.ipv4(segment, peer), addressing.ipv6(segment, peer)
    assert four in segment.ipv4
    assert four not in (segment.ipv4.network_address, segment.ipv4.broadcast_address)
    assert six is not None
    assert segment.ipv6 is not None
    assert six in segment.ipv6
    assert addressing.addresses(segment, peer) == (str(four), str(six))
    assert int(four) & 0xFFFF == int(six) & 0xFFFF == number


def test_without_ipv6_a_peer_has_one_address() -> None:
    segment = Topology("t", ipv6=None).segments[DEFAULT_SEGMENT]
    assert addressing.addresses(segment, Peer("p", 3)) == ("10.0.0.3",)
    assert addressing.ipv6(segment, Peer("p", 3)) is None


def test_macs_are_local_unicast_and_differ_between_the_ends(segment: Segment) -> None:
    mac, far = addressing.packed_mac(1, 7), addressing.hub_mac(1, 7)
    assert addressing.mac_text(mac) == "02:4c:00:01:00:07"
    assert addressing.mac_text(far) == "02:4d:00:01:00:07"
    assert addressing.mac_words(1, 7) == (0x024C, 0x00010007)
    assert mac[0] & 3 == 2


def test_the_link_local_address_is_that_of_the_mac(segment: Segment) -> None:
    # RFC 4291, appendix A: the universal bit turned, ff:fe in the middle.
    assert addressing.link_local(segment, Peer("p", 7)) == ipaddress.IPv6Address("fe80::4c:ff:fe01:7")


def test_devices_are_named_by_segment_and_number(segment: Segment) -> None:
    peer = Peer("p", 2500)
    assert addressing.interface(segment) == "eth0"
    assert addressing.port(segment, peer) == "lan.2500"
    assert addressing.bridge_of(segment, 999) == "br-lan"
    assert addressing.bridge_of(segment, 2500) == "br2-lan"
    assert addressing.trunk(segment, 2) == ("t2-lan", "u2-lan")
    assert addressing.duplicator(segment, 2500) == "dup1-2500"
