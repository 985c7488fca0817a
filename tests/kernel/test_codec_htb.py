"""htb's options: rates of any size, bursts as times, no rate tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from linkem_py.kernel.codec import (
    class_message,
    decode_fifo,
    decode_htb,
    decode_htb_class,
    decode_prio,
    encode_fifo,
    encode_htb,
    encode_htb_class,
    encode_prio,
)
from linkem_py.kernel.codec.htb import burst_ticks
from linkem_py.plan.objects import Class, Fifo, Htb, HtbClass, Prio
from tests.kernel.strategies import htb_classes


@given(htb_classes)
def test_what_is_encoded_is_decoded_to_the_tick(options: HtbClass) -> None:
    encoded = encode_htb_class(options)
    read = decode_htb_class(encoded)
    assert read._replace(burst=0, cburst=0) == options._replace(burst=0, cburst=0)
    assert encode_htb_class(read) == encoded
    assert 0 <= read.burst - options.burst <= options.rate * 64 // 10**9
    assert 0 <= read.cburst - options.cburst <= options.ceil * 64 // 10**9


@given(htb_classes)
def test_up_to_15_mbyte_a_second_bursts_are_exact(options: HtbClass) -> None:
    slow = options._replace(rate=options.rate % 15_625_000 + 1, burst=options.burst % 100)
    assert decode_htb_class(encode_htb_class(slow)).burst == slow.burst


def test_pyroute2_reads_the_same_and_finds_no_rate_tables() -> None:
    options = HtbClass(rate=1_000_000, ceil=2_000_000, burst=15_000, cburst=20_000, quantum=1514, prio=3)
    message = tcmsg(class_message("create", Class("a", "eth0", 0x10002, 0x10000, "htb", options), 3))
    message.decode()
    assert message["handle"] == 0x10002
    read = message.get_attr("TCA_OPTIONS")
    assert [name for name, _ in read["attrs"]] == ["TCA_HTB_PARMS"]
    parms = read.get_attr("TCA_HTB_PARMS")
    assert (parms["rate"], parms["ceil"], parms["quantum"], parms["prio"]) == (1_000_000, 2_000_000, 1514, 3)
    assert parms["buffer"] * 64 == 15_000_000
    assert parms["cbuffer"] * 64 == 10_000_000


@pytest.mark.parametrize(
    ("burst", "rate", "ticks"),
    [(0, 1, 0), (1, 10**12, 1), (64, 10**9, 1), (65, 10**9, 2), (10**6, 1, 2**32 - 1)],
)
def test_a_burst_is_never_shorter_than_asked_but_for_275_s(burst: int, rate: int, ticks: int) -> None:
    assert burst_ticks(burst, rate) == ticks


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1))
def test_the_other_qdiscs(number: int, other: int) -> None:
    assert decode_htb(encode_htb(Htb(number, other))) == Htb(number, other)
    assert decode_fifo(encode_fifo(Fifo(number))) == Fifo(number)
    assert decode_prio(encode_prio(Prio(number % 16 + 1))) == Prio(number % 16 + 1)
