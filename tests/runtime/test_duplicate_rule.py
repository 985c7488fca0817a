"""A kernel may refuse a netem that duplicates beside another: known beforehand, refused or worked around."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator

import pytest

from linkem_py import DuplicateRestrictionError, Impairment, Network, Topology
from linkem_py.kernel.probe import probe
from tests.runtime.traffic import Flow, binomial, flowing, pair, stream, within

pytestmark = pytest.mark.kernel("netem", "htb", "ifb", "clsact", "mirred")

DELAYS_MS = {"b": 50.0, "c": 250.0, "d": 450.0}
LATE_MS = 150.0  # less than what lies between them, more than a busy machine takes


def star(
    duplicates: str, *, duplicate_pct: float, links: tuple[str, ...] = ("b", "c", "d"), placement: str = "sender"
) -> Topology:
    """a with a link to each of these, every one with a delay of its own."""
    topology = Topology("star", duplicates=duplicates, placement=placement)  # type: ignore[arg-type]
    for name in ("a", "b", "c", "d"):
        topology.add_peer(name)
    for name in links:
        topology.add_link("a", name, Impairment(delay_ms=DELAYS_MS[name], duplicate_pct=duplicate_pct))
    return topology


@contextlib.contextmanager
def flows(net: Network) -> Iterator[dict[str, Flow]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Flow(net, "a", name)) for name in ("b", "c", "d")}


@contextlib.asynccontextmanager
async def starred(duplicates: str, **options: float | str) -> AsyncIterator[tuple[Network, dict[str, Flow]]]:
    async with Network(star(duplicates, **options), seed=1) as net:  # type: ignore[arg-type]
        with flows(net) as all_flows:
            yield net, all_flows


def assert_copies(all_flows: dict[str, Flow], doubled: set[str], count: int = 200) -> None:
    """On every link each packet arrives twice or once, each copy with the link's delay."""
    for flow in all_flows.values():
        flow.next = 0
        flow.send(count)
    for name, flow in reversed(all_flows.items()):
        arrivals = flow.receive(quiet_s=0.1 if name == "d" else 0.0)
        assert set(arrivals.copies(count)) == ({2} if name in doubled else {1}), name
        assert arrivals.delays_ms.min() >= DELAYS_MS[name]
        assert arrivals.median_ms <= DELAYS_MS[name] + LATE_MS


async def test_strict_refuses_at_the_start_and_sends_nothing() -> None:
    net = Network(star("strict", duplicate_pct=10))
    with pytest.raises(DuplicateRestrictionError, match="peer a") as caught:
        await net.start()
    assert caught.value.peer == "a"
    assert caught.value.links == (("a", "b", "lan"), ("a", "c", "lan"), ("a", "d", "lan"))
    assert all(f"a->{name}" in str(caught.value) for name in DELAYS_MS)
    assert net._driver is not None
    assert net._driver.messages_sent == 0


async def test_strict_refuses_a_change_and_sends_nothing() -> None:
    async with Network(star("strict", duplicate_pct=0)) as net:
        sent = net.kernel.messages_sent
        with pytest.raises(DuplicateRestrictionError, match=r"peer a: link a->c") as caught:
            await net.update("a", "c", duplicate_pct=5, loss_pct=1)
        assert (caught.value.peer, caught.value.links) == ("a", (("a", "c", "lan"),))
        assert net.kernel.messages_sent == sent
        assert net.impairment("a", "c") == Impairment(delay_ms=250)
        await net.update("a", "c", loss_pct=1)


async def test_strict_refuses_a_second_link_beside_one_that_duplicates() -> None:
    async with Network(star("strict", duplicate_pct=5, links=("b",))) as net:
        sent = net.kernel.messages_sent
        with pytest.raises(DuplicateRestrictionError, match="peer a"):
            await net.add_link("a", "c")
        assert net.kernel.messages_sent == sent
        assert ("a", "c", "lan") not in net.topology.links
        # Once the first one no longer duplicates, the second may come; in one change they may swap.
        await net.update("a", "b", duplicate_pct=None)
        await net.add_link("a", "c")


@pytest.mark.parametrize("placement", ["sender", "hub"])
@pytest.mark.parametrize("duplicates", ["auto", "isolate"])
async def test_three_links_of_a_peer_duplicate_at_once_each_with_its_delay(duplicates: str, placement: str) -> None:
    async with starred(duplicates, duplicate_pct=100, placement=placement) as (_, all_flows):
        assert_copies(all_flows, {"b", "c", "d"})


@pytest.mark.parametrize("placement", ["sender", "hub"])
@pytest.mark.parametrize("duplicates", ["auto", "isolate"])
async def test_duplication_goes_on_and_off_and_on_again(duplicates: str, placement: str) -> None:
    async with starred(duplicates, duplicate_pct=0, placement=placement) as (net, all_flows):
        doubled: set[str] = set()
        assert_copies(all_flows, doubled, 50)
        for name, on in (("b", True), ("c", True), ("b", False), ("d", True), ("b", True)):
            await net.update("a", name, duplicate_pct=100 if on else None)
            doubled ^= {name}
            assert_copies(all_flows, doubled, 50)
        await net.update_links({("a", name): {"duplicate_pct": 0 if name in doubled else 100} for name in DELAYS_MS})
        assert_copies(all_flows, set(DELAYS_MS) - doubled, 50)


@pytest.mark.parametrize("placement", ["sender", "hub"])
async def test_lost_copies_are_lost_on_their_own(placement: str) -> None:
    count = 4000
    settings = {"duplicates": "isolate", "placement": placement}
    async with flowing(Impairment(duplicate_pct=100, loss_pct=30), settings=settings) as (_, flow):
        copies = flow.exchange(count).copies(count)
    for number, share in ((0, 0.09), (1, 0.42), (2, 0.49)):
        assert within((copies == number).sum(), binomial(count, share))


@pytest.mark.parametrize("placement", ["sender", "hub"])
async def test_switching_duplication_costs_no_packet(placement: str) -> None:
    async with flowing(Impairment(delay_ms=5), frame=200, settings={"placement": placement}) as (net, flow):

        async def change(turn: int) -> None:
            await net.update("a", "b", duplicate_pct=(100, None, 50, None)[turn % 4])

        count = await stream(flow, 60, change)
        copies = flow.receive().copies(count)
    assert set(copies) == {1, 2}
    assert 0.1 * count < (copies == 2).sum() < 0.9 * count


async def test_the_probe_is_right_about_the_rule() -> None:
    if shutil.which("tc") is None:
        pytest.skip("there is no tc on this machine")
    async with pair() as net:

        async def tc(words: str) -> bool:
            return not (await net.peer("c").run(["tc", "qdisc", *words.split()])).returncode

        assert await tc("add dev lo root handle 1: prio")
        assert await tc("add dev lo parent 1:1 netem delay 1ms")
        taken = await tc("add dev lo parent 1:2 netem duplicate 1%")
        assert await tc("add dev lo parent 1:3 netem delay 1ms")
        changed = await tc("change dev lo parent 1:3 netem delay 1ms duplicate 1%")
    assert probe().mixed_duplicate is taken is changed
