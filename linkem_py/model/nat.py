"""What a gateway does to addresses and ports on their way out, and whom it lets back in."""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.presets.lookup import find
from linkem_py.model.rules import Whole, flag

Mapping = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
Filtering = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]

_MOST_SECONDS = 2**31 // 1000  # what the kernel's timers take where a second has 1000 ticks
_seconds = Whole(least=1, most=_MOST_SECONDS)


def _behaviour(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in get_args(Mapping):
        raise TopologyError(attribute.name, f"must be one of {', '.join(get_args(Mapping))}", value)


@attrs.frozen(kw_only=True)
class Nat:
    """Translation of IPv4 addresses and ports, of UDP and TCP, in the terms of RFC 4787 and RFC 5382.

    An echo request (ICMP) has an identifier for a port, and only its answers come back in.

    Parameters
    ----------
    mapping : to whichever destination an address and port of the inside is the same one outside
        (``endpoint-independent``), or one for each address, or for each address and port
    filtering : who may send in to a mapping: everybody (``endpoint-independent``), the addresses that were
        sent to from it, or only the addresses and ports that were
    keep_ports : a mapping has the port of the inside, unless another mapping has it; otherwise it is drawn
        from 1024 to 65535. An endpoint-dependent mapping is always drawn
    udp_timeout_s : a mapping ends so many whole seconds after the last packet out (RFC 4787, REQ-5: not below
        120, 300 recommended)
    tcp_established_timeout_s : a connection is forgotten so long after its last packet (RFC 5382, REQ-5: not
        below 2 h 4 min)
    tcp_transitory_timeout_s : the same of one that opens or closes, and what is left of a mapping
        (RFC 5382, REQ-5: not below 4 min)
    icmp_timeout_s : of an echo request (RFC 5508, REQ-1: not below 60 s)
    """

    mapping: Mapping = attrs.field(default="endpoint-independent", validator=_behaviour)
    filtering: Filtering = attrs.field(default="address-and-port-dependent", validator=_behaviour)
    keep_ports: bool = attrs.field(default=True, validator=flag)
    udp_timeout_s: int = attrs.field(default=300, validator=_seconds)
    tcp_established_timeout_s: int = attrs.field(default=7440, validator=_seconds)
    tcp_transitory_timeout_s: int = attrs.field(default=240, validator=_seconds)
    icmp_timeout_s: int = attrs.field(default=60, validator=_seconds)

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if value is None:
                raise TopologyError(name, "must be a whole number", value)

    @classmethod
    def named(cls, name: str, **fields: Any) -> Nat:
        """A preset, with these fields of it changed. Raises `TopologyError` with the nearest name there is."""
        found = find("nat", name, PRESETS)
        for field, value in fields.items():
            if field not in NAT_FIELDS:
                raise TopologyError(
                    field, f"is not a field; the fields are {', '.join(NAT_FIELDS)}", value, where="nat"
                )
        return attrs.evolve(found, **fields)

    def __str__(self) -> str:
        names = [name for name, preset in PRESETS.items() if preset == self]
        prefix = f"{names[0]}: " if names else ""
        return f"{prefix}{self.mapping} mapping, {self.filtering} filtering, UDP {self.udp_timeout_s} s"


NAT_FIELDS: tuple[str, ...] = tuple(attrs.fields_dict(Nat))

PRESETS: dict[str, Nat] = {
    # "Port restricted cone" in the words of RFC 3489.
    "home": Nat(),
    "full_cone": Nat(filtering="endpoint-independent"),
    "symmetric": Nat(mapping="address-and-port-dependent"),
    # A carrier's: RFC 6888, REQ-1 and REQ-7; ports are drawn (RFC 6056).
    "cgnat": Nat(filtering="endpoint-independent", keep_ports=False),
}
