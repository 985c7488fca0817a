"""What GStreamer's RIST elements tell of themselves, in plain values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402 - the version has to be chosen first

__all__ = ["EVERY_S", "Gst", "check", "play", "round_trip_ms", "sessions", "tell"]

Gst.init(None)

EVERY_S = 0.5  # between two lines, as timeline has it; that one needs attrs


def play(description: str) -> Any:
    """A pipeline that plays. Raises `RuntimeError` with GStreamer's words if it cannot."""
    pipeline = Gst.parse_launch(description)
    if pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
        check(pipeline)
        raise RuntimeError(f"does not play: {description}")
    return pipeline


def check(pipeline: Any) -> None:
    """Raise what went wrong in the pipeline, if anything did."""
    if message := pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR):
        error, details = message.parse_error()
        raise RuntimeError(f"{error.message} ({details})")


def sessions(element: Any, rtpbin: str) -> Iterator[Any]:
    """The RTP session of each bonded link, in the order of `bonding-addresses`."""
    inner = element.get_by_name(rtpbin)
    for number in range(len(element.get_property("stats").get_value("session-stats"))):
        yield inner.emit("get-internal-session", number)


def round_trip_ms(session: Any) -> float | None:
    """The round trip that the last receiver report gives (RFC 3550, 6.4.1); None before the first.

    The `stats` of ristsink have it for the first session only.
    """
    stats = session.get_property("stats")  # owns what is in it: the bindings do not copy
    times = [
        1000 * source.get_value("rb-round-trip") / 65536
        for source in stats.get_value("source-stats")
        if not source.get_value("internal") and source.get_value("have-rb")
    ]
    return max(times, default=0.0) or None


def tell(**values: object) -> None:
    """A line of JSON for the program that started this one."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
