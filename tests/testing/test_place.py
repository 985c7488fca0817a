"""Where no network runs: what is skipped, what fails, and what nobody notices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linkem_py.cli.kernel_choice import Decision, Place
from linkem_py.guest import GuestKernel
from linkem_py.testing import place, rerun
from tests.testing.support import project

pytest_plugins = ["pytester"]

NEEDING = """
from pairs import *

@pytest.fixture
def costly():
    raise AssertionError("made for a test that is skipped")

@pytest.mark.linkem(pair())
def test_fixture(costly, network): pass

@pytest.mark.linkem
def test_marker_alone(costly): pass

def test_maker(make_network): pass

def test_without(): pass
"""


def test_tests_that_need_a_network_are_skipped_with_the_remedy(without_kernel: pytest.Pytester) -> None:
    without_kernel.makepyfile(NEEDING)
    result = without_kernel.runpytest_inprocess("-rs")
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(
        ["SKIPPED * test_*.py:*: this kernel lacks netem: run pytest with --linkem-kernel=auto*"]
    )


def test_they_fail_where_networks_are_required(without_kernel: pytest.Pytester) -> None:
    without_kernel.makepyfile(NEEDING)
    result = without_kernel.runpytest_inprocess("--linkem-require")
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(["this kernel lacks netem: *"])


def test_what_a_topology_needs_beyond_that_is_a_reason_too(dry: pytest.Pytester) -> None:
    dry.makepyfile("""
from pairs import *
from linkem_py.model import Capabilities

@pytest.mark.linkem(pair(), capabilities=Capabilities(netem=False))
def test_ordinary(network): pass

@pytest.mark.asyncio
@pytest.mark.linkem(pair(), capabilities=Capabilities(netem=False))
async def test_async(network): pass

@pytest.mark.asyncio
async def test_making(make_network):
    await make_network(pair(), capabilities=Capabilities(netem=False))
""")
    result = dry.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["SKIPPED * lacks netem, which topology 'pair' needs*--linkem-kernel=auto*"])


def test_a_project_without_networks_loads_nothing_but_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
import sys

def test():
    heavy = {"numpy", "networkx", "linkem_py.runtime", "linkem_py.model", "linkem_py.guest", "linkem_py.cli"}
    assert not heavy & sys.modules.keys()
    assert "linkem_py.testing.plugin" in sys.modules
""")
    pytester.runpytest_subprocess("-p", "no:cov").assert_outcomes(passed=1)


def test_a_project_s_own_fixture_named_network_stays_its_own(without_kernel: pytest.Pytester) -> None:
    without_kernel.makepyfile("""
import pytest

@pytest.fixture
def network():
    return "ours"

def test(network):
    assert network == "ours"
""")
    without_kernel.runpytest_inprocess().assert_outcomes(passed=1)


# ------------------------------------------------------------------------------- running elsewhere


GUEST = Decision(place=Place.GUEST, guest=GuestKernel(Path("/k"), "6.1", None, "package"), notice="no netem here")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run elsewhere; it ends with status 3."""
    found: list[list[str]] = []

    def call(command: list[str]) -> int:
        found.append(command)
        return 3

    monkeypatch.setattr(rerun, "_call", call)
    monkeypatch.setattr(place, "choose", lambda text: GUEST)
    return found


@pytest.mark.parametrize("how", ["option", "setting"])
def test_a_run_that_asked_goes_elsewhere_as_a_whole(pytester: pytest.Pytester, commands: Any, how: str) -> None:
    pytester.makepyfile("def test(): assert 0")
    pytester.makeini(f"[pytest]\nlinkem_kernel = {'auto' if how == 'setting' else ''}\nlinkem_memory = 512M\n")
    arguments = ["--linkem-kernel=auto"] if how == "option" else []
    result = pytester.runpytest_inprocess("-k", "test", *arguments)
    assert result.ret == 3
    (command,) = commands
    assert command[:9] == [sys.executable, "-P", "-m", "linkem_py.guest", "--kernel", "/k", "--memory", "512M", "--"]
    assert command[9:13] == [sys.executable, "-P", "-m", "pytest"]
    assert command[-2 - len(arguments) :] == ["-k", "test", *arguments]


@pytest.mark.parametrize("option", ["--collect-only", "--help", "--version", "--markers", "--fixtures"])
def test_what_runs_no_test_stays_here(pytester: pytest.Pytester, commands: Any, option: str) -> None:
    project(pytester).makepyfile("def test(): pass")
    assert pytester.runpytest_inprocess("--linkem-kernel=auto", option).ret == 0
    assert commands == []


def test_in_a_user_namespace_the_run_becomes_a_process_in_it(
    pytester: pytest.Pytester, commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "choose", lambda text: Decision(place=Place.NAMESPACE))
    assert pytester.runpytest_inprocess("--linkem-kernel=auto").ret == 3
    assert commands[0][:4] == [sys.executable, "-P", "-m", "linkem_py.testing.namespaced"]


def test_where_no_place_is_found_the_run_goes_on_here(
    pytester: pytest.Pytester, commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "choose", lambda text: None)
    project(pytester).makepyfile("def test(): pass")
    pytester.runpytest_inprocess("--linkem-kernel=auto").assert_outcomes(passed=1)
    assert commands == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--linkem-kernel=gest"], "--linkem-kernel must be auto, host, guest or a path: 'gest'"),
        (["--linkem-kernel=/no/such"], "--linkem-kernel /no/such: *"),
    ],
)
def test_wrong_options_are_errors_of_usage(pytester: pytest.Pytester, arguments: list[str], words: str) -> None:
    if "/" in arguments[0] and os.environ.get("LINKEM_GUEST"):
        pytest.skip("in a guest no other is looked for")
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{words}"])


def test_memory_that_is_none_is_an_error_of_usage(pytester: pytest.Pytester, commands: Any) -> None:
    result = pytester.runpytest_inprocess("--linkem-kernel=auto", "--linkem-memory=1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--linkem-memory: memory must be a whole number*"])
    assert commands == []


def test_a_command_becomes_root_of_a_user_namespace() -> None:
    command = [sys.executable, "-P", "-m", "linkem_py.testing.namespaced", "cat", "/proc/self/uid_map"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "Error: [Errno" in done.stderr:
        pytest.skip("no user namespace can be made here")
    assert done.stdout.split() == ["0", str(os.geteuid()), "1"]


def configured(arguments: list[str], plugins: list[object] | None = None) -> pytest.Config:
    parameters = SimpleNamespace(args=tuple(arguments), plugins=plugins)
    return SimpleNamespace(invocation_params=parameters)  # type: ignore[return-value]  # as much of it as is used


@pytest.mark.parametrize(
    "program", [["/venv/bin/pytest"], ["-m", "pytest"], ["-m", "coverage", "run", "-m", "pytest"]], ids=" ".join
)
def test_a_command_line_is_run_as_it_was_given(monkeypatch: pytest.MonkeyPatch, program: list[str]) -> None:
    argv0 = program[0] if program[0] != "-m" else "/venv/lib/pytest/__main__.py"
    monkeypatch.setattr(sys, "argv", [argv0, "-q", "tests"])
    monkeypatch.setattr(sys, "orig_argv", ["python3", *program, "-q", "tests"])
    assert rerun.own_command(configured(["-q", "tests"])) == [sys.executable, *program, "-q", "tests"]


def test_a_run_that_a_program_started_is_a_command_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/app/serve.py", "-q"])
    monkeypatch.setattr(sys, "orig_argv", ["python3", "/app/serve.py", "-q"])
    assert rerun.own_command(configured(["-q"])) == [sys.executable, "-P", "-m", "pytest", "-q"]
