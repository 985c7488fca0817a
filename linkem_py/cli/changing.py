"""``linkem set``, ``clear``, ``partition``, ``heal``: commands to a running network."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

from linkem_py.cli import words
from linkem_py.cli.console import BOLD, DIM, paint_stdout, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.cli.fields import is_setting, parse_fields
from linkem_py.cli.reach import Reach, reached
from linkem_py.errors import LinkemError

_PATH = re.compile(r"changes\[\d+\]\.(?:set\.)?")  # where the codec found it: here there is one change


class RefusedError(LinkemError):
    """The network refused a command."""


def change(options: argparse.Namespace) -> int:
    """``linkem set``."""
    arguments: list[str] = options.arguments
    settings = [word for word in arguments if is_setting(word)]
    places = [word for word in arguments if not is_setting(word)]
    if arguments[: len(places)] != places or (not settings and not options.clear):
        raise UsageError("after the link come its settings, field=value: linkem set [NAME] SRC DST delay_ms=80")
    fields = parse_fields(settings)
    return _change_link(options, "set", places, {"set": fields} | ({"clear": True} if options.clear else {}))


def clear(options: argparse.Namespace) -> int:
    """``linkem clear``."""
    return _change_link(options, "clear", options.arguments, {"clear": True})


def partition(options: argparse.Namespace) -> int:
    """``linkem partition``."""
    groups = [[peer.strip() for peer in group.split(",")] for group in options.groups]
    with reached(options, options.network) as network:
        reply = accepted(network.command("partition", {"groups": groups}))
        say(options, network, reply, [f"partition: {words.groups(groups)}"])
    return 0


def heal(options: argparse.Namespace) -> int:
    """``linkem heal``."""
    with reached(options, options.network) as network:
        reply = accepted(network.command("heal", {}))
        say(options, network, reply, ["no partition any more"])
    return 0


def _change_link(options: argparse.Namespace, command: str, places: Sequence[str], what: Mapping[str, Any]) -> int:
    if len(places) not in (2, 3):
        raise UsageError(f"a link is named by its two ends: linkem {command} [NAME] SRC DST, not {' '.join(places)}")
    name, source, destination = (None, *places) if len(places) == 2 else places
    links = [(source, destination), (destination, source)] if options.both else [(source, destination)]
    changes = [{"src": one, "dst": other, "segment": options.segment, **what} for one, other in links]
    with reached(options, name) as network:
        reply = accepted(network.command("set", {"changes": changes}))
        states = {(row["src"], row["dst"], row["segment"]): row for row in network.describe()["links"]}
        found = [states.get((one, other, options.segment)) for one, other in links]
        rows = [row for row in found if row is not None]
        lines = [f"{words.link(*key(row))}: {words.state(row)}" for row in rows]
        say(options, network, reply, lines, links=rows)
    return 0


def key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The link of a piece of JSON."""
    return row["src"], row["dst"], row["segment"]


def accepted(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply to a command that was carried out. Raises `RefusedError`."""
    if reply["ok"]:
        return reply
    raise RefusedError(_PATH.sub("", reply["error"]["message"]))


def say(
    options: argparse.Namespace,
    network: Reach,
    reply: Mapping[str, Any],
    lines: Sequence[str],
    *,
    links: Sequence[Mapping[str, Any]] = (),
) -> None:
    """What is in force now, and since when."""
    if options.json:
        print_json({"network": network.name, **reply, **({"links": list(links)} if links else {})})
        return
    paint = paint_stdout()
    since = f"since {words.clock(reply['applied_at'])}, revision {reply['revision']}"
    for line in lines:
        print(f"{paint(network.name, BOLD)}  {line}  {paint(since, DIM)}")
