"""What the kernel makes of our filters: read back by our decoders, and by tc."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from linkem_py.kernel.codec import (
    decode_u32,
    filter_message,
    filters_delete_message,
)
from linkem_py.plan.objects import (
    ETH_P_ALL,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    U32,
    Drop,
    Filter,
    Htb,
    Mark,
    Mirror,
    Redirect,
    U32Key,
    U32Table,
)
from tests.kernel.scratch import ETH0, FIRST_IFB, Scratch

ALL = 0xFFFFFFFF
ROOT_TABLE = 0x80000000


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as made:
        made.lan(1)
        yield made


def entry(handle: int, options: U32 | U32Table, parent: int = 0x10000) -> Filter:
    return Filter("p1", "eth0", parent, 1, ETH_P_ALL, handle, options)


@pytest.mark.kernel("htb", "u32")
def test_tables_links_and_entries(scratch: Scratch) -> None:
    first_bytes = U32Key(value=0x0200, mask=0xFFFF, offset=-16)
    made: dict[int, U32 | U32Table] = {
        0x300000: U32Table(256),
        0x305007: U32((U32Key(value=5, mask=ALL, offset=-12), first_bytes), classid=0x10002),
        0x000001: U32((first_bytes,), link=0x300000, hash_mask=0xFFE0, hash_offset=-12),
    }
    scratch.qdisc("p1", "htb", Htb())
    for handle, options in made.items():
        scratch.filter("p1", 0x10000, handle, options)
    shown = {handle: decode_u32(raw) for handle, raw in scratch.filters("p1", 0x10000).items()}
    assert shown == {
        ROOT_TABLE: U32Table(1),
        0x300000: made[0x300000],
        0x305007: made[0x305007],
        ROOT_TABLE | 1: made[1],
    }
    text = " ".join(scratch.run("p1", "tc filter show dev eth0 parent 1:").split())
    assert "fh 3: ht divisor 256" in text
    assert "fh 3:5:7 order 7 key ht 3 bkt 5" in text
    assert "flowid 1:2 not_in_hw match 00000005/ffffffff at -12 match 00000200/0000ffff at -16" in text
    assert "fh 800::1 order 1 key ht 800 bkt 0 link 3: not_in_hw match 00000200/0000ffff at -16" in text
    assert "hash mask 0000ffe0 at -12" in text


@pytest.mark.kernel("htb", "u32")
def test_an_entry_changes_its_class_in_place(scratch: Scratch) -> None:
    scratch.qdisc("p1", "htb", Htb())
    key = U32Key(5, ALL, -12)
    scratch.filter("p1", 0x10000, 1, U32((key,), classid=0x10002))
    changed = U32((key,), classid=0x10003)
    scratch.send("p1", filter_message("change", entry(1, changed), ETH0))
    assert decode_u32(scratch.filters("p1", 0x10000)[ROOT_TABLE | 1]) == changed
    assert scratch.refused("p1", filter_message("change", entry(2, changed), ETH0)) == errno.ENOENT
    assert scratch.refused("p1", filter_message("create", entry(1, changed), ETH0)) == errno.ENOSPC


@pytest.mark.kernel("htb", "u32")
def test_filters_are_deleted_one_by_one(scratch: Scratch) -> None:
    scratch.qdisc("p1", "htb", Htb())
    link = U32((U32Key(0, 0, 0),), link=0x300000, hash_mask=0xFF, hash_offset=-12)
    node = U32((U32Key(5, ALL, -12),), classid=0x10002)
    for handle, options in ((0x300000, U32Table(256)), (0x305001, node), (0x305002, node), (1, link)):
        scratch.filter("p1", 0x10000, handle, options)
    in_use = filter_message("delete", entry(0x300000, U32Table(256)), ETH0)
    assert scratch.refused("p1", in_use) == errno.EBUSY
    scratch.send("p1", filter_message("delete", entry(0x305001, node), ETH0))
    assert scratch.filters("p1", 0x10000).keys() == {ROOT_TABLE, ROOT_TABLE | 1, 0x300000, 0x305002}
    scratch.send("p1", filter_message("delete", entry(1, link), ETH0))
    scratch.send("p1", filter_message("delete", entry(0x305002, node), ETH0))
    # With its last entry the whole priority goes, tables and all.
    assert scratch.filters("p1", 0x10000) == {}
    assert scratch.refused("p1", filter_message("delete", entry(0x300000, U32Table(256)), ETH0)) == errno.ENOENT


@pytest.mark.kernel("htb", "u32")
def test_a_whole_priority_can_be_deleted(scratch: Scratch) -> None:
    scratch.qdisc("p1", "htb", Htb())
    scratch.filter("p1", 0x10000, 1, U32((), classid=0x10002))
    scratch.send("p1", filters_delete_message(ETH0, 0x10000, 1, ETH_P_ALL))
    assert scratch.filters("p1", 0x10000) == {}


@pytest.mark.kernel("clsact", "u32", "ifb", "gact", "mirred", "skbedit")
@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Drop(), "gact action drop"),
        (Mark(7), "skbedit mark 7 continue"),
        (Redirect("ifb400"), "mirred (Egress Redirect to device ifb400) stolen"),
        (Mirror("ifb400"), "mirred (Egress Mirror to device ifb400) continue"),
    ],
)
def test_actions(scratch: Scratch, action: Drop | Mark | Redirect, words: str) -> None:
    scratch.ifb("p1")
    scratch.clsact("p1")
    options = U32((U32Key(5, ALL, -12),), action=action)
    scratch.filter("p1", TC_H_EGRESS_FILTERS, 5, options, redirect=FIRST_IFB)
    shown = scratch.filters("p1", TC_H_EGRESS_FILTERS)[ROOT_TABLE | 5]
    assert decode_u32(shown, {FIRST_IFB: "ifb400"}) == options
    assert words in " ".join(scratch.run("p1", "tc filter show dev eth0 egress").split())
    scratch.send("p1", filter_message("delete", entry(5, options, TC_H_EGRESS_FILTERS), ETH0))
    assert scratch.filters("p1", TC_H_EGRESS_FILTERS) == {}


@pytest.mark.kernel("clsact", "u32", "mirred", "ifb")
def test_the_two_hooks_of_a_clsact_share_their_tables(scratch: Scratch) -> None:
    """So the root table of the hook that comes second is 801:, and a dump of either shows both."""
    scratch.ifb("p1")
    scratch.clsact("p1")
    options = U32((U32Key(5, ALL, -12),), action=Redirect("ifb400"))
    for hook in (TC_H_EGRESS_FILTERS, TC_H_INGRESS_FILTERS):
        scratch.filter("p1", hook, 5, options, redirect=FIRST_IFB)
    both = {0x80000000, 0x80000005, 0x80100000, 0x80100005}
    assert scratch.filters("p1", TC_H_EGRESS_FILTERS).keys() == both
    assert scratch.filters("p1", TC_H_INGRESS_FILTERS).keys() == both
    delete = filter_message("delete", entry(5, options, TC_H_INGRESS_FILTERS), ETH0, root_table=0x80100000)
    scratch.send("p1", delete)
    assert scratch.filters("p1", TC_H_EGRESS_FILTERS).keys() == both - {0x80100005}
