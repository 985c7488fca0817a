"""What command lines say of a guest, for argparse."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any

from linkem_py.guest.virtual_time import parse_rate, parse_start


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0: {text!r}")
    return value


def rate(text: str) -> tuple[float | None]:
    """As `parse_rate`, in a tuple: none is a rate, too."""
    try:
        return (parse_rate(text),)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def date(text: str) -> datetime:
    """As `parse_start`."""
    try:
        return parse_start(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def of_virtual_time(options: argparse.Namespace) -> dict[str, Any]:
    """What ``--start``, ``--stall`` and ``--default-rate`` set of a `VirtualTime`; empty if none was given."""
    given = {"start": options.start, "stall_s": options.stall}
    given = {name: value for name, value in given.items() if value is not None}
    if options.default_rate is not None:
        (given["default_rate_kbit"],) = options.default_rate
    return given
