"""``linkem link``, ``carrier``, ``readdress``: what goes down in a running network and comes up, with new addresses."""

from __future__ import annotations

import argparse

from linkem_py.cli import words
from linkem_py.cli.changing import accepted, key, say
from linkem_py.cli.errors import UsageError
from linkem_py.cli.reach import reached


def link(options: argparse.Namespace) -> int:
    """``linkem link down|up [NAME] SRC DST``."""
    places: list[str] = options.arguments
    if len(places) not in (2, 3):
        raise UsageError(f"a link is named by its two ends: linkem link {options.direction} [NAME] SRC DST")
    name = None if len(places) == 2 else places[0]
    source, destination = places[-2:]
    up, both = options.direction == "up", not options.one_way
    ends = {"src": source, "dst": destination, "segment": options.segment}
    wanted = {(source, destination, options.segment)} | ({(destination, source, options.segment)} if both else set())
    with reached(options, name) as network:
        reply = accepted(network.command("switch", {**ends, "up": up, "both": both}))
        rows = [row for row in network.describe()["links"] if key(row) in wanted]
        lines = [f"{words.link(*key(row))}: {'down' if row.get('down') else f'up, {words.state(row)}'}" for row in rows]
        say(options, network, reply, lines, links=rows)
    return 0


def carrier(options: argparse.Namespace) -> int:
    """``linkem carrier [NAME] PEER up|down``."""
    given: list[str] = options.arguments
    if len(given) not in (2, 3) or given[-1] not in ("up", "down"):
        raise UsageError("a peer's carrier goes down or up: linkem carrier [NAME] PEER up|down")
    name = None if len(given) == 2 else given[0]
    peer, direction = given[-2:]
    with reached(options, name) as network:
        data = {"peer": peer, "segment": options.segment, "up": direction == "up"}
        reply = accepted(network.command("carrier", data))
        say(options, network, reply, [f"{words.end(peer, options.segment)}: carrier {direction}"])
    return 0


def readdress(options: argparse.Namespace) -> int:
    """``linkem readdress [NAME] PEER``."""
    given: list[str] = options.arguments
    if len(given) not in (1, 2):
        raise UsageError("other addresses are for one peer: linkem readdress [NAME] PEER")
    name, peer = (None, given[0]) if len(given) == 1 else given
    wanted = {family: getattr(options, family) for family in ("ipv4", "ipv6") if getattr(options, family) is not None}
    with reached(options, name) as network:
        reply = accepted(network.command("readdress", {"peer": peer, "segment": options.segment, **wanted}))
        say(options, network, reply, [f"{words.end(peer, options.segment)}: other addresses (linkem show)"])
    return 0
