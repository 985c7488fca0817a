"""Recordings on the command line: listed, replayed, drawn."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linkem_py.cli import network_arguments
from linkem_py.cli.arguments import parse, parse_inside
from linkem_py.cli.errors import UsageError
from linkem_py.cli.replay import perform
from linkem_py.control.registry import Registry
from linkem_py.runtime import read_recording
from tests.dry import DryNetwork

from .conftest import Linkem

PEERS = [f"p{number}" for number in range(5)]
MESH = [{"src": one, "dst": other, "set": {}} for one in PEERS for other in PEERS if one != other]
UPDATE = {"src": "a", "dst": "b", "set": {"delay_ms": 30, "rate_kbit": None}}


def head(peers: list[str], links: list[dict[str, Any]]) -> dict[str, Any]:
    topology = {"name": "tape", "peers": peers, "links": links}
    return {"linkem_recording": 1, "began_at": 1.5, "seed": 7, "kernel": "6.1", "topology": topology}


def write(path: Path, *changes: dict[str, Any], end: str = '{"end":true,"at_s":4}\n') -> Path:
    first = head(["a", "b"], [{"src": "a", "dst": "b", "set": {"delay_ms": 20}}])
    path.write_text("".join(json.dumps(line) + "\n" for line in (first, *changes)) + end)
    return path


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return write(
        tmp_path / "run.jsonl",
        {"at_s": 1, "what": "update", "links": [UPDATE]},
        {"at_s": 2, "what": "partition", "links": [], "groups": [["a"], ["b"]]},
        {"at_s": 3, "what": "earthquake", "links": []},
    )


def test_what_a_replay_would_do_is_listed(linkem: Linkem, tape: Path) -> None:
    done = linkem("replay", str(tape), "--dry", "--speed", "2")
    assert done.status == 0
    assert done.out.splitlines() == [
        "tape: 2 peers, 1 links, 3 changes in 2.000 s, seed 7",
        "  at       what        of",
        "  0.500 s  update      a->b: delay 30 ms, no rate",
        "  1.000 s  partition   a | b",
        "  1.500 s  earthquake  not replayed: this version does not know it",
    ]
    assert done.err == "linkem: 1 change 'earthquake' cannot be replayed: this version does not know it\n"


def test_the_list_for_programs_is_json(linkem: Linkem, tape: Path) -> None:
    done = linkem("replay", str(tape), "--dry", "--json", "--speed", "max")
    data = json.loads(done.out)
    assert (data["topology"], data["seed"], data["peers"], data["duration_s"]) == ("tape", 7, ["a", "b"], 0)
    assert [change["what"] for change in data["changes"]] == ["update", "partition", "earthquake"]
    assert data["changes"][0]["links"] == [{"src": "a", "dst": "b", "segment": "lan"}]
    assert [change["problem"] for change in data["changes"]] == [None, None, "this version does not know it"]
    assert done.err == ""


def test_a_file_that_was_cut_off_is_read_up_to_there_with_a_notice(linkem: Linkem, tmp_path: Path) -> None:
    tape = write(tmp_path / "cut.jsonl", {"at_s": 1, "what": "heal", "links": []}, end='{"at_s": 2, "wh')
    done = linkem("replay", str(tape), "--dry")
    assert "1 changes in 1.000 s" in done.out
    assert done.err == "linkem: cut.jsonl, line 3: is cut off and passed over: its writer was killed, or still writes\n"


async def test_how_it_went_is_told_for_programs(tape: Path) -> None:
    recording, told = read_recording(tape), list[str]()
    async with DryNetwork(recording.topology) as net:
        found = await perform(net, recording, math.inf, told.append)
        assert net.groups == (frozenset("a"), frozenset("b"))
    assert found == {"made": 2, "changes": 3, "refused": 0, "latest_s": 0, "notices": told}
    assert told == ["1 change 'earthquake' cannot be replayed: this version does not know it"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["replay", "{tape}", "--speed", "fast"], "must be a number above 0, or max: 'fast'"),
        (["replay", "{tape}", "--speed", "-1"], "must be a number above 0, or max: '-1'"),
        (["replay", "{tape}", "--seed", "x"], "must be a whole number of 64 bits: 'x'"),
        (["up", "pair", "--record-stats", "0.001"], "must be 0, or between 0.01 and 86400 seconds: '0.001'"),
        (["run", "pair", "--record", "/nowhere/x", "--kernel", "host"], "--record must be a file to write to"),
        (["plot", "{tape}", "--link", "a"], "--link must be followed by two peers, and a segment"),
        (["plot", "{tape}", "--link", "a", "x"], "the recording has no link a->x; it has those above"),
        (["plot", "{tape}", "-o", "run.gif"], "--output must end in .png, .svg, .pdf: 'run.gif'"),
        (["plot", "{tape}", "-o", "/nowhere/run.png"], "--output must be in a folder that is there"),
        (["plot", "{tape}", "--from", "-3"], "must be a number of seconds from 0 on: '-3'"),
    ],
    ids=str,
)
def test_wrong_usage_is_one_line_and_status_2(
    linkem: Linkem, tape: Path, words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from linkem_py.cli import facts
    from linkem_py.cli.kernel_choice import Facts

    from .conftest import kernel

    monkeypatch.setattr(facts, "find_facts", lambda asked: Facts(host=kernel()))
    done = linkem(*(word.format(tape=tape) for word in words))
    assert done.status == 2
    assert said in done.err.splitlines()[-1]


def test_a_recording_is_not_replayed_into_itself(linkem: Linkem, tape: Path, runtime: Registry) -> None:
    before = tape.read_text()
    done = linkem("replay", str(tape), "--record", str(tape))
    assert (done.status, tape.read_text()) == (2, before)
    assert "--record must be another file" in done.err


@pytest.mark.parametrize(("text", "value"), [("0", math.inf), ("max", math.inf), ("2", 2.0), ("0.5", 0.5)])
def test_a_speed_of_0_does_not_wait(text: str, value: float) -> None:
    assert network_arguments.speed(text) == value
    assert parse_inside(["run.jsonl", "--replay", f"--speed={value}"]).speed == value


def test_counters_can_be_left_out() -> None:
    assert parse(["up", "pair", "--record", "x", "--record-stats", "0"]).record_stats is None
    assert parse(["run", "pair", "--record-stats", "2"]).record_stats == 2
    with pytest.raises(UsageError):
        parse(["plan", "pair", "--record", "x"])


# --- plot ----------------------------------------------------------------------------------------


def test_a_picture_is_drawn_and_its_name_printed(linkem: Linkem, tape: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tape.with_suffix(".svg")
    done = linkem("plot", str(tape), "-o", str(picture), "--link", "a", "b", "--from", "0.5", "--to", "2.5")
    assert (done.status, done.out) == (0, f"{picture}\n")
    assert "has no counters (--record-stats): nothing measured can be shown" in done.err
    text = picture.read_text()
    assert "a-&gt;b" in text
    assert "tape, recorded " in text
    assert ", Linux 6.1, seed 7" in text
    data = json.loads(linkem("plot", str(tape), "-o", str(picture), "--json").out)
    assert data == {"picture": str(picture), "links": [["a", "b", "lan"]], "notices": []}


def test_of_too_many_links_some_are_to_be_chosen(linkem: Linkem, tmp_path: Path) -> None:
    tape = tmp_path / "mesh.jsonl"
    tape.write_text(json.dumps(head(PEERS, MESH)) + "\n" + '{"end": true, "at_s": 1}\n')
    done = linkem("plot", str(tape), "-o", str(tmp_path / "x.png"))
    assert done.status == 2
    *choices, said = done.err.splitlines()
    assert "20 links are more than the 12 that one picture holds" in said
    assert len(choices) == 20
    assert choices[0].split() == ["--link", "p0", "p1", "0", "changes"]


def test_without_matplotlib_it_says_what_to_install(
    linkem: Linkem, tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name == "matplotlib" else real(name, *more)
    )
    done = linkem("plot", str(tape), "-o", "x.png")
    assert done.status == 2
    assert "pip install linkem_py[report]" in done.err


# --- whole ---------------------------------------------------------------------------------------


@pytest.mark.guest
def test_in_a_guest_it_is_replayed_recorded_and_told(tmp_path: Path, runtime: Registry) -> None:
    tape = write(
        tmp_path / "run.jsonl",
        {"at_s": 0.1, "what": "update", "links": [UPDATE]},
        {"at_s": 0.2, "what": "partition", "links": [], "groups": [["a"], ["b"]]},
        {"at_s": 0.3, "what": "update", "links": [{**UPDATE, "src": "x"}]},
        end='{"end":true,"at_s":0.5}\n',
    )
    words = ["replay", str(tape), "--kernel", "guest", "--record", str(tmp_path / "again.jsonl"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "linkem_py.cli.main", *words], capture_output=True, text=True, check=False, timeout=100
    )
    facts, *events, played = map(json.loads, done.stdout.splitlines())
    assert (facts["topology"], facts["seed"], facts["place"]) == ("tape", 7, "a guest kernel")
    assert [event["event"] for event in events] == ["changed", "changed", "notice"]
    assert "peer is not in the topology" in events[2]["message"]
    assert (played["event"], played["made"], played["changes"], played["refused"]) == ("replayed", 2, 3, 1)
    assert (done.returncode, done.stderr) == (1, "")
    first, again = read_recording(tape), read_recording(tmp_path / "again.jsonl")
    assert again.is_whole
    assert [change.what for change in again.changes] == ["update", "partition"]
    assert again.changes[0].links[0].change.fields == {"delay_ms": 30}  # there was no rate to take away
    assert again.impairments == first.impairments


@pytest.mark.guest
def test_an_interrupt_ends_it(tmp_path: Path, runtime: Registry) -> None:
    tape = write(tmp_path / "run.jsonl", {"at_s": 3000, "what": "heal", "links": []})
    words = ["replay", str(tape), "--kernel", "guest", "--record", str(tmp_path / "again.jsonl"), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "linkem_py.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["topology"] == "tape"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert read_recording(tmp_path / "again.jsonl").is_whole
    assert runtime.networks() == []


def test_shells_complete_its_words(runtime: Registry) -> None:
    from linkem_py.cli.completion import candidates

    assert candidates(["rep"], runtime) == ["replay"]
    assert "max" in candidates(["replay", "run.jsonl", "--speed", ""], runtime)
    assert {"--link", "--from", "--to", "--output"} <= set(candidates(["plot", "--"], runtime))
    assert "--record-stats" in candidates(["up", "--rec"], runtime)
