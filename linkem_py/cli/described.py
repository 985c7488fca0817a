"""What a command line says the network is: a TOPOLOGY, links of presets, or a scenario."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

from linkem_py.cli.errors import UsageError
from linkem_py.errors import TopologyError

if TYPE_CHECKING:
    from linkem_py.model import Topology
    from linkem_py.model.scenario import Scenario
    from linkem_py.model.schedule import Schedule

T = TypeVar("T")

BONDING = "bonding"  # what a network of links of presets is called
MOST_LINKS = 255  # segments of a topology


@attrs.frozen
class Described:
    """A network, ready to be brought up.

    Attributes
    ----------
    topology : the network
    scenario : where it comes from one
    """

    topology: Topology
    scenario: Scenario | None = None


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The words that describe a network."""
    command.add_argument("topology", metavar="TOPOLOGY", nargs="?", help="a file or a name")
    command.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="a parameter of the topology (any number)"
    )
    command.add_argument(
        "--preset", metavar="NAME", action="append", default=[],
        help="instead of a TOPOLOGY: a link of this preset between a sender and a receiver (any number)",
    )  # fmt: skip
    command.add_argument("--links", metavar="N", type=_count, help="so many links of one preset")
    command.add_argument(
        "--schedule", metavar="NAME|FILE", action="append", default=[],
        help="what happens on these links, by name or as a trace (UP,DOWN for two): one for all, or one for each",
    )  # fmt: skip
    command.add_argument("--scenario", metavar="FILE|NAME", help="instead of a TOPOLOGY: a scenario")


def words(options: argparse.Namespace) -> list[str]:
    """The words that describe the network of `options`, for another command line."""
    found = [] if options.topology is None else [options.topology]
    found += [f"--set={setting}" for setting in options.set]
    found += [f"--preset={name}" for name in options.preset]
    found += [f"--schedule={name}" for name in options.schedule]
    found += [] if options.links is None else [f"--links={options.links}"]
    found += [] if options.scenario is None else [f"--scenario={options.scenario}"]
    return found


def load(options: argparse.Namespace) -> Described:
    """The network that `options` describe. Raises `UsageError`, `LoadError` and `TopologyError`."""
    _check(options)
    if options.scenario is not None:
        wanted = load_scenario(options.scenario)
        return Described(wanted.topology(), wanted)
    if options.topology is not None:
        from linkem_py.cli.load import load_topology

        return Described(load_topology(options.topology, options.set))
    return Described(_of_presets(options))


def load_scenario(text: str) -> Scenario:
    """The scenario of a file or a name. Raises `LoadError` and `UsageError`."""
    if _is_path(text):
        from linkem_py.cli.scenario_files import read_scenario

        return read_scenario(Path(text))
    from linkem_py.model.scenario import scenario

    return _named("--scenario", scenario, text)


def _is_path(text: str) -> bool:
    """Whether it is a file's name rather than one of ours, which have no dots."""
    return "." in text or "/" in text or Path(text).is_file()


def _named(option: str, lookup: Callable[[str], T], name: str) -> T:
    try:
        return lookup(name)
    except TopologyError as error:
        raise UsageError(f"{option} {error.rule}: {name!r} (linkem presets lists them)") from None


def _check(options: argparse.Namespace) -> None:
    given = {
        "TOPOLOGY": options.topology is not None,
        "--scenario": options.scenario is not None,
        "--preset": bool(options.preset),
    }
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} are two networks: give one of them")
    if options.links is not None and not options.preset:
        raise UsageError("--links needs --preset NAME (linkem presets lists them)")
    if options.schedule and not options.preset:
        raise UsageError("--schedule needs --preset NAME: a topology and a scenario have schedules of their own")
    if options.set and options.topology is None:
        raise UsageError("--set needs a TOPOLOGY: it sets its parameters")
    if not named:
        raise UsageError("no network: give a TOPOLOGY, --scenario FILE|NAME or --preset NAME")


def _of_presets(options: argparse.Namespace) -> Topology:
    """Links of presets between a sender and a receiver, each on a segment of its own."""
    from linkem_py.model.presets import pair
    from linkem_py.model.scenario import Scenario, ScenarioLink

    count = options.links or max(len(options.preset), len(options.schedule))
    presets = [_named("--preset", pair, name) for name in _for_each("--preset", options.preset, count)]
    schedules = [_schedules(name) for name in _for_each("--schedule", options.schedule, count)]
    links = []
    for number, (uplink, downlink) in enumerate(presets):
        what, back = schedules[number] if schedules else (None, None)
        name = f"link{number + 1}"
        links.append(
            ScenarioLink(name=name, uplink=uplink, downlink=downlink, uplink_schedule=what, downlink_schedule=back)
        )
    return Scenario(name=BONDING, duration_s=1, links=links).topology()


def _schedules(text: str) -> tuple[Schedule, Schedule]:
    """What happens on uplink and downlink: a name, or the file of a trace, or those of two with a comma between."""
    there, comma, back = text.partition(",")
    if not comma:
        return _schedule_pair(there)
    return _schedule_pair(there)[0], _schedule_pair(back)[1]


def _schedule_pair(text: str) -> tuple[Schedule, Schedule]:
    if _is_path(text):
        from linkem_py.cli.scenario_files import read_schedule_file

        trace = read_schedule_file(Path(text))
        return trace, trace
    from linkem_py.model.presets import schedule_pair

    up, down = _named("--schedule", schedule_pair, text)
    return up.schedule, down.schedule


def _for_each(option: str, names: Sequence[str], count: int) -> Sequence[str]:
    """A name for each link: one for all, or so many."""
    if len(names) not in (0, 1, count):
        raise UsageError(f"{option} must be given once, or once for each of the {count} links: {len(names)} times")
    return list(names) * count if len(names) == 1 else names


def _count(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MOST_LINKS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_LINKS}: {text!r}")
    return number
