"""Many updates at once, in the real kernel."""

from __future__ import annotations

from typing import Any

import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.errors import OperationError, RequestError
from linkem_py.kernel.codec.tc import class_message, filter_message
from linkem_py.plan import desired
from linkem_py.plan import objects as o
from linkem_py.runtime import Applied, Clearing
from tests.runtime.check import assert_kernel_matches

pytestmark = pytest.mark.netem


def mesh(*names: str, **settings: Any) -> Topology:
    made = Topology("updates", **settings)
    for name in names:
        made.add_peer(name)
    for first in names:
        for second in names:
            if first < second:
                made.connect(first, second, Impairment(delay_ms=1, rate_kbit=10_000))
    return made


@pytest.mark.parametrize("settings", [{}, {"classifier": "prio"}, {"duplicates": "isolate"}], ids=str)
async def test_the_kernel_has_what_joint_batches_lead_to(settings: dict[str, Any]) -> None:
    async with Network(mesh("a", "b", "c", **settings)) as net:
        for number in range(1, 4):
            batches: list[Any] = [
                {("a", "b"): {"delay_ms": number}, ("b", "c"): {"rate_kbit": number * 1000}},
                {("a", "b"): {"loss_pct": number}, ("a", "c"): Clearing({"queue_ms": 5, "rate_kbit": 700})},
                {("a", "z"): {"loss_pct": number}},
                {("c", "a"): {"queue_packets": number}, ("c", "b"): Impairment(loss_pct=number)},
                {("b", "a"): {"duplicate_pct": number % 2 or None}},
            ]
            outcomes = await net.update_batches(batches)
            assert [type(outcome) for outcome in outcomes] == [Applied, Applied, RequestError, Applied, Applied]
            assert_kernel_matches(net)
        assert net.impairment("a", "b") == Impairment(delay_ms=3, loss_pct=3, rate_kbit=10_000)
        assert net.revision == 3


async def test_what_the_kernel_refuses_fails_alone() -> None:
    async with Network(mesh("a", "b", "c")) as net:
        # Somebody has put the class of a->c elsewhere: it can no longer be changed.
        planned = desired(net.topology, net.capabilities, seed=net.seed).values()
        taken = [made for made in planned if isinstance(made, o.Class | o.Filter) and made.ns == "a"]
        index = net.kernel.index("a", "eth0")
        netlink = net.kernel.namespaces["a"].netlink
        entry, leaf = taken[-1], taken[-2]
        assert isinstance(entry, o.Filter)
        assert isinstance(leaf, o.Class)
        answers = netlink.transact([filter_message("delete", entry, index), class_message("delete", leaf, index)])
        assert not any(answer.errno for answer in answers), answers
        outcomes = await net.update_batches(
            [
                {("a", "b"): {"delay_ms": 5}},
                {("b", "a"): {"delay_ms": 6}, ("a", "c"): {"delay_ms": 7}},
                {("c", "a"): {"delay_ms": 8}},
            ]
        )
        assert [type(outcome) for outcome in outcomes] == [Applied, OperationError, Applied]
        culprit = outcomes[1]
        assert isinstance(culprit, OperationError)
        assert (culprit.link, culprit.rolled_back) == (("a", "c", "lan"), True)
        rows = {name: {row.handle: row for row in net.kernel.qdiscs(name, "eth0")} for name in "abc"}
        assert rows["b"].keys() >= {made.handle for made in planned if isinstance(made, o.Qdisc) and made.ns == "b"}
        assert [net.impairment(*pair).delay_ms for pair in ("ab", "ba", "ac", "ca")] == [5, 1, 1, 8]


async def test_statistics_and_updates_share_the_kernel_thread() -> None:
    async with Network(mesh("a", "b")) as net:
        await net.update_batches([{("a", "b"): {"delay_ms": number}} for number in range(2, 40)])
        stats = await net.stats()
        assert stats["a", "b"].impairment.delay_ms == 39
        assert_kernel_matches(net)
