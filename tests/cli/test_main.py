from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

import linkem_py
from linkem_py.cli import console, main
from linkem_py.cli.arguments import split
from linkem_py.cli.console import Paint, columns, wants_colour
from linkem_py.errors import LinkemError, TopologyError

from .conftest import Linkem


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nix"], "invalid choice: 'nix'"),
        (["run"], "TOPOLOGY"),
        (["run", "pair", "--nix"], "--nix"),
        (["run", "pair", "--kernel", "linux"], "--kernel: must be auto, host, guest or a path: 'linux'"),
        (["run", "pair", "--seed", "-1"], "--seed: must be a whole number of 64 bits"),
        (["run", "pair", "--duration", "soon"], "--duration must be a time above 0"),
        (["up", "pair", "--duration", "soon"], "--duration must be a time above 0"),
        (["run", "pair", "--"], "no command after --"),
        (["run", "pair", "--in", "a"], "--in needs a command"),
        (["run", "pair", "--report", "x", "--", "true"], "--report is for a measurement"),
        (["plan", "pair", "--", "true"], "linkem plan takes no command"),
        (["plan", "pair", "--without", "wings"], "--without wings: must be one of privileged, veth"),
        (["plan", "nowhere"], "no such topology: nowhere"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(linkem: Linkem, words: list[str], said: str) -> None:
    outcome = linkem(*words)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("linkem: ")
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


def test_hidden_commands_are_not_offered(linkem: Linkem) -> None:
    assert "probe" not in linkem("nix").err
    assert "probe" not in linkem("--help").out


def test_without_words_there_is_help(linkem: Linkem) -> None:
    outcome = linkem()
    assert outcome.status == 2
    for command in ("run", "plan", "topologies", "doctor", "guest"):
        assert f"    {command}" in outcome.out


@pytest.mark.parametrize("command", [[], ["run"], ["plan"], ["topologies"], ["doctor"], ["guest"]])
def test_help_is_status_0(linkem: Linkem, command: list[str]) -> None:
    outcome = linkem(*command, "--help")
    assert outcome.status == 0
    assert outcome.out.startswith("usage: linkem")


def test_the_version(linkem: Linkem) -> None:
    assert linkem("--version").out == f"linkem {linkem_py.__version__}\n"


def test_what_follows_the_dashes_is_left_alone() -> None:
    assert split(["run", "pair", "--", "ls", "--", "-q"]) == (["run", "pair"], ["ls", "--", "-q"])
    assert split(["run", "pair"]) == (["run", "pair"], None)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (TopologyError("delay_ms", "must not be negative", -1), 1, "linkem: delay_ms must not be negative: -1\n"),
        (LinkemError("two\nlines"), 1, "linkem: two lines\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "linkem: /x: Permission denied\n"),
        (ValueError("odd"), 1, "linkem: ValueError: odd (--debug shows where)\n"),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [LinkemError("inner")])]), 1, "linkem: inner\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_one_line(
    linkem: Linkem, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def fail(*_: Any, **__: Any) -> int:
        raise error

    monkeypatch.setattr(main, "_dispatch", fail)
    outcome = linkem("plan", "pair")
    assert (outcome.status, outcome.err) == (status, said)


def test_debug_shows_where_an_error_comes_from(linkem: Linkem) -> None:
    for words in (["--debug", "plan", "nowhere"], ["plan", "nowhere", "--debug"]):
        outcome = linkem(*words)
        assert outcome.status == 2
        assert "Traceback" in outcome.err
    assert "Traceback" not in linkem("plan", "nowhere", "--", "--debug").err


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "linkem_py.cli.main", "plan", "regions", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, main.BROKEN_PIPE)


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["topologies"], ["guest", "--help"], ["plan", "a/b"], ["run", "pair", "--"]]
)
def test_starts_without_what_it_does_not_need(words: list[str]) -> None:
    program = (
        "import sys; from linkem_py.cli.main import main; main(sys.argv[1:]);"
        "print(*({'numpy', 'networkx', 'pyroute2', 'rich', 'asyncio'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""


def test_colour_is_for_terminals_that_want_it() -> None:
    assert wants_colour(Terminal(), {"TERM": "xterm"})
    assert not wants_colour(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not wants_colour(Terminal(), {"TERM": "dumb"})
    assert not wants_colour(io.StringIO(), {"TERM": "xterm"})


def test_columns_are_aligned_whatever_their_colour() -> None:
    rows: list[list[console.Cell]] = [["a", ("yes", console.GREEN), "x"], ["long", "", ("y", console.RED)]]
    assert columns(rows, Paint(False)) == ["  a     yes  x", "  long       y"]
    painted = columns(rows, Paint(True))
    assert painted == ["  a     \033[32myes\033[0m  x", "  long       \033[31my\033[0m"]


def test_topologies_lists_what_comes_with_it(linkem: Linkem) -> None:
    lines = linkem("topologies").out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("regions "))
    assert "Four data centres" in lines[at]
    assert "delay_factor=1.0" in lines[at + 1]
    names = [entry["name"] for entry in json.loads(linkem("topologies", "--json").out)]
    assert {"pair", "regions", "star"} <= set(names)


def test_plan_shows_every_queue_of_a_topology(linkem: Linkem) -> None:
    outcome = linkem("plan", "pair", "--set", "delay_ms=7")
    assert outcome.status == 0
    assert outcome.err == ""
    for text in ("netem", "htb", "a->b", "b->a", "delay 7 ms"):
        assert text in outcome.out


def test_plan_knows_kernels_that_lack_something(linkem: Linkem) -> None:
    outcome = linkem("plan", "pair", "--without", "netem")
    assert outcome.status == 0
    assert outcome.err == "linkem: such a kernel could not run it: it lacks netem\n"
    assert linkem("plan", "pair", "--without", "netem", "-q").err == ""


def test_a_plan_for_programs_is_json(linkem: Linkem) -> None:
    plan = json.loads(linkem("plan", "pair", "--json").out)
    kinds = {made["object"] for made in plan["objects"]}
    assert {"namespace", "bridge", "veth", "qdisc", "class", "filter"} <= kinds


def test_a_file_that_is_missing_is_named(linkem: Linkem) -> None:
    assert linkem("run", f"{os.sep}no{os.sep}where.py").err == "linkem: no such file: /no/where.py\n"
