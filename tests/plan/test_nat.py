from __future__ import annotations

import itertools

import pytest

from linkem_py import Nat, Topology
from linkem_py.model import Capabilities
from linkem_py.model.nat import Filtering, Mapping
from linkem_py.plan.nat import ruleset
from linkem_py.plan.requirements import needs_nat, unmet

BEHAVIOURS: tuple[Mapping, ...] = ("endpoint-independent", "address-dependent", "address-and-port-dependent")


def rules(nat: Nat | None) -> dict[str, list[str]]:
    """By chain, and the sets under an empty name."""
    topology = Topology("t")
    topology.add_gateway("router", inside="home", outside="wan", nat=nat)
    found: dict[str, list[str]] = {"": []}
    chain = ""
    for made in ruleset(topology, "router"):
        for line in made.text.splitlines()[3:-1]:
            if line.startswith("  chain "):
                chain = line.split()[1]
                found[chain] = []
            elif line != "  }":
                found[chain].append(line.strip())
    return found


def test_only_a_gateway_with_nat_has_rules() -> None:
    assert rules(None) == {"": []}
    topology = Topology("t")
    topology.add_peer("a")
    assert not list(ruleset(topology, "a"))


def test_what_was_there_is_replaced_at_once() -> None:
    topology = Topology("t")
    topology.add_gateway("router", inside="home", outside="wan", nat="home")
    (made,) = ruleset(topology, "router")
    assert made.text.startswith("table ip linkem\ndelete table ip linkem\ntable ip linkem {\n")
    assert made.key == ("ruleset", "router")


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(BEHAVIOURS, BEHAVIOURS)))
def test_each_behaviour_has_what_it_needs_and_nothing_else(mapping: Mapping, filtering: Filtering) -> None:
    found = rules(Nat(mapping=mapping, filtering=filtering))
    names = {line.split()[1] for line in found[""]}
    wanted = {"udp_ports", "tcp_ports"}
    if mapping != "address-and-port-dependent":
        wanted |= {"udp_out", "tcp_out"}
    if filtering != "address-and-port-dependent":
        wanted |= {"udp_in", "tcp_in"}
    if filtering == "address-dependent":
        wanted |= {"udp_peers", "tcp_peers"}
    assert names == wanted
    assert len(found["inward"]) == (0 if filtering == "address-and-port-dependent" else 2)
    # Whatever is kept is learnt from packets out.
    learnt = {word[1:] for line in found["learn"] for word in line.split() if word.startswith("@")}
    assert learnt == wanted
    # A mapping for one address has that address in its key.
    keys = [line for line in found["learn"] if "_out {" in line]
    assert all((". ip daddr :" in line) is (mapping == "address-dependent") for line in keys)


def test_a_port_is_kept_only_where_one_mapping_serves_all_destinations() -> None:
    keeping = "udp sport != @udp_ports snat ip to"
    assert any(keeping in line for line in rules(Nat())["outward"])
    assert not any(keeping in line for line in rules(Nat(keep_ports=False))["outward"])
    for mapping in BEHAVIOURS[1:]:
        assert not any(keeping in line for line in rules(Nat(mapping=mapping))["outward"])


def test_times_stand_in_the_sets_and_in_conntrack() -> None:
    topology = Topology("t")
    nat = Nat(udp_timeout_s=31, tcp_established_timeout_s=32, tcp_transitory_timeout_s=33, icmp_timeout_s=34)
    topology.add_gateway("router", inside="home", outside="wan", nat=nat)
    (made,) = ruleset(topology, "router")
    timers = {path.removeprefix("net/netfilter/nf_conntrack_"): value for path, value in made.sysctls}
    assert timers["udp_timeout"] == timers["udp_timeout_stream"] == "31"
    assert timers["tcp_timeout_established"] == "32"
    assert timers["tcp_timeout_syn_sent"] == timers["tcp_timeout_time_wait"] == "33"
    assert timers["icmp_timeout"] == "34"
    assert all(f"timeout {31 if ' udp_' in line else 33}s" in line for line in rules(nat)[""])


def test_a_topology_with_nat_needs_a_kernel_with_it() -> None:
    topology = Topology("t")
    topology.add_gateway("plain", inside="home", outside="wan")
    assert not needs_nat(topology)
    assert unmet(topology, Capabilities(nat=False)) == ()
    topology.add_gateway("router", inside="lte", outside="wan", nat="symmetric")
    assert unmet(topology, Capabilities(nat=False)) == ("nat",)
    assert unmet(topology, Capabilities()) == ()
