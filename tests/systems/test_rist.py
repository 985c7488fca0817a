"""RIST (GStreamer's ristsink and ristsrc) over three links: what it repairs, and what it does when one dies.

The stream is thin, a small machine has to keep up with a sender, a receiver and a kernel between
them. Packets count from when the receiver has filled its buffer for the first time: one that joins
a stream may miss its beginning.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Mapping

import pytest

from examples.rist_bonding.run import Plan, interpreter, run
from examples.rist_bonding.timeline import Cut, Timeline
from linkem_py import Impairment, Topology
from tests.systems.programs import needs

pytestmark = [
    pytest.mark.kernel("netem", "htb", "clsact", "gact", "skbedit"),
    needs("gst-launch-1.0", "gst-inspect-1.0"),
]

LINKS = ("lte", "nr", "wifi")
CLEAN = {"lte": Impairment(delay_ms=40), "nr": Impairment(delay_ms=20), "wifi": Impairment(delay_ms=30)}
METHODS = ("broadcast", "round-robin")
RATE_KBIT = 250.0
SECONDS = 4.5
BUFFER_MS = 1000
SPLIT_BYTES = 1280  # an MTU that a packet of the stream (1356 bytes with its headers) does not fit

Note = Callable[[str, object], None]


@functools.cache
def missing() -> str:
    """What of GStreamer is not installed; empty if nothing is."""
    imported = [interpreter(), "-c", "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst"]
    if subprocess.run(imported, capture_output=True, check=False).returncode:
        return "GStreamer's Python bindings"
    for element in ("ristsink", "ristsrc", "rtpmp2tpay", "rtpbin", "appsrc"):
        if subprocess.run(["gst-inspect-1.0", "--exists", element], check=False).returncode:
            return f"GStreamer's element {element}"
    return ""


@pytest.fixture(autouse=True)
def _gstreamer() -> None:
    if missing():
        pytest.skip(f"not installed: {missing()}")


async def stream(impairments: Mapping[str, Impairment], note: Note, *, method: str, cut: Cut | None = None) -> Timeline:
    topology = Topology("rist")
    for name in ("camera", "studio"):
        topology.add_peer(name)
    for link in LINKS:
        topology.connect("camera", "studio", impairments[link], back=CLEAN[link], segment=link)
    plan = Plan(method=method, rate_kbit=RATE_KBIT, seconds=SECONDS, buffer_ms=BUFFER_MS, cut=cut)
    timeline = await run(topology, plan, seed=5)
    note("rist", timeline.summary())
    return timeline


def worse(links: tuple[str, ...], **fields: float) -> dict[str, Impairment]:
    return {name: clean.evolve(**fields) if name in links else clean for name, clean in CLEAN.items()}


RUNS = {
    "baseline": CLEAN,
    "rate": worse(("lte",), rate_kbit=600),
    "loss": worse(("wifi",), loss_pct=10),
    "rate and loss": worse(("lte",), rate_kbit=600, loss_pct=10),
    "all links": worse(LINKS, rate_kbit=2000, loss_pct=5),
}


@pytest.mark.parametrize("name", RUNS)
async def test_what_every_link_carries_arrives_whole(name: str, record_property: Note) -> None:
    timeline = await stream(RUNS[name], record_property, method="broadcast")
    assert timeline.packets >= 0.95 * SECONDS * RATE_KBIT / (0.008 * 1316)
    assert timeline.missing == []
    for index in range(len(LINKS)):
        # Each link has had every packet, and told of its round trip.
        assert timeline.carried[-1].frames[index] >= 0.9 * timeline.packets
        assert (timeline.round_trip_ms(index) or 0) >= 2 * CLEAN[LINKS[index]].delay_ms


async def test_packets_that_take_turns_arrive_whole(record_property: Note) -> None:
    timeline = await stream(CLEAN, record_property, method="round-robin")
    assert timeline.missing == []
    originals = timeline.sent[-1].originals
    assert max(originals) - min(originals) <= 1
    assert sum(originals) == timeline.packets


async def test_what_a_link_loses_is_sent_again_and_recovered(record_property: Note) -> None:
    timeline = await stream(worse(("lte",), loss_pct=20), record_property, method="round-robin")
    summary = timeline.summary()
    # Nobody else has what was sent on this link: a third of the stream, and a fifth of that is lost.
    assert summary["links"]["lte"]["frames_lost"] >= 3
    assert summary["links"]["lte"]["retransmitted"] >= 3
    assert summary["recovered"] >= 3
    # A request and its answer take 150 ms; in a buffer of 1 s a packet is lost five times in 3,000.
    assert len(timeline.missing) <= 1


async def test_broadcast_does_not_notice_that_a_link_dies(record_property: Note) -> None:
    timeline = await stream(CLEAN, record_property, method="broadcast", cut=Cut(link="nr", at=1.7, until=3.2))
    (cut,) = timeline.cuts
    assert timeline.missing == []
    assert timeline.outcome(cut).pause_ms < BUFFER_MS
    links = timeline.summary()["links"]
    # What was sent on it meanwhile did not arrive by it; how much was just then on its way is the machine's affair.
    for other in ("lte", "wifi"):
        assert links[other]["arrived"] - links["nr"]["arrived"] >= timeline.outcome(cut).sent / 2


async def test_round_robin_loses_from_the_dead_links_share_only(record_property: Note) -> None:
    """ristsink sends a packet again only where it was sent first, and goes on sending on a dead link."""
    timeline = await stream(CLEAN, record_property, method="round-robin", cut=Cut(link="nr", at=1.7, until=3.2))
    (cut,) = timeline.cuts
    outcome = timeline.outcome(cut)
    # Every third packet went by it, and none of them can come by another. What was sent in the buffer's last
    # second can still be asked for when the link is back.
    share = outcome.sent / len(LINKS)
    assert share * (1 - BUFFER_MS / 1000 / (cut.until - cut.at)) - 2 <= outcome.lost <= share + 2
    turns = {number % len(LINKS) for number in timeline.missing}
    assert len(turns) == 1
    # Packets that were on their way when it died count for it too.
    assert len(timeline.missing) <= share + 2


@pytest.mark.parametrize("method", METHODS)
async def test_a_link_that_splits_packets_carries_them_whole(method: str, record_property: Note) -> None:
    timeline = await stream(worse(("wifi",), mtu=SPLIT_BYTES), record_property, method=method)
    split = LINKS.index("wifi")
    assert timeline.missing == []
    assert timeline.carried[-1].frames[split] >= 1.9 * timeline.sent[-1].originals[split]
