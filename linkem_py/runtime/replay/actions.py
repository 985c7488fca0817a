"""What a recorded change asks a network for. Pure: it returns what to do, and whoever has a network does it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from linkem_py.model.impairment import Impairment
from linkem_py.model.topology import DEFAULT_SEGMENT
from linkem_py.runtime.changes import Scheduled
from linkem_py.runtime.recording import RecordedChange, RecordedLink

if TYPE_CHECKING:
    from linkem_py.runtime.network import Network

#: Asks a network for the change.
Request: TypeAlias = "Callable[[Network], Coroutine[Any, Any, object]]"


@attrs.frozen
class Action:
    """A recorded change and how it is done again.

    Attributes
    ----------
    request : what to ask a network for; None if it cannot be done again
    problem : why it cannot; empty if it can
    """

    change: RecordedChange
    request: Request | None = attrs.field(default=None, repr=False)
    problem: str = ""


def actions(changes: Iterable[RecordedChange]) -> list[Action]:
    """What to do for each change, in order."""
    return [_action(change) for change in changes]


def not_replayed(found: Iterable[Action]) -> list[str]:
    """Which changes cannot be done again and why, one text for all that have the same reason."""
    counts: dict[tuple[str, str], int] = {}
    for action in found:
        if action.problem:
            case = (action.change.what, action.problem)
            counts[case] = counts.get(case, 0) + 1
    return [
        f"{count:,} change{'' if count == 1 else 's'} {what!r} cannot be replayed: {why}"
        for (what, why), count in counts.items()
    ]


def _action(change: RecordedChange) -> Action:
    if change.what in _STRUCTURE:
        complete, request = _STRUCTURE[change.what]
        if not complete(change):
            return Action(change, problem="the recording does not say of what")
        return Action(change, lambda net: request(net, change))
    if not change.links or change.what in _NOT_REPLAYED:
        return Action(change, problem="this version does not know it")
    if any(link.new or link.gone for link in change.links):
        return Action(change, problem="this version does not know it: links come or go with it")
    batch = {link.key: Scheduled((_held(link),)) for link in change.links}
    return Action(change, lambda net: net.update_links(batch, what=change.what))


def _held(link: RecordedLink) -> Any:
    # Whether the link is down is not the schedule's affair.
    return attrs.evolve(link.change, outage=link.scheduled_outage)


# --- what is more than other impairments ----------------------------------------------------------


def _partition(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.partition(*change.groups)


def _heal(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.heal()


def _add_peer(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.add_peer(str(change.peer), placement=change.placement, **_access(change))


def _remove_peer(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.remove_peer(str(change.peer))


def _connect(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    there, back = change.links
    first, second, segment = there.key
    return net.connect(first, second, _impairment(there), back=_impairment(back), segment=segment)


def _add_link(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    (link,) = change.links
    source, destination, segment = link.key
    return net.add_link(source, destination, _impairment(link), segment=segment)


def _disconnect(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    first, second, segment = change.links[0].key
    return net.disconnect(first, second, segment=segment)


def _down(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    first, second, segment = change.links[0].key
    return net.down(first, second, segment=segment, one_way=len(change.links) == 1)


def _up(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    first, second, segment = change.links[0].key
    return net.up(first, second, segment=segment, one_way=len(change.links) == 1)


def _carrier_down(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.carrier(str(change.peer), segment=change.segment or DEFAULT_SEGMENT, up=False)


def _carrier_up(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.carrier(str(change.peer), segment=change.segment or DEFAULT_SEGMENT, up=True)


def _readdress(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    ipv4, ipv6 = (*change.addresses, None)[:2]
    return net.readdress(str(change.peer), segment=str(change.segment), ipv4=ipv4, ipv6=ipv6)


def _join(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.join(str(change.peer), str(change.segment), **_access(change))


def _leave(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.leave(str(change.peer), str(change.segment))


def _set_access(net: Network, change: RecordedChange) -> Coroutine[Any, Any, object]:
    return net.set_access(str(change.peer), segment=str(change.segment), **_access(change))


def _access(change: RecordedChange) -> dict[str, Any]:
    return {} if change.access is None else attrs.asdict(change.access)


def _impairment(link: RecordedLink) -> Impairment:
    return link.change.applied_to(Impairment())


def _has_peer(change: RecordedChange) -> bool:
    return change.peer is not None


def _has_end(change: RecordedChange) -> bool:
    return change.peer is not None and change.segment is not None


def _has_links(change: RecordedChange) -> bool:
    return len(change.links) in (1, 2)


_NOT_REPLAYED = ("set_cross_traffic",)
_STRUCTURE: dict[
    str,
    tuple[Callable[[RecordedChange], bool], Callable[[Network, RecordedChange], Coroutine[Any, Any, object]]],
] = {
    "partition": (lambda change: len(change.groups) >= 2, _partition),
    "heal": (lambda _: True, _heal),
    "add_peer": (_has_peer, _add_peer),
    "remove_peer": (_has_peer, _remove_peer),
    "connect": (lambda change: len(change.links) == 2, _connect),
    "add_link": (lambda change: len(change.links) == 1, _add_link),
    "disconnect": (_has_links, _disconnect),
    "down": (_has_links, _down),
    "up": (_has_links, _up),
    "carrier down": (_has_peer, _carrier_down),
    "carrier up": (_has_peer, _carrier_up),
    "readdress": (lambda change: _has_end(change) and bool(change.addresses), _readdress),
    "join": (_has_end, _join),
    "leave": (_has_end, _leave),
    "set_access": (lambda change: _has_end(change) and change.access is not None, _set_access),
}
