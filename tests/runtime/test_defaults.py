from __future__ import annotations

import pytest

from linkem_py import Impairment, Topology
from linkem_py.errors import RequestError
from linkem_py.guest import virtual_time
from linkem_py.model import Steps
from linkem_py.plan import desired
from linkem_py.runtime import defaults
from linkem_py.runtime.changes import Clearing
from tests.dry import DryNetwork


@pytest.fixture
def virtual(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in virtual_time.VirtualTime(default_rate_kbit=5e5).environment({}).items():
        monkeypatch.setenv(name, value)


def pair(impairment: Impairment | None = None) -> Topology:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", impairment, back=Impairment(rate_kbit=64))
    return topology


def test_the_environment_has_the_names_that_the_launcher_of_a_guest_gives_them() -> None:
    assert defaults.VIRTUAL_TIME_VARIABLE == virtual_time.VARIABLE
    assert defaults.RATE_VARIABLE == virtual_time.RATE_VARIABLE
    environment = virtual_time.VirtualTime().environment({})
    assert (defaults.in_virtual_time(environment), defaults.rate_kbit(environment)) == (True, 1e6)
    assert defaults.rate_kbit(virtual_time.VirtualTime(default_rate_kbit=None).environment({})) is None


def test_a_rate_that_is_no_number_is_refused() -> None:
    with pytest.raises(RequestError, match="LINKEM_DEFAULT_RATE_KBIT must be a number of kbit/s"):
        defaults.rate_kbit({defaults.RATE_VARIABLE: "fast"})


def test_runs_differ_in_real_time_and_are_alike_in_virtual_time() -> None:
    assert defaults.seed({}) != defaults.seed({})
    assert defaults.seed({defaults.VIRTUAL_TIME_VARIABLE: "1"}) == 0


def test_in_virtual_time_an_error_says_that_nothing_outside_is_reached() -> None:
    assert defaults.why_unreachable({}) == ""
    assert "nothing outside can be reached" in defaults.why_unreachable({defaults.VIRTUAL_TIME_VARIABLE: "1"})


async def test_in_real_time_a_link_stays_without_a_rate() -> None:
    async with DryNetwork(pair(Impairment(delay_ms=5))) as net:
        assert net.impairment("a", "b") == Impairment(delay_ms=5)
        assert not any(note.startswith("rate") for note in net.notes)


@pytest.mark.usefixtures("virtual")
async def test_in_virtual_time_every_link_has_a_rate_and_a_note_says_so() -> None:
    topology = pair(Impairment(delay_ms=5))
    async with DryNetwork(topology) as net:
        assert net.seed == 0
        assert net.impairment("a", "b") == Impairment(delay_ms=5, rate_kbit=5e5)
        assert net.impairment("b", "a") == Impairment(rate_kbit=64)
        assert "rate: time is virtual, and links without a rate have 500 Mbit/s (1 of them)" in net.notes
    assert topology.link("a", "b").impairment == Impairment(delay_ms=5)


@pytest.mark.usefixtures("virtual")
async def test_no_change_takes_the_rate_away() -> None:
    async with DryNetwork(pair(Impairment(delay_ms=5))) as net:
        await net.update("b", "a", rate_kbit=None)
        assert net.impairment("b", "a") == Impairment(rate_kbit=5e5)
        await net.update_links({("a", "b"): Impairment(loss_pct=1)})
        await net.update_links({("b", "a"): Clearing({"delay_ms": 3})})
        assert net.impairment("a", "b") == Impairment(loss_pct=1, rate_kbit=5e5)
        assert net.impairment("b", "a") == Impairment(delay_ms=3, rate_kbit=5e5)
        await net.clear("a", "b")
        assert net.impairment("a", "b") == Impairment(rate_kbit=5e5)
        await net.set_schedule("a", "b", Steps([(1, {"rate_kbit": 300}), (2, {"rate_kbit": None})]))
        assert net.impairment("a", "b").rate_kbit == 5e5
        assert net.dry.state == dict(desired(net.topology, net.capabilities, seed=net.seed))


@pytest.mark.usefixtures("virtual")
async def test_a_link_that_comes_later_has_the_rate_too() -> None:
    async with DryNetwork(pair()) as net:
        await net.add_peer("c")
        await net.connect("b", "c", Impairment(delay_ms=1), segment="lte")
        assert net.impairment("c", "b", segment="lte") == Impairment(delay_ms=1, rate_kbit=5e5)
        assert net.dry.state == dict(desired(net.topology, net.capabilities, seed=net.seed))
