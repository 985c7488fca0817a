"""The bonding scheduler over real links: it finds what they carry, leaves what gets worse, and steps down."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.bonding_scheduler.bitrate import Bitrate
from examples.bonding_scheduler.session import Session, streaming
from examples.bonding_scheduler.weights import BACK_TO, BEYOND_DELIVERED
from linkem_py import Impairment, Network, Topology
from tests.systems.programs import until
from topologies import bonded_stress

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples" / "bonding_scheduler"
SEGMENTS = ("one", "two")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=90, check=False, cwd=ROOT)


def test_it_says_what_it_does() -> None:
    said = run("--help")
    assert "linkem guest -- python examples/bonding_scheduler --topology bonded_stress --seconds 20" in said.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--topology", "regions"), "--topology: must have two peers and links between them: regions"),
        (("--degrade", "lte"), "--degrade: must be one of link1, link2, link3, link4: lte"),
        (("--least", "900", "--most", "300"), "kbit must be between 900 and 300: 900"),
    ],
)
def test_it_says_what_is_wrong_before_it_starts(words: tuple[str, ...], message: str) -> None:
    said = run(*words)
    assert said.returncode
    assert message in said.stderr


@pytest.mark.kernel("netem", "htb")
def test_it_shows_every_link_every_second() -> None:
    shown = run("--seconds", "2", "--topology", "bonding_cellular", "--degrade", "wifi")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["time", "bitrate", "link", "weight", "sent", "loss", "rtt", "strain"]
    for name in ("lte", "nr", "wifi"):
        assert sum(f" {name} " in line for line in lines) >= 2
    assert "datagrams arrived" in lines[-1]
    document = json.loads(run("--seconds", "1.5", "--json").stdout)
    assert document["sent"] >= document["arrived"] > 0
    assert document["samples"][-1]["links"].keys() == bonded_stress.LINKS.keys()


# ------------------------------------------------------------------------------------- streams


def settled(session: Session) -> bool:
    """Whether the limit of the links was met, and every link heard from."""
    balance = session.sender.balance
    return balance.bitrate.stepped_down and all(estimate.srtt_s for estimate in balance.estimates.values())


@pytest.mark.kernel("netem", "htb")
async def test_the_split_comes_near_the_ratio_of_the_rates_and_stays_there() -> None:
    async with (
        Network(bonded_stress.topology(), seed=8) as net,
        streaming(net, Bitrate(kbit=1500, least_kbit=300, most_kbit=5000), budget_s=1) as session,
    ):

        async def warm() -> bool:
            return settled(session)

        await until(warm)
        await session.watch(4, 1)
        samples = (await session.watch(8, 0.25)).samples
    total = sum(rate for rate, _, _ in bonded_stress.LINKS.values())
    # A belief lies between BACK_TO and BEYOND_DELIVERED times what the link carries; a spread within bounds has at
    # most half of their distance as its standard deviation (Popoviciu).
    apart = BEYOND_DELIVERED / BACK_TO
    for name, (rate_kbit, _, _) in bonded_stress.LINKS.items():
        share = rate_kbit / total
        weights = [sample.links[name].weight for sample in samples]
        assert share / apart < statistics.mean(weights) < share * apart, name
        assert statistics.pstdev(weights) < share * (apart - 1 / apart) / 2, name


@asynccontextmanager
async def two_links() -> AsyncIterator[tuple[Network, Session]]:
    """A stream that takes half of what two equal links carry, so that only what is changed strains them."""
    topology = Topology("two_links")
    topology.add_peer("sender")
    topology.add_peer("receiver")
    for segment in SEGMENTS:
        topology.connect("sender", "receiver", Impairment(rate_kbit=1200, delay_ms=20), segment=segment)
    async with (
        Network(topology, seed=9) as net,
        streaming(net, Bitrate(kbit=1200, least_kbit=100, most_kbit=1200), budget_s=1) as session,
    ):
        await session.watch(3, 1)
        yield net, session


@pytest.mark.kernel("netem", "htb")
@pytest.mark.parametrize("change", [{"loss_pct": 30.0}, {"delay_ms": 150.0}])
async def test_weights_leave_a_link_that_gets_worse(change: dict[str, float]) -> None:
    async with two_links() as (net, session):
        before = session.sender.balance.weights["two"]
        await net.update("sender", "receiver", segment="two", **change)

        async def left() -> bool:
            return session.sender.balance.weights["two"] < before / 2

        await until(left)
        sample = session.sample().links
    assert sample["one"].weight > 1 - before / 2 - 1e-9


@pytest.mark.kernel("netem", "htb")
@pytest.mark.parametrize("change", [{"loss_pct": 25.0}, {"delay_ms": 150.0}])
async def test_the_bitrate_steps_down_where_all_links_get_worse_and_recovers(change: dict[str, float]) -> None:
    async with two_links() as (net, session):
        keys = [("sender", "receiver", segment) for segment in SEGMENTS]
        before = session.sender.balance.bitrate.kbit
        await net.update_links(dict.fromkeys(keys, change))

        async def down() -> bool:
            return session.sender.balance.bitrate.kbit < 0.75 * before

        await until(down)
        await net.update_links({key: {"loss_pct": None, "delay_ms": 20.0} for key in keys})

        async def calm() -> bool:
            return not any(strain.is_much for strain in session.sender.balance.strains.values())

        await until(calm)
        low = session.sender.balance.bitrate.kbit

        async def up() -> bool:
            return session.sender.balance.bitrate.kbit > 1.2 * low

        await until(up)
