import asyncio
import re

import pytest

from linkem_py import Impairment, Network, RequestError, Slot, Topology
from linkem_py.model import OrnsteinUhlenbeck, Steps
from linkem_py.report import Verdict, calibrate, measure

pytestmark = pytest.mark.kernel("netem", "htb")


def topology_of(there: Impairment, back: Impairment, **settings: str) -> Topology:
    topology = Topology("measured", **settings)  # type: ignore[arg-type]
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", there, back=back)
    return topology


async def test_a_network_is_measured_and_nothing_is_out_of_tolerance() -> None:
    told: list[tuple[str, float]] = []
    topology = topology_of(Impairment(delay_ms=20, jitter_ms=3, loss_pct=5, rate_kbit=10_000), Impairment(delay_ms=5))
    async with Network(topology, seed=1) as network:
        report = await measure(network, duration_s=4, progress=lambda stage, share: told.append((stage, share)))
    there, back = report.link("a", "b"), report.link("b", "a")
    assert there.figure("delay").measured == pytest.approx(20, abs=1 + report.machine.allowance_ms)
    assert there.figure("round trip").measured == pytest.approx(25, abs=1 + 2 * report.machine.allowance_ms)
    assert there.figure("loss").verdict in (Verdict.OK, Verdict.FEW)
    assert back.figure("loss").measured == pytest.approx(0, abs=0.1)
    assert there.figure("goodput").asked == 10_000
    assert 0 < (there.figure("goodput").measured or 0) < 10_500
    assert back.figure("goodput").verdict is Verdict.NONE
    assert (report.topology, report.seed) == ("measured", 1)
    assert there.stats["packets"] > 500
    assert [stage for stage, share in told if share == 1] == ["calibrating", "probing", "filling"]
    assert not [figure for link in report.links for figure in link.figures if figure.verdict is Verdict.OUT]


async def test_a_link_that_loses_everything_does_not_stop_the_measurement() -> None:
    async with Network(topology_of(Impairment(loss_pct=100, rate_kbit=1000), Impairment())) as network:
        report = await measure(network, duration_s=1)
    dead = report.link("a", "b")
    assert dead.figure("loss").measured == 100
    assert dead.delays is None
    assert {dead.figure(name).verdict for name in ("delay", "round trip", "goodput")} == {Verdict.NONE}


@pytest.mark.kernel("mixed_duplicate")
async def test_duplicates_and_loss_of_one_link() -> None:
    await check_duplicates()


@pytest.mark.kernel("ifb", "clsact")
async def test_isolated_duplicates_and_loss_of_one_link() -> None:
    await check_duplicates(duplicates="isolate")


async def check_duplicates(**settings: str) -> None:
    impairment = Impairment(delay_ms=2, loss_pct=20, duplicate_pct=20)
    async with Network(topology_of(impairment, Impairment(), **settings)) as network:
        report = await measure(network, duration_s=2)
    for name in ("loss", "duplicates"):
        assert report.link("a", "b").figure(name).verdict in (Verdict.OK, Verdict.FEW), report.link("a", "b")


async def test_a_change_behind_the_reports_back_is_found() -> None:
    async with Network(topology_of(Impairment(delay_ms=10), Impairment(delay_ms=10))) as network:
        await network.update("a", "b", delay_ms=30)
        report = await measure(network, duration_s=1)
        assert report.link("a", "b").figure("delay").asked == 30
        assert report.link("a", "b").figure("delay").measured == pytest.approx(30, abs=2)


@pytest.mark.parametrize("shaper", ["htb", "tbf", "netem"])
async def test_a_full_queue_waits_as_long_as_asked(shaper: str) -> None:
    there = Impairment(delay_ms=10, rate_kbit=3000, queue_ms=150, shaper=shaper)  # type: ignore[arg-type]
    async with Network(topology_of(there, Impairment(slot=Slot(10)))) as network:
        report = await measure(network, duration_s=4)
    figure = report.link("a", "b").figure("full queue")
    assert figure.asked == 150
    assert figure.verdict is not Verdict.OUT, figure
    assert figure.expected is not None
    if shaper == "netem":  # its limit counts packets, and has room for the smallest in flight
        assert figure.expected > 150
    else:
        assert figure.expected == pytest.approx(150, rel=0.05)
    # While the machine does something else nothing leaves: that may be longer, never shorter.
    assert figure.measured is not None
    assert figure.measured > 0.75 * figure.expected
    slotted = report.link("b", "a").figure("delay")
    assert slotted.expected == pytest.approx(5, abs=5)
    assert slotted.verdict is not Verdict.OUT, slotted


async def test_a_cancelled_measurement_ends_soon_and_leaves_nothing() -> None:
    async with Network(topology_of(Impairment(delay_ms=10), Impairment())) as network:
        task = asyncio.create_task(measure(network, duration_s=60))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(10):
                await task


async def test_a_duration_must_be_above_0() -> None:
    async with Network(topology_of(Impairment(), Impairment())) as network:
        with pytest.raises(RequestError, match="duration_s"):
            await measure(network, duration_s=0)


async def test_a_link_that_varies_is_held_against_what_was_in_force() -> None:
    topology = topology_of(Impairment(delay_ms=10), Impairment(delay_ms=5))
    there = Steps([(0, {"delay_ms": 10}), (1.5, {"delay_ms": 60}), (3, {"outage": True})])
    topology.set_schedule("a", "b", there)
    machine = await calibrate()
    async with Network(topology, seed=1) as network:
        report = await measure(network, duration_s=4.5, machine=machine)
    fast, slow, out, back = report.links
    assert [(link.key, link.impairment.delay_ms) for link in (fast, slow)] == [(("a", "b", "lan"), n) for n in (10, 60)]
    for link, delay_ms in ((fast, 10), (slow, 60)):
        assert link.figure("delay").asked == delay_ms
        assert link.figure("delay").measured == pytest.approx(delay_ms, abs=1 + report.machine.allowance_ms)
        assert link.figure("loss").measured == 0
    assert out.phase.startswith("outage, ")
    assert out.figure("loss").measured == 100
    assert fast.stats["packets"] > slow.sent
    assert slow.stats == {}
    assert (back.phase, back.figure("round trip").verdict) == ("", Verdict.NONE)
    assert not [figure for link in report.links for figure in link.figures if figure.verdict is Verdict.OUT]


async def test_a_rate_that_varies_alone_leaves_one_phase() -> None:
    rate = OrnsteinUhlenbeck(mean_kbit=4000, sd_kbit=600, tau_s=1, tick_ms=100)
    topology = topology_of(Impairment(delay_ms=10, rate_kbit=4000), Impairment())
    topology.set_schedule("a", "b", rate)
    async with Network(topology, seed=1) as network:
        report = await measure(network, duration_s=2)
    there = report.link("a", "b")
    assert re.fullmatch(r"[\d.]+ to [\d.]+ s", there.phase)
    assert there.figure("delay").asked == 10
    assert there.figure("goodput").note.startswith("the rate varied from ")
    assert not [figure for figure in there.figures if figure.verdict is Verdict.OUT]
