"""``linkem completion``: what makes a shell complete linkem's words; and what the shell asks for it.

The scripts know nothing but ``linkem complete``, which they give the words of the line up to the
cursor, and which prints what may stand there, a line each.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence

from linkem_py.control.registry import Entry, Registry

_SCRIPTS = {
    "bash": """\
_linkem() {
    local IFS=$'\\n' words=("${COMP_WORDS[@]:1:COMP_CWORD}") line=${COMP_LINE:0:COMP_POINT}
    # bash takes = and : for ends of words: what is complete is put together again.
    local current=${line##*[[:space:]]} cut=""
    case $current in *[=:]*) cut=${current%"${current##*[=:]}"};; esac
    read -r -d '' -a words < <(printf '%s\\n' "${line#*[[:space:]]}" | tr -s ' \\t' '\\n\\n')
    [[ $line == *[[:space:]] ]] && words+=("")
    COMPREPLY=($(compgen -W "$(linkem complete "${words[@]}" 2>/dev/null)" -- "$current"))
    COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _linkem linkem
""",
    "zsh": """\
#compdef linkem
_linkem() {
    local -a found
    found=("${(@f)$(linkem complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then
        compadd -Q -S '' -- ${(M)found:#*=}
        compadd -Q -- ${found:#*=}
    else
        _files
    fi
}
compdef _linkem linkem
""",
    "fish": """\
function __linkem_complete
    set -l words (commandline -opc) (commandline -ct)
    linkem complete $words[2..-1] 2>/dev/null
end
complete -c linkem -n 'count (__linkem_complete) >/dev/null' -f -a '(__linkem_complete)'
""",
}

# Those whose words are [NAME] PEER PEER and so on; how many peers, none for any number.
_PEERS = {
    "set": 2, "clear": 2, "schedule": 2, "link": 2,
    "carrier": 1, "readdress": 1, "exec": 1, "shell": 1, "capture": 1,
}  # fmt: skip
_SWITCHES = ("down", "up")
_NAMES = ("show", "heal", "stats", "watch", "partition")


def run(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    print(_SCRIPTS[options.shell], end="")
    return 0


def complete(words: Sequence[str]) -> int:
    """``linkem complete WORD...``: the words of the line; the last one is what is being typed."""
    for candidate in candidates(list(words), Registry.of_user()):
        print(candidate)
    sys.stdout.flush()
    return 0


def candidates(words: list[str], registry: Registry) -> list[str]:
    """What may stand in the place of the last word. Never raises for nonsense."""
    from linkem_py.cli.arguments import make_parser

    *before, current = words or [""]
    commands = _commands(make_parser())
    if not before:
        found = [*commands, "--help", "--version"]
    elif before[0] not in commands or "--" in before:
        return []
    elif current.startswith("-"):
        found = list(_options(commands[before[0]]))
    else:
        found = list(_values(before, commands[before[0]], registry))
    return sorted({candidate for candidate in found if candidate.startswith(current)})


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _options(command: argparse.ArgumentParser) -> Iterator[str]:
    for action in command._actions:
        if action.help != argparse.SUPPRESS:
            yield from (option for option in action.option_strings if option.startswith("--"))


def _values(before: list[str], command: argparse.ArgumentParser, registry: Registry) -> Iterator[str]:
    options = {option: action for action in command._actions for option in action.option_strings}
    last = options.get(before[-1])
    if last is not None and last.nargs != 0:
        yield from _OPTION_VALUES.get(last.dest, list)()
        return
    given = _positionals(before[1:], options)
    name = before[0]
    if name in ("run", "up", "plan", "verify") and not given:
        from linkem_py.cli.shipped import names

        yield from names()
    elif name == "presets" and not given:
        from linkem_py.cli.presets import names as presets

        yield from presets()
    elif name == "completion" and not given:
        yield from _SCRIPTS
    elif name == "down":
        yield from (entry.name for entry in registry.networks() if entry.name not in given)
    elif name == "link":
        yield from _network_words(name, given[1:], registry) if given else _SWITCHES
    elif name in (*_NAMES, *_PEERS):
        yield from _network_words(name, given, registry)


def _positionals(words: Sequence[str], options: dict[str, argparse.Action]) -> list[str]:
    """The words that are no options and no values of one."""
    found = []
    value = False
    for word in words:
        if value:
            value = False
        elif word.startswith("-") and len(word) > 1:
            action = options.get(word)
            value = action is not None and action.nargs != 0
        else:
            found.append(word)
    return found


def _network_words(command: str, given: list[str], registry: Registry) -> Iterator[str]:
    """Networks first, or peers at once while only one runs; then peers, then fields."""
    running = {entry.name: entry for entry in registry.networks() if entry.alive}
    named = running.get(given[0]) if given else None
    only = next(iter(running.values())) if len(running) == 1 else None
    if not given:
        yield from running
    network = named or only
    if network is None or (command in _NAMES and command != "partition"):
        return
    if command == "partition":
        if named is not None:
            yield from _peers(network)
        return
    peers = given[1:] if named is not None else given
    if len(peers) < _PEERS[command]:
        yield from (peer for peer in _peers(network) if peer not in peers)
    elif command == "set":
        yield from (f"{field}=" for field in _fields())
    elif command == "schedule" and len(peers) == 2:
        yield from _directed_schedules()
    elif command == "carrier" and len(peers) == 1:
        yield from _SWITCHES


def _peers(entry: Entry) -> tuple[str, ...]:
    return () if entry.record is None else entry.record.peers


def _fields() -> tuple[str, ...]:
    from linkem_py.model.impairment import FIELDS

    return FIELDS


def _directed_schedules() -> tuple[str, ...]:
    from linkem_py.model.presets import SCHEDULES

    return tuple(SCHEDULES)


def _kernels() -> list[str]:
    return ["auto", "host", "guest"]


def _segments() -> list[str]:
    return ["lan"]


def _brokers() -> list[str]:
    return ["embedded", os.environ.get("LINKEM_MQTT_URL", "mqtt://")]


def _presets() -> list[str]:
    from linkem_py.model.presets import ALIASES, PAIRS

    return [*PAIRS, *ALIASES]


def _schedules() -> list[str]:
    from linkem_py.model.presets import SCHEDULE_PAIRS

    return list(SCHEDULE_PAIRS)


def _scenarios() -> list[str]:
    from linkem_py.model.scenario import SCENARIOS

    return list(SCENARIOS)


def _speeds() -> list[str]:
    return ["1", "2", "10", "max"]


def _tolerances() -> list[str]:
    from linkem_py.report.verify.tolerance import TOLERANCES

    return [f"{name}=" for name in TOLERANCES]


_OPTION_VALUES: dict[str, Callable[[], list[str]]] = {
    "kernel": _kernels,
    "segment": _segments,
    "mqtt": _brokers,
    "preset": _presets,
    "schedule": _schedules,
    "scenario": _scenarios,
    "speed": _speeds,
    "tolerance": _tolerances,
}
