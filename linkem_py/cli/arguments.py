"""The grammar of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from linkem_py.cli import described, kernel, network_arguments, virtual
from linkem_py.cli.errors import UsageError

USAGE = 2  # exit status

_DESCRIPTION = "Emulates a network of peers on one Linux machine."
_EPILOG = (
    "TOPOLOGY is a Python file that defines topology(), the name of a module that does, or one of those that come "
    "with linkem_py (linkem topologies lists them). No file is needed for --preset and --scenario (linkem presets)."
)
_KERNEL = "where to run: auto (this kernel if it can, else a guest kernel), host, guest, or the PATH of a guest kernel"


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are `UsageError`."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise UsageError(f"{message} ({self.prog} --help tells more)")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options and words; what follows ``--`` is `options.command` (None without ``--``).

    Raises `UsageError`, and SystemExit after --help and --version.
    """
    head, command = split(words)
    parser = make_parser()
    if not head:
        parser.print_help()
        parser.exit(USAGE)
    options = parser.parse_args(head)
    options.words = list(words)
    options.command = command
    if command is not None and options.name not in ("run", *network_arguments.WITH_COMMAND):
        raise UsageError(f"linkem {options.name} takes no command after --")
    return options


def parse_inside(words: Sequence[str]) -> argparse.Namespace:
    """The options of ``linkem inside``, which is not for people."""
    parser = Parser(prog="linkem inside", allow_abbrev=False)
    _topology(parser)
    parser.add_argument("--name", dest="network")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--speed", type=network_arguments.speed, default=1.0)
    network_arguments.recorded(parser)
    return parser.parse_args(words)


def split(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first ``--``, and what after it (None without)."""
    if "--" not in words:
        return list(words), None
    at = list(words).index("--")
    return list(words[:at]), list(words[at + 1 :])


def make_parser() -> Parser:
    """The whole grammar."""
    parser = Parser(prog="linkem", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument("--version", action=Version, nargs=0, help="print the version")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, title="commands")
    for name, about, fill in (
        ("run", "run a network: measure it, or run a command in it", _run),
        ("verify", "measure what links do and hold it against what is asked, with a confidence", _verify),
        ("up", "run a network that stays up, to be controlled from outside", _up),
        *network_arguments.commands(),
        ("replay", "run a recorded network again, with its changes at their times", _replay),
        ("plot", "draw a recording: what each link was asked for and what it did, over time", network_arguments.plot),
        ("plan", "show what would be built for a topology, without building it", _plan),
        ("topologies", "list the topologies that come with linkem_py", _json),
        ("presets", "list links, schedules and scenarios by name, with their numbers", _presets),
        ("doctor", "say what this machine can do, and what to do about the rest", _doctor),
        ("kernel", "build a guest kernel, list or remove them", kernel.fill),
    ):
        command = commands.add_parser(
            name, help=about, description=f"{about[0].upper()}{about[1:]}.", allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        # Not set here if absent, so that it may also stand before the command.
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        fill(command)
    commands.add_parser("guest", help="run any command in a guest kernel (linkem guest -- COMMAND)", add_help=False)
    return parser


class Version(argparse.Action):
    """Prints the version, which is looked up only then, and leaves."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """As argparse calls it."""
        from linkem_py import __version__

        print(f"linkem {__version__}")
        parser.exit()


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _quiet(command: argparse.ArgumentParser) -> None:
    command.add_argument("-q", "--quiet", action="store_true", help="no notices")


def _topology(command: argparse.ArgumentParser) -> None:
    described.add_arguments(command)
    command.add_argument(
        "--seed", metavar="N", type=network_arguments.seed, help="seed of the run: the same losses again (Linux 6.6)"
    )


def _run(command: argparse.ArgumentParser) -> None:
    command.usage = "linkem run TOPOLOGY|--scenario FILE|--preset NAME [option ...] [-- COMMAND ...]"
    command.epilog = (
        "Without a COMMAND every link is measured, and asked is printed beside measured.\n"
        "With one it runs in every peer at the same time (LINKEM_PEER says in which), its output after\n"
        "the peer's name; the exit status is the highest of all, 124 if time was up before the end.\n"
        "A scenario takes the time that it says, unless --duration says another."
    )
    _topology(command)
    command.add_argument("--duration", metavar="TIME", help="for so long: 90, 90s, 5m, 1h")
    command.add_argument("--in", metavar="PEER", dest="peer", help="run the COMMAND in this peer alone, as it is")
    command.add_argument("--report", metavar="FOLDER", help="write the report there: tables, plots, JSON")
    network_arguments.recorded(command)
    _kernel(command)
    virtual.add_arguments(command)
    _json(command)
    _quiet(command)


def _verify(command: argparse.ArgumentParser) -> None:
    command.epilog = (
        "Loss, lengths of bursts, delay and its distribution, rate (second by second under a schedule), duplicates,\n"
        "reordering and corruption, each with an interval of 99 % and as many packets as that takes.\n"
        "The exit status is 0 if all is within its tolerance, 1 if anything is out of it or undecided: too few\n"
        "samples in the time given are no proof. A tolerance is a share of what is asked (loss=10%) or an\n"
        "amount (loss=0.2pp, delay=2ms); of delay, jitter, distribution, loss, bursts, duplicates, corruption,\n"
        "reordering, goodput, schedule."
    )
    _topology(command)
    command.add_argument(
        "--link", metavar=("A", "B"), nargs=2, action="append", default=[],
        help="only the link from A to B, on each of its segments (any number)",
    )  # fmt: skip
    command.add_argument(
        "--tolerance", metavar="WHAT=HOW", action="append", default=[],
        help="how far from what was asked is accepted: loss=10%%, delay=2ms (any number)",
    )  # fmt: skip
    command.add_argument("--duration", metavar="TIME", help="take no longer than so: 90, 90s, 5m (1m)")
    command.add_argument("--quick", action="store_true", help="20 s at most, and twice the tolerances not given")
    command.set_defaults(record=None)
    _kernel(command)
    virtual.add_arguments(command)
    _json(command)
    _quiet(command)


def _up(command: argparse.ArgumentParser) -> None:
    _topology(command)
    network_arguments.up(command)
    network_arguments.recorded(command)
    _kernel(command)
    virtual.add_arguments(command)
    _json(command)
    _quiet(command)


def _replay(command: argparse.ArgumentParser) -> None:
    network_arguments.replay(command)
    network_arguments.recorded(command)
    _kernel(command)
    virtual.add_arguments(command)
    _json(command)
    _quiet(command)


def _kernel(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kernel", metavar="WHERE", default="auto", type=_where, help=_KERNEL)
    command.add_argument("--memory", metavar="SIZE", default="1G", help="memory of a guest kernel (1G)")


def _plan(command: argparse.ArgumentParser) -> None:
    _topology(command)
    command.add_argument(
        "--without", metavar="CAPABILITY", action="append", default=[],
        help="as for a kernel without it, such as mixed_duplicate or seed (any number)",
    )  # fmt: skip
    _json(command)
    _quiet(command)


def _presets(command: argparse.ArgumentParser) -> None:
    command.add_argument("preset", metavar="NAME", nargs="?", help="show this one whole")
    _json(command)


def _doctor(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-guest", action="store_true", help="do not start a guest kernel to try it")
    _json(command)


# --- values --------------------------------------------------------------------------------------


def _where(text: str) -> str:
    if text in ("auto", "host", "guest") or "/" in text:
        return text
    raise argparse.ArgumentTypeError(f"must be auto, host, guest or a path: {text!r}")
