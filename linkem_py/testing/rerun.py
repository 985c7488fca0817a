"""The whole run of pytest once more, in another place, with its output, files and exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from linkem_py.testing import place

if TYPE_CHECKING:
    from linkem_py.cli.kernel_choice import Decision

# Options with which pytest tells something and runs no test.
_TELLING = ("collectonly", "version", "help", "show_fixtures_per_test", "showfixtures", "markers", "cacheshow")


def elsewhere(config: pytest.Config) -> int | None:
    """Run all of it where networks run, if it was asked for and that is not here. Returns the exit status.

    None: go on here. Raises `pytest.UsageError`.
    """
    text = place.asked(config)
    virtual = place.wants_virtual_time(config)
    if not virtual and (not text or (text == place.HOST and os.geteuid() == 0)):
        return None
    if hasattr(config, "workerinput") or any(config.getoption(name, default=None) for name in _TELLING):
        return None
    if virtual:
        return (
            None
            if place.in_virtual_time()
            else _run(config, _guest(place.virtual_time_words(config), own_command(config)))
        )
    decision = place.choose(text)
    if decision is None or decision.place.name == "HERE":
        return None
    if decision.notice and config.get_verbosity() >= 0:
        _say(decision.notice)
    return _run(config, _command(decision, place.memory(config), own_command(config)))


def own_command(config: pytest.Config) -> list[str]:
    """The command line that brings about a run like this one."""
    if _is_command_line(config):
        # All of it: pytest may have been started by another program, as by coverage.
        return [sys.executable, *sys.orig_argv[1:]]
    # Without -P, the working directory would be the first place where modules are looked for.
    return [sys.executable, "-P", "-m", "pytest", *map(str, config.invocation_params.args)]


def _is_command_line(config: pytest.Config) -> bool:
    """Whether this process exists for this run of pytest; pytest.main() can be called by any program."""
    program = Path(sys.argv[0])
    named = program.name in ("pytest", "py.test") or program.parts[-2:] == ("pytest", "__main__.py")
    return named and not config.invocation_params.plugins and list(config.invocation_params.args) == sys.argv[1:]


def _command(decision: Decision, memory: str, own: Sequence[str]) -> list[str]:
    if decision.guest is None:
        return [sys.executable, "-P", "-m", "linkem_py.testing.namespaced", *own]
    return _guest(["--kernel", str(decision.guest.path), "--memory", memory], own)


def _guest(options: Sequence[str], own: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "linkem_py.guest", *options, "--", *own]


def _run(config: pytest.Config, command: list[str]) -> int:
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)  # the streams are to be those of this process again
    sys.stdout.flush()
    sys.stderr.flush()
    if _is_command_line(config):
        # Instead of this process, not beside it: what measures coverage here would write over what it
        # measures there, and signals reach the run itself.
        os.execv(command[0], command)
    try:
        return _call(command)
    finally:
        if capture is not None:
            capture.resume_global_capture()


def _call(command: list[str]) -> int:
    with subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the run has had it too, and ends in its own way


def _say(text: str) -> None:
    # Past the capture, which has its own standard error at this time.
    print(f"linkem: {text}", file=sys.__stderr__, flush=True)
