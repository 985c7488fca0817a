"""``--virtual-time``: the same command line once more, in a guest in which waiting takes no time."""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from linkem_py.cli import kernel_choice
from linkem_py.cli.errors import UsageError
from linkem_py.cli.kernel_choice import Decision, Place

if TYPE_CHECKING:
    from linkem_py.guest import VirtualTime
    from linkem_py.guest.virtual_time import Passed

_VARIABLE = "LINKEM_VIRTUAL_TIME"  # linkem_py.guest has it too: not imported for its own sake


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options."""
    command.add_argument(
        "--virtual-time", action="store_true",
        help="in a guest kernel in which waiting takes no time (linkem kernel build makes one)",
    )  # fmt: skip
    command.add_argument(
        "--default-rate", metavar="RATE", type=_rate,
        help="in virtual time: of links without a rate, such as 500M, or none (1G)",
    )  # fmt: skip
    command.add_argument("--start", metavar="DATE", type=_date, help="in virtual time: its beginning (2030-01-01)")
    command.add_argument(
        "--stall", metavar="S", type=_stall, help="in virtual time: it may stand still for so long in real time (60)"
    )


# Imported where they are used: most command lines have none of these options.


def _rate(text: str) -> tuple[float | None]:
    from linkem_py.guest import arguments

    return arguments.rate(text)


def _date(text: str) -> datetime:
    from linkem_py.guest import arguments

    return arguments.date(text)


def _stall(text: str) -> float:
    from linkem_py.guest import arguments

    return arguments.seconds(text)


def is_wanted(options: argparse.Namespace) -> bool:
    """Whether it was asked for and is not here yet. Raises `UsageError` for options that do not go together."""
    if not options.virtual_time:
        for option in ("default_rate", "start", "stall"):
            if getattr(options, option) is not None:
                raise UsageError(f"--{option.replace('_', '-')} needs --virtual-time")
        return False
    return os.environ.get(_VARIABLE) != "1"


def decide(options: argparse.Namespace) -> Decision:
    """The guest to run in. Raises `UsageError` and `GuestUnavailableError`."""
    from linkem_py.guest import find_virtual_time_kernel

    if options.kernel == kernel_choice.HOST:
        raise UsageError("--virtual-time needs a guest kernel, and --kernel host is this one")
    path = None if options.kernel in (kernel_choice.AUTO, kernel_choice.GUEST) else options.kernel
    return Decision(place=Place.GUEST, guest=find_virtual_time_kernel(path))


def check_surfaces(options: argparse.Namespace) -> None:
    """Nobody outside can reach a network in virtual time. Raises `UsageError`."""
    if not options.virtual_time:
        return
    given = {"--detach": options.detach, "--mqtt": options.mqtt is not None, "--metrics": options.metrics is not None}
    wrong = [option for option, there in given.items() if there]
    if wrong:
        raise UsageError(
            f"--virtual-time does not go with {wrong[0]}: what lives in real time cannot reach a network for which "
            "hours pass in seconds. Leave one of them out, or run what is to reach it in the guest (linkem run -- ...)"
        )


def check_end(options: argparse.Namespace, duration_s: float | None) -> None:
    """A network that stays up in virtual time has to end by itself. Raises `UsageError`."""
    if options.virtual_time and duration_s is None:
        raise UsageError("--virtual-time needs --duration: there would be no end")


def repeat_randomness(seed: int | None) -> None:
    """In virtual time what draws from `random` draws the same in every run."""
    if os.environ.get(_VARIABLE) == "1":
        random.seed(0 if seed is None else seed)


def for_guest(options: argparse.Namespace) -> VirtualTime | None:
    """How a guest for this command line runs; None: in real time."""
    if not options.virtual_time:
        return None
    from linkem_py.guest import VirtualTime, arguments

    return VirtualTime(tell=_teller(quiet=options.quiet or options.json), **arguments.of_virtual_time(options))


def _teller(*, quiet: bool) -> Callable[[Passed], object]:
    # Standard error is handed over with the command's end, and this comes after it.
    kept = os.dup(2)

    def tell(passed: Passed) -> None:
        if not quiet:
            os.write(kept, f"linkem: {passed}\n".encode())

    return tell
