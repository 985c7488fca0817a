"""``linkem verify``: what links do, held against what a topology asks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from linkem_py.cli import start
from linkem_py.cli.console import print_json, print_rich
from linkem_py.cli.errors import UsageError
from linkem_py.cli.kernel_choice import Place

if TYPE_CHECKING:
    from linkem_py.model import Topology
    from linkem_py.model.topology import LinkKey
    from linkem_py.report.verify import Verification
    from linkem_py.report.verify.needs import Tolerances

WITHIN, NOT_PROVEN = 0, 1
_QUICK_S, _QUICK_FACTOR = 20.0, 2.0


def run(options: argparse.Namespace) -> int:
    """The exit status: 0 if all is within its tolerance, 1 if anything is out of it or undecided."""
    tolerances = _tolerances(options)
    duration_s = start.parse_seconds(options.duration)
    started = start.prepare(options)
    if isinstance(started, int):
        return started
    keys = _links(started.topology, options.link)
    if started.decision.place is Place.GUEST:
        return start.run_again_in_guest(options, started.decision)
    from linkem_py.runtime import loop

    with start.warnings_as_notices(quiet=options.quiet or options.json):
        found = loop.run(_verified(started.topology, keys, tolerances, duration_s, options))
    if options.json:
        print_json(found.as_json())
    else:
        from linkem_py.report.verify import render_verification

        print_rich(render_verification(found))
    return WITHIN if found.ok else NOT_PROVEN


def _tolerances(options: argparse.Namespace) -> Tolerances:
    from linkem_py.errors import RequestError
    from linkem_py.report.verify.tolerance import parse

    try:
        return parse(options.tolerance, factor=_QUICK_FACTOR if options.quick else 1.0)
    except RequestError as error:
        raise UsageError(f"--{error}") from error


def _links(topology: Topology, pairs: list[list[str]]) -> list[LinkKey] | None:
    if not pairs:
        return None
    found: list[LinkKey] = []
    for source, destination in pairs:
        keys = [key for key in topology.links if key[:2] == (source, destination)]
        if not keys:
            raise UsageError(f"--link {source} {destination}: {topology.name} has no such link")
        found += keys
    return found


async def _verified(
    topology: Topology,
    keys: list[LinkKey] | None,
    tolerances: Tolerances,
    duration_s: float | None,
    options: argparse.Namespace,
) -> Verification:
    from linkem_py.cli.progress import shown_progress
    from linkem_py.report.verify import verify
    from linkem_py.report.verify.verification import DURATION_S

    longest_s = duration_s or (_QUICK_S if options.quick else DURATION_S)
    with shown_progress(off=options.quiet or options.json or options.virtual_time) as progress:
        return await verify(
            topology, tolerances=tolerances, links=keys, duration_s=longest_s, seed=options.seed, progress=progress
        )
