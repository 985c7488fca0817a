"""``linkem replay``: a recorded network runs again, and what was done to it is done again."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs

from linkem_py.cli import words
from linkem_py.cli.console import BOLD, DIM, YELLOW, Cell, Paint, columns, notice, paint_stdout, print_json
from linkem_py.cli.errors import UsageError

if TYPE_CHECKING:
    from linkem_py.cli.start import Start
    from linkem_py.runtime import Network, Recording
    from linkem_py.runtime.recording import RecordedChange, RecordedLink
    from linkem_py.runtime.replay import Action

_MOST_LINKS = 4  # of one change, in the list for people


def run(options: argparse.Namespace) -> int:
    """As `linkem up`, until the recording's end; with --dry a list."""
    if options.dry:
        return _list(options)
    from linkem_py.cli.up import bring_up

    return bring_up(options, _prepare)


def load(path: str, *, quiet: bool = False) -> Recording:
    """Read a recording, and say what is to be known about it. Raises what `read_recording` does."""
    from linkem_py.runtime import read_recording

    recording = read_recording(path)
    for text in recording.notices:
        notice(text, quiet=quiet)
    return recording


async def perform(network: Network, recording: Recording, speed: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Make the changes in a network that runs. Returns how it went, for programs."""
    from linkem_py.runtime.replay import play

    played = await play(network, recording, speed=speed, tell=tell)
    return {**played.as_json(), "changes": len(recording.changes)}


def _prepare(options: argparse.Namespace) -> Start | int:
    from linkem_py.cli import start
    from linkem_py.cli.described import Described

    found: list[Recording] = []

    def recorded(options: argparse.Namespace) -> Described:
        recording = load(options.topology, quiet=options.quiet or options.json)
        if options.record is not None and _same(options.record, options.topology):
            raise UsageError("--record must be another file than the recording that is replayed")
        if options.seed is None:
            options.seed = recording.seed
        found.append(recording)
        return Described(recording.topology)

    vars(options).update(set=[], preset=[], schedule=[], links=None, scenario=None)  # the recording describes it all
    started = start.prepare(options, recorded)
    return started if isinstance(started, int) else attrs.evolve(started, recording=found[0])


def _same(one: str, other: str) -> bool:
    return os.path.exists(one) and os.path.samefile(one, other)


# --- the list ------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    from linkem_py.runtime.replay import actions, not_replayed

    recording = load(options.topology, quiet=options.quiet or options.json)
    found = actions(recording.changes)
    if options.json:
        print_json(as_json(recording, found, options.speed))
        return 0
    for line in lines(recording, found, options.speed, paint_stdout()):
        print(line)
    for text in not_replayed(found):
        notice(text, quiet=options.quiet)
    return 0


def as_json(recording: Recording, found: Iterable[Action], speed: float) -> dict[str, Any]:
    """What a replay would do, for programs."""
    from linkem_py.runtime.recording.values import key_json

    return {
        "topology": recording.name,
        "seed": recording.seed,
        "peers": list(recording.peers),
        "links": [key_json(key) for key in recording.impairments],
        "duration_s": recording.end_s / speed,
        "is_whole": recording.is_whole,
        "notices": list(recording.notices),
        "changes": [
            {
                "at_s": action.change.at_s / speed,
                "what": action.change.what,
                "links": [key_json(link.key) for link in action.change.links],
                "text": text_of(action.change),
                "problem": action.problem or None,
            }
            for action in found
        ],
    }


def lines(recording: Recording, found: Iterable[Action], speed: float, paint: Paint) -> list[str]:
    """What a replay would do, for people. Pure."""
    rows: list[list[Cell]] = [[("at", DIM), ("what", DIM), ("of", DIM)]]
    for action in found:
        change = action.change
        text: Cell = (f"not replayed: {action.problem}", YELLOW) if action.problem else text_of(change)
        rows.append([f"{change.at_s / speed:.3f} s", (change.what, BOLD), text])
    head = (
        f"{paint(recording.name, BOLD)}: {len(recording.peers):,} peers, {len(recording.impairments):,} links, "
        f"{len(rows) - 1:,} changes in {recording.end_s / speed:.3f} s, seed {recording.seed}"
    )
    return [head, *(columns(rows, paint) if len(rows) > 1 else [])]


def text_of(change: RecordedChange) -> str:
    """What a change is of, in words: its peer, its groups, its links and their fields."""
    if change.what == "partition":
        return words.groups(change.groups)
    parts = [change.peer] if change.peer is not None else []
    if change.segment is not None:
        parts.append(f"on {change.segment}")
    shown = [_link_text(link) for link in change.links[:_MOST_LINKS]]
    if more := len(change.links) - len(shown):
        shown.append(f"and {more:,} more links")
    return " ".join([*parts, "; ".join(shown)]).strip()


def _link_text(link: RecordedLink) -> str:
    from linkem_py.runtime.recording.values import fields_json

    name = words.link(*link.key)
    if link.gone:
        return f"{name} goes"
    fields = fields_json(link.change.fields)
    said = [words.impairment({field: value}) for field, value in fields.items() if value is not None]
    said += [
        f"no {field.rpartition('_')[0] or field}".replace("_", " ") for field, value in fields.items() if value is None
    ]
    if link.down:
        said.append("down")
    elif link.change.outage:
        said.append("outage")
    return f"{name}: {', '.join(said)}" if said else name
