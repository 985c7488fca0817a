"""What joins a peer to the network: a line that all its links share."""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import HIGHEST_RATE_KBIT
from linkem_py.model.rules import Number, plain

DownlinkPlace = Literal["hub", "peer"]

_rate = Number(above=0, most=HIGHEST_RATE_KBIT)


def _place(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in get_args(DownlinkPlace):
        raise TopologyError(attribute.name, f"must be one of {', '.join(get_args(DownlinkPlace))}", value)


@attrs.frozen(kw_only=True)
class Access:
    """The access link of one interface of a peer. Links keep their own rates; it bounds what they have together.

    Parameters
    ----------
    uplink_kbit : what all links from the peer may send together, in 1000 bit/s of Ethernet frames without
        their check sequence; None: as much as they can
    downlink_kbit : what the peer may receive together, likewise
    downlink_at : where what comes waits: at the ``hub``'s port, before it reaches the peer, or in the
        ``peer``'s own namespace, as it comes in
    queue_ms : how much may wait for the access link, in milliseconds at its rate, at least one full frame;
        None: 100, at least ten frames. Upward this is the queue of every link without a rate; a link with
        one has a queue of its own
    """

    uplink_kbit: float | None = attrs.field(default=None, converter=plain, validator=_rate)
    downlink_kbit: float | None = attrs.field(default=None, converter=plain, validator=_rate)
    downlink_at: DownlinkPlace = attrs.field(default="hub", validator=_place)
    queue_ms: float | None = attrs.field(default=None, converter=plain, validator=Number(above=0, most=600_000))

    def evolve(self, **fields: Any) -> Access:
        """A copy with these fields; None takes a setting away. Raises `TopologyError`."""
        known = attrs.fields_dict(Access)
        for name, value in fields.items():
            if name not in known:
                raise TopologyError(name, f"is not a field; the fields are {', '.join(ACCESS_FIELDS)}", value)
        changes: dict[str, Any] = {n: known[n].default if v is None else v for n, v in fields.items()}
        return attrs.evolve(self, **changes)


ACCESS_FIELDS: tuple[str, ...] = tuple(attrs.fields_dict(Access))


@attrs.frozen
class AccessLink:
    """The access link of an interface, and what of it is in the interface's tree.

    `upward` and `downward` say that it has, or once had, such a rate: its class and its queue stay, so that taking
    the rate away and giving it back loses no packet.
    """

    access: Access
    upward: bool = False
    downward: bool = False

    def changed(self, access: Access) -> AccessLink:
        """What it is once `access` holds."""
        return AccessLink(
            access,
            self.upward or access.uplink_kbit is not None,
            self.downward or access.downlink_kbit is not None,
        )
