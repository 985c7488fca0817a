from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linkem_py.cli import commands

from .conftest import Linkem

PROGRAM = [sys.executable, "-m", "linkem_py.cli.main"]
HERE = ("--kernel", "host", "-q")


@pytest.mark.parametrize(("returncode", "status"), [(0, 0), (3, 3), (-2, 130), (-15, 143)])
def test_statuses_are_those_of_a_shell(returncode: int, status: int) -> None:
    assert commands.status_of(returncode) == status


def test_the_worst_status_counts() -> None:
    assert commands.worst([0, 3, 1]) == 3
    assert commands.worst([]) == 0


@pytest.mark.kernel
def test_a_command_runs_in_every_peer_and_says_in_which(linkem: Linkem) -> None:
    outcome = linkem("run", "star", "--set", "peers=3", *HERE, "--", "sh", "-c", "echo $LINKEM_PEER; echo e >&2")
    assert outcome.status == 0
    peers = sorted(line.split(" | ")[1] for line in outcome.out.splitlines())
    assert len(peers) == 3
    assert all(line.split(" | ")[0].strip() == line.split(" | ")[1] for line in outcome.out.splitlines())
    assert sorted(line.split(" | ")[1] for line in outcome.err.splitlines()) == ["e"] * 3


@pytest.mark.kernel
def test_output_is_passed_on_line_by_line_whatever_its_length(linkem: Linkem) -> None:
    script = "printf 'no end'; head -c 200000 /dev/zero | tr '\\0' x; printf '\\nlast'"
    outcome = linkem("run", "pair", *HERE, "--", "sh", "-c", script)
    own = [line.removeprefix("a | ") for line in outcome.out.splitlines() if line.startswith("a | ")]
    assert "".join(own) == "no end" + "x" * 200_000 + "last"


@pytest.mark.kernel
def test_the_exit_status_is_the_worst(linkem: Linkem) -> None:
    assert linkem("run", "pair", *HERE, "--", "sh", "-c", "test $LINKEM_PEER = a || exit 7").status == 7


@pytest.mark.kernel
def test_in_one_peer_a_command_is_as_it_is(linkem: Linkem) -> None:
    outcome = linkem("run", "pair", *HERE, "--in", "b", "--", "sh", "-c", "printf $LINKEM_PEER; kill -TERM $$")
    assert (outcome.status, outcome.out) == (143, "b")


@pytest.mark.kernel
def test_peers_reach_each_other_by_name(linkem: Linkem) -> None:
    outcome = linkem("run", "pair", *HERE, "--in", "a", "--", "getent", "hosts", "b")
    assert outcome.status == 0
    assert outcome.out.split()[1] == "b"


@pytest.mark.kernel
def test_a_program_that_is_not_there_is_status_127(linkem: Linkem) -> None:
    outcome = linkem("run", "pair", *HERE, "--in", "a", "--", "nosuchprogram")
    assert outcome.status == 127
    assert outcome.err == "linkem: peer a: there is no program 'nosuchprogram' on this machine\n"


@pytest.mark.kernel
def test_time_can_be_up(linkem: Linkem) -> None:
    words = ("--duration", "3s", "--json", "--", "sh", "-c", "test $LINKEM_PEER = a || sleep 100")
    outcome = linkem("run", "pair", *HERE, *words)
    assert outcome.status == commands.TIME_UP
    peers = json.loads(outcome.out)["peers"]
    assert (peers["a"]["status"], peers["b"]["status"]) == (0, commands.TIME_UP)


@pytest.mark.kernel
def test_json_has_everybodys_output(linkem: Linkem) -> None:
    words = ("--seed", "5", "--json", "--", "sh", "-c", "echo $LINKEM_PEER; echo e >&2; exit 3")
    outcome = linkem("run", "pair", *HERE, *words)
    values = json.loads(outcome.out)
    assert outcome.status == 3
    assert values["seed"] == 5
    assert values["peers"]["a"] == {"status": 3, "stdout": "a\n", "stderr": "e\n"}


@pytest.mark.kernel
def test_an_interrupt_ends_everything_with_status_130() -> None:
    command = [*PROGRAM, "run", "pair", *HERE, "--", "sh", "-c", "echo ready; sleep 100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "ready" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == 130


@pytest.mark.kernel
def test_an_interrupt_is_the_single_commands_business() -> None:
    script = "trap 'echo got; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    command = [*PROGRAM, "run", "pair", *HERE, "--in", "a", "--", "sh", "-c", script]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "got\n"
        assert process.stderr.read() == ""
    assert process.returncode == 7


@pytest.mark.kernel
def test_without_a_command_the_network_is_measured(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    command = [*PROGRAM, "run", "pair", *HERE, "--duration", "1s", "--report", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a->b" in done.stdout
    assert "20.00 ms" in done.stdout
    assert json.loads((folder / "report.json").read_text())["topology"] == "pair"


@pytest.mark.kernel
def test_a_measurement_for_programs_is_json(linkem: Linkem) -> None:
    outcome = linkem("run", "pair", *HERE, "--duration", "1s", "--json")
    assert outcome.err == ""
    assert [link["source"] for link in json.loads(outcome.out)["links"]] == ["a", "b"]


@pytest.mark.netem
def test_a_scenario_is_measured_for_its_time_phase_by_phase(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text(
        "duration_s = 3\n[[links]]\nname = 'lte'\nimpairment = { delay_ms = 20 }\n"
        "uplink_schedule = { type = 'steps', steps = [{ at_s = 0, delay_ms = 20 }, { at_s = 1.5, delay_ms = 80 }] }\n"
    )
    command = [*PROGRAM, "run", "--scenario", str(file), *HERE, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    uplinks = [link for link in report["links"] if link["source"] == "sender"]
    assert [link["segment"] for link in uplinks] == ["lte", "lte"]
    assert [link["impairment"]["delay_ms"] for link in uplinks] == [20, 80]
    assert [link["figures"][0]["asked"] for link in uplinks] == [20, 80]
    assert report["duration_s"] >= 3
    assert report["topology"] == "short"


@pytest.mark.kernel
def test_a_scenarios_time_ends_its_command(linkem: Linkem, tmp_path: Path) -> None:
    file = tmp_path / "short.json"
    file.write_text('{"duration_s": 1, "links": [{"impairment": {}}]}')
    outcome = linkem("run", "--scenario", str(file), *HERE, "--in", "sender", "--", "sleep", "100")
    assert outcome.status == commands.TIME_UP
    words = ("--duration", "1h", *HERE, "--in", "receiver", "--", "true")
    assert linkem("run", "--scenario", str(file), *words).status == 0


@pytest.mark.netem
def test_links_of_presets_need_no_file(linkem: Linkem) -> None:
    words = ("--preset", "lte", "--preset", "nr", "--in", "sender", "--", "getent", "ahostsv4", "receiver.link2")
    outcome = linkem("run", *HERE, *words)
    assert outcome.status == 0
    assert outcome.out.split()[0] == "10.2.0.2"


@pytest.mark.guest
def test_a_command_line_runs_in_a_guest_as_it_is() -> None:
    command = [*PROGRAM, "run", "pair", "--kernel", "guest", "--in", "a", "--", "sh", "-c", "cat; echo e >&2; exit 5"]
    done = subprocess.run(command, input="text", capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (5, "text", "e\n")
