from __future__ import annotations

from typing import Any

import attrs
import pytest

from linkem_py import Nat, TopologyError
from linkem_py.model.nat import NAT_FIELDS, PRESETS

EIM, APDM = "endpoint-independent", "address-and-port-dependent"


@pytest.mark.parametrize(
    ("name", "mapping", "filtering", "keep_ports"),
    [
        ("home", EIM, APDM, True),
        ("full_cone", EIM, EIM, True),
        ("symmetric", APDM, APDM, True),
        ("cgnat", EIM, EIM, False),
    ],
)
def test_presets_behave_as_their_names_say(name: str, mapping: str, filtering: str, keep_ports: bool) -> None:
    found = Nat.named(name)
    assert found == PRESETS[name]
    assert (found.mapping, found.filtering, found.keep_ports) == (mapping, filtering, keep_ports)


def test_timeouts_keep_the_least_that_the_rfcs_ask_for() -> None:
    for preset in PRESETS.values():
        assert preset.udp_timeout_s >= 120  # RFC 4787, REQ-5
        assert preset.tcp_established_timeout_s >= 2 * 3600 + 4 * 60  # RFC 5382, REQ-5
        assert preset.tcp_transitory_timeout_s >= 4 * 60
        assert preset.icmp_timeout_s >= 60  # RFC 5508, REQ-1


def test_a_preset_has_other_spellings_and_fields_of_its_own() -> None:
    assert Nat.named("Full-Cone") == PRESETS["full_cone"]
    assert Nat.named("home", udp_timeout_s=30) == attrs.evolve(PRESETS["home"], udp_timeout_s=30)
    assert Nat.named("home") == Nat()


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("symetric", {}, "nat is unknown (did you mean symmetric?): 'symetric'"),
        ("?", {}, "nat must be one of home, full_cone, symmetric, cgnat: '?'"),
        (3, {}, "nat must be one of home"),
        ("home", {"udp_timeout": 3}, f"nat: udp_timeout is not a field; the fields are {', '.join(NAT_FIELDS)}: 3"),
        ("home", {"udp_timeout_s": 0}, "udp_timeout_s must be between 1 and"),
    ],
)
def test_an_unknown_name_or_field_is_refused(name: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Nat.named(name, **fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "field", ["udp_timeout_s", "tcp_established_timeout_s", "tcp_transitory_timeout_s", "icmp_timeout_s"]
)
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, "between 1 and"),
        (-1, "between 1 and"),
        (2.5, "whole number"),
        (True, "whole number"),
        (None, "whole number"),
    ],
)
def test_a_timeout_is_whole_seconds(field: str, value: Any, rule: str) -> None:
    with pytest.raises(TopologyError, match=f"^{field} must be .*{rule}"):
        Nat(**{field: value})


@pytest.mark.parametrize("field", ["mapping", "filtering"])
@pytest.mark.parametrize("value", ["symmetric", "", None, 1])
def test_behaviours_are_those_of_the_rfc(field: str, value: Any) -> None:
    with pytest.raises(TopologyError, match=f"^{field} must be one of endpoint-independent, address-dependent, addr"):
        Nat(**{field: value})


def test_keep_ports_is_a_flag() -> None:
    with pytest.raises(TopologyError, match="keep_ports must be true or false: 1"):
        Nat(keep_ports=1)  # type: ignore[arg-type]


def test_it_tells_what_it_does() -> None:
    assert str(Nat()) == f"home: {EIM} mapping, {APDM} filtering, UDP 300 s"
    assert str(Nat(udp_timeout_s=30)) == f"{EIM} mapping, {APDM} filtering, UDP 30 s"
