"""u32's options: keys in network order, buckets, links, actions."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from linkem_py.kernel.codec import decode_u32, encode_u32, encode_u32_table, filter_message
from linkem_py.plan.objects import ETH_P_ALL, U32, Filter, Mirror, Redirect, U32Key, U32Table
from tests.kernel.strategies import u32_entries
from tests.kernel.wire import parse

DEVICES = {"ifb0": 10, "ifb1": 11, "eth0": 12}
NAMES = {index: name for name, index in DEVICES.items()}
TERMINAL = 1


def filter_of(options: U32 | U32Table, handle: int) -> Filter:
    return Filter("a", "eth0", 0x10000, 1, ETH_P_ALL, handle, options)


@given(u32_entries, st.integers(0, 0x7FF), st.integers(0, 255), st.integers(1, 0xFFE))
def test_what_is_encoded_is_decoded(options: U32, table: int, bucket: int, node: int) -> None:
    index = DEVICES[options.action.device] if isinstance(options.action, Redirect | Mirror) else 0
    handle = table << 20 | bucket << 12 | node
    assert decode_u32(encode_u32(options, handle, index), NAMES) == options


@pytest.mark.parametrize("kind", [Redirect, Mirror])
def test_a_mirror_is_not_taken_for_a_redirection_to_the_same_device(kind: type[Redirect] | type[Mirror]) -> None:
    decoded = decode_u32(encode_u32(U32(action=kind("ifb0")), 1, 10), NAMES)
    assert isinstance(decoded, U32)
    assert type(decoded.action) is kind


@given(st.integers(1, 256))
def test_tables(divisor: int) -> None:
    assert decode_u32(encode_u32_table(U32Table(divisor))) == U32Table(divisor)


def test_an_unknown_device_is_shown_by_its_index() -> None:
    encoded = encode_u32(U32(action=Redirect("ifb0")), 1, 10)
    assert decode_u32(encoded) == U32(action=Redirect("#10"))


def test_what_is_neither_table_nor_entry_is_nothing() -> None:
    assert decode_u32(b"") is None


@pytest.mark.parametrize(("options", "flags"), [(U32(classid=1), TERMINAL), (U32(), TERMINAL), (U32(link=1), 0)])
def test_only_a_link_lets_the_search_go_on(options: U32, flags: int) -> None:
    assert parse(filter_message("create", filter_of(options, 1), 3)).attributes[2, 5][0] == flags


@pytest.mark.parametrize(
    ("verb", "handle", "on_the_wire"),
    [
        ("create", 0x00000005, 0x00000005),
        ("change", 0x00000005, 0x80100005),
        ("delete", 0x00000005, 0x80100005),
        ("delete", 0x00301005, 0x00301005),
    ],
)
def test_an_entry_of_a_root_table_is_found_by_the_number_of_that_table(
    verb: str, handle: int, on_the_wire: int
) -> None:
    message = filter_message(verb, filter_of(U32(), handle), 3, root_table=0x80100000)  # type: ignore[arg-type]
    assert struct.unpack_from("=I", parse(message).fixed, 8) == (on_the_wire,)


def test_pyroute2_reads_the_same_selector() -> None:
    options = U32((U32Key(0x01020304, 0xFFFF0000, -12),), link=0x300000, hash_mask=0xFFE0, hash_offset=-16)
    message = tcmsg(filter_message("create", filter_of(options, 0x00307005), 3))
    message.decode()
    assert message["info"] == 1 << 16 | 0x0300
    read = message.get_attr("TCA_OPTIONS")
    assert read.get_attr("TCA_U32_HASH") == 0x00307000
    selector = read.get_attr("TCA_U32_SEL")
    assert (selector["flags"], selector["nkeys"], selector["hoff"], selector["hmask"]) == (0, 1, -16, 0xFFE0)
    # The keys it reads from four bytes too early (0.9.7); tc's own bytes are in test_codec_iproute2.


def test_the_bucket_is_said_twice() -> None:
    parsed = parse(filter_message("create", filter_of(U32((U32Key(1, 2, 3),)), 0x00307005), 3))
    assert parsed.attributes[2, 2] == struct.pack("=I", 0x00307000)
    assert struct.unpack_from("=I", parsed.fixed, 8) == (0x00307005,)
