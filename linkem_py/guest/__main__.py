"""``python -m linkem_py.guest [--kernel PATH] [--memory 1G] [--timeout S] [--owner PID] -- CMD...``."""

from __future__ import annotations

import argparse
import os
import sys

from linkem_py.errors import GuestError
from linkem_py.guest.arguments import date, of_virtual_time, rate, seconds
from linkem_py.guest.kernels import find_kernel, find_virtual_time_kernel
from linkem_py.guest.memory import parse_memory
from linkem_py.guest.run import GuestTimeoutError, run_in_guest
from linkem_py.guest.virtual_time import VirtualTime

USAGE, TIMEOUT, CANNOT_START = 2, 124, 125


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status.

    That of the command, with the conventions of a shell (126, 127, 128 + N); 124 after a timeout, 125 if
    the guest could not be started or died, 2 for wrong usage.
    """
    options = _parser().parse_args(argv)
    _fill_standard_streams()
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        return _complain("no command given: linkem guest [OPTION]... -- CMD...", USAGE)
    try:
        virtual = _virtual_time(options)
        find = find_virtual_time_kernel if virtual else find_kernel
        return run_in_guest(
            words,
            kernel=find(options.kernel),
            memory=options.memory,
            timeout_s=options.timeout,
            hand_over=True,
            owner=options.owner,
            virtual=virtual,
        )
    except GuestTimeoutError as error:
        return _complain(str(error), TIMEOUT)
    except GuestError as error:
        return _complain(str(error), CANNOT_START)
    except ValueError as error:
        return _complain(str(error), USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linkem guest",
        description="Runs a command in a user-mode kernel, with this machine's files.",
    )
    parser.add_argument("--kernel", metavar="PATH", help="the kernel (default: the first one found)")
    parser.add_argument("--memory", metavar="SIZE", default="1G", type=_memory, help="its memory (default 1G)")
    parser.add_argument("--timeout", metavar="S", type=seconds, help="end the command after so many seconds")
    parser.add_argument("--owner", metavar="PID", type=int, help="end with the process that started this one")
    parser.add_argument("--virtual-time", action="store_true", help="computing takes no time, waiting is skipped")
    parser.add_argument("--start", metavar="DATE", type=date, help="virtual time: the clock starts at (2030-01-01)")
    parser.add_argument("--stall", metavar="S", type=seconds, help="virtual time: may stand still so long (60)")
    parser.add_argument("--default-rate", metavar="RATE", type=rate, help="virtual time: of links without a rate (1G)")
    parser.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER, help="command and arguments")
    return parser


def _virtual_time(options: argparse.Namespace) -> VirtualTime | None:
    given = of_virtual_time(options)
    if options.virtual_time:
        # Standard error is handed over with the command's end, and this comes after it.
        kept = os.dup(2)
        return VirtualTime(**given, tell=lambda passed: _say(str(passed), kept))
    if given:
        raise ValueError("--start, --stall and --default-rate need --virtual-time")
    return None


def _fill_standard_streams() -> None:
    # Who was started with one of them closed must not have a pipe of ours in its place.
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


def _memory(text: str) -> str:
    try:
        parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _complain(text: str, status: int) -> int:
    _say(text)
    return status


def _say(text: str, fd: int = 2) -> None:
    try:
        os.write(fd, f"linkem guest: {text}\n".encode(errors="replace"))
    except OSError:
        pass  # Nobody listens; the status says it too.


if __name__ == "__main__":
    sys.exit(main())
