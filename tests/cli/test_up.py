"""Networks that stay up, from the command line to the kernel."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from linkem_py.cli import daemon, start
from linkem_py.cli.kernel_choice import Decision, Place
from linkem_py.control.names import FOLDER
from linkem_py.control.registry import Registry

from .conftest import Linkem
from .standing import pair

PROGRAM = [sys.executable, "-m", "linkem_py.cli.main"]
HERE = ("--kernel", "host", "-q")
PATIENCE_S = 60.0

Up = Callable[..., dict[str, Any]]


@pytest.fixture
def up(runtime: Registry) -> Iterator[Up]:
    """Brings networks up in the background; whatever is left of them in the end is taken down."""

    def start(*words: str) -> dict[str, Any]:
        done = run("up", *words, "--detach", "--json", *HERE)
        assert (done.returncode, done.stderr) == (0, "")
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    yield start
    run("down", "--all", "-q")


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S, **options
    )


def named() -> set[str]:
    return set(os.listdir(FOLDER)) if FOLDER.is_dir() else set()


def in_namespace(name: str, *command: str) -> str:
    words = ["ip", "netns", "exec", name, *command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- in the background ---------------------------------------------------------------------------


@pytest.mark.netem
def test_a_network_in_the_background_is_there_for_all_commands(up: Up, linkem: Linkem, runtime: Registry) -> None:
    before = named()
    facts = up("pair", "--name", "demo")
    assert facts["peers"] == {"a": {"lan": ["10.0.0.1", "fd00:1::1"]}, "b": {"lan": ["10.0.0.2", "fd00:1::2"]}}
    entry = json.loads(linkem("list", "--json").out)[0]
    assert (entry["name"], entry["state"], entry["pid"], entry["topology"]) == ("demo", "running", facts["pid"], "pair")
    assert named() - before == {"demo.a", "demo.b", "demo._hub"}

    assert linkem("set", "a", "b", "delay_ms=80", "loss=gilbert_elliott:0.1,50", "rate_kbit=5000").status == 0
    queues = in_namespace("demo.a", "tc", "qdisc", "show", "dev", "eth0")
    assert "delay 80ms" in queues
    assert "loss gemodel p 0.1% r 50%" in queues
    assert "5Mbit" in in_namespace("demo.a", "tc", "class", "show", "dev", "eth0")
    in_namespace("demo.b", "ping", "-c", "3", "-i", "0.2", "-W", "5", "10.0.0.1")
    packets = {row["src"]: row["packets"] for row in json.loads(linkem("stats", "--json").out)}
    assert packets["b"] >= 3
    assert "delay 80 ms" in linkem("show").out

    assert linkem("down", "demo").err == "linkem: network demo has ended\n"
    assert named() == before
    assert list(runtime.folder.iterdir()) == []


@pytest.mark.netem
def test_programs_run_in_peers_with_this_process_s_streams(up: Up) -> None:
    up("pair")
    script = "cat; echo $LINKEM_PEER $PWD $GIVEN; echo e >&2; ip -br addr show eth0 | grep -q 10.0.0.2 && exit 7"
    env = {**os.environ, "GIVEN": "x y"}
    done = run("exec", "b", "--", "sh", "-c", script, input="in\n", env=env, cwd="/usr")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\nb /usr x y\n", "e\n")
    assert run("exec", "pair", "a", "--", "sh", "-c", "kill -TERM $$").returncode == 143
    missing = run("exec", "a", "--", "nosuchprogram")
    assert (missing.returncode, missing.stderr.count("\n")) == (127, 1)
    assert "nosuchprogram" in missing.stderr
    unknown = run("exec", "pair", "x", "--", "true")
    assert (unknown.returncode, "'x'" in unknown.stderr) == (1, True)
    big = run("exec", "a", "--", "head", "-c", "300000", "/dev/zero")
    assert len(big.stdout) == 300_000


@pytest.mark.netem
def test_a_shell_has_a_terminal(up: Up) -> None:
    up("pair")
    status, output = on_terminal(
        ["shell", "a"], b"tty -s && echo is-a-$((1+1))-terminal; ip -br link | grep -c eth; exit 5\n", SHELL="/bin/sh"
    )
    assert status == 5
    assert "is-a-2-terminal" in output


def on_terminal(words: list[str], typed: bytes, *, after: str = "", **env: str) -> tuple[int, str]:
    """The exit status and the output of a command line on a terminal, where this is typed after `after` came."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [*PROGRAM, *words], {**os.environ, "TERM": "xterm", **env})
    output = b""
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            if typed and after.encode() in output:
                os.write(terminal, typed)
                typed = b""
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    output += os.read(terminal, 65536)
                except OSError:  # EIO: nobody has the other side any more
                    break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL) if time.monotonic() > deadline else None
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


@pytest.mark.netem
def test_an_owner_that_is_killed_leaves_what_the_next_takes_away(up: Up, linkem: Linkem) -> None:
    before = named()
    subprocess.run(["ip", "netns", "add", "demo.foreign"], check=True)
    try:
        facts = up("pair", "--name", "demo")
        up("pair", "--name", "other")
        os.kill(facts["pid"], signal.SIGKILL)
        until(lambda: "dead" in linkem("list").out)
        assert {"demo.a", "demo.b", "demo._hub"} <= named()
        assert "demo is dead: its owner" in linkem("set", "demo", "a", "b", "delay_ms=1").err
        again = up("pair", "--name", "demo")
        assert again["pid"] != facts["pid"]
        in_namespace("demo.a", "ping", "-c", "1", "-W", "5", "10.0.0.2")
        os.kill(again["pid"], signal.SIGKILL)
        until(lambda: "dead" in linkem("list").out)
        assert linkem("down", "demo").err == (
            "linkem: cleaned up after network demo, whose owner was killed: took away demo._hub, demo.a, demo.b\n"
        )
        assert named() - before == {"demo.foreign", "other.a", "other.b", "other._hub"}
        in_namespace("other.a", "ping", "-c", "1", "-W", "5", "10.0.0.2")
        assert linkem("down", "--all").status == 0
        assert named() - before == {"demo.foreign"}
    finally:
        subprocess.run(["ip", "netns", "delete", "demo.foreign"], check=True)


@pytest.mark.netem
def test_networks_of_one_topology_do_not_touch_each_other(up: Up, linkem: Linkem) -> None:
    up("pair", "--name", "one")
    up("pair", "--name", "two")
    again = run("up", "pair", "--name", "two", "--detach", *HERE)
    assert again.returncode == 1
    assert "a network 'two' runs already (its owner is process " in again.stderr
    assert linkem("set", "one", "a", "b", "loss_pct=100").status == 0
    in_namespace("two.a", "ping", "-c", "1", "-W", "5", "10.0.0.2")
    assert linkem("stats").status == 2
    assert linkem("down", "one").status == 0
    in_namespace("two.a", "ping", "-c", "1", "-W", "5", "10.0.0.2")
    assert linkem("down", "--all").err == "linkem: network two has ended\n"


@pytest.mark.netem
def test_a_name_that_somebody_else_has_stops_it_before_it_starts(runtime: Registry) -> None:
    subprocess.run(["ip", "netns", "add", "pair.b"], check=True)
    try:
        done = run("up", "pair", "--detach", *HERE)
        assert done.returncode == 1
        assert "there is a network namespace 'pair.b' already" in done.stderr
        assert list(runtime.folder.iterdir()) == []
        assert "pair.b" in named()
        assert "pair.a" not in named()
    finally:
        subprocess.run(["ip", "netns", "delete", "pair.b"], check=True)


@pytest.mark.netem
def test_with_a_broker_of_its_own_it_can_be_reached_from_elsewhere(up: Up, linkem: Linkem) -> None:
    facts = up("pair", "--mqtt", "embedded")
    assert [url.partition(":")[0] for url in facts["mqtt"]] == ["mqtt", "ws"]
    assert facts["topics"] == "linkem/pair"
    assert linkem("set", "pair", "a", "b", "delay_ms=61", "--mqtt", facts["mqtt"][0]).status == 0
    assert "delay 61ms" in in_namespace("pair.a", "tc", "qdisc", "show", "dev", "eth0")


# --- in the foreground ---------------------------------------------------------------------------


@pytest.mark.netem
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_takes_it_down(runtime: Registry, linkem: Linkem, number: signal.Signals) -> None:
    before = named()
    with subprocess.Popen(
        [*PROGRAM, "up", "pair", *HERE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("network pair is up (this kernel, ")
        assert linkem("set", "a", "b", "delay_ms=5").status == 0
        while "a->b  delay 5 ms" not in process.stdout.readline():
            pass
        process.send_signal(number)
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert named() == before
    assert list(runtime.folder.iterdir()) == []


@pytest.mark.netem
def test_on_a_terminal_the_links_are_shown(runtime: Registry) -> None:
    status, output = on_terminal(["up", "pair", *HERE], b"\x03", after="b->a", COLUMNS="120", LINES="30")
    assert status == 0
    for text in ("asked", "rate now", "drops", "backlog", "last change", "a->b", "delay 20 ms", "0 bit/s"):
        assert text in output


@pytest.mark.netem
def test_its_time_can_be_up(runtime: Registry) -> None:
    done = run("up", "pair", "--duration", "200ms", "--json", *HERE)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[0])["links"] == 2
    assert list(runtime.folder.iterdir()) == []


# --- what goes wrong early -----------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--detach",)])
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["nowhere"], 2, "no such topology: nowhere"),
        (["pair", "--set", "speed=1"], 2, "pair has no parameter 'speed'"),
        (["pair", "--stats-interval", "0"], 2, "must be a number of seconds above 0"),
    ],
)
def test_wrong_usage_is_said_wherever_it_is_found(
    runtime: Registry, words: list[str], status: int, said: str, more: tuple[str, ...]
) -> None:
    done = run("up", *words, *more, "-q")
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not runtime.folder.exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--name", "a/b"], 1, "name must be letters, digits"),
        (["--mqtt", "http://user:secret@x"], 1, "mqtt must start with mqtt://"),
        (["--mqtt", "mqtt://x", "--mqtt-prefix", "a/#"], 1, "prefix must be levels"),
    ],
)
def test_what_is_wrong_is_found_before_a_network_is_made(
    linkem: Linkem, runtime: Registry, monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, said: str
) -> None:
    found = start.Start(pair(), Decision(place=Place.NAMESPACE))
    monkeypatch.setattr(start, "prepare", lambda _options: found)
    outcome = linkem("up", "pair", *words)
    assert (outcome.status, outcome.out) == (status, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert "secret" not in outcome.err
    assert runtime.networks() == []


@pytest.mark.netem
def test_a_start_that_fails_leaves_nothing(runtime: Registry) -> None:
    before = named()
    done = run("up", "pair", "--mqtt", "mqtt://user:secret@127.0.0.1:1", "--detach", *HERE)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no connection to the MQTT broker" in done.stderr
    assert "secret" not in done.stderr
    assert named() == before
    assert list(runtime.folder.iterdir()) == []


def test_a_background_process_that_dies_early_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def die(_ready: daemon.Ready) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with pytest.raises(daemon.DaemonError, match=r"process \d+ died before the network was up"):
        daemon.detach(die)
    assert daemon.detach(lambda _ready: 42) == (42, None)


def test_a_background_process_has_no_terminal_and_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def work(ready: daemon.Ready) -> int:
        ready({"session": os.getsid(0), "pid": os.getpid(), "cwd": os.getcwd()}, log)
        os.write(1, b"nowhere")
        os.write(2, b"said")
        return 0

    status, facts = daemon.detach(work)
    assert status == 0
    assert facts is not None
    assert facts["session"] not in (os.getsid(0), facts["pid"])
    until(lambda: log.exists() and log.read_text() == "said")


# --- without a file ------------------------------------------------------------------------------


@pytest.mark.netem
def test_links_of_presets_are_there_for_their_time_and_then_gone(runtime: Registry) -> None:
    before = named()
    done = run("up", "--links", "3", "--preset", "lte-edge", "--duration", "2", "--json", *HERE)
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout.splitlines()[0])
    assert (facts["name"], facts["links"]) == ("bonding", 6)
    assert {peer: list(segments) for peer, segments in facts["peers"].items()} == {
        "sender": ["link1", "link2", "link3"],
        "receiver": ["link1", "link2", "link3"],
    }
    assert named() == before
    assert list(runtime.folder.iterdir()) == []


@pytest.mark.netem
def test_a_scenario_ends_by_itself_and_its_schedules_run(up: Up, linkem: Linkem, tmp_path: Path) -> None:
    file = tmp_path / "steps.toml"
    file.write_text(
        "duration_s = 60\n[[links]]\nname = 'lte'\nimpairment = { delay_ms = 20 }\n"
        "schedule = { type = 'steps', steps = [{ at_s = 0.2, delay_ms = 80 }] }\n"
    )
    up("--scenario", str(file), "--duration", "30s")
    until(lambda: linkem("show", "steps").out.count("delay 80 ms") == 2)


@pytest.mark.guest
def test_links_of_presets_come_up_in_a_guest_and_end_with_their_time(runtime: Registry) -> None:
    done = run("up", "--links", "3", "--preset", "lte-edge", "--duration", "1s", "--kernel", "guest", "--json", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout.splitlines()[0])
    assert (facts["place"], facts["links"]) == ("a guest kernel", 6)
    assert list(runtime.folder.iterdir()) == []
