from __future__ import annotations

from typing import Any

import attrs
import pytest

from linkem_py.errors import CapabilityError, TopologyError
from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.model.capabilities import EVERYTHING
from linkem_py.model.impairment import ShaperKind
from linkem_py.plan import desired
from linkem_py.plan.requirements import (
    PARTITION_NEEDS,
    check_links,
    notes,
    unmet,
    unmet_by_partition,
    unmet_by_placement,
)

NOTHING = Capabilities(
    **{f.name: False for f in attrs.fields(Capabilities) if f.name != "release"},  # type: ignore[arg-type]
)


UNSEEDED = "seed: Linux 6.1 cannot seed netem (Linux 6.6 can): losses will differ from run to run"
COARSE = "delay_ms, jitter_ms: Linux 6.1 takes netem's times in steps of 64 ns only"
UNCORRELATED = "delay_correlation_pct: netem of Linux 6.1 "


def topology(impairment: Impairment, **settings: Any) -> Topology:
    made = Topology("t", **settings)
    made.add_peer("a")
    made.add_peer("b")
    made.add_link("a", "b", impairment)
    return made


@pytest.mark.parametrize(
    ("impairment", "settings", "needed"),
    [
        (Impairment(), {}, {"htb"}),
        (Impairment(), {"classifier": "prio"}, {"prio"}),
        (Impairment(), {"unlinked": "blocked"}, {"htb", "gact"}),
        (Impairment(duplicate_pct=1), {}, {"htb", "ifb", "clsact", "mirred"}),
        (Impairment(duplicate_pct=1), {"duplicates": "strict"}, {"htb"}),
        (Impairment(), {"duplicates": "isolate"}, {"htb"}),
        (Impairment(), {"placement": "hub"}, {"htb", "ifb", "clsact", "mirred"}),
    ],
    ids=str,
)
def test_a_topology_needs_what_it_uses(impairment: Impairment, settings: dict[str, Any], needed: set[str]) -> None:
    made = topology(impairment, **settings)
    always = {"privileged", "veth", "bridge", "netem", "u32", "bfifo"}
    assert set(unmet(made, NOTHING)) == always | needed
    assert unmet(made, EVERYTHING) == ()


def test_a_kernel_without_the_duplicate_rule_needs_no_isolation() -> None:
    made = topology(Impairment(duplicate_pct=1))
    assert unmet(made, attrs.evolve(EVERYTHING, ifb=False)) == ()
    assert unmet(made, attrs.evolve(EVERYTHING, ifb=False, mixed_duplicate=False)) == ("ifb",)


def test_queues_in_the_hub_need_a_device_and_a_way_there() -> None:
    made = topology(Impairment())
    assert unmet_by_placement(made, NOTHING) == ()
    made.add_peer("c", placement="hub")
    assert unmet_by_placement(made, EVERYTHING) == ()
    assert unmet_by_placement(made, attrs.evolve(EVERYTHING, mirred=False, seed=False)) == ("mirred",)


def test_a_partition_needs_marks_that_filters_set_and_compare() -> None:
    assert unmet_by_partition(EVERYTHING) == ()
    assert unmet_by_partition(attrs.evolve(EVERYTHING, u32_mark=False, seed=False)) == ("u32_mark",)
    assert unmet_by_partition(NOTHING) == PARTITION_NEEDS


@pytest.mark.parametrize(
    ("impairment", "kernel", "expected"),
    [
        (Impairment(seed=5), {"seed": False}, [UNSEEDED]),
        (Impairment(seed=5), {}, []),
        (Impairment(delay_ms=0.1), {"netem_64bit": False}, [COARSE]),
        (Impairment(delay_ms=10, jitter_ms=0.1), {"netem_64bit": False}, [COARSE]),
        (Impairment(delay_ms=10, jitter_ms=1.6), {"netem_64bit": False}, []),
        (Impairment(delay_ms=0.1), {}, []),
        (Impairment(mtu=1279), {}, ["mtu: IPv6 has no MTU below 1280 bytes"]),
        (Impairment(mtu=1279), {"ipv6": False}, []),
        (Impairment(mtu=1280), {}, []),
        (Impairment(delay_ms=1, jitter_ms=1, delay_correlation_pct=5), {}, [UNCORRELATED]),
        (Impairment(delay_ms=900, jitter_ms=900, delay_correlation_pct=5), {}, []),
        (Impairment(delay_ms=0.1), {"netem_64bit": False, "release": ""}, [COARSE.replace("Linux 6.1", "this kernel")]),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_kernel_cannot_do_is_noted_once(
    impairment: Impairment, kernel: dict[str, Any], expected: list[str]
) -> None:
    made = topology(impairment)
    made.add_link("b", "a", impairment)
    capabilities = Capabilities(**{"release": "6.1", **kernel})
    noted = list(notes(made.links.values(), capabilities))
    assert len(noted) == len(expected)
    assert all(note.startswith(beginning) for note, beginning in zip(noted, expected, strict=True))


@pytest.mark.parametrize("ticks", [3, 5, 7, 101, 15625 * 3])
def test_a_time_of_whole_ticks_is_exact_however_it_is_written(ticks: int) -> None:
    made = topology(Impairment(delay_ms=ticks * 64 / 1e6))
    assert list(notes(made.links.values(), Capabilities(netem_64bit=False))) == []


def test_a_queue_needs_a_kernel_and_a_classifier_that_have_it() -> None:
    made = topology(Impairment(rate_kbit=1000, queue="cake"))
    check_links(made, made.links.values())
    assert unmet(made, Capabilities(cake=False)) == ("cake",)
    assert unmet(made, Capabilities(fq_codel=False)) == ()
    with pytest.raises(CapabilityError, match=r"a->b: queue: the kernel 6\.1 lacks cake"):
        check_links(made, made.links.values(), Capabilities(cake=False, release="6.1"))
    banded = topology(Impairment(rate_kbit=1000, queue="cake"), classifier="prio")
    with pytest.raises(TopologyError, match=r"a->b: queue needs classifier='htb'.*: 'cake'"):
        desired(banded, Capabilities())


@pytest.mark.parametrize("shaper", ["tbf", "cake"])
def test_a_shaper_needs_a_kernel_and_a_classifier_that_have_it(shaper: ShaperKind) -> None:
    shaped = Impairment(rate_kbit=1000, shaper=shaper)
    made = topology(shaped)
    check_links(made, made.links.values())
    lacking = Capabilities(**{shaper: False})  # type: ignore[arg-type]
    assert unmet(made, lacking) == (shaper,)
    with pytest.raises(CapabilityError, match=f"a->b: shaper: the kernel .*lacks {shaper}"):
        check_links(made, made.links.values(), lacking)
    with pytest.raises(TopologyError, match=r"a->b: shaper needs classifier='htb'"):
        desired(topology(shaped, classifier="prio"), Capabilities())
    desired(topology(Impairment(rate_kbit=1000, shaper="netem"), classifier="prio"), Capabilities())
