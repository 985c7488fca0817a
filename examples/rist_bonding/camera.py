"""The sender: numbered transport packets at a constant rate, into GStreamer's ristsink.

    python3 -m examples.rist_bonding.camera ADDRESS:PORT,... --method broadcast --rate 1500 --seconds 20

It is ready, waits for a line on standard input, sends, serves retransmissions for as long as its
buffer has them, and ends. Times are those of the monotonic clock, which all peers share.
"""

from __future__ import annotations

import argparse
import sys
import time

from examples.rist_bonding import ts
from examples.rist_bonding.elements import EVERY_S, Gst, check, play, round_trip_ms, sessions, tell

CAPS = "video/mpegts,packetsize=188,systemstream=true"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("addresses")
    parser.add_argument("--method", required=True)
    parser.add_argument("--rate", type=float, required=True, help="kbit/s of transport stream")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--buffer", type=int, default=1000, help="the receiver's, in ms")
    options = parser.parse_args()
    kept_ms = options.buffer + 200  # a little longer than the receiver may still ask
    pipeline = play(
        f'appsrc name=packets is-live=true do-timestamp=true format=time caps="{CAPS}" ! rtpmp2tpay ! '
        f"ristsink name=rist bonding-method={options.method} sender-buffer={kept_ms} "
        f'bonding-addresses="{options.addresses}"'
    )
    packets, rist = pipeline.get_by_name("packets"), pipeline.get_by_name("rist")
    tell(ready=True)
    sys.stdin.readline()
    sent, started = 0, time.monotonic()
    told, end = started, started + options.seconds
    while (now := time.monotonic()) < end + kept_ms / 1000:
        # What this machine had no time for is sent at once, so that the rate holds.
        while (due := started + ts.due(sent, options.rate)) <= min(now, end):
            packets.emit("push-buffer", Gst.Buffer.new_wrapped(ts.datagram(sent, time.monotonic())))
            sent += 1
        if now >= told:
            told += EVERY_S
            report(rist, sent)
            check(pipeline)
        time.sleep(max(0.0, min(due if due < end else told, told) - time.monotonic()))
    report(rist, sent)
    pipeline.set_state(Gst.State.NULL)


def report(rist: object, sent: int) -> None:
    stats = rist.get_property("stats")  # type: ignore[attr-defined]
    tell(
        at=time.monotonic(),
        sent=sent,
        sessions=[
            {
                "sent": link.get_value("sent-original-packets"),
                "retransmitted": link.get_value("sent-retransmitted-packets"),
                "round_trip_ms": round_trip_ms(session),
            }
            for link, session in zip(stats.get_value("session-stats"), sessions(rist, "rist_send_rtpbin"), strict=True)
        ],
    )


if __name__ == "__main__":
    main()
