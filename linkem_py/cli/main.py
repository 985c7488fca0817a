"""``linkem``: words in, exit status out."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from linkem_py.errors import LinkemError

FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141

_COMMANDS = {
    "run": ("linkem_py.cli.run", "run"),
    "verify": ("linkem_py.cli.verify", "run"),
    "plan": ("linkem_py.cli.plan", "run"),
    "topologies": ("linkem_py.cli.topologies", "run"),
    "presets": ("linkem_py.cli.presets", "run"),
    "doctor": ("linkem_py.cli.doctor", "run"),
    "up": ("linkem_py.cli.up", "run"),
    "replay": ("linkem_py.cli.replay", "run"),
    "plot": ("linkem_py.cli.plot", "run"),
    "list": ("linkem_py.cli.networks", "list_networks"),
    "down": ("linkem_py.cli.networks", "down"),
    "show": ("linkem_py.cli.looking", "show"),
    "stats": ("linkem_py.cli.looking", "stats"),
    "watch": ("linkem_py.cli.looking", "watch"),
    "set": ("linkem_py.cli.changing", "change"),
    "clear": ("linkem_py.cli.changing", "clear"),
    "schedule": ("linkem_py.cli.schedule", "run"),
    "link": ("linkem_py.cli.switching", "link"),
    "carrier": ("linkem_py.cli.switching", "carrier"),
    "readdress": ("linkem_py.cli.switching", "readdress"),
    "partition": ("linkem_py.cli.changing", "partition"),
    "heal": ("linkem_py.cli.changing", "heal"),
    "exec": ("linkem_py.cli.programs", "execute"),
    "shell": ("linkem_py.cli.programs", "shell"),
    "capture": ("linkem_py.cli.capture", "run"),
    "schema": ("linkem_py.cli.schema", "run"),
    "kernel": ("linkem_py.cli.kernel", "run"),
    "completion": ("linkem_py.cli.completion", "run"),
}
# Not for people, and not through the parser: what doctor and up run in a guest, and what shells ask.
_HIDDEN = {
    "probe": ("linkem_py.cli.doctor", "probe"),
    "inside": ("linkem_py.cli.main", "_inside"),
    "complete": ("linkem_py.cli.completion", "complete"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command line (by default this process's own) and return its exit status.

    0; 1 for a topology or a kernel that will not do; 2 for wrong usage; 130 after ctrl-C; or what
    the command's documentation says.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    return guarded(lambda: _dispatch(words, owner=argv is None), debug=_wants_debug(words))


def guarded(function: Callable[[], int], *, debug: bool = False) -> int:
    """The exit status that a function returns, or that of what it raises, which is said in one line."""
    try:
        return function()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if isinstance(_innermost(error), BrokenPipeError):
            return _broken_pipe()
        return _complain(error, debug=debug)


def _broken_pipe() -> int:
    # Nobody reads on: not an error. The interpreter must not find out once more when it flushes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


def _dispatch(words: Sequence[str], *, owner: bool) -> int:
    if words[:1] == ["guest"]:
        # Not through the parser: the command in it may have any options, and the guest's start is not to wait.
        from linkem_py.guest.__main__ import main as guest

        return _exit_status(lambda: guest(list(words[1:])))
    if words and words[0] in _HIDDEN:
        module, name = _HIDDEN[words[0]]
        hidden: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), name)
        return hidden(words[1:])
    from linkem_py.cli.arguments import parse

    options: list[argparse.Namespace] = []

    def parsed() -> int:
        options.append(parse(words))
        return 0

    status = _exit_status(parsed)
    if not options:
        return status
    options[0].owner = owner
    module, function = _COMMANDS[options[0].name]
    command: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), function)
    status = command(options[0])
    sys.stdout.flush()
    return status


def _inside(words: Sequence[str]) -> int:
    from linkem_py.cli.arguments import parse_inside
    from linkem_py.cli.inside import run

    return run(parse_inside(words))


def _exit_status(function: Callable[[], int]) -> int:
    """What a function returns, or the status with which it leaves: argparse does, after --help."""
    try:
        return function()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0


def _complain(error: Exception, *, debug: bool) -> int:
    from linkem_py.cli.errors import UsageError

    if debug:
        traceback.print_exception(error)
    error = _innermost(error)
    if isinstance(error, LinkemError):
        text = "; ".join([str(error), *getattr(error, "__notes__", ())])
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = f"{type(error).__name__}: {error} (--debug shows where)"
    print("linkem:", " ".join(text.split()), file=sys.stderr)
    return USAGE if isinstance(error, UsageError) else FAILED


def _innermost(error: Exception) -> Exception:
    """What really happened, if a group of tasks holds one thing only."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _wants_debug(words: Sequence[str]) -> bool:
    end = list(words).index("--") if "--" in words else len(words)
    return "--debug" in words[:end]


if __name__ == "__main__":
    sys.exit(main())
