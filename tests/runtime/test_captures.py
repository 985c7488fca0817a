"""Captures without a kernel: the file's format, and what is refused in advance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py import CapabilityError, RequestError, Topology
from linkem_py.model import Capabilities
from linkem_py.runtime.captures import pcapng
from tests.dry import DryNetwork
from tests.runtime.pcapng_blocks import Seen, read

TIME_NS = 1_795_252_171_123_456_789


@given(st.binary(max_size=70), st.integers(0, 2**63), st.sampled_from([pcapng.INBOUND, pcapng.OUTBOUND]), st.text())
def test_what_is_written_is_read(data: bytes, time_ns: int, direction: int, comment: str) -> None:
    words = comment.encode(errors="replace").decode()
    file = read(
        pcapng.section(application="linkem", system="Linux", comment=words)
        + pcapng.interface(name="eth0", description="", comment="c", snaplen=96, expression="udp")
        + pcapng.packet(0, time_ns, 1500, data, direction)
        + pcapng.statistics(0, start_ns=1, end_ns=TIME_NS, received=7, dropped=3, comment="")
    )
    assert file.section.get(1, b"").decode() == words
    assert file.names() == ["eth0"]
    assert (file.interfaces[0][9], file.interfaces[0][11]) == (b"\x09", b"\0udp")
    assert file.packets == [Seen(0, time_ns, 1500, data, direction)]
    assert [int.from_bytes(file.statistics[0][code], "little") for code in (4, 5)] == [7, 3]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"segment": "lte"}, "capture of a: segment is not one that the peer is on: 'lte'"),
        ({"snaplen": 13}, "capture of a: snaplen must be between 14 and 65535 bytes: 13"),
        ({"snaplen": True}, "snaplen must be between"),
        ({"count": 0}, "capture of a: count must be a whole number of at least 1: 0"),
    ],
)
async def test_what_is_refused_before_anything_is_touched(tmp_path: Path, options: dict[str, Any], rule: str) -> None:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b")
    async with DryNetwork(topology) as net:
        with pytest.raises(RequestError, match=rule):
            net.peer("a").capture(tmp_path / "f", **options)
        await net.peer("a").capture(tmp_path / "f").stop()
    assert os.listdir(tmp_path) == []


async def test_a_kernel_that_cannot_copy_packets_is_named(tmp_path: Path) -> None:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b")
    async with DryNetwork(topology, capabilities=Capabilities(release="6.12", ifb=False)) as net:
        with pytest.raises(CapabilityError, match=r"the kernel 6\.12 lacks ifb, which a capture before queues needs"):
            await net.peer("a").capture(tmp_path / "f").start()
    assert os.listdir(tmp_path) == []
