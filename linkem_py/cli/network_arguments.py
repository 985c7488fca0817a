"""The grammar of the commands for networks that stay up."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

Fill = Callable[[argparse.ArgumentParser], None]

WITH_COMMAND = ("exec",)  # those that take a command after --

_WHICH = "NAME may be left out while exactly one network runs."
_FIELDS = (
    "A value is a number, true, false, none (takes the setting away), a name, JSON, or a loss model:\n"
    "loss=gilbert_elliott:P,R[,BAD,GOOD], loss=four_state:P13[,P31,P32,P23,P14], all in percent."
)


def commands() -> tuple[tuple[str, str, Fill], ...]:
    """Name, what it does, and what adds its arguments."""
    return (
        ("list", "list the networks that run", _list),
        ("show", "show a network: peers, addresses, links, what is in force", _show),
        ("set", "change a link: only the fields that are named", _set),
        ("clear", "take the whole impairment of a link away", _clear),
        ("schedule", "have a link change with time, by a preset or a file; or list what goes on", _schedule),
        ("link", "let nothing into a link, or again what comes", _link),
        ("carrier", "take the carrier of a peer's interface away, or give it back", _carrier),
        ("readdress", "give a peer other addresses on a segment", _readdress),
        ("partition", "cut everything between groups of peers", _partition),
        ("heal", "end the partition", _heal),
        ("stats", "show the counters of every link", _stats),
        ("watch", "show what happens in a network, as it happens", _watch),
        ("exec", "run a command in a peer of a running network", _exec),
        ("shell", "open a shell in a peer of a running network", _shell),
        ("capture", "write what a peer sends and gets to a pcapng file, before and after its queues", _capture),
        ("down", "end a network, or clean up after one whose owner died", _down),
        ("schema", "print the JSON Schema of what is said over MQTT and the control socket, or of scenarios", _schema),
        ("completion", "print what makes a shell complete linkem's words", _completion),
    )


def up(command: argparse.ArgumentParser) -> None:
    """What `up` has beside what describes the topology and the kernel."""
    command.usage = "linkem up TOPOLOGY|--scenario FILE|--preset NAME [option ...]"
    command.epilog = (
        "In the foreground it shows the links until Ctrl-C, or SIGTERM, takes the network down.\n"
        "For root the peers' namespaces have names: ip netns exec NAME.PEER COMMAND.\n"
        "A scenario takes the time that it says, unless --duration says another."
    )
    staying(command)


def replay(command: argparse.ArgumentParser) -> None:
    """What `replay` has beside what describes the kernel."""
    command.usage = "linkem replay FILE [option ...]"
    command.epilog = (
        "The network is built as it was when the recording began, and ends with the recording, or after --duration.\n"
        "Meanwhile other commands reach it by its name. The exit status is 1 if a change was refused."
    )
    command.add_argument("topology", metavar="FILE", help="a recording, as --record of linkem up and run writes it")
    command.add_argument(
        "--speed", metavar="X", type=speed, default=1.0, help="2: twice as fast; max: without waiting (1)"
    )
    command.add_argument("--dry", action="store_true", help="only list what would be done")
    command.add_argument("--seed", metavar="N", type=seed, help="seed of the run (the recorded one)")
    staying(command)


def plot(command: argparse.ArgumentParser) -> None:
    """What `plot` has."""
    command.usage = "linkem plot FILE [option ...]"
    command.epilog = (
        "For each link: rate and goodput, delay and jitter, loss, and backlog, in force and measured; outages and\n"
        "partitions shaded. Measured is what the recording has counters of (--record-stats)."
    )
    command.add_argument("file", metavar="FILE", help="a recording, as --record of linkem up and run writes it")
    command.add_argument("-o", "--output", metavar="PICTURE", help="a .png, .svg or .pdf (FILE's name with .png)")
    command.add_argument(
        "--link", metavar="PEER", nargs="+", action="append", default=[],
        help="only this link: A B [SEGMENT] (any number of times)",
    )  # fmt: skip
    command.add_argument("--from", metavar="S", dest="start_s", type=moment, help="from this second on")
    command.add_argument("--to", metavar="S", dest="end_s", type=moment, help="up to this second")
    _json(command)


def staying(command: argparse.ArgumentParser) -> None:
    """What all commands have whose network stays up."""
    command.add_argument("--name", dest="network", help="the network's name (the topology's)")
    command.add_argument("-d", "--detach", action="store_true", help="go on in the background, once the network is up")
    command.add_argument("--duration", metavar="TIME", help="for so long: 90, 90s, 5m, 1h")
    command.add_argument(
        "--mqtt", metavar="URL", help="control it over this broker too; embedded: over one of its own, on loopback"
    )
    command.add_argument("--mqtt-prefix", metavar="PREFIX", default="linkem", help="of all topics (linkem)")
    command.add_argument(
        "--stats-interval", metavar="S", type=seconds, default=1.0, help="between counters over MQTT, in seconds (1)"
    )
    command.add_argument(
        "--metrics", metavar="[HOST:]PORT", type=address,
        help="serve metrics for Prometheus there, by default on loopback; port 0 takes a free one",
    )  # fmt: skip


def address(text: str) -> tuple[str, int]:
    """Host and port; loopback without a host. Raises argparse's error."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) >= 2**16:
        raise argparse.ArgumentTypeError(f"must be PORT or HOST:PORT, a port from 0 to 65535: {text!r}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def seconds(text: str) -> float:
    """A number of seconds above 0. Raises argparse's error."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0: {text!r}")
    return value


def recorded(command: argparse.ArgumentParser) -> None:
    """Where to write down what happens."""
    command.add_argument("--record", metavar="FILE", help="write down every change and counters (linkem replay, plot)")
    command.add_argument(
        "--record-stats", metavar="S", type=interval, default=1.0,
        help="between counters in the recording, in seconds; 0: none (1)",
    )  # fmt: skip


def interval(text: str) -> float | None:
    """A number of seconds from 0.01 to 86,400, or None for 0. Raises argparse's error."""
    value = moment(text)
    if value and not 0.01 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"must be 0, or between 0.01 and 86400 seconds: {text!r}")
    return value or None


def moment(text: str) -> float:
    """A number of seconds from 0 on. Raises argparse's error."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 on: {text!r}")
    return value


def speed(text: str) -> float:
    """A number from 0 on; 0 and max are infinite: without waiting. Raises argparse's error."""
    try:
        value = math.inf if text == "max" else float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, or max: {text!r}")
    return value or math.inf


def seed(text: str) -> int:
    """A whole number of 64 bits. Raises argparse's error."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 2**64:
        raise argparse.ArgumentTypeError(f"must be a whole number of 64 bits: {text!r}")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0: {text!r}")
    return int(text)


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def _remote(command: argparse.ArgumentParser) -> None:
    command.add_argument("--mqtt", metavar="URL", help="reach the network over this broker (NAME is needed then)")
    command.add_argument("--mqtt-prefix", metavar="PREFIX", default="linkem", help="of all topics (linkem)")


def _one(command: argparse.ArgumentParser) -> None:
    """A network, reached from here or over a broker."""
    command.add_argument("network", metavar="NAME", nargs="?", help=f"the network. {_WHICH}")
    _remote(command)
    _json(command)


def _words(command: argparse.ArgumentParser, usage: str, about: str) -> None:
    command.usage = f"linkem {usage}"
    command.epilog = about
    command.add_argument("arguments", nargs="+", help=argparse.SUPPRESS)


def _list(command: argparse.ArgumentParser) -> None:
    _json(command)


def _show(command: argparse.ArgumentParser) -> None:
    _one(command)


def _set(command: argparse.ArgumentParser) -> None:
    _words(command, "set [NAME] SRC DST FIELD=VALUE ... [option ...]", f"{_WHICH}\n{_FIELDS}")
    _segment(command)
    command.add_argument("--both", action="store_true", help="the same for the way back, at the same time")
    command.add_argument("--clear", action="store_true", help="take everything else of the link away")
    _remote(command)
    _json(command)


def _clear(command: argparse.ArgumentParser) -> None:
    _words(command, "clear [NAME] SRC DST [option ...]", _WHICH)
    _segment(command)
    command.add_argument("--both", action="store_true", help="the way back too, at the same time")
    _remote(command)
    _json(command)


def _schedule(command: argparse.ArgumentParser) -> None:
    command.usage = "linkem schedule [[NAME] SRC DST PRESET|--file FILE|--off] [option ...]"
    command.epilog = (
        f"{_WHICH}\n"
        "FILE holds a schedule in JSON or TOML (linkem schema schedule), or a trace: CSV with a header, or a packet's\n"
        "millisecond on each line, as Mahimahi has them. Without a link, what goes on is listed."
    )
    command.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    command.add_argument("--file", metavar="FILE", help="the schedule in this file; - is standard input")
    command.add_argument("--off", action="store_true", help="end the link's schedule; the link stays as it is then")
    _segment(command)
    command.add_argument("--both", action="store_true", help="the same for the way back, at the same time")
    _remote(command)
    _json(command)


def _link(command: argparse.ArgumentParser) -> None:
    command.usage = "linkem link down|up [NAME] SRC DST [option ...]"
    command.epilog = f"{_WHICH}\nWhat is on its way arrives; impairments stay, and schedules go on underneath."
    command.add_argument("direction", metavar="down|up", choices=("down", "up"), help="what becomes of the link")
    command.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    _segment(command)
    command.add_argument("--one-way", action="store_true", help="only from SRC to DST, not the way back")
    _remote(command)
    _json(command)


def _carrier(command: argparse.ArgumentParser) -> None:
    _words(command, "carrier [NAME] PEER up|down [option ...]", _WHICH)
    _segment(command)
    _remote(command)
    _json(command)


def _readdress(command: argparse.ArgumentParser) -> None:
    _words(command, "readdress [NAME] PEER [option ...]", _WHICH)
    command.add_argument("--ipv4", metavar="ADDRESS", help="the IPv4 address (the next free one)")
    command.add_argument("--ipv6", metavar="ADDRESS", help="the IPv6 address (the next free one)")
    _segment(command)
    _remote(command)
    _json(command)


def _segment(command: argparse.ArgumentParser) -> None:
    command.add_argument("--segment", metavar="SEGMENT", default="lan", help="the link's segment (lan)")


def _partition(command: argparse.ArgumentParser) -> None:
    command.usage = "linkem partition NAME PEER,PEER... PEER,PEER... [option ...]"
    command.epilog = "Replaces an earlier partition. Peers that are not named reach all groups."
    command.add_argument("network", metavar="NAME", help="the network")
    command.add_argument(
        "groups", metavar="GROUP", nargs="+", help="peers, with commas between them; at least two groups"
    )
    _remote(command)
    _json(command)


def _heal(command: argparse.ArgumentParser) -> None:
    _one(command)


def _stats(command: argparse.ArgumentParser) -> None:
    _one(command)
    command.add_argument(
        "--interval", metavar="S", type=seconds, help="go on, every S seconds, with the rate since the last time"
    )


def _watch(command: argparse.ArgumentParser) -> None:
    _one(command)


def _exec(command: argparse.ArgumentParser) -> None:
    _words(
        command,
        "exec [NAME] PEER -- COMMAND ...",
        f"{_WHICH}\nThe exit status is the command's; 128 + N if signal N ended it, 127 if there is no such command.",
    )
    _refuse_remote(command)


def _shell(command: argparse.ArgumentParser) -> None:
    _words(command, "shell [NAME] PEER", f"{_WHICH}\nThe shell is $SHELL, else /bin/sh.")
    _refuse_remote(command)


def _capture(command: argparse.ArgumentParser) -> None:
    _words(
        command,
        "capture [NAME] PEER -o FILE [option ...]",
        f"{_WHICH}\nEach interface is there twice: before its queues, and after them with what arrives.\n"
        "It ends with Ctrl-C, after --seconds or --count, or with the network.",
    )
    command.add_argument("-o", "--output", metavar="FILE", required=True, help="the file; - is standard output")
    command.add_argument("--segment", metavar="SEGMENT", help="the peer's interface there (all of them)")
    command.add_argument("--seconds", metavar="S", type=seconds, help="for so long")
    command.add_argument("--count", metavar="N", type=_whole, help="so many packets")
    command.add_argument("--snaplen", metavar="BYTES", type=_whole, help="of each packet (65535: all)")
    command.add_argument("--filter", metavar="EXPRESSION", help='which packets, as tcpdump has it: "udp port 5000"')
    command.add_argument("-q", "--quiet", action="store_true", help="no notices")
    _refuse_remote(command)
    _json(command)


def _refuse_remote(command: argparse.ArgumentParser) -> None:
    """So that whoever tries it is told why not."""
    command.add_argument("--mqtt", metavar="URL", help=argparse.SUPPRESS)


def _down(command: argparse.ArgumentParser) -> None:
    command.usage = "linkem down NAME... | linkem down --all"
    command.add_argument("networks", metavar="NAME", nargs="*", help="the networks")
    command.add_argument("--all", action="store_true", help="all of this user's")
    command.add_argument("-q", "--quiet", action="store_true", help="no notices")
    _json(command)
    _refuse_remote(command)


def _schema(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "payload",
        metavar="PAYLOAD",
        nargs="?",
        help="one payload, such as set (all of them); or scenario: of a file for --scenario",
    )


def _completion(command: argparse.ArgumentParser) -> None:
    command.usage = "linkem completion bash|zsh|fish"
    command.epilog = (
        'bash: eval "$(linkem completion bash)"   in ~/.bashrc\n'
        'zsh:  eval "$(linkem completion zsh)"    in ~/.zshrc, after compinit\n'
        "fish: linkem completion fish | source    in ~/.config/fish/config.fish"
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
