"""A stream over several links at once, with weights from their loss and round trip, and a bitrate that adapts.

The first peer of a topology sends numbered datagrams to the second, which reports over each link what
it has seen of it. Every second the table shows what became of it.

    linkem guest -- python examples/bonding_scheduler --topology bonded_stress --seconds 20
    linkem guest -- python examples/bonding_scheduler --topology bonding_cellular --degrade nr
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the checkout, which has examples/ and topologies/
from examples.bonding_scheduler.bitrate import Bitrate
from examples.bonding_scheduler.session import Sample, Summary, streaming
from linkem_py import LinkemError, Network
from linkem_py.cli.load import load_topology
from linkem_py.model import Topology

HEADING = f"{'time':>6}  {'bitrate':>13}  {'link':<9}  {'weight':>6}  {'sent':>13}  {'loss':>6}  {'rtt':>8}  strain"
DEGRADED = {"loss_pct": 25.0, "loss": None}


def lines_of(sample: Sample) -> str:
    """A line for each link; time and bitrate stand in the first."""
    lines: list[str] = []
    for name, link in sample.links.items():
        first = f"{sample.at_s:>4.0f} s  {sample.bitrate_kbit:>6,.0f} kbit/s" if not lines else " " * 21
        strain = "" if link.strain == "none" else link.strain
        lines.append(
            f"{first}  {name:<9}  {link.weight:>4.0%}{'':2}  {link.sent_kbit:>6,.0f} kbit/s"
            f"  {link.loss_pct:>4.1f} %  {link.rtt_ms:>5.0f} ms  {strain}".rstrip()
        )
    return "\n".join(lines)


async def degrade(network: Network, segment: str, seconds: float) -> None:
    """A quarter of what goes over one link is lost, in the second third of the time."""
    source, destination = network.topology.peers
    before = network.impairment(source, destination, segment=segment)
    await asyncio.sleep(seconds / 3)
    await network.update(source, destination, segment=segment, **DEGRADED)
    await asyncio.sleep(seconds / 3)
    await network.update(source, destination, segment=segment, loss_pct=before.loss_pct, loss=before.loss)


async def measure(topology: Topology, options: argparse.Namespace) -> Summary:
    def show(sample: Sample) -> None:
        if not options.json:
            print(lines_of(sample), flush=True)

    bitrate = Bitrate(kbit=options.least, least_kbit=options.least, most_kbit=options.most)
    async with (
        Network(topology) as network,
        streaming(network, bitrate, budget_s=options.budget / 1000) as session,
        asyncio.TaskGroup() as group,
    ):
        changing = group.create_task(degrade(network, options.degrade, options.seconds)) if options.degrade else None
        summary = await session.watch(options.seconds, 1.0, show)
        if changing:
            changing.cancel()
    return summary


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    parser.add_argument("--topology", default="bonded_stress", help="two peers, a segment for each link (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="how long to send (%(default)s)")
    parser.add_argument("--least", type=float, default=300, help="least bitrate in kbit/s (%(default)s)")
    parser.add_argument("--most", type=float, default=10_000, help="greatest bitrate in kbit/s (%(default)s)")
    parser.add_argument(
        "--budget", type=float, default=500, help="round trip in ms that is still in time (%(default)s)"
    )
    parser.add_argument("--degrade", metavar="SEGMENT", help="lose 25 %% on one link in the second third of the time")
    parser.add_argument("--json", action="store_true", help="one JSON document at the end")
    return parser.parse_args()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bonding_scheduler", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options = options_of(parser)
    try:
        topology = load_topology(options.topology)
        if len(topology.peers) != 2 or not topology.links:
            parser.error(f"--topology: must have two peers and links between them: {options.topology}")
        if options.degrade and options.degrade not in topology.segments:
            parser.error(f"--degrade: must be one of {', '.join(topology.segments)}: {options.degrade}")
        if not options.json:
            print(HEADING)
        summary = asyncio.run(measure(topology, options))
    except (LinkemError, ValueError) as error:
        sys.exit(str(error))
    if options.json:
        print(json.dumps(attrs.asdict(summary), indent=2))
    else:
        print(f"{summary.arrived:,} of {summary.sent:,} datagrams arrived, by whichever link")


if __name__ == "__main__":
    main()
