"""``linkem run``: brings a network up, then measures it or runs a command in it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from linkem_py.cli import start
from linkem_py.cli.console import notice, print_json, print_rich
from linkem_py.cli.errors import UsageError
from linkem_py.cli.kernel_choice import Place

if TYPE_CHECKING:
    from linkem_py.model import Topology
    from linkem_py.report import Report


def run(options: argparse.Namespace) -> int:
    """The exit status: 0 after a measurement, or that of the command."""
    _check(options)
    started = start.prepare(options)
    if isinstance(started, int):
        return started
    topology, duration_s = started.topology, started.duration_s
    if options.peer is not None:
        topology.peer(options.peer)
    if options.report:
        # Early: to find out that it cannot be made. And where /tmp is covered in a guest, only what
        # was there before it started is the host's.
        Path(options.report).mkdir(parents=True, exist_ok=True)
    if started.decision.place is Place.GUEST:
        return start.run_again_in_guest(options, started.decision)
    from linkem_py.runtime import loop

    with start.warnings_as_notices(quiet=options.quiet or options.json):
        if options.command is not None:
            from linkem_py.cli.commands import run_command

            return loop.run(run_command(topology, options, duration_s))
        report = loop.run(_measured(topology, options, duration_s))
        _show(report, topology, options)
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.command == []:
        raise UsageError("no command after --")
    if options.command is None and options.peer is not None:
        raise UsageError("--in needs a command: linkem run TOPOLOGY --in PEER -- COMMAND")
    if options.command is not None and options.report:
        raise UsageError("--report is for a measurement, and with a command nothing is measured")


# --- measuring -----------------------------------------------------------------------------------


async def _measured(topology: Topology, options: argparse.Namespace, duration_s: float | None) -> Report:
    from linkem_py.cli.progress import shown_progress
    from linkem_py.report import calibrate, measure
    from linkem_py.runtime import Network

    with shown_progress(off=options.quiet or options.json or options.virtual_time) as progress:
        progress("calibrating", 0.0)
        machine = await calibrate()  # before the network's schedules begin
        progress("calibrating", 1.0)
        async with Network(
            topology, seed=options.seed, record=options.record, record_stats_s=options.record_stats
        ) as network:
            return await measure(network, duration_s=duration_s, progress=progress, machine=machine)


def _show(report: Report, topology: Topology, options: argparse.Namespace) -> None:
    if options.report:
        from linkem_py.report import write

        write(report, topology, Path(options.report))
    if options.json:
        print_json(report.as_json())
        return
    from linkem_py.report import render_table

    print_rich(render_table(report))
    if options.report:
        notice(f"the report is in {options.report}", quiet=options.quiet)
