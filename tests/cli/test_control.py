"""The commands that reach a running network, by its control socket."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import pytest

from linkem_py.cli.completion import candidates
from linkem_py.control.registry import Registry

from .conftest import Linkem
from .standing import Standing

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.fixture
def demo(runtime: Registry) -> Iterator[Standing]:
    with Standing("demo") as network:
        yield network


@pytest.fixture
def two(demo: Standing) -> Iterator[tuple[Standing, Standing]]:
    with Standing("other") as other:
        yield demo, other


def test_the_only_network_needs_no_name(linkem: Linkem, demo: Standing) -> None:
    assert linkem("show").out.startswith("demo, topology pair, up for ")
    assert linkem("set", "a", "b", "delay_ms=1").out.startswith("demo  a->b: delay 1 ms")
    assert linkem("clear", "a", "b").out.startswith("demo  a->b: unimpaired")
    assert linkem("heal").status == 0


def test_of_several_networks_one_is_named(linkem: Linkem, two: tuple[Standing, Standing]) -> None:
    outcome = linkem("set", "a", "b", "delay_ms=1")
    assert outcome.status == 2
    assert outcome.err == "linkem: which network? These run: demo, other\n"
    assert linkem("set", "other", "a", "b", "delay_ms=1").status == 0
    assert "delay 20 ms" in linkem("show", "demo").out
    assert "delay 1 ms" in linkem("show", "other").out


def test_set_changes_what_is_named_and_says_since_when(linkem: Linkem, demo: Standing) -> None:
    outcome = linkem("set", "demo", "a", "b", "loss=gilbert_elliott:2,25", "rate_kbit=5000")
    assert (outcome.status, outcome.err) == (0, "")
    assert "delay 20 ms, loss Gilbert-Elliott (p 2 %, r 25 %" in outcome.out
    assert "rate 5 Mbit/s" in outcome.out
    assert "since " in outcome.out
    assert outcome.out.endswith("revision 1\n")
    assert linkem("set", "demo", "a", "b", "loss=none", "rate_kbit=none").out.count("delay 20 ms  since") == 1


def test_both_directions_are_one_change(linkem: Linkem, demo: Standing) -> None:
    lines = linkem("set", "a", "b", "delay_ms=7", "--both").out.splitlines()
    assert [line.split("  since")[0] for line in lines] == ["demo  a->b: delay 7 ms", "demo  b->a: delay 7 ms"]
    assert all(line.endswith("revision 1") for line in lines)
    outcome = linkem("set", "b", "a", "loss_pct=1", "--clear")
    assert outcome.out.startswith("demo  b->a: loss 1 %  since")


def test_a_change_for_programs_is_json(linkem: Linkem, demo: Standing) -> None:
    reply = json.loads(linkem("set", "a", "b", "delay_ms=7.5", "--json").out)
    assert (reply["network"], reply["ok"], reply["revision"], reply["error"]) == ("demo", True, 1, None)
    assert reply["links"][0]["impairment"] == {"delay_ms": 7.5}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "a", "b", "delay=80"], "link a->b: delay is unknown"),
        (["set", "a", "b", "delay=80"], "did you mean delay_ms?"),
        (["set", "a", "b", "delay_ms=fast"], "delay_ms must be a number: 'fast'"),
        (["set", "a", "b", "loss_pct=130"], "link a->b: loss_pct must be between 0 and 100: 130"),
        (["set", "a", "b", "jitter_ms=30"], "jitter_ms must not be above delay_ms (20): 30"),
        (["set", "a", "x", "delay_ms=1"], "'x'"),
        (["set", "a", "b", "delay_ms=1", "--segment", "wan"], "'wan'"),
        (["partition", "demo", "a", "x"], "'x'"),
        (["partition", "demo", "a"], "groups must be at least two"),
        (["show", "nowhere"], "no network 'nowhere' runs here; those that run: demo"),
    ],
)
def test_what_is_refused_is_said_in_one_line_and_status_1(
    linkem: Linkem, demo: Standing, words: list[str], said: str
) -> None:
    outcome = linkem(*words)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("linkem: ")
    assert outcome.err.count("\n") == 1
    assert said in outcome.err
    assert "changes[" not in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "a", "b"], "after the link come its settings"),
        (["set", "delay_ms=1"], "a link is named by its two ends"),
        (["set", "a", "delay_ms=1", "b"], "after the link come its settings"),
        (["set", "w", "x", "y", "z", "delay_ms=1"], "a link is named by its two ends"),
        (["set", "a", "b", "loss=gilbert_elliott:2"], "must be gilbert_elliott:p_pct,r_pct[,bad_loss_pct]"),
        (["set", "a", "b", "delay_ms=1", "delay_ms=2"], "the field delay_ms is named twice"),
        (["set", "a", "b", "loss={"], "is not JSON"),
        (["clear", "a"], "a link is named by its two ends"),
        (["stats", "--interval", "0"], "must be a number of seconds above 0"),
        (["exec", "a"], "a command is needed after --"),
        (["exec", "x", "y", "z", "--", "true"], "which peer?"),
        (["exec", "a", "--mqtt", "mqtt://h", "--", "true"], "not MQTT"),
        (["down"], "linkem down NAME..., or linkem down --all"),
        (["down", "demo", "--all"], "linkem down NAME..., or linkem down --all"),
        (["down", "demo", "--mqtt", "mqtt://h"], "not over MQTT"),
        (["show", "--mqtt", "mqtt://h"], "with --mqtt the network's NAME is needed"),
        (["list", "--", "x"], "linkem list takes no command"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(linkem: Linkem, demo: Standing, words: list[str], said: str) -> None:
    outcome = linkem(*words)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


def test_without_a_network_every_command_says_so(linkem: Linkem) -> None:
    for words in (["show"], ["set", "a", "b", "delay_ms=1"], ["stats"], ["watch"], ["exec", "a", "--", "true"]):
        outcome = linkem(*words)
        assert outcome.status == 1
        assert outcome.err == "linkem: no network runs here: linkem up TOPOLOGY starts one\n"
    assert linkem("list").out == "no network runs\n"
    assert linkem("list", "--json").out == "[]\n"
    assert linkem("down", "--all").status == 0
    assert linkem("down", "--all", "--json").out == "[]\n"


def test_a_partition_is_shown_until_it_is_healed(linkem: Linkem, demo: Standing) -> None:
    assert linkem("partition", "demo", "a", "b").out.startswith("demo  partition: a | b  since")
    assert "partition: a | b" in linkem("show").out
    assert linkem("heal", "demo").out.startswith("demo  no partition any more")
    assert "partition" not in linkem("show").out


def test_show_for_programs_has_all_of_it(linkem: Linkem, demo: Standing) -> None:
    shown = json.loads(linkem("show", "--json").out)
    assert list(shown["peers"]) == ["a", "b"]
    assert shown["links"][0]["impairment"] == {"delay_ms": 20}


def test_stats_are_a_table_with_units(linkem: Linkem, demo: Standing) -> None:
    head, *rows = linkem("stats").out.splitlines()
    assert head.split() == ["link", "sent", "drops", "lost", "queue", "backlog"]
    assert [row.split()[0] for row in rows] == ["a->b", "b->a"]
    assert "0 packets" in rows[0]
    assert [row["packets"] for row in json.loads(linkem("stats", "--json").out)] == [0, 0]


def test_watch_shows_what_happens_until_the_network_ends(runtime: Registry, linkem: Linkem) -> None:
    command = [sys.executable, "-m", "linkem_py.cli.main", "watch"]
    with Standing("demo") as network:
        people, programs = (
            subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True) for more in ([], ["--json"])
        )
        with people, programs:
            assert people.stdout is not None
            assert programs.stdout is not None
            _until_both_listen(network, people.stdout, programs.stdout)
            linkem("set", "a", "b", "delay_ms=5")
            linkem("set", "a", "b", "delay_ms=-5")
            linkem("partition", "demo", "a", "b")
            linkem("down", "demo")
            said = [line.split("  ", 1)[1] for line in people.stdout if "hello" not in line]
            events = [event for line in programs.stdout if (event := json.loads(line))["event"] != "notice"]
    assert said[0].startswith("a->b  delay 5 ms  revision 1")
    assert said[1].startswith("refused: link a->b: delay_ms must be between 0 and")
    assert said[2].startswith("partition: a | b  revision 2")
    assert [event["event"] for event in events] == ["changed", "refused", "changed"]
    assert (people.returncode, programs.returncode) == (0, 0)


def _until_both_listen(network: Standing, *outputs: IO[str]) -> None:
    waiting = list(outputs)
    while waiting:
        network.notice("hello")
        waiting = [one for one in waiting if not select.select([one], [], [], 0.05)[0]]


def test_list_tells_the_living_from_the_dead(linkem: Linkem, demo: Standing, runtime: Registry) -> None:
    (runtime.folder / "gone.lock").touch()
    head, *rows = linkem("list").out.splitlines()
    assert head.split()[:2] == ["network", "state"]
    assert rows[0].split()[:2] == ["demo", "running"]
    assert rows[0].split()[-1] == str(os.getpid())
    assert rows[1].split() == ["gone", "dead"]
    assert rows[2] == "gone: its owner was killed; linkem down gone cleans up"
    found = {entry["name"]: entry["state"] for entry in json.loads(linkem("list", "--json").out)}
    assert found == {"demo": "running", "gone": "dead"}
    outcome = linkem("show", "gone")
    assert outcome.err == "linkem: network gone is dead: its owner was killed; linkem down gone cleans up\n"
    assert linkem("down", "gone").err == "linkem: cleaned up after network gone, whose owner was killed\n"
    (runtime.folder / "gone.lock").touch()
    assert json.loads(linkem("down", "gone", "--json").out) == [{"name": "gone", "killed": True, "removed": []}]
    assert linkem("down", "gone").status == 1


def test_down_ends_networks_and_returns_when_they_have_ended(linkem: Linkem, two: tuple[Standing, Standing]) -> None:
    outcome = linkem("down", "demo")
    assert (outcome.status, outcome.err) == (0, "linkem: network demo has ended\n")
    assert [network.downs for network in two] == [1, 0]
    outcome = linkem("down", "--all", "--json")
    assert (outcome.err, json.loads(outcome.out)) == ("", [{"name": "other", "killed": False, "removed": []}])
    assert linkem("list").out == "no network runs\n"


def test_a_network_that_does_not_answer_is_told(linkem: Linkem, runtime: Registry) -> None:
    with runtime.claim("demo"):
        outcome = linkem("show", "demo")
    assert outcome.status == 1
    assert "network demo: its control socket" in outcome.err


def test_over_a_broker_the_same_commands_do_the_same(linkem: Linkem) -> None:
    with Standing("demo", broker=True) as network:
        reach = ("--mqtt", network.url)
        assert linkem("show", "demo", *reach).out.startswith("demo, topology pair, up for ")
        assert linkem("set", "demo", "a", "b", "delay_ms=7", *reach).out.startswith("demo  a->b: delay 7 ms  since")
        assert "delay 7 ms" in linkem("show", "demo").out
        refused = linkem("set", "demo", "a", "b", "delay=7", *reach)
        assert (refused.status, "link a->b: delay is unknown" in refused.err) == (1, True)
        assert "revision 2" in linkem("partition", "demo", "a", "b", *reach).out
        assert linkem("heal", "demo", *reach).status == 0
        assert linkem("clear", "demo", "a", "b", *reach).out.startswith("demo  a->b: unimpaired")
        assert [row["packets"] for row in json.loads(linkem("stats", "demo", "--json", *reach).out)] == [0, 0]
        other = linkem("show", "other", *reach)
        assert (other.status, "there is no network other at mqtt://127.0.0.1" in other.err) == (1, True)
        port = free_port()
        nobody = linkem("show", "demo", "--mqtt", f"mqtt://user:secret@127.0.0.1:{port}")
        assert nobody.status == 1
        assert "no connection to the MQTT broker" in nobody.err
        assert "secret" not in nobody.err


def test_watch_over_a_broker_shows_what_happens(linkem: Linkem) -> None:
    with Standing("demo", broker=True) as network:
        command = [sys.executable, "-m", "linkem_py.cli.main", "watch", "demo", "--mqtt", network.url, "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            _until_both_listen(network, process.stdout)
            linkem("set", "a", "b", "delay_ms=5")
            while (event := json.loads(process.stdout.readline()))["event"] == "notice":
                pass
            process.send_signal(signal.SIGINT)
        assert event["links"][0]["impairment"] == {"delay_ms": 5}
        assert process.returncode == 130


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_completion_knows_commands_networks_peers_and_fields(demo: Standing, runtime: Registry) -> None:
    def complete(*words: str) -> list[str]:
        return candidates(list(words), runtime)

    assert {"up", "set", "list", "down"} <= set(complete(""))
    assert complete("com") == ["completion"]
    assert "probe" not in complete("")
    assert "pair" in complete("up", "")
    assert complete("show", "") == ["demo"]
    assert complete("set", "") == ["a", "b", "demo"]
    assert complete("set", "demo", "a", "") == ["b"]
    assert complete("set", "demo", "a", "b", "delay") == ["delay_correlation_pct=", "delay_ms="]
    assert "loss_pct=" in complete("set", "a", "b", "--json", "delay_ms=1", "loss")
    assert complete("exec", "--json", "demo", "") == ["a", "b"]
    assert complete("down", "demo", "") == []
    assert complete("partition", "demo", "") == ["a", "b"]
    assert complete("up", "--k") == ["--kernel"]
    assert complete("up", "pair", "--kernel", "h") == ["host"]
    assert complete("nonsense", "") == complete("exec", "a", "--", "l") == complete("completion", "x") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell_asks_the_command(linkem: Linkem, shell: str) -> None:
    script = linkem("completion", shell).out
    assert "linkem complete" in script
    known = subprocess.run(["which", shell], capture_output=True, check=False).returncode == 0
    if known:
        assert subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False).stderr == ""


def test_bash_completes_words(linkem: Linkem, demo: Standing) -> None:
    script = linkem("completion", "bash").out
    program = (
        f'linkem() {{ {sys.executable} -m linkem_py.cli.main "$@"; }}\n{script}\n'
        'ask() { COMP_LINE=$1 COMP_POINT=${#1}; COMP_WORDS=($1); [[ $1 == *" " ]] && COMP_WORDS+=("")\n'
        "COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); compopt() { :; }; _linkem; echo ${COMPREPLY[@]}; }\n"
        'ask "linkem lis"; ask "linkem exec "; ask "linkem exec demo a"; ask "linkem set demo a b delay_m"\n'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["list", "a b demo", "a", "delay_ms="], done.stderr


@pytest.mark.parametrize("words", [["list"], ["show"], ["set", "a", "b", "delay_ms=1"], ["stats"], ["down", "demo"]])
def test_control_commands_start_without_what_they_do_not_need(demo: Standing, words: list[str]) -> None:
    program = (
        "import sys; from linkem_py.cli.main import main; status = main(sys.argv[1:]);"
        "heavy = {'numpy', 'networkx', 'pyroute2', 'rich', 'asyncio', 'aiomqtt', 'linkem_py.model'};"
        "print(status, *(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "0"
