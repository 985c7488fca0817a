"""``linkem up``: brings a network up that stays up."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from linkem_py.cli import virtual, words
from linkem_py.cli.console import BOLD, DIM, Cell, Paint, columns, notice, paint_stdout, print_json
from linkem_py.cli.daemon import Ready, detach
from linkem_py.control.registry import Registry
from linkem_py.errors import ToolMissingError

if TYPE_CHECKING:
    from linkem_py.cli.hosting import Show
    from linkem_py.cli.start import Start
    from linkem_py.control.registry import Claim
    from linkem_py.control.station import Station

_INTERRUPTED = 130  # as after ctrl-C elsewhere
_MOST_PEERS = 20  # that are listed when it is up; `linkem show` has all


def run(options: argparse.Namespace) -> int:
    """In the foreground until it is ended; or until it is up, and on in the background."""
    from linkem_py.cli import start

    return bring_up(options, start.prepare)


def bring_up(options: argparse.Namespace, prepare: Callable[[argparse.Namespace], Start | int]) -> int:
    """`run`, of a network that `prepare` finds."""
    virtual.check_surfaces(options)
    if not options.detach:
        return _host(options, None, prepare)
    from linkem_py.cli.main import guarded

    options.owner = True  # of a process of its own
    status, facts = detach(lambda ready: guarded(lambda: _host(options, ready, prepare), debug=_debug(options)))
    if facts is not None:
        _say(facts, options)
    return status


def _host(
    options: argparse.Namespace, ready: Ready | None, prepare: Callable[[argparse.Namespace], Start | int]
) -> int:
    # Before a user namespace is entered, in which everybody is root.
    registry = Registry.of_user()
    from linkem_py.cli import start

    started = prepare(options)
    if isinstance(started, int):
        return started
    if virtual.is_wanted(options):
        if started.recording is None:
            virtual.check_end(options, started.duration_s)
        return start.run_again_in_guest(options, started.decision)
    _check_mqtt(options)
    _check_metrics(options)
    from linkem_py.control.wire.topics import network_name_of
    from linkem_py.model import format_duration

    name = options.network if options.network is not None else network_name_of(started.topology.name)
    quiet = options.quiet or options.json
    notice(started.decision.notice, quiet=quiet or not started.decision.notice)
    if started.duration_s is not None and options.duration is None:
        notice(f"the scenario ends after {format_duration(started.duration_s)}", quiet=quiet)
    with registry.claim(name, topology=started.topology.name) as claim, start.warnings_as_notices(quiet=quiet):
        if claim.cleaned:
            notice(f"took away what a dead network {name} had left: {', '.join(claim.cleaned)}", quiet=quiet)
        _check_names(claim, started)
        claim.update(place=started.decision.place.value)
        import asyncio

        from linkem_py.cli.hosting import host
        from linkem_py.runtime import loop

        show = _foreground(options) if ready is None else _background(ready, claim)
        try:
            played = loop.run(host(claim, started, options, duration_s=started.duration_s, show=show))
        except asyncio.CancelledError:
            return _INTERRUPTED  # by a signal, before it was up
    return 0 if played is None else say_played(played, options)


def say_played(played: Mapping[str, Any], options: argparse.Namespace) -> int:
    """How a replay went; returns the exit status, 1 if a change was refused."""
    if options.json:
        print(json.dumps({"event": "replayed", **played}), flush=True)
    else:
        late = f", the latest one {played['latest_s'] * 1000:,.1f} ms late" if played["latest_s"] else ""
        notice(f"replayed {played['made']:,} of {played['changes']:,} changes{late}", quiet=options.quiet)
    return 1 if played["refused"] else 0


def _check_mqtt(options: argparse.Namespace) -> None:
    """What is wrong with a broker's URL is said before anything is started."""
    if options.mqtt is None or options.mqtt == "embedded":
        return
    from linkem_py.control.mqtt.url import MqttUrl
    from linkem_py.control.wire.topics import check_prefix

    MqttUrl.parse(options.mqtt)
    check_prefix(options.mqtt_prefix)


def _check_metrics(options: argparse.Namespace) -> None:
    """That prometheus_client is missing is said before anything is started."""
    import importlib.util

    if options.metrics is not None and importlib.util.find_spec("prometheus_client") is None:
        raise ToolMissingError("--metrics needs prometheus_client: pip install 'linkem_py[metrics]'")


def _check_names(claim: Claim, started: Start) -> None:
    from linkem_py.cli.kernel_choice import Place
    from linkem_py.control.names import check_free

    if started.decision.place is Place.HERE:
        check_free(claim.name, started.topology.peers)


def _debug(options: argparse.Namespace) -> bool:
    return bool(getattr(options, "debug", False))


# --- what is shown -------------------------------------------------------------------------------


def _background(ready: Ready, claim: Claim) -> Show:
    async def show(_station: Station, facts: dict[str, Any]) -> None:
        ready({**facts, "log": str(claim.log)}, claim.log)

    return show


def _foreground(options: argparse.Namespace) -> Show:
    async def show(station: Station, facts: dict[str, Any]) -> None:
        from rich.console import Console

        from linkem_py.cli.live import show_live

        console = Console()
        if console.is_terminal and not options.json and not options.virtual_time:
            _say(facts, options)
            await show_live(station, console, f"{facts['name']} (Ctrl-C takes it down)")
            return
        from linkem_py.cli.happenings import lines
        from linkem_py.control.wire.json import event_json

        async with station.events() as events:
            _say(facts, options)
            async for event in events:
                data = event_json(event)
                print(json.dumps(data) if options.json else "\n".join(lines(data, Paint(False))), flush=True)

    return show


def _say(facts: Mapping[str, Any], options: argparse.Namespace) -> None:
    """That it is up, and how to use it."""
    if options.json:
        # In the foreground lines follow, one for each event.
        print_json(facts) if options.detach else print(json.dumps(facts), flush=True)
        return
    for note in facts["notes"]:
        notice(note, quiet=options.quiet)
    for line in lines_of(facts, paint_stdout(), detached=options.detach):
        print(line)
    sys.stdout.flush()


def lines_of(facts: Mapping[str, Any], paint: Paint, *, detached: bool) -> list[str]:
    """A network that has just come up, in words. Pure."""
    name, peers = facts["name"], facts["peers"]
    first = next(iter(peers), "PEER")
    lines = [
        f"network {paint(name, BOLD)} is up ({facts['place']}, {facts['kernel']}; process {facts['pid']}): "
        f"{len(peers):,} peers, {facts['links']:,} links"
    ]
    rows: list[list[Cell]] = []
    for peer, addresses in list(peers.items())[:_MOST_PEERS]:
        rows.append([(peer, BOLD), *("  ".join(found) for found in addresses.values())])
    lines += columns(rows, paint)
    if len(peers) > _MOST_PEERS:
        lines.append(f"  and {len(peers) - _MOST_PEERS:,} more: linkem show {name}")
    gateways: list[list[Cell]] = [[(found["peer"], BOLD), words.gateway(found)] for found in facts.get("gateways", ())]
    lines += columns(gateways, paint)
    hints: list[list[Cell]] = [[("mqtt", DIM), address] for address in facts["mqtt"]]
    if facts["topics"]:
        hints.append([("topics", DIM), f"{facts['topics']}/..."])
    if facts["metrics"]:
        hints.append([("metrics", DIM), facts["metrics"]])
    hints.append([("in a peer", DIM), f"linkem exec {name} {first} -- COMMAND"])
    if facts["named"]:
        hints.append([("", DIM), f"ip netns exec {name}.{first} COMMAND"])
    if detached:
        hints.append([("log", DIM), facts["log"]])
        hints.append([("end", DIM), f"linkem down {name}"])
    return [*lines, *columns(hints, paint)]
