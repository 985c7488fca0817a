"""A peer that forwards between two segments."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.nat import Nat
from linkem_py.model.rules import check_segment_name


@attrs.frozen
class Gateway:
    """A peer that forwards from the segment `inside` to the segment `outside` and back.

    Peers on the inside send to it whatever they do not reach by themselves. With `nat` they have its address
    outside, and the inside is not to be seen from there; without, peers outside send to the inside by it.
    """

    name: str
    inside: str
    outside: str
    nat: Nat | None = None

    def __str__(self) -> str:
        return f"gateway {self.name}"


def nat_of(nat: object, where: str) -> Nat | None:
    """A `Nat` from one, from a preset's name, or None. Raises `TopologyError`."""
    if nat is None or isinstance(nat, Nat):
        return nat
    try:
        if not isinstance(nat, str):
            raise TopologyError("nat", "must be a Nat, a preset's name or None", nat)
        return Nat.named(nat)
    except TopologyError as error:
        raise error.at(where) from None


def check_gateway(gateway: Gateway, others: Iterable[Gateway]) -> None:
    """Raise `TopologyError` unless the way out leads out: not back to where it came from, by whatever others."""
    for name in (gateway.inside, gateway.outside):
        try:
            check_segment_name(name)
        except TopologyError as error:
            raise error.at(str(gateway)) from None
    if gateway.inside == gateway.outside:
        raise TopologyError("outside", "must not be the inside", gateway.outside, where=str(gateway))
    others = list(others)
    reached = {gateway.outside}
    while True:
        further = {other.outside for other in others if other.inside in reached} - reached
        if not further:
            break
        reached |= further
    if gateway.inside in reached:
        rule = f"must not lead back to {gateway.inside} by other gateways"
        raise TopologyError("outside", rule, gateway.outside, where=str(gateway))
