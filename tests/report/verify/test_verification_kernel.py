import json

import pytest

from linkem_py import GilbertElliott, Impairment, RequestError, Slot, Topology
from linkem_py.model import Steps
from linkem_py.report.verify import Outcome, parse, verify

pytestmark = [pytest.mark.kernel("netem", "htb"), pytest.mark.filterwarnings("ignore:mtu")]

LOOSE = parse(["loss=30%", "bursts=30%", "delay=20%", "jitter=40%", "duplicates=30%", "goodput=20%", "schedule=30%"])


def topology_of(there: Impairment, back: Impairment | None = None, **settings: str) -> Topology:
    topology = Topology("verified", **settings)  # type: ignore[arg-type]
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", there, back=back or Impairment())
    return topology


async def test_what_a_topology_asks_is_not_out_of_tolerance() -> None:
    told: list[str] = []
    topology = topology_of(
        Impairment(delay_ms=30, jitter_ms=5, distribution="normal", loss=GilbertElliott(4, 30, 70)),
        Impairment(delay_ms=5, rate_kbit=5000),
    )
    found = await verify(
        topology, tolerances=LOOSE, duration_s=15, seed=3, progress=lambda stage, _: told.append(stage)
    )
    there = found.link("a", "b")
    names = [check.quantity for check in there.checks]
    assert names == ["loss", "delay", "jitter", "distribution", "bursts", "burst shape"]
    assert not found.count(Outcome.OUT), [check for link in found.links for check in link.checks]
    assert there.check("loss").measured == pytest.approx(8.24, rel=0.3)
    assert there.check("bursts").asked == pytest.approx(1 / (1 - 0.7 * 0.7))
    assert there.check("delay").outcome is Outcome.WITHIN
    back = found.link("b", "a")
    assert back.check("goodput").measured == pytest.approx(5000, rel=0.1)
    assert {"calibrating", "probing", "filling"} <= set(told)
    assert json.loads(json.dumps(found.as_json()))["links"][0]["checks"][0]["outcome"] == "within"


async def test_a_schedule_is_verified_by_the_second_over_the_link_as_it_is() -> None:
    topology = topology_of(Impairment(delay_ms=10, rate_kbit=4000))
    steps = Steps([(0, {"rate_kbit": 2000}), (2, {"rate_kbit": 5000}), (4, {"rate_kbit": 1000})])
    topology.set_schedule("a", "b", steps)
    found = await verify(topology, tolerances=LOOSE, links=[("a", "b", "lan")], duration_s=26, seed=3)
    assert [link.key for link in found.links] == [("a", "b", "lan")]
    link = found.link("a", "b")
    assert link.check("schedule").samples >= 10
    assert link.check("schedule").outcome is not Outcome.OUT, link.check("schedule")
    assert link.check("goodput").asked == 4000
    assert link.check("worst second").outcome is Outcome.TOLD
    assert topology.schedules[("a", "b", "lan")] is steps


async def test_too_little_time_is_undecided_and_says_how_much_it_takes() -> None:
    topology = topology_of(Impairment(delay_ms=5, loss_pct=0.05))
    found = await verify(topology, tolerances=parse(["loss=5%"]), duration_s=2)
    loss = found.link("a", "b").check("loss")
    assert loss.outcome is Outcome.UNDECIDED
    assert loss.needed is not None
    assert loss.needed > 1_000_000 > loss.samples
    assert not found.ok
    assert any("would have taken" in note for note in found.notes)


@pytest.mark.parametrize("shaper", ["htb", "netem"])
async def test_slots_and_cells_are_part_of_what_is_asked(shaper: str) -> None:
    there = Impairment(delay_ms=10, slot=Slot(20, packets=50))
    back = Impairment(delay_ms=10, rate_kbit=3000, shaper=shaper, mtu=1000)  # type: ignore[arg-type]
    if shaper == "netem":
        back = back.evolve(cell_size=48, cell_overhead=5)
    found = await verify(topology_of(there, back), tolerances=LOOSE, duration_s=12)
    assert found.link("a", "b").check("delay").asked == pytest.approx(30, abs=10)
    assert found.link("a", "b").check("delay").outcome is not Outcome.OUT
    goodput = found.link("b", "a").check("goodput")
    assert goodput.asked == pytest.approx(3000 * (1014 / (22 * 53) if shaper == "netem" else 1))
    assert goodput.outcome is not Outcome.OUT


async def test_what_cannot_be_is_refused_before_anything_is_measured() -> None:
    topology = topology_of(Impairment())
    with pytest.raises(RequestError, match="duration_s must be above 0"):
        await verify(topology, duration_s=0)
    with pytest.raises(RequestError, match="confidence"):
        await verify(topology, confidence=1)
    with pytest.raises(RequestError, match="links must be links of the topology: 'link a->c'"):
        await verify(topology, links=[("a", "c", "lan")])
