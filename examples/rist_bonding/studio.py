"""The receiver: GStreamer's ristsrc, and an application that notes which packets arrive, and when.

    python3 -m examples.rist_bonding.studio ADDRESS:PORT,... --buffer 1000

It is ready, and ends when its standard input does. Times are those of the monotonic clock.
"""

from __future__ import annotations

import argparse
import select
import sys
import time
from collections import deque
from typing import Any

from examples.rist_bonding import ts
from examples.rist_bonding.elements import EVERY_S, Gst, check, play, sessions, tell

_FIELDS = {
    "received": "received",
    "recovered": "recovered",
    "permanently-lost": "lost",
    "duplicates": "duplicates",
    "retransmission-requests-sent": "requests",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("addresses")
    parser.add_argument("--buffer", type=int, default=1000, help="how long it waits for a packet, in ms")
    options = parser.parse_args()
    pipeline = play(
        f'ristsrc name=rist receiver-buffer={options.buffer} bonding-addresses="{options.addresses}" ! '
        "rtpmp2tdepay ! fakesink name=application sync=false signal-handoffs=true"
    )
    rist = pipeline.get_by_name("rist")
    for session in sessions(rist, "rist_recv_rtpbin"):
        # RTP believes in a source after two packets in a row, which round-robin never sends on one
        # link: without this the stream's first half second is thrown away.
        session.set_property("probation", 0)
    delivered: deque[tuple[int, float, float]] = deque()

    def deliver(_sink: Any, buffer: Any, _pad: Any) -> None:
        now = time.monotonic()
        delivered.extend((number, sent, now) for number, sent in ts.numbered(buffer.extract_dup(0, buffer.get_size())))

    pipeline.get_by_name("application").connect("handoff", deliver)
    tell(ready=True)
    while not select.select([sys.stdin], [], [], EVERY_S)[0]:
        report(rist, delivered)
        check(pipeline)
    report(rist, delivered)
    pipeline.set_state(Gst.State.NULL)


def report(rist: Any, delivered: deque[tuple[int, float, float]]) -> None:
    """What RIST says, and what was delivered since the last time."""
    stats = rist.get_property("stats")
    tell(
        at=time.monotonic(),
        **{ours: stats.get_value(theirs) for theirs, ours in _FIELDS.items()},
        # Their "dropped" takes every gap in the numbers for a loss, and round-robin leaves gaps on every link.
        sessions=[{"received": link.get_value("received")} for link in stats.get_value("session-stats")],
        delivered=[delivered.popleft() for _ in range(len(delivered))],
    )


if __name__ == "__main__":
    main()
