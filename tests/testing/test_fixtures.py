"""The fixtures and markers, in each kind of test."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def passes(project: pytest.Pytester, text: str, *arguments: str, count: int = 1) -> None:
    project.makepyfile(f"from pairs import *\n{text}")
    project.runpytest_inprocess("-p", "no:cacheprovider", *arguments).assert_outcomes(passed=count)


def test_an_ordinary_test_gets_a_blocking_network(dry: pytest.Pytester) -> None:
    passes(dry, """
@pytest.mark.linkem(pair(), seed=7)
def test(network):
    assert network.seed == 7
    network.update("a", "b", delay_ms=50)
    assert network.impairment("a", "b").delay_ms == 50
""")  # fmt: skip


@pytest.mark.parametrize("scope", ["function", "class", "module", "session"])
def test_a_test_of_pytest_asyncio_has_its_network_in_its_own_loop(dry: pytest.Pytester, scope: str) -> None:
    passes(dry, f"""
import asyncio
import pytest_asyncio

@pytest_asyncio.fixture(loop_scope="{scope}")
async def changed(network):
    await network.update("a", "b", delay_ms=50)
    return asyncio.get_running_loop()

class Test:
    @pytest.mark.asyncio(loop_scope="{scope}")
    @pytest.mark.linkem(pair())
    async def test(self, network, changed):
        assert isinstance(network, Network)
        assert asyncio.get_running_loop() is changed
        await network.update("a", "b", delay_ms=60)
        assert [len(applied.links) for applied in network.journal] == [1, 1]
""")  # fmt: skip


def test_pytest_asyncio_may_be_in_its_automatic_mode(dry: pytest.Pytester) -> None:
    passes(dry, """
@pytest.fixture
async def changed(network):
    await network.update("a", "b", delay_ms=50)

@pytest.mark.linkem(pair())
async def test(network, changed):
    assert (await network.update("a", "b", delay_ms=60)).revision == 2
""", "--asyncio-mode=auto")  # fmt: skip


def test_a_test_of_anyio_has_its_network_in_its_own_loop(dry: pytest.Pytester) -> None:
    pytest.importorskip("anyio")
    passes(dry, """
import asyncio

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture
async def changed(network):
    await network.update("a", "b", delay_ms=50)
    return asyncio.get_running_loop()

@pytest.mark.linkem(pair())
async def test(network, make_network, changed):
    assert changed is asyncio.get_running_loop()
    other = await make_network(pair())
    assert (await other.update("a", "b", delay_ms=60)).revision == 1
    assert (await network.update("a", "b", delay_ms=60)).revision == 2
""")  # fmt: skip


def test_a_test_of_hypothesis_has_one_network_for_all_examples(dry: pytest.Pytester) -> None:
    passes(dry, """
from hypothesis import HealthCheck, given, settings, strategies

@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.asyncio
@pytest.mark.linkem(pair())
@given(delay_ms=strategies.integers(1, 100))
async def test(network, delay_ms):
    await network.update("a", "b", delay_ms=delay_ms)
    assert network.impairment("a", "b").delay_ms == delay_ms
""")  # fmt: skip


def test_several_networks_are_made_and_all_closed(dry: pytest.Pytester) -> None:
    passes(dry, """
made = []

def test_making(make_network):
    made.extend([make_network(pair()), make_network(pair, seed=5)])
    assert made[1].seed == 5
    made[0].close()

def test_afterwards():
    for network in made:
        with pytest.raises(RuntimeError, match="closed"):
            network.update("a", "b", delay_ms=1)
""", count=2)  # fmt: skip


SOURCES = {
    "a function": "topology=pair",
    "a function with fixtures": "topology=lambda delay: pair(delay)",
    "a file beside the test": "'file.py'",
    "a function in a file": "'file.py:other'",
    "a module": "'file'",
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_topology_comes_from(dry: pytest.Pytester, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = dry.mkpydir("beside") if "file.py" in source else dry.path
    (folder / "file.py").write_text("from pairs import pair as topology\nother = topology\n")
    (folder / "test_source.py").write_text(f"""
from pairs import *

@pytest.fixture
def delay():
    return 20

@pytest.mark.linkem({source})
def test(network):
    assert network.topology.name == "pair"
    assert network.impairment("a", "b").delay_ms == 20
""")
    dry.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_without_the_marker_a_fixture_gives_the_topology(dry: pytest.Pytester) -> None:
    passes(dry, """
@pytest.fixture
def topology():
    return pair(30)

@pytest.mark.linkem(seed=3)
class Test:
    def test_of_it(self, network):
        assert (network.impairment("a", "b").delay_ms, network.seed) == (30, 3)

    @pytest.mark.linkem(pair(10))
    def test_of_both(self, network):
        assert (network.impairment("a", "b").delay_ms, network.seed) == (10, 3)
""", count=2)  # fmt: skip


def test_presets_are_arguments_and_may_be_the_topology_s(dry: pytest.Pytester) -> None:
    passes(dry, """
def link(preset):
    topology = Topology("link")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", preset.impairment)
    return topology

@pytest.mark.linkem_preset("lte-uplink", "nr_cell_edge")
@pytest.mark.linkem(topology=link)
def test_network(network):
    assert network.impairment("a", "b").rate_kbit in (5_000, 10_000)

@pytest.mark.linkem_preset("wifi")
def test_argument(preset):
    assert preset.name == "wifi"
""", count=3)  # fmt: skip


WRONG = {
    "no topology": ("@pytest.mark.linkem()\ndef test(network): pass", "needs a topology: @pytest.mark.linkem("),
    "not a topology": ("@pytest.mark.linkem(3)\ndef test(network): pass", "a topology is a Topology, a function*: 3"),
    "no such file": ("@pytest.mark.linkem('no.py')\ndef test(network): pass", "topology no.py: no such file"),
    "no such preset": ("@pytest.mark.linkem_preset('ltt_uplink')\ndef test(preset): pass", "did you mean lte_uplink"),
    "nobody runs it": ("@pytest.mark.linkem(pair())\nasync def test(network): pass", "needs pytest-asyncio or anyio"),
    "trio": (
        "@pytest.fixture\ndef anyio_backend_name(): return 'trio'\n"
        "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
        "@pytest.mark.anyio\n@pytest.mark.linkem(pair())\nasync def test(network): pass",
        "a network needs asyncio, not trio",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(dry: pytest.Pytester, text: str, words: str) -> None:
    pytest.importorskip("anyio")
    dry.makepyfile(f"from pairs import *\n{text}")
    result = dry.runpytest_inprocess("-p", "no:cacheprovider")
    assert result.ret
    assert result.parseoutcomes().keys() & {"error", "errors"}
    result.stdout.fnmatch_lines([f"*{words.replace('[', '[[]')}*"])


def test_what_a_test_leaves_fails_it_by_name(dry: pytest.Pytester) -> None:
    dry.makepyfile("""
from pairs import *
import subprocess

@pytest.mark.linkem(pair())
def test_file(network):
    test_file.left = open("pairs.py")

@pytest.mark.linkem(pair())
def test_process(network):
    test_process.left = subprocess.Popen(["sleep", "60"])

@pytest.mark.linkem(pair())
def test_nothing(network):
    pass

def test_without_network():
    test_file.left.close()
    test_process.left.kill()
    test_process.left.wait()
    test_without_network.left = open("pairs.py")

def test_last():
    test_without_network.left.close()
""")
    result = dry.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=5, errors=2)
    result.stdout.fnmatch_lines(["*left by the test:", "*open file: * -> *pairs.py", "*process: * sleep"])


def test_a_project_may_do_without_the_check_for_leaks(dry: pytest.Pytester) -> None:
    passes(dry, """
@pytest.mark.linkem(pair())
def test(network):
    test.left = open("pairs.py")

def test_last():
    test.left.close()
""", "-o", "linkem_leaks=false", count=2)  # fmt: skip
