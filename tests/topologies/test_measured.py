"""The shipped topologies in a kernel: what is measured on their links is what they ask for."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest

from linkem_py import Network, Topology
from linkem_py.model.topology import LinkKey
from linkem_py.report import measure
from linkem_py.report.model import Verdict

pytestmark = pytest.mark.kernel("netem", "htb")

# Small enough for one slow processor: what is left out of them is more of the same, or a rate beyond it.
MEASURED: dict[str, dict[str, Any]] = {
    "pair": {},
    "star": {"peers": 4},
    "ring": {"peers": 4},
    "chain": {"peers": 4},
    "full_mesh": {"peers": 4},
    "regions": {"rates": False},
    "consensus": {},
    "edge_cloud": {"devices": 2, "access": "lte"},
    "bonding_cellular": {"rates": False},
    "bonding_asymmetric": {},
    "bonded_stress": {},
    "race_car": {"moving": False},
    "satellite_backup": {},
}


def make(name: str, **parameters: Any) -> Topology:
    return importlib.import_module(f"topologies.{name}").topology(**parameters)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", [*MEASURED, pytest.param("home_nat", marks=pytest.mark.kernel("nat"))])
def test_every_link_is_as_asked(name: str) -> None:
    async def main() -> set[tuple[LinkKey, str]]:
        async with Network(make(name, **MEASURED.get(name, {})), seed=5) as net:
            out = await figures_out(net)
            # Of hundreds of figures one may be out by chance, but not the same one twice.
            return out & await figures_out(net) if out else out

    assert asyncio.run(main()) == set()


async def figures_out(net: Network) -> set[tuple[LinkKey, str]]:
    report = await measure(net, duration_s=6)
    assert {link.key for link in report.links} == set(net.topology.links)
    assert all(link.figure("delay").verdict is not Verdict.NONE for link in report.links)
    return {
        (link.key, figure.name) for link in report.links for figure in link.figures if figure.verdict is Verdict.OUT
    }


def test_a_moving_car_has_links_that_change() -> None:
    async def main() -> set[float]:
        async with Network(make("race_car"), seed=5) as net:
            assert len(net.schedules) == 6
            return {link.impairment.delay_ms for link in net.topology.links.values()}

    assert asyncio.run(main()) <= {45, 65, 120, 25, 35, 80}
