"""Gateways of a running network, without a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkem_py import CapabilityError, Nat, OperationError, ToolMissingError, Topology
from linkem_py.kernel import nftables
from linkem_py.model import Capabilities
from linkem_py.plan import desired
from linkem_py.plan.objects import Route, Ruleset
from linkem_py.runtime.recording.topologies import topology_json, topology_of
from tests.dry import DryNetwork


def homes() -> Topology:
    topology = Topology("homes")
    for name in ("laptop", "server", "phone"):
        topology.add_peer(name)
    topology.add_gateway("router", inside="home", outside="wan", nat=Nat.named("symmetric", udp_timeout_s=30))
    topology.add_gateway("plain", inside="lab", outside="wan")
    for name in ("laptop", "phone"):
        topology.connect(name, "router", segment="home")
    topology.connect("phone", "plain", segment="lab")
    topology.connect("router", "server", segment="wan")
    topology.connect("plain", "server", segment="wan")
    return topology


@pytest.mark.parametrize("gone", ["router", "plain", "phone", "server"])
async def test_what_is_changed_beside_gateways_is_what_would_have_been_built(gone: str) -> None:
    async with DryNetwork(homes(), seed=1) as net:
        await net.disconnect("laptop", "router", segment="home")
        await net.connect("laptop", "router", segment="home")
        await net.connect("server", "phone", segment="home")
        await net.update("phone", "plain", segment="lab", mtu=1300)
        await net.add_peer("new")
        await net.join("new", "home")
        await net.readdress("router", segment="wan")
        await net.readdress("plain", segment="lab")
        if gone != "phone":
            await net.readdress("phone", segment="home")
        await net.remove_peer(gone)
        assert net.dry.state == desired(net.topology, net.capabilities, seed=1)
        assert not [made for made in net.dry.state.values() if isinstance(made, Route | Ruleset) and made.ns == gone]


async def test_a_way_by_a_gateway_has_its_links_mtu_at_once() -> None:
    async with DryNetwork(homes(), seed=1) as net:
        await net.update("laptop", "router", segment="home", mtu=1300)
        default = net.dry.state["route", "laptop", 254, "0.0.0.0/0"]
        assert isinstance(default, Route)
        assert default.mtu == 1300
        assert net.dry.state == desired(net.topology, net.capabilities, seed=1)


async def test_a_kernel_without_nat_is_refused_where_a_gateway_has_some(monkeypatch: pytest.MonkeyPatch) -> None:
    without = Capabilities(release="6.1", nat=False)
    monkeypatch.setattr(nftables.shutil, "which", lambda name, path: f"/sbin/{name}")  # type: ignore[attr-defined]
    with pytest.raises(CapabilityError, match=r"kernel 6.1 lacks nat, which topology 'homes' needs: .*kernel build"):
        await DryNetwork(homes(), capabilities=without).start()
    monkeypatch.setattr(nftables.shutil, "which", lambda name, path: None)  # type: ignore[attr-defined]
    with pytest.raises(ToolMissingError, match="NAT needs nft, which is not installed: apt-get install nftables"):
        await DryNetwork(homes(), capabilities=without).start()
    topology = homes()
    topology.remove_peer("router")
    async with DryNetwork(topology, capabilities=without):
        pass


def test_a_recording_keeps_gateways() -> None:
    topology = homes()
    again = topology_of(topology_json(topology))
    assert again.gateways == topology.gateways
    assert again.joins == topology.joins
    assert desired(again, Capabilities()) == desired(topology, Capabilities())
    assert "gateways" not in topology_json(Topology("t"))


def test_what_nft_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nft"
    program.write_text("#!/bin/sh\ncat >/dev/null\necho 'Error: no such thing' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert nftables.load(Ruleset("a", "x")) == nftables.unload() == "Error: no such thing"
    program.write_text("#!/bin/sh\ncat >/dev/null\n")
    refusal = nftables.load(Ruleset("a", "x", (("no/such/sysctl", "1"),)))
    assert refusal == "no/such/sysctl: No such file or directory"
    program.write_text("no program")
    assert "Exec format error" in nftables.unload()


@pytest.mark.kernel("netem", "nat")
async def test_rules_that_the_kernel_refuses_are_told_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from linkem_py import Network

    topology = homes()
    net = Network(topology)
    real = nftables.load
    monkeypatch.setattr(nftables, "load", lambda made: real(made._replace(text="table ip x { nonsense }\n")))
    with pytest.raises(OperationError, match=r"create NAT rules in router: .*syntax error"):
        await net.start()
