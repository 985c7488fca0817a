"""``linkem plot``: a recording as a picture."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from linkem_py.cli import words
from linkem_py.cli.console import Paint, columns, notice, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.cli.replay import load

if TYPE_CHECKING:
    from linkem_py.model import LinkKey
    from linkem_py.runtime import Recording


def run(options: argparse.Namespace) -> int:
    """Draw, and say where the picture is."""
    asked = [_asked(names) for names in options.link]
    path = _output(options)
    if importlib.util.find_spec("matplotlib") is None:
        from linkem_py.report.files import NO_PICTURES

        raise UsageError(NO_PICTURES[0].lower() + NO_PICTURES[1:])
    recording = load(options.file, quiet=options.json)
    from linkem_py.report.recording_picture import draw_recording
    from linkem_py.report.timeline import timeline

    chosen = _chosen(recording, asked)
    timelines = [timeline(recording, key, start_s=options.start_s, end_s=options.end_s) for key in chosen]
    if not recording.stats:
        notice("the recording has no counters (--record-stats): nothing measured can be shown", quiet=options.json)
    if not path.parent.is_dir():
        raise UsageError(f"--output must be in a folder that is there: {str(path)!r}")
    draw_recording(timelines, path, title=_title(recording))
    if options.json:
        print_json({"picture": str(path), "links": [list(key) for key in chosen], "notices": list(recording.notices)})
    else:
        print(path)
    return 0


def _title(recording: Recording) -> str:
    began = datetime.fromtimestamp(recording.began_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    kernel = f", Linux {recording.kernel}" if recording.kernel else ""
    return f"{recording.name}, recorded {began}{kernel}, seed {recording.seed}"


def _asked(names: list[str]) -> LinkKey:
    if len(names) not in (2, 3):
        raise UsageError(f"--link must be followed by two peers, and a segment if it is not lan: {' '.join(names)!r}")
    return (names[0], names[1], names[2] if len(names) == 3 else words.DEFAULT_SEGMENT)


def _output(options: argparse.Namespace) -> Path:
    from_file = Path(os.path.basename(options.file)).with_suffix(".png")
    path = Path(options.output) if options.output is not None else from_file
    suffixes = (".png", ".svg", ".pdf")  # as the picture's module has them, which takes a second to load
    if path.suffix not in suffixes:
        raise UsageError(f"--output must end in {', '.join(suffixes)}: {str(path)!r}")
    return path


def _chosen(recording: Recording, asked: list[LinkKey]) -> list[LinkKey]:
    """The links to draw. Raises `UsageError`, after a list of them, if they are too many or none of the recording."""
    from linkem_py.report.recording_picture import MOST_LINKS
    from linkem_py.report.timeline import links_of

    links = links_of(recording)
    unknown = [key for key in asked if key not in links]
    chosen = list(dict.fromkeys(asked)) or links
    if not links:
        raise UsageError("the recording has no links")
    if not unknown and len(chosen) <= MOST_LINKS:
        return chosen
    for line in choices(recording, links):
        print(line, file=sys.stderr)
    if unknown:
        raise UsageError(f"the recording has no link {words.link(*unknown[0])}; it has those above")
    raise UsageError(
        f"{len(chosen)} links are more than the {MOST_LINKS} that one picture holds: "
        "choose from those above with --link A B [SEGMENT], any number of times"
    )


def choices(recording: Recording, links: list[LinkKey]) -> list[str]:
    """What can be chosen, with the number of changes. Pure."""
    changes = Counter(link.key for change in recording.changes for link in change.links)
    rows = [
        [f"--link {' '.join(key if key[2] != words.DEFAULT_SEGMENT else key[:2])}", f"{changes[key]:,} changes"]
        for key in links
    ]
    return columns(rows, Paint(False))
