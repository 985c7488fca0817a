from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from rich.console import Console

import examples.rist_bonding
from examples.rist_bonding.run import Plan, run
from examples.rist_bonding.tables import tables_of
from examples.rist_bonding.timeline import Cut
from linkem_py import LinkemError
from topologies import bonding_cellular

LATE_MS = 150
LINKS = ("lte", "nr", "wifi")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.rist_bonding",
        description=examples.rist_bonding.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--method", choices=("broadcast", "round-robin"), default="broadcast")
    parser.add_argument("--rate", type=float, default=500, help="of the stream, kbit/s (%(default)s)")
    parser.add_argument("--seconds", type=float, default=16, help="how long to stream (%(default)s)")
    parser.add_argument("--buffer", type=int, default=1000, help="of the receiver, ms (%(default)s)")
    parser.add_argument("--cut", choices=(*LINKS, "none"), default="nr", help="which link goes down (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the links' losses, from Linux 6.6 on")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw all of it over time (needs matplotlib)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main() -> None:
    options = parser().parse_args()
    seconds = options.seconds
    cut = None if options.cut == "none" else Cut(link=options.cut, at=0.45 * seconds, until=0.7 * seconds)
    plan = Plan(method=options.method, rate_kbit=options.rate, seconds=seconds, buffer_ms=options.buffer, cut=cut)
    errors = Console(stderr=True)
    try:
        with errors.status("starting GStreamer") as status:
            timeline = asyncio.run(
                run(
                    bonding_cellular.topology(),
                    plan,
                    seed=options.seed,
                    watch=lambda at: status.update(f"streaming: {min(at, seconds):.0f} of {seconds:g} s"),
                )
            )
    except (LinkemError, RuntimeError) as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps(timeline.summary()))
    else:
        console = Console()
        for table in tables_of(timeline):
            console.print(table)
        if timeline.late_ms > LATE_MS:
            console.print(
                f"This machine was {timeline.late_ms:.0f} ms late at times: it, too, lost packets and delayed them. "
                "Lower --rate, or take virtual time."
            )
    if options.plot is not None:
        from examples.rist_bonding.plot import draw

        draw(timeline, options.plot)


if __name__ == "__main__":
    main()
