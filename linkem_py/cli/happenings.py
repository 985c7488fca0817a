"""What happens in a network, in lines for people. Pure, from events as the wire has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from linkem_py.cli import words
from linkem_py.cli.console import DIM, RED, YELLOW, Paint

_OF_PEERS = {
    "readdress": "has other addresses on a segment",
    "join": "joined a segment",
    "leave": "left a segment",
}
MOST_LINKS = 20  # of one event: whoever wants all of a thousand takes --json


def lines(event: Mapping[str, Any], paint: Paint) -> list[str]:
    """One event (`control.wire.json.event_json`) as lines, each after the time of day."""
    time = paint(words.clock(event["at"]), DIM)
    return [f"{time}  {line}" for line in _TEXTS[event["event"]](event, paint)]


def _changed(event: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    revision = paint(f"revision {event['revision']}", DIM)
    if event["what"] == "partition":
        yield f"partition: {words.groups(event['groups'])}  {revision}"
    elif event["what"] == "heal":
        yield f"the partition is healed  {revision}"
    elif event["what"] in ("add_peer", "remove_peer"):
        yield f"peer {event['peer']} {'came' if event['what'] == 'add_peer' else 'went'}  {revision}"
    elif event["what"] in ("carrier down", "carrier up"):
        yield f"{event['peer']}: {event['what']}  {revision}"
    elif event["what"] in _OF_PEERS:
        yield f"{event['peer']} {_OF_PEERS[event['what']]}  {revision}"
    elif event["what"] == "set_access":
        yield f"the access link of {event['peer']} is another  {revision}"
    for state in event["links"][:MOST_LINKS]:
        yield f"{link(state)}  {words.state(state)}  {revision}"
    for removed in event["removed"][:MOST_LINKS]:
        yield f"{link(removed)}  went  {revision}"
    more = sum(max(0, len(event[name]) - MOST_LINKS) for name in ("links", "removed"))
    if more:
        yield paint(f"and {more:,} more links", DIM)


def _refused(event: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    number = "" if event["id"] is None else f" (id {event['id']})"
    yield f"{paint('refused', RED)}{number}: {event['error']['message']}"


def _notice(event: Mapping[str, Any], _paint: Paint) -> Iterator[str]:
    yield str(event["message"])


def _missed(event: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield paint(f"{event['count']:,} events are missing here: this reader was too slow", YELLOW)


def link(data: Mapping[str, Any]) -> str:
    """The link of a piece of JSON that has one."""
    return words.link(data["src"], data["dst"], data.get("segment", words.DEFAULT_SEGMENT))


_TEXTS = {"changed": _changed, "refused": _refused, "notice": _notice, "missed": _missed}
